package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

func (a *app) watchCmd() *cobra.Command {
	lines := false
	cmd := a.speaks(&cobra.Command{
		Use:   "watch [ROLLOUT|RELEASE]",
		Short: "Follow the rollouts live",
		Long: `Follow all rollouts, or one, until q or Ctrl-C; a release is followed until it has ended.

In a terminal it is a screen with the plan, the weight as asked for and as served, both arms of every metric with how
far a decision is, and what has happened. Its last line has the keys for what may be done now, each of which is
confirmed: answer a gate, go on, pause, resume, roll back, undo.

With --lines, and where there is no terminal, each event is a line, for logs and for screen readers.
With -o json each change is an object on a line of its own.`,
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), c, strings.Join(args, ""), lines)
		},
	})
	cmd.Flags().BoolVar(&lines, "lines", false, "a line for each event, in a terminal too")
	return cmd
}

// watch reads from the daemon whenever something has happened, until ctx ends, which is not an error.
func (a *app) watch(ctx context.Context, c *client.Client, arg string, lines bool) error {
	if a.keyboard() && !lines && !a.json() {
		return a.watchScreen(ctx, c, arg)
	}
	show := a.changes()
	l := a.link(ctx, c, "")
	defer l.close()
	for first := true; ; first = false {
		c := l.client()
		views, err := watched(ctx, c, arg)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !client.Temporary(err)):
			return a.unknown(ctx, c, arg, err)
		}
		if err := show(ctx, c, views, err); err != nil {
			return err
		}
		if isRelease(arg) && err == nil && views[0].State.Ended() {
			return nil
		}
		l.answered(ctx, err)
		l.wait(ctx)
	}
}

func watched(ctx context.Context, c *client.Client, arg string) ([]record.View, error) {
	if arg == "" {
		return c.Rollouts(ctx)
	}
	v, err := find(ctx, c, arg)
	return []record.View{v}, err
}

// changes prints a line for everything that happens, or an object with -o json.
func (a *app) changes() func(context.Context, *client.Client, []record.View, error) error {
	last := map[string]string{} // by rollout: what was last printed about it
	seen := map[string]int{}    // by release: its newest event that was printed
	silent := false
	return func(ctx context.Context, c *client.Client, views []record.View, trouble error) error {
		if trouble != nil {
			if !silent {
				a.say("the daemon does not answer: " + trouble.Error())
			}
			silent = true
			return nil
		}
		silent = false
		for _, v := range views {
			if err := a.change(ctx, c, v, last, seen); err != nil {
				return err
			}
		}
		return nil
	}
}

func (a *app) change(ctx context.Context, c *client.Client, v record.View, last map[string]string, seen map[string]int) error {
	now := fmt.Sprintf("%s %d %v %v %v", oneLine(v), v.State.Seq, v.Trouble, v.Differences, v.Declared)
	if v.Verdict != nil && a.json() {
		now += fmt.Sprint(" ", v.Verdict.Look)
	}
	before, known := last[v.Rollout]
	if before == now {
		return nil
	}
	last[v.Rollout] = now
	if a.json() {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", b)
		return err
	}
	prefix := v.Rollout
	if v.Release != nil {
		prefix += " " + v.Release.ID
		if !known { // what happened before the watch began belongs to serin history
			seen[v.Release.ID] = v.State.Seq
		}
		if v.State.Seq > seen[v.Release.ID] {
			if err := a.tellNew(ctx, c, prefix, v.Release.ID, v.Steps, seen); err != nil {
				return err
			}
		}
	}
	words := oneLine(v) + tell.Colon(v.Waiting) + tell.Colon(strings.Join(v.Trouble, "; "))
	_, err := fmt.Fprintln(a.stdout, clean(time.Now().Format(time.TimeOnly)+" "+prefix+": "+words))
	return err
}

// tellNew prints the events after the last one printed.
func (a *app) tellNew(ctx context.Context, c *client.Client, prefix, id string, steps rollout.Steps, seen map[string]int) error {
	events, err := c.Events(ctx, id, seen[id])
	if err != nil {
		return nil //nolint:nilerr // they come with the next change
	}
	for _, e := range events {
		words, _ := describe(e, steps)
		if _, err := fmt.Fprintln(a.stdout, clean(e.Head().At.Local().Format(time.TimeOnly)+" "+prefix+": "+words)); err != nil {
			return err
		}
		seen[id] = e.Head().Seq
	}
	return nil
}
