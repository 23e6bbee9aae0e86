package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

const (
	// pollEvery is how often a release is polled without an event stream.
	pollEvery = time.Second
	// patience is how long to keep asking a daemon that does not answer: longer than its restart takes.
	patience = 5 * time.Minute
)

func (a *app) startCmd() *cobra.Command {
	var o struct {
		set    []string
		start  server.StartBody
		urgent bool
		why    server.UrgentBody
		awaited
	}
	cmd := &cobra.Command{
		Use:   "start ROLLOUT",
		Short: "Start a release",
		Long: `Start a release of a rollout. A rollout has one active release at a time.

With --wait the command ends with the release; its progress is on stderr. Interrupting it does not touch the
release. A pipeline that may run the same step twice gives a --key: the second start then gets the release of
the first.

` + exitCodes,
		Example: `  serin start shop --set image=shop:1.4.2
  serin start shop --key "$CI_PIPELINE_ID" --wait --timeout 2h
  serin start shop --urgent --reason "fixes the outage"`,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			p, err := parseSet(o.set)
			if err != nil {
				return err
			}
			o.start.Parameters = p
			switch {
			case o.urgent && o.why.Reason == "":
				return errors.New("--urgent needs --reason: others will ask for it")
			case o.urgent:
				o.start.Urgent = &o.why
			case o.why != server.UrgentBody{}:
				return errors.New("--reason and --even-if-worse belong to --urgent")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.start(cmd.Context(), c, args[0], o.start, o.awaited)
		},
	}
	cmd.Flags().StringArrayVar(&o.set, "set", nil, "a parameter, as `NAME=VALUE`; may be repeated")
	cmd.Flags().StringVar(&o.start.Key, "key", "", "makes starting twice harmless: the same key gets the same release")
	cmd.Flags().BoolVar(&o.start.Supersede, "supersede", false, "take the place of an active release: it goes back to stable first")
	cmd.Flags().BoolVar(&o.start.Anyway, "anyway", false, "start even though the rollout's configuration has an "+
		"error now (its last good version is used), or a metric names a bucket that its histogram does not have")
	cmd.Flags().BoolVar(&o.start.AllSteps, "all-steps", false,
		"take the whole plan even if the version was in service not long ago and the rollout has a shorter one for that")
	cmd.Flags().BoolVar(&o.urgent, "urgent", false, "up to the first gate, wait for nothing, not even for windows "+
		"and freezes, on your responsibility; behind a gate the plan's times count again (serin promote --full)")
	cmd.Flags().StringVar(&o.why.Reason, "reason", "", "why it is urgent; it is kept with the release")
	cmd.Flags().BoolVar(&o.why.EvenIfWorse, "even-if-worse", false, "no verdict rolls the urgent release back")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until the release has ended")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long to wait at most (with --wait; default: forever)")
	return a.speaks(cmd)
}

// parseSet parses NAME=VALUE; a value may be empty, and may contain equal signs.
func parseSet(set []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("--set %q: expected NAME=VALUE, each name once", s)
		}
		out[name] = value
	}
	return out, nil
}

func (a *app) start(ctx context.Context, c *client.Client, name string, s server.StartBody, o awaited) error {
	started, err := c.Start(ctx, name, s)
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusConflict && p.Release != "" {
		return fmt.Errorf("%w; serin start %s --supersede takes the place of %s", err, name, p.Release)
	}
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Type == "urn:serin:outdated-configuration" {
		return fmt.Errorf("%w; fix it, or start the last good version with serin start %s --anyway", err, name)
	}
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Type == "urn:serin:unmeasurable" {
		return fmt.Errorf("%w; name one of these bounds in the analysis, or start with serin start %s --anyway", err, name)
	}
	if err != nil {
		return a.unknown(ctx, c, name, err)
	}
	id := started.Release.ID
	words := "release " + id + " of " + name + " is started"
	switch {
	case started.Known:
		words = "release " + id + " of " + name + " was already started with this key"
	case started.Pending:
		words = "release " + id + " of " + name + " starts as soon as the active one has gone back"
	}
	return a.begun(ctx, c, started, words, o)
}

// awaited says whether a command that starts a release waits for its end, and how long at most; 0 is no limit.
type awaited struct {
	wait    bool
	timeout time.Duration
}

// flags adds the flags to retry and undo; those of start have texts of their own.
func (o *awaited) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until it is done; the exit codes are those of start")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long to wait at most (with --wait; default: no limit)")
}

func (o *awaited) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("timeout") && (!o.wait || o.timeout <= 0) {
		return errors.New("--timeout needs --wait and a time above 0")
	}
	return nil
}

// begun reports that a release has started, and waits for its end if asked to.
func (a *app) begun(ctx context.Context, c *client.Client, s client.Started, words string, o awaited) error {
	if !o.wait {
		return a.print(s.Release, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, clean(words))
			return err
		})
	}
	a.say(words)
	return a.wait(ctx, c, s, o.timeout)
}

// say prints a line of progress.
func (a *app) say(words string) { _, _ = fmt.Fprintln(a.stderr, clean(words)) }

// wait waits for a release to end and turns its outcome into an exit code.
func (a *app) wait(ctx context.Context, c *client.Client, s client.Started, timeout time.Duration) error {
	outer := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	v, err := a.follow(ctx, c, s)
	id := s.Release.ID
	switch {
	case outer.Err() != nil:
		return fmt.Errorf("interrupted; release %s goes on, see %s status %s", id, a.programName(), id)
	case err != nil && ctx.Err() != nil:
		return &codeError{exitTooLong, fmt.Errorf("release %s has not ended within %s; it goes on", id, timeout)}
	case err != nil:
		return a.advise(err)
	}
	if err := a.print(v, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, clean(fmt.Sprintf("release %s of %s: %s%s", id, v.Rollout, v.State.Outcome, tell.Colon(v.State.Why))))
		return err
	}); err != nil {
		return err
	}
	if v.State.Outcome != rollout.Released {
		return &codeError{code: exitNotLive}
	}
	return nil
}

// follow reads a release whenever something has happened to it, and prints that, until the release has ended. It keeps
// asking a daemon that does not answer, for up to [patience]. A release that waits for its turn does not exist yet, which
// is not an error.
func (a *app) follow(ctx context.Context, c *client.Client, s client.Started) (record.View, error) {
	var told progress
	l := a.link(ctx, c, s.Release.Rollout)
	defer l.close()
	since := time.Now()
	for silent := false; ; {
		c := l.client()
		v, err := c.Release(ctx, s.Release.ID)
		switch {
		case err == nil:
			a.tell(ctx, c, v, &told)
			if v.State.Ended() {
				return v, nil
			}
			since, silent = time.Now(), false
		case waits(s, err) && comes(ctx, c, s.Release):
			since, silent = time.Now(), false
		case ctx.Err() != nil:
			return v, ctx.Err()
		case !client.Temporary(err) && !waits(s, err), time.Since(since) >= patience:
			return v, fmt.Errorf("release %s: %w", s.Release.ID, err)
		case !silent && !waits(s, err):
			silent = true
			a.say(fmt.Sprintf("the daemon does not answer (%v); retrying for %s", err, patience))
		}
		l.answered(ctx, err)
		if l.wait(ctx); ctx.Err() != nil {
			return record.View{}, ctx.Err()
		}
	}
}

// waits reports whether an error only means that a release still waits for its turn.
func waits(s client.Started, err error) bool {
	return s.Pending && client.StatusOf(err) == http.StatusNotFound
}

// comes reports whether a release is still the successor of the active one.
func comes(ctx context.Context, c *client.Client, r record.Release) bool {
	v, err := c.Rollout(ctx, r.Rollout)
	return err == nil && v.State.Successor != nil && v.State.Successor.ID == r.ID
}

// progress is what has been printed about a release: the number of its newest event, and the trouble.
type progress struct {
	seq     int
	trouble string
}

// tell prints what has happened since. Progress is a courtesy: if it cannot be read, the next poll prints it.
func (a *app) tell(ctx context.Context, c *client.Client, v record.View, told *progress) {
	if v.State.Seq > told.seq {
		events, err := c.Events(ctx, v.Release.ID, told.seq)
		if err != nil {
			return
		}
		for _, e := range events {
			words, _ := describe(e, v.Steps)
			a.say(e.Head().At.Local().Format(time.TimeOnly) + " " + words)
			told.seq = e.Head().Seq
		}
	}
	if trouble := strings.Join(v.Trouble, "; "); trouble != told.trouble {
		if told.trouble = trouble; trouble != "" {
			a.say("trouble: " + trouble)
		}
	}
}
