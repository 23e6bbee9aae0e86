package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/server"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{versionText(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "serin %s (%s, %s)\n", v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
}

// validation is validate's answer as JSON.
type validation struct {
	OK       bool           `json:"ok"`
	Files    int            `json:"files"`
	Errors   config.Errors  `json:"errors"`
	Warnings config.Errors  `json:"warnings"`
	Rollouts []validRollout `json:"rollouts"`
}

// validRollout is a rollout that is right.
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

// builtinRoles are those that the daemon knows; gates may name others.
var builtinRoles = []string{"viewer", "operator", "admin"}

func (a *app) tokenCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens",
		Long: `Make, list and revoke the tokens in the file that the daemon's configuration names (auth.tokens). The file holds
hashes only: a token is shown once, when it is made.

Roles: viewer (read), operator (start, pause, resume, roll back, cancel, answer gates that name nobody), admin
(everything), and any other that a gate names as its approvers.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&file, "tokens", "tokens.yaml", "the `FILE` of tokens")
	cmd.AddCommand(a.tokenNewCmd(&file), a.tokenListCmd(&file), a.tokenRevokeCmd(&file))
	return cmd
}

func (a *app) tokenNewCmd(file *string) *cobra.Command {
	var roles, rollouts []string
	cmd := &cobra.Command{
		Use:     "new NAME --role ROLE",
		Short:   "Make a token and show it",
		Long:    "Make a token and show it, once. The file is made if there is none, for its owner only.",
		Example: "  serin token new ci --role operator\n  serin token new alice --role operator --role release-managers --tokens /etc/serin/tokens.yaml\n  serin token new shop-team --role operator --rollout 'shop-*'",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			tokens, err := server.LoadTokens(*file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if slices.ContainsFunc(tokens, func(t server.Token) bool { return t.Name == args[0] }) {
				return fmt.Errorf("there is a token %s in %s already; revoke it first, or choose another name", args[0], *file)
			}
			secret, t, err := server.NewToken(args[0], roles)
			if err != nil {
				return err
			}
			t.Rollouts = rollouts
			if err := server.SaveTokens(*file, append(tokens, t)); err != nil {
				return err
			}
			out := struct {
				server.Token
				Secret string `json:"token"`
			}{t, secret}
			return a.print(out, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, secret)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "role", nil, "a `ROLE`; may be repeated")
	cmd.Flags().StringSliceVar(&rollouts, "rollout", nil, "a `NAME` of rollouts that the roles hold for, in which * stands for any characters but a slash; may be repeated; all of them without it")
	_ = cmd.MarkFlagRequired("role")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(builtinRoles, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) tokenListCmd(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			tokens, err := server.LoadTokens(*file)
			if err != nil {
				return err
			}
			rows := make([][]cell, len(tokens))
			for i, t := range tokens {
				rows[i] = []cell{{t.Name, bold}, {strings.Join(t.Roles, ", "), plain}, {cmp.Or(strings.Join(t.Rollouts, ", "), "all"), plain}}
			}
			return a.print(list(tokens), func(w io.Writer) error { return a.table(w, []string{"NAME", "ROLES", "ROLLOUTS"}, rows) })
		},
	}
}

func (a *app) tokenRevokeCmd(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Take a token away",
		Long:  "Take a token away. The daemon notices at its next request.",
		Args:  args(cobra.ExactArgs(1)),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
			tokens, err := server.LoadTokens(*file)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, t := range tokens {
				out = append(out, t.Name)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			tokens, err := server.LoadTokens(*file)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(tokens, func(t server.Token) bool { return t.Name == args[0] })
			if i < 0 {
				return fmt.Errorf("there is no token %s in %s", args[0], *file)
			}
			revoked := tokens[i]
			if err := server.SaveTokens(*file, slices.Delete(tokens, i, i+1)); err != nil {
				return err
			}
			return a.print(revoked, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "token "+revoked.Name+" is revoked")
				return err
			})
		},
	}
}
