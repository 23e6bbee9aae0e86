package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/client"
)

func (a *app) watchCmd() *cobra.Command {
	return a.speaks(&cobra.Command{
		Use:   "watch [ROLLOUT|RELEASE]",
		Short: "Follow the rollouts live",
		Long: `Follow all rollouts, or one, until Ctrl-C; a release is followed until it has ended. In a terminal the picture is
drawn again; elsewhere there is a line for whatever happens, and with -o json an object on a line of its own
whenever something has changed.`,
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), c, strings.Join(args, ""))
		},
	})
}

// watch reads the daemon whenever something has happened, until ctx ends, which is its regular end.
func (a *app) watch(ctx context.Context, c *client.Client, arg string) error {
	show := a.changes(c)
	if _, _, live := a.terminal(); live && !a.json() {
		_, _ = io.WriteString(a.stdout, "\x1b[?1049h\x1b[?25l")                    // alternate screen, no cursor
		defer func() { _, _ = io.WriteString(a.stdout, "\x1b[?25h\x1b[?1049l") }() // the screen as it was before
		show = a.draw
	}
	changed := listen(ctx, c, "")
	defer changed.close()
	for first := true; ; first = false {
		views, err := watched(ctx, c, arg)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !client.Temporary(err)):
			return a.unknown(ctx, c, arg, err)
		}
		if err := show(ctx, views, err); err != nil {
			return err
		}
		if isRelease(arg) && err == nil && views[0].State.Ended() {
			return nil
		}
		changed.wait(ctx)
	}
}

func watched(ctx context.Context, c *client.Client, arg string) ([]record.View, error) {
	if arg == "" {
		return c.Rollouts(ctx)
	}
	v, err := find(ctx, c, arg)
	return []record.View{v}, err
}

// maxDetailed is how many rollouts are drawn in full; more of them become a table.
const maxDetailed = 3

// draw shows the views on a screen of their own.
func (a *app) draw(_ context.Context, views []record.View, trouble error) error {
	width, height, _ := a.terminal()
	on := a.colours()
	lines := []string{painted("serin watch", dim, on) + "  " + time.Now().Format(time.TimeOnly) + "  " + painted("Ctrl-C ends it", dim, on)}
	if trouble != nil {
		lines = append(lines, painted(clean("the daemon does not answer: "+trouble.Error()), red, on))
	}
	if len(views) > maxDetailed {
		var b strings.Builder
		if err := a.table(&b, statusHead, statusRows(views)); err != nil {
			return err
		}
		lines = append(lines, strings.Split(strings.TrimSpace(b.String()), "\n")...)
		views = nil
	}
	for _, v := range views {
		lines = append(append(lines, ""), a.detail(v)...)
		if v.Release != nil && !v.State.Ended() {
			lines = append(lines, "  "+bar(float64(v.Target.Weight), min(50, width-10))+" "+v.Target.Weight.String())
		}
	}
	if len(lines) > height {
		lines = append(lines[:height-1], "…")
	}
	for i := range lines {
		lines[i] = cutPainted(lines[i], width)
	}
	// Go home, clear the rest of each line, then everything below: no flicker.
	_, err := io.WriteString(a.stdout, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[J")
	return err
}

// bar draws a share as a bar.
func bar(share float64, width int) string {
	full := int(share*float64(width) + 0.5)
	if share > 0 && full == 0 {
		full = 1
	}
	return strings.Repeat("█", full) + strings.Repeat("░", max(0, width-full))
}

// cutPainted is cut for a line with colours, which take no room.
func cutPainted(s string, width int) string {
	var b strings.Builder
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			if n++; n > width {
				return b.String() + "\x1b[0m"
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// changes prints a line for everything that happens, or an object with -o json.
func (a *app) changes(c *client.Client) func(context.Context, []record.View, error) error {
	last := map[string]string{} // by rollout: what was last printed about it
	seen := map[string]int{}    // by release: its newest event that was printed
	silent := false
	return func(ctx context.Context, views []record.View, trouble error) error {
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
	words := oneLine(v) + because(v.Waiting) + because(strings.Join(v.Trouble, "; "))
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
