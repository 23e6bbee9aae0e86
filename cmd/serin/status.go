package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

func (a *app) statusCmd() *cobra.Command {
	follow, filter := false, ""
	cmd := a.speaks(&cobra.Command{
		Use:               "status [ROLLOUT|RELEASE]",
		Short:             "Show where the rollouts stand",
		Long:              "Show where all rollouts stand, or one of them with everything that is known about its newest release.",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if follow {
				return a.watch(cmd.Context(), c, strings.Join(args, ""), false)
			}
			if len(args) == 0 {
				return a.statusAll(cmd.Context(), c, filter)
			}
			v, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			a.warn(cmd.Context(), c, v.Rollout)
			return a.print(v, func(w io.Writer) error {
				lines, err := a.users(cmd.Context(), c, v)
				if err != nil {
					return a.advise(err)
				}
				_, err = io.WriteString(w, strings.Join(append(a.detail(v), lines...), "\n")+"\n")
				return err
			})
		},
	})
	cmd.Flags().StringVar(&filter, "filter", "",
		"only rollouts that have each of these words in their name, version, namespace or owner, or as a label (team=payments)")
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "go on showing it, as watch does")
	return cmd
}

func (a *app) statusAll(ctx context.Context, c *client.Client, filter string) error {
	views, err := c.Rollouts(ctx)
	if err != nil {
		return a.advise(err)
	}
	views = slices.DeleteFunc(views, func(v record.View) bool { return !tell.Matches(v, filter) })
	a.warn(ctx, c, "")
	return a.print(list(views), func(w io.Writer) error {
		if len(views) == 0 {
			_, err := fmt.Fprintln(w, "no rollouts")
			return err
		}
		return a.table(w, statusHead, statusRows(views))
	})
}

// warn prints on stderr what is wrong with the daemon's configuration: all of it, or what concerns one rollout.
func (a *app) warn(ctx context.Context, c *client.Client, rolloutName string) {
	problems, err := c.Problems(ctx)
	if err != nil {
		return // the answer itself is there; this is only an addition
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
		a.say("configuration: until that is fixed, the last good version stays in use for " + cut(strings.Join(old, ", "), longLine))
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
		case len(v.Trouble) > 0:
			waiting = cell{"trouble: " + strings.Join(v.Trouble, "; "), red}
		case v.State.Ended():
			step, waiting.text = "", cut(v.State.Why, shortLine)
		}
		rows[i] = []cell{
			{v.Rollout, bold}, {rollout.Version(v.State.Parameters), plain}, {id, plain}, phaseOf(v), {step, plain},
			{weight, plain}, verdictCell(v.LastVerdict()), waiting,
		}
	}
	return rows
}

// indent is the column at which the facts about a release begin, next to their names.
const indent = 15

// detail is everything that people may want to know about a release, line by line.
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
	if !v.Declared {
		add("declared", "no longer: its document is gone", yellow)
	}
	if r := v.Release; r != nil {
		add("release", r.ID+", revision "+r.Revision, plain)
		add("started", at(r.StartedAt)+" by "+r.StartedBy+parameters(v.State.Parameters), plain)
		if v.State.Ended() {
			add("ended", at(v.State.EndedAt)+tell.Colon(v.State.Why), plain)
		} else {
			add("step", stepWords(v), plain)
		}
		add("canary", weightOf(v)+confirmation(v), plain)
	} else if v.Declared {
		add("traffic", "all on stable"+confirmation(v), plain)
	}
	for _, arm := range tell.Arms(v, "") {
		if len(arm.Images) > 0 {
			add("runs", arm.Name+": "+arm.Workload+" "+strings.Join(arm.Images, " "), plain)
		}
	}
	add("plan", tell.Origin(v.State), plain)
	add("gate", a.gateWords(v), yellow)
	if verdict := v.LastVerdict(); verdict != nil {
		add("verdict", fmt.Sprintf("%s, look %d at %s%s", verdictWords(*verdict), verdict.Look, at(verdict.At),
			alarm(*verdict)), verdictPaint(verdict.Outcome))
	}
	add("waiting for", v.Waiting, plain)
	add("differs", strings.Join(v.Differences, "; "), yellow)
	for _, note := range v.Notes {
		add("note", note, yellow)
	}
	for _, t := range v.Trouble {
		add("trouble", t, red)
	}
	add("owner", v.About.Owner, plain)
	add("labels", strings.Join(v.About.Words(), ", "), plain)
	for _, l := range v.About.Links {
		add("link", l.Name+": "+l.URL, plain)
	}
	return out
}

// users says since when users have been safe from a release that went back, as its page does.
func (a *app) users(ctx context.Context, c *client.Client, v record.View) ([]string, error) {
	if _, _, _, went := tell.StableSince(v.State, nil); !went || v.Release == nil {
		return nil, nil
	}
	events, err := c.Events(ctx, v.Release.ID, 0)
	if err != nil {
		return nil, err
	}
	since, after, what, _ := tell.StableSince(v.State, events)
	text, p := "safe: all traffic on stable since "+at(since)+", "+after+" after "+what, green
	if since.IsZero() {
		text, p = "no gateway replica has confirmed yet that all traffic is on stable", yellow
	}
	return []string{fmt.Sprintf("  %-12s ", "users") + painted(text, p, a.colours())}, nil
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
	return ", " + string(v.Confirmation)
}

func (a *app) gateWords(v record.View) string {
	if v.Gate == "" {
		return ""
	}
	who := "any operator"
	if len(v.Approvers) > 0 {
		who = strings.Join(v.Approvers, ", ")
	}
	return fmt.Sprintf("%s since %s, answered by %s: %s approve %s %s", v.Gate, at(v.GateSince), who, a.programName(), v.Rollout, v.Gate)
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
