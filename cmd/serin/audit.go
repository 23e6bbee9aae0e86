package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/tell"
)

func (a *app) auditCmd() *cobra.Command {
	var f struct {
		record.AuditFilter
		action string
	}
	cmd := &cobra.Command{
		Use:   "audit [ROLLOUT]",
		Short: "List what people and programs did",
		Long: `List what people and programs did, or tried to do, the oldest first. For entries before these, give --before the id of
the first one, which -o json shows.`,
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Limit < 1 || f.Limit > 1000 {
				return fmt.Errorf("--limit %d: expected 1 to 1000", f.Limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f.Rollout = strings.Join(args, "")
			if f.action != "" {
				f.Actions = []string{f.action}
			}
			entries, err := c.Audit(cmd.Context(), f.AuditFilter)
			if err != nil {
				return a.advise(err)
			}
			slices.Reverse(entries)
			return a.print(list(entries), func(w io.Writer) error { return a.auditTable(w, entries) })
		},
	}
	cmd.Flags().StringVar(&f.By, "by", "", "what this person or program did")
	var names []string
	for _, action := range tell.Actions {
		names = append(names, action.Name)
	}
	cmd.Flags().Var(&oneOf{&f.action, names}, "action", "only this `ACTION`: "+strings.Join(names, ", "))
	_ = cmd.RegisterFlagCompletionFunc("action", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, action := range tell.Actions {
			out = append(out, action.Name+"\t"+action.Words)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.Flags().Var(&moment{at: &f.Since}, "since",
		"what was done then or later: a day such as 2026-01-31, a time of it such as \"2026-01-31 14:00\", or -24h")
	cmd.Flags().Var(&moment{at: &f.Until, end: true}, "until", "what was done before then, or on that day")
	cmd.Flags().Int64Var(&f.Before, "before", 0, "what was before the entry with this id")
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "how many of the newest at most, up to 1000")
	return a.speaks(cmd)
}

func (a *app) auditTable(w io.Writer, entries []record.AuditEntry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "nothing yet")
		return err
	}
	rows := make([][]cell, len(entries))
	for i, e := range entries {
		result := cell{"done", plain}
		if e.Refused != "" {
			result = cell{"refused: " + e.Refused, red}
		}
		rows[i] = []cell{
			{at(e.At), plain}, {e.By, bold}, {tell.Machine(e.From), dim}, {tell.ActionWords(e.Action), plain},
			{e.Rollout, plain}, {e.Release, plain}, {e.Detail, plain}, result,
		}
	}
	return a.table(w, []string{"TIME", "BY", "FROM", "ACTION", "ROLLOUT", "RELEASE", "DETAIL", "RESULT"}, rows)
}
