package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/calendar"
)

// The exit codes of start --wait. Other commands reuse the last two: analyze for fail and inconclusive, say.
const (
	exitOK      = 0
	exitError   = 1
	exitNotLive = 2 // the release has ended without being released
	exitTooLong = 3 // it has not ended in time
)

// exitCodes is the part of the help that lists them.
const exitCodes = `Exit codes:
  0  done; with --wait: the release is released
  1  something went wrong: wrong arguments, the daemon cannot be reached or says no
  2  with --wait: the release was rolled back, cancelled, superseded, or has failed; traffic is on stable
  3  with --wait: it has not ended within --timeout, and it goes on`

// app holds what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// transport of requests to the daemon; nil is the default one.
	transport http.RoundTripper

	// plugin is nil unless this is kubectl serin.
	plugin *plugin

	// Flags.
	output            string
	server, tokenFile string
}

// codeError ends the process with an exit code of its own. If err is nil, the message has already been printed.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.tree()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitError
	if c, ok := errors.AsType[*codeError](err); ok {
		if code = c.code; c.err == nil {
			return code
		}
	}
	_, _ = fmt.Fprintln(a.stderr, "serin: "+clean(err.Error()))
	return code
}

// tree returns the commands for the name that the program was called by.
func (a *app) tree() *cobra.Command {
	if a.plugin != nil {
		return a.pluginRoot()
	}
	return a.root()
}

// The groups of commands in the help.
const (
	groupRelease = "release"
	groupLook    = "look"
	groupJudge   = "judge"
	groupRun     = "run"
)

// root builds the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "serin",
		Short: "Release versions through Traefik on evidence from Prometheus",
		Long: `Serin compares a canary with its baseline on metrics from Prometheus and moves the weights in Traefik
accordingly: A/B test, gray release, full release, with gates for people where they are configured.

serin daemon does the work; the other commands speak to it.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionText(),
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("serin {{.Version}}\n")
	root.PersistentFlags().VarP(&oneOf{&a.output, []string{"table", "json"}}, "output", "o", "how to print: table or json")
	a.output = "table"
	root.PersistentFlags().Lookup("output").DefValue = "table"
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(wrongFlag)
	root.AddGroup(
		&cobra.Group{ID: groupRelease, Title: "Release:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupJudge, Title: "Judge, without a daemon:"},
		&cobra.Group{ID: groupRun, Title: "Set up and run:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRelease, a.startCmd(), a.answerCmd("approve"), a.answerCmd("reject"), a.promoteCmd(), a.pauseCmd(), a.resumeCmd(),
		a.rollbackCmd(), a.undoCmd(), a.retryCmd(), a.cancelCmd(), a.dismissCmd())
	add(groupLook, a.statusCmd(), a.watchCmd(), a.explainCmd(), a.historyCmd(), a.auditCmd(), a.reportCmd())
	add(groupJudge, a.judging()...)
	add(groupRun, daemonCmd(), a.validateCmd(), a.migrateCmd(), a.tokenCmd(), a.versionCmd(), manCmd())
	root.SetHelpCommandGroupID(groupRun)
	root.SetCompletionCommandGroupID(groupRun)
	a.addCompletion(root)
	return root
}

// otherWords maps the names that other programs use to the command that does the same here.
var otherWords = map[string]string{
	"abort": "rollback", "rerun": "retry", "restart": "retry", "get": "status", "list": "status", "ls": "status",
	"describe": "explain", "logs": "history",
	"events": "history", "deploy": "start", "release": "start", "lint": "validate", "check": "validate", "back": "rollback", "continue": "resume",
	"convert": "migrate", "import": "migrate",
}

// unknownCommand suggests what the user may have meant.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	meant := cmd.SuggestionsFor(args[0])
	if other, ok := otherWords[args[0]]; ok {
		meant = []string{other}
	}
	if len(meant) == 0 {
		return fmt.Errorf("there is no command %q; %s --help lists them", args[0], cmd.CommandPath())
	}
	name := cmd.CommandPath()
	return fmt.Errorf("there is no command %q; did you mean %s %s?", args[0], name, strings.Join(meant, ", or "+name+" "))
}

// oneOf is a flag whose value is one of a few words.
type oneOf struct {
	value *string
	words []string
}

// String implements pflag.Value.
func (c *oneOf) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Set implements pflag.Value.
func (c *oneOf) Set(s string) error {
	if slices.Contains(c.words, s) {
		*c.value = s
		return nil
	}
	last := len(c.words) - 1
	return fmt.Errorf("expected %s or %s", strings.Join(c.words[:last], ", "), c.words[last])
}

// Type implements pflag.Value.
func (c *oneOf) Type() string { return strings.Join(c.words, "|") }

// moment is a flag for a point in time. A bare date means the beginning of that day, or its end if end is set.
type moment struct {
	at   *time.Time
	end  bool
	text string
}

// String implements pflag.Value.
func (m *moment) String() string { return m.text }

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	at, ends, err := calendar.ReadDay(s, time.Local)
	switch {
	case err != nil:
		if at, err = when(s, time.Now()); err != nil {
			return fmt.Errorf("%w, or a day such as 2026-01-02", err)
		}
	case m.end:
		at = ends
	}
	*m.at, m.text = at, s
	return nil
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "TIME" }

// args wraps one of cobra's argument checks: instead of cobra's message there is one with the command's usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return missingFlags(cmd)
		}
		if len(args) == 0 {
			return fmt.Errorf("an argument is missing; usage: %s", cmd.UseLine())
		}
		return fmt.Errorf("unexpected arguments %q; usage: %s", strings.Join(args, " "), cmd.UseLine())
	}
}
