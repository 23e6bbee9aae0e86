package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/notify"
)

func daemonCmd() *cobra.Command {
	var file, advertise string
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run Serin: watch the rollouts, look at the metrics, move the traffic",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			notify.RefuseRedirects()
			collectEarly()
			return runDaemon(ctx, file, advertise, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&file, "config", "serin.yaml", "the document of kind Daemon")
	cmd.Flags().StringVar(&advertise, "advertise", "", "name or address at which the other daemons reach this one, if there are several (leader)")
	return cmd
}

// garbage is the daemon's GOGC. Most of its memory stays in use for as long as it runs; with Go's default of 100 as much
// again would be garbage. Collecting earlier costs little CPU, because little garbage is made.
const garbage = 50

// collectEarly applies it, unless GOGC is set in the environment.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// runDaemon runs the daemon of a document until ctx ends.
func runDaemon(ctx context.Context, file, advertise string, out io.Writer) error {
	spec, warnings, errs := config.LoadDaemon(file)
	if len(errs) > 0 {
		return errs
	}
	log := newLogger(spec.Log, out)
	for _, w := range warnings {
		log.Warn("configuration", "problem", w.Error())
	}
	d, err := daemon.New(ctx, daemon.Options{Spec: spec, Advertise: advertise, Version: versionText(), Log: log})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

func newLogger(spec *config.LogSpec, out io.Writer) *slog.Logger {
	var level slog.Level
	options := &slog.HandlerOptions{Level: &level}
	if spec == nil {
		return slog.New(slog.NewTextHandler(out, options))
	}
	_ = level.UnmarshalText([]byte(spec.Level)) // package config has checked it
	if spec.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
