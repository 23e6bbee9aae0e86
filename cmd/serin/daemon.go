package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	rungroup "github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/store"
)

func daemonCmd() *cobra.Command {
	var file, advertise string
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run Serin: watch the rollouts, look at the metrics, move the traffic",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runDaemon(ctx, file, advertise, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&file, "config", "serin.yaml", "the document of kind Daemon")
	cmd.Flags().StringVar(&advertise, "advertise", "", "name or address at which the other daemons reach this one, if there are several (leader)")
	return cmd
}

// runDaemon runs until ctx ends. What it needs is opened first, so that a wrong start ends at once with its reason. Of
// several daemons it stands by until it leads; a lease that is lost ends the process, which whoever started it starts
// again.
func runDaemon(ctx context.Context, file, advertise string, out io.Writer) error {
	spec, warnings, errs := config.LoadDaemon(file)
	if len(errs) > 0 {
		return errs
	}
	log := newLogger(spec.Log, out)
	for _, w := range warnings {
		log.Warn("configuration", "problem", w.Error())
	}
	clientGoLog.Do(func() { klog.SetSlogLogger(log) })
	if spec.Leader == nil {
		return act(ctx, spec, nil, log)
	}
	c, err := newCandidate(spec, advertise, log)
	if err != nil {
		return err
	}
	return c.Run(ctx,
		func(ctx context.Context) error { return standBy(ctx, spec, c, log) },
		func(ctx context.Context) error { return act(ctx, spec, c, log) })
}

// clientGoLog lets what client-go says come in the daemon's own form. It has one place for that in the whole process.
var clientGoLog sync.Once

// act opens the store and runs until ctx ends.
func act(ctx context.Context, spec *config.DaemonSpec, m mandate, log *slog.Logger) error {
	url, err := spec.StoreURL()
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, url.Reveal())
	if err != nil {
		return err
	}
	err = serve(ctx, spec, s, m, log, newRegistry(true))
	return errors.Join(err, s.Close())
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

// serve puts the components side by side: the first that ends takes the others with it.
func serve(ctx context.Context, spec *config.DaemonSpec, s *store.Store, m mandate, log *slog.Logger, registry *prometheus.Registry) error {
	source, err := newSource(spec, registry)
	if err != nil {
		return err
	}
	e, err := newEngine(spec, s, source, m, log, registry)
	if err != nil {
		return err
	}
	notifier, err := newNotifier(spec, e, s, log, registry)
	if err != nil {
		return err
	}
	watcher := config.NewWatcher(newLoader(0).For(spec), log, publish(e, log, registry), spec.Config...)
	tokens, err := openTokens(spec, log)
	if err != nil {
		return err
	}
	pages, err := pagesOptions(spec, e, s, problems(watcher), log)
	if err != nil {
		return err
	}
	api, err := withPages(server.Options{
		Engine: e, Store: s, Tokens: tokens, Problems: problems(watcher), Version: versionText(), Log: log, Registry: registry,
		Ready: ready(watcher), ExternalURL: string(spec.ExternalURL),
	}, pages)
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx, listenConfig(spec))
	if err != nil {
		return err
	}
	spinnaker, err := newSpinnaker(ctx, spec, s, source, log, registry)
	if err != nil {
		return err
	}
	log.Info("serin runs", "version", versionText(), "address", listener.Addr().String(), "config", []string(spec.Config))
	var group rungroup.Group
	for _, component := range append([]func(context.Context) error{
		e.Run, watcher.Run, notifier.Run, func(ctx context.Context) error { return api.Run(ctx, listener) },
	}, spinnaker...) {
		ctx, cancel := context.WithCancel(ctx)
		group.Add(func() error { return component(ctx) }, func(error) { cancel() })
	}
	if err := group.Run(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("serin has stopped; releases go on when it is started again")
	return nil
}

func listenConfig(spec *config.DaemonSpec) server.ListenConfig {
	c := server.ListenConfig{Address: string(spec.Listen), AllowInsecure: spec.AllowInsecure}
	if spec.TLS != nil {
		c.Cert, c.Key = spec.TLS.Cert, spec.TLS.Key
	}
	return c
}

func ready(w *config.Watcher) func() error {
	return func() error {
		if w.Current() == nil {
			return errors.New("the configuration has not been read yet")
		}
		return nil
	}
}

// publish hands each new configuration to the engine and counts what is wrong with it.
func publish(e *engine.Engine, log *slog.Logger, r prometheus.Registerer) func(*config.Set) {
	wrong := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "serin", Name: "config_errors", Help: "What is wrong in the configuration now."})
	read := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "serin", Name: "config_read_timestamp_seconds", Help: "When the configuration was last taken over."})
	r.MustRegister(wrong, read)
	return func(set *config.Set) {
		wrong.Set(float64(len(set.Errors)))
		read.SetToCurrentTime()
		plans, err := enginePlans(set)
		if err != nil {
			log.Error("the configuration cannot be taken over", "err", err)
			return
		}
		e.SetPlans(plans)
		log.Info("configuration taken over", "rollouts", len(plans), "errors", len(set.Errors))
	}
}

// problems are the configuration's errors as the API shows them.
func problems(w *config.Watcher) func() []server.ConfigProblem {
	return func() (out []server.ConfigProblem) {
		set := w.Current()
		if set == nil {
			return nil
		}
		for _, e := range set.Errors {
			_, source, _ := strings.Cut(e.Error(), "\n") // the line, and a mark under the place
			out = append(out, server.ConfigProblem{File: e.File, Line: e.Line, Column: e.Column, Path: e.Path, Text: e.Message, Source: source})
		}
		return out
	}
}

// openTokens reads the configured tokens. Without any the daemon makes a first one, where the command line on the
// same machine finds it: beside the store, or beside the daemon's own file.
func openTokens(spec *config.DaemonSpec, log *slog.Logger) (*server.Tokens, error) {
	if spec.Auth != nil && spec.Auth.Tokens != "" {
		return server.OpenTokens(spec.Auth.Tokens, log)
	}
	first := "serin.token"
	if url, err := spec.StoreURL(); err == nil {
		if path, ok := strings.CutPrefix(url.Reveal(), "sqlite:"); ok {
			first = filepath.Join(filepath.Dir(path), first)
		}
	}
	tokens, err := server.FirstToken(first)
	if err != nil {
		return nil, fmt.Errorf("make a first token: %w", err)
	}
	log.Info("no tokens are configured: an admin's is in a file", "file", first)
	return tokens, nil
}
