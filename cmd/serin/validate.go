package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
)

// validation is validate's answer as JSON.
type validation struct {
	OK       bool           `json:"ok"`
	Files    int            `json:"files"`
	Errors   config.Errors  `json:"errors"`
	Warnings config.Errors  `json:"warnings"`
	Rollouts []validRollout `json:"rollouts"`
}

// validRollout is a rollout without errors.
type validRollout struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

func (a *app) validateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH…",
		Short: "Check configuration",
		Long: `Check files, and folders with all that is below them (*.yaml, *.yml); - is the standard input. All errors are shown at
once, each with file, line and column, on stderr. Files that refer to each other have to be given together.

Exit codes:
  0  everything is right; there may be warnings
  1  something is wrong, or there is nothing to check`,
		Example: `  serin validate serin.yaml rollouts/
  cat shop.yaml | serin validate -`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, paths []string) error {
			loader := daemon.NewLoader(0)
			loader.Stdin = a.stdin
			if a.json() {
				return a.validateJSON(loader, paths)
			}
			report, ok := loader.Validate(paths...)
			if !ok {
				_, _ = io.WriteString(a.stderr, report)
				return &codeError{code: exitError}
			}
			_, err := io.WriteString(a.stdout, report)
			return err
		},
	}
}

func (a *app) validateJSON(loader config.Loader, paths []string) error {
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
	if err := a.print(v, nil); err != nil {
		return err
	}
	if !v.OK {
		return &codeError{code: exitError}
	}
	return nil
}
