package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/config"
)

// validation is validate's answer as JSON.
type validation struct {
	OK       bool           `json:"ok"`
	Files    int            `json:"files"`
	Errors   config.Errors  `json:"errors"`
	Warnings config.Errors  `json:"warnings"`
	Rollouts []validRollout `json:"rollouts"`
	// Show and Live are what was asked for in addition.
	Show *shows   `json:"show,omitempty"`
	Live findings `json:"live,omitempty"`
}

// validRollout is a rollout without errors.
type validRollout struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

func (a *app) validateCmd() *cobra.Command {
	v := &validating{}
	cmd := &cobra.Command{
		Use:   "validate PATH…",
		Short: "Check configuration",
		Long: `Check files, and folders with everything below them (*.yaml, *.yml); - is standard input. All errors are shown at once,
each with file, line and column, on stderr. Files that refer to each other have to be given together.

With --show it also says what a release of each rollout does, how long that takes with the traffic given (--rate), and
every value, defaults included.

With --live it also checks what is there now: whether metrics have series and buckets (--prometheus URL, or the daemon's
--config), whether the targets that the daemon reads itself and Traefik's API answer, and, where the daemon's document
names a cluster, whether Services, ports and Deployments exist and may be changed, and what of a StatefulSet would stand in
the way of a rollback (a warning).

Exit codes:
  0  everything is right; there may be warnings
  1  something is wrong, or there is nothing to check`,
		Example: `  serin validate serin.yaml rollouts/
  cat shop.yaml | serin validate -
  serin validate --show --rate 120 shop.yaml
  serin validate --live --config serin.yaml rollouts/`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, paths []string) error { return a.validate(cmd.Context(), v, paths) },
	}
	v.reach.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&v.show, "show", false, "say what a release does, and the defaults")
	f.Float64Var(&v.rate, "rate", 0, "with --show: requests a second, of both versions together")
	f.StringSliceVar(&v.base, "base", []string{"1%"}, "with --show: the `SHARE` of bad requests at stable; NAME=SHARE for one metric")
	f.BoolVar(&v.live, "live", false, "look at what is there now: metrics, Traefik, the cluster")
	return cmd
}

// validating holds the flags of validate.
type validating struct {
	reach
	showing
	live bool
}

func (a *app) validate(ctx context.Context, v *validating, paths []string) error {
	if v.rate != 0 && !(v.rate > 0 && v.rate <= 1e9) {
		return fmt.Errorf("--rate %v: expected requests a second, above 0", v.rate)
	}
	loader, err := v.loader()
	if err != nil {
		return err
	}
	loader.Stdin = a.stdin
	if (v.show || v.live) && slices.Contains(paths, "-") { // standard input is read more than once
		text, err := io.ReadAll(io.LimitReader(a.stdin, mostStdin))
		if err != nil {
			return err
		}
		loader.Stdin = &again{text: text}
	}
	if a.json() {
		return a.validateJSON(ctx, v, loader, paths)
	}
	report, ok := loader.Validate(paths...)
	if !ok {
		_, _ = io.WriteString(a.stderr, report)
		return &codeError{code: exitError}
	}
	if _, err := io.WriteString(a.stdout, report); err != nil || !v.show && !v.live {
		return err
	}
	set, _ := loader.Load(paths...)
	if v.show {
		s, err := a.shows(loader, set, &v.showing, paths)
		if err == nil {
			err = s.print(a, a.stdout, &v.showing)
		}
		if err != nil {
			return err
		}
	}
	if !v.live {
		return nil
	}
	found, err := v.look(ctx, set)
	if err != nil {
		return err
	}
	return found.print(a)
}

func (a *app) validateJSON(ctx context.Context, flags *validating, loader config.Loader, paths []string) error {
	set, errs := loader.Load(paths...)
	documents := len(set.Rollouts) + len(set.Analyses) + len(set.Daemons)
	v := validation{
		OK: len(errs) == 0 && documents > 0, Files: set.Files, Errors: list(errs), Warnings: list(set.Warnings), Rollouts: []validRollout{},
	}
	if len(errs) == 0 && documents == 0 {
		v.Errors = config.Errors{{File: strings.Join(paths, ", "), Message: "nothing to check: no documents"}}
	}
	for _, r := range set.Rollouts {
		v.Rollouts = append(v.Rollouts, validRollout{r.Plan.Rollout.Name, r.Plan.Rollout.Revision, r.File, r.Line})
	}
	if v.OK && flags.show {
		s, err := a.shows(loader, set, &flags.showing, paths)
		if err != nil {
			return err
		}
		v.Show = &s
	}
	if v.OK && flags.live {
		found, err := flags.look(ctx, set)
		if err != nil {
			return err
		}
		v.Live, v.OK = found, !found.wrong()
	}
	if err := a.print(v, nil); err != nil {
		return err
	}
	if !v.OK {
		return &codeError{code: exitError}
	}
	return nil
}

// mostStdin bounds what is kept of the standard input: more than any file may contain.
const mostStdin = 2 << 20

// again starts over from the beginning of its text each time that it was read to the end.
type again struct {
	text []byte
	at   int
}

// Read implements io.Reader.
func (r *again) Read(p []byte) (int, error) {
	if r.at == len(r.text) {
		r.at = 0
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	r.at += n
	return n, nil
}
