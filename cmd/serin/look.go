package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

func (a *app) statusCmd() *cobra.Command {
	return a.speaks(&cobra.Command{
		Use:               "status [ROLLOUT|RELEASE]",
		Short:             "Show where the rollouts stand",
		Long:              "Show where all rollouts stand, or one of them with all that is known of its newest release.",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.statusAll(cmd.Context(), c)
			}
			v, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			a.warn(cmd.Context(), c, v.Rollout)
			return a.print(v, func(w io.Writer) error {
				_, err := io.WriteString(w, strings.Join(a.detail(v), "\n")+"\n")
				return err
			})
		},
	})
}

func (a *app) statusAll(ctx context.Context, c *client.Client) error {
	views, err := c.Rollouts(ctx)
	if err != nil {
		return a.advise(err)
	}
	a.warn(ctx, c, "")
	return a.print(list(views), func(w io.Writer) error {
		if len(views) == 0 {
			_, err := fmt.Fprintln(w, "no rollouts")
			return err
		}
		return a.table(w, statusHead, statusRows(views))
	})
}

// warn says on stderr what is wrong with the daemon's configuration: all of it, or what concerns one rollout.
func (a *app) warn(ctx context.Context, c *client.Client, rolloutName string) {
	problems, err := c.Problems(ctx)
	if err != nil {
		return // what was asked for is there; this is said besides
	}
	const most = 5
	said, old := 0, []string(nil)
	for _, p := range problems {
		if p.Warning || rolloutName != "" && !slices.Contains(p.Rollouts, rolloutName) {
			continue
		}
		if said++; said > most {
			continue
		}
		a.say("configuration: " + p.String())
		for _, name := range p.Rollouts {
			if !slices.Contains(old, name) {
				old = append(old, name)
			}
		}
	}
	if len(old) > 0 {
		a.say("configuration: until that is mended, the last good version is in use of " + cut(strings.Join(old, ", "), longLine))
	}
	if said > most {
		a.say(fmt.Sprintf("configuration: %d more errors", said-most))
	}
}

var statusHead = []string{"ROLLOUT", "VERSION", "RELEASE", "PHASE", "STEP", "CANARY", "VERDICT", "WAITING FOR"}

func statusRows(views []record.View) [][]cell {
	rows := make([][]cell, len(views))
	for i, v := range views {
		id, weight, step, waiting := "", "", "", cell{cut(v.Waiting, shortLine), plain}
		if v.Release != nil {
			id, weight, step = v.Release.ID, weightOf(v), v.State.StepName
		}
		switch {
		case len(v.Unsupported) > 0:
			waiting = cell{"this build cannot run it: " + strings.Join(v.Unsupported, "; "), yellow}
		case len(v.Trouble) > 0:
			waiting = cell{"trouble: " + strings.Join(v.Trouble, "; "), red}
		case v.State.Ended():
			step, waiting.text = "", cut(v.State.Why, shortLine)
		}
		rows[i] = []cell{{v.Rollout, bold}, {rollout.Version(v.State.Parameters), plain}, {id, plain}, phaseOf(v), {step, plain}, {weight, plain}, verdictCell(v.LastVerdict()), waiting}
	}
	return rows
}

// indent is where what is said of a release begins, beside its name.
const indent = 15

// detail is all that people may want to know of a release, line by line.
func (a *app) detail(v record.View) []string {
	on := a.colours()
	phase := phaseOf(v)
	out := []string{painted(clean(v.Rollout), bold, on) + "  " + painted(clean(phase.text), phase.paint, on)}
	add := func(name, text string, p paint) {
		if text != "" {
			for i, line := range wrap(clean(text), longLine-indent) {
				if i > 0 {
					name = ""
				}
				out = append(out, fmt.Sprintf("  %-12s ", name)+painted(line, p, on))
			}
		}
	}
	add("unsupported", strings.Join(v.Unsupported, "; "), yellow)
	if !v.Declared {
		add("declared", "no longer: its document is gone", yellow)
	}
	if r := v.Release; r != nil {
		add("release", r.ID+", revision "+r.Revision, plain)
		add("started", at(r.StartedAt)+" by "+r.StartedBy+parameters(v.State.Parameters), plain)
		if v.State.Ended() {
			add("ended", at(v.State.EndedAt)+because(v.State.Why), plain)
		} else {
			add("step", stepWords(v), plain)
		}
		add("canary", weightOf(v)+confirmation(v), plain)
	} else if v.Declared {
		add("traffic", "all on stable"+confirmation(v), plain)
	}
	add("gate", gateWords(v), yellow)
	if verdict := v.LastVerdict(); verdict != nil {
		add("verdict", fmt.Sprintf("%s, look %d at %s%s", verdictWords(*verdict), verdict.Look, at(verdict.At), alarm(*verdict)), verdictPaint(verdict.Outcome))
	}
	add("waiting for", v.Waiting, plain)
	add("differs", strings.Join(v.Differences, "; "), yellow)
	for _, t := range v.Trouble {
		add("trouble", t, red)
	}
	return out
}

func stepWords(v record.View) string {
	if v.State.Step < 0 || v.State.StepName == "" {
		return ""
	}
	if v.State.Step >= len(v.Steps) {
		return v.State.StepName
	}
	return fmt.Sprintf("%s (%d of %d, %s)", v.State.StepName, v.State.Step+1, len(v.Steps), rollout.Kind(v.Steps[v.State.Step]))
}

func confirmation(v record.View) string {
	if v.Confirmation == "" {
		return ""
	}
	return ", " + v.Confirmation
}

func gateWords(v record.View) string {
	if v.Gate == "" {
		return ""
	}
	who := "any operator"
	if len(v.Approvers) > 0 {
		who = strings.Join(v.Approvers, ", ")
	}
	return fmt.Sprintf("%s since %s, answered by %s: serin approve %s %s", v.Gate, at(v.GateSince), who, v.Rollout, v.Gate)
}

func (a *app) explainCmd() *cobra.Command {
	return a.speaks(&cobra.Command{
		Use:   "explain ROLLOUT|RELEASE",
		Short: "Say why the last verdict is what it is",
		Long: `Say in words and numbers why the last verdict is what it is: both arms of every metric, their ratio with its
confidence sequence, the evidence and how much of it is needed; then what the release waits for, and what follows.`,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			e, err := explanation(cmd.Context(), c, args[0])
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			return a.print(e, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, hang(clean(e.String())))
				return err
			})
		},
	})
}

func explanation(ctx context.Context, c *client.Client, arg string) (tell.Explanation, error) {
	if isRelease(arg) {
		return c.Explain(ctx, arg)
	}
	return c.ExplainRollout(ctx, arg)
}

func (a *app) historyCmd() *cobra.Command {
	var f record.Filter
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
			return a.releases(cmd.Context(), c, f)
		},
	}
	outcomes := []string{string(rollout.Released), string(rollout.RolledBack), string(rollout.Cancelled), string(rollout.OutcomeSuperseded), string(rollout.Failed)}
	cmd.Flags().Var(&oneOf{(*string)(&f.Outcome), outcomes}, "outcome", "only releases that ended so")
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(outcomes, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&f.By, "by", "", "only releases that this person or program has started")
	cmd.Flags().Var(&moment{at: &f.Since}, "since", "only releases started then or later: a day such as 2026-01-31, a time of it such as \"2026-01-31 14:00\", or -24h")
	cmd.Flags().Var(&moment{at: &f.Until, end: true}, "until", "only releases started before then, or on that day")
	cmd.Flags().StringVar(&f.Before, "before", "", "only releases older than this `RELEASE`, for paging")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "how many at most, up to 1000")
	return a.speaks(cmd)
}

func (a *app) releases(ctx context.Context, c *client.Client, f record.Filter) error {
	rs, err := c.Releases(ctx, f)
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
				why = cut(r.Why, shortLine)
			}
			rows[i] = []cell{
				{r.ID, plain}, {r.Rollout, plain}, {rollout.Version(r.Parameters), bold}, {cmp.Or(string(r.Outcome), string(r.Phase)), outcomePaint(r.Outcome)},
				{at(r.StartedAt), plain}, {took, plain}, {r.StartedBy, plain}, {why, plain},
			}
		}
		return a.table(w, []string{"RELEASE", "ROLLOUT", "VERSION", "OUTCOME", "STARTED", "TOOK", "BY", "WHY"}, rows)
	})
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

func (a *app) auditCmd() *cobra.Command {
	var f record.AuditFilter
	cmd := &cobra.Command{
		Use:   "audit [ROLLOUT]",
		Short: "List what people and programs did",
		Long: `List what people and programs did to Serin or tried to do, the oldest first. For older ones say --before and the
id of the first line; -o json has the ids.`,
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
			entries, err := c.Audit(cmd.Context(), f)
			if err != nil {
				return a.advise(err)
			}
			slices.Reverse(entries)
			return a.print(list(entries), func(w io.Writer) error { return a.auditTable(w, entries) })
		},
	}
	cmd.Flags().StringVar(&f.By, "by", "", "what this person or program did")
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
		rows[i] = []cell{{at(e.At), plain}, {e.By, bold}, {e.From, dim}, {e.Action, plain}, {e.Rollout, plain}, {e.Release, plain}, {e.Detail, plain}, result}
	}
	return a.table(w, []string{"TIME", "BY", "FROM", "ACTION", "ROLLOUT", "RELEASE", "DETAIL", "RESULT"}, rows)
}
