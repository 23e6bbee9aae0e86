package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newRoot returns all commands, with those that cobra adds.
func newRoot() *cobra.Command {
	a := &app{getenv: func(string) string { return "" }}
	root := a.root()
	root.InitDefaultHelpCmd()
	return root
}

// exitTable shows the exit codes of all commands in one table.
const exitTable = `## Exit codes

| code | ` + "`start --wait`" + ` | ` + "`analyze`, `judge`" + ` | all others |
|---|---|---|---|
| 0 | released | pass | done |
| 1 | something went wrong: wrong arguments, the daemon cannot be reached or says no | something went wrong | something went wrong; for ` + "`validate`" + `, an error in a file |
| 2 | rolled back, cancelled, superseded or failed; traffic is on stable | fail | – |
| 3 | not ended within ` + "`--timeout`" + `; it goes on | inconclusive, or marginal | – |
`

// reference is docs/cli.md.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Written by `go generate ./cmd/serin` from the commands themselves; a test fails if it is stale. -->\n\n# The commands of serin\n\n")
	b.WriteString(root.Long + "\n\n")
	var commands []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				commands = append(commands, sub)
				walk(sub)
			}
		}
	}
	walk(root)
	for _, c := range commands {
		fmt.Fprintf(&b, "- [`%s`](#%s): %s\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	}
	b.WriteString("\nFor every command:\n\n```\n" + flags(root.PersistentFlags()) + "```\n\n")
	b.WriteString(exitTable)
	for _, c := range commands {
		section(&b, c)
	}
	return b.String()
}

func section(b *strings.Builder, c *cobra.Command) {
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
	// Exit codes and the help of cobra's own commands keep their line breaks.
	if strings.Contains(long, "\n  ") || strings.Contains(long, "\n\t") {
		fmt.Fprintf(b, "```\n%s\n```\n", strings.TrimSpace(long))
	} else {
		b.WriteString(strings.TrimSpace(long) + "\n")
	}
	if c.Runnable() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", dedent(c.Example))
	}
	local := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.InitDefaultHelpFlag()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			local.AddFlag(f)
		}
	})
	if text := flags(local); text != "" {
		fmt.Fprintf(b, "\n```\n%s```\n", text)
	}
}

func flags(f *pflag.FlagSet) string { return dedent(f.FlagUsages()) }

// dedent removes two spaces from the start of each line.
func dedent(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
