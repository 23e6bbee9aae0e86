package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

func (a *app) historyCmd() *cobra.Command {
	var f record.Filter
	filter := ""
	cmd := &cobra.Command{
		Use:               "history [ROLLOUT|RELEASE]",
		Short:             "List releases, or the events of one",
		Long:              "List releases, the newest first: of all rollouts or of one. For a release: its events, in order.",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Limit < 1 || f.Limit > 1000 {
				return fmt.Errorf("--limit %d: expected 1 to 1000", f.Limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 1 && isRelease(args[0]) {
				return a.events(cmd.Context(), c, args[0])
			}
			f.Rollout = strings.Join(args, "")
			return a.releases(cmd.Context(), c, f, filter)
		},
	}
	outcomes := []string{
		string(rollout.Released), string(rollout.RolledBack), string(rollout.Cancelled), string(rollout.OutcomeSuperseded), string(rollout.Failed),
	}
	cmd.Flags().Var(&oneOf{(*string)(&f.Outcome), outcomes}, "outcome", "only releases with this outcome")
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(outcomes, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&filter, "filter", "",
		"only releases that have each of these words in their rollout's name, a parameter, who started them, or how and why they ended")
	cmd.Flags().StringVar(&f.By, "by", "", "only releases started by this person or program")
	cmd.Flags().Var(&moment{at: &f.Since}, "since",
		"only releases started at this time or later: a day such as 2026-01-31, a time such as \"2026-01-31 14:00\", or -24h")
	cmd.Flags().Var(&moment{at: &f.Until, end: true}, "until", "only releases started before this time, or on that day")
	cmd.Flags().StringVar(&f.Before, "before", "", "only releases older than this `RELEASE`, for paging")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "how many at most, up to 1000")
	return a.speaks(cmd)
}

func (a *app) releases(ctx context.Context, c *client.Client, f record.Filter, filter string) error {
	rs, err := c.Releases(ctx, f, filter)
	if err != nil {
		return a.advise(err)
	}
	return a.print(list(rs), func(w io.Writer) error {
		if len(rs) == 0 {
			_, err := fmt.Fprintln(w, "no releases")
			return err
		}
		rows := make([][]cell, len(rs))
		for i, r := range rs {
			took, why := "", ""
			if !r.EndedAt.IsZero() {
				took = figures.Span(r.EndedAt.Sub(r.StartedAt))
			}
			if r.Outcome != rollout.Released {
				why = cut(tell.WhyWords(r.Why), shortLine)
			}
			rows[i] = []cell{
				{r.ID, plain}, {r.Rollout, plain}, {rollout.Version(r.Parameters), bold}, {historyOutcome(r), outcomePaint(r.Outcome)},
				{at(r.StartedAt), plain}, {took, plain}, {r.StartedBy, plain}, {why, plain},
			}
		}
		return a.table(w, []string{"RELEASE", "ROLLOUT", "VERSION", "OUTCOME", "STARTED", "TOOK", "BY", "WHY"}, rows)
	})
}

// historyOutcome is how a release ended, or its phase, in the words of the pages.
func historyOutcome(r record.Past) string {
	switch r.Phase {
	case rollout.Active:
		return "under way"
	case rollout.RollingBack:
		return "rolling back"
	case rollout.PhaseEnded:
	}
	return tell.OutcomeBadge(r.Outcome).Text
}

// taggedEvent prints an event as the API does, with its kind.
type taggedEvent struct{ rollout.Event }

// MarshalJSON implements json.Marshaler.
func (e taggedEvent) MarshalJSON() ([]byte, error) { return rollout.EncodeEvent(e.Event) }

func (a *app) events(ctx context.Context, c *client.Client, id string) error {
	events, err := c.Events(ctx, id, 0)
	if err != nil {
		return a.advise(err)
	}
	tagged := make([]taggedEvent, len(events))
	rows := make([][]cell, len(events))
	for i, e := range events {
		words, p := describe(e, nil)
		tagged[i] = taggedEvent{e}
		rows[i] = []cell{{fmt.Sprint(e.Head().Seq), dim}, {at(e.Head().At), plain}, {words, p}}
	}
	return a.print(tagged, func(w io.Writer) error { return a.table(w, []string{"#", "TIME", "WHAT"}, rows) })
}
