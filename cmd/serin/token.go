package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/server"
)

// builtinRoles are the roles that the daemon knows; gates may name others.
var builtinRoles = []string{"viewer", "operator", "admin"}

func (a *app) tokenCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens",
		Long: `Make, list and revoke the tokens in the file that the daemon's configuration names (auth.tokens). The file holds
hashes only: a token is shown once, when it is made.

Roles: viewer (read), operator (start, pause, resume, promote, roll back, undo, cancel, dismiss alarms, answer gates that
name nobody), admin (everything), and any other that a gate names as its approvers.`,
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
		Use:   "new NAME --role ROLE",
		Short: "Create a token and show it",
		Long:  "Create a token and show it, once. The file is created if there is none, readable by its owner only.",
		Example: "  serin token new ci --role operator\n  serin token new alice --role operator --role " +
			"release-managers --tokens /etc/serin/tokens.yaml\n  serin token new shop-team --role operator --rollout 'shop-*'",
		Args: args(cobra.ExactArgs(1)),
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
	cmd.Flags().StringSliceVar(&rollouts, "rollout", nil,
		"a `NAME` of rollouts that the roles apply to, in which * matches any characters except a slash; may be repeated; all of them without it")
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
		Short: "Revoke a token",
		Long:  "Revoke a token. The daemon notices at the token's next request.",
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
