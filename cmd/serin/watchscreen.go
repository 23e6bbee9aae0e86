package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/screen"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

// keyboard reports whether both input and output are terminals, so that a person sits there.
func (a *app) keyboard() bool {
	_, _, out := a.terminal()
	in, isFile := a.stdin.(*os.File)
	return out && isFile && term.IsTerminal(int(in.Fd())) //nolint:gosec // a descriptor fits
}

// programName is what people have typed to call this program.
func (a *app) programName() string {
	if a.plugin != nil {
		return "kubectl serin"
	}
	return "serin"
}

// watchScreen shows the screen for people. An error in finding what to watch is returned before it appears, and how a
// release ended is printed after it.
func (a *app) watchScreen(ctx context.Context, c *client.Client, arg string) error {
	views, err := watched(ctx, c, arg)
	if err != nil {
		return a.unknown(ctx, c, arg, err)
	}
	if !isRelease(arg) || !views[0].State.Ended() {
		w := &watching{link: a.link(ctx, c, ""), arg: arg}
		views, err = screen.Run(ctx, w, screen.Options{
			Title: arg, Release: isRelease(arg), Colours: a.colours(), Command: a.programName(), In: a.stdin, Out: a.stdout,
			Environ: []string{"TERM=" + a.getenv("TERM"), "COLORTERM=" + a.getenv("COLORTERM"), "NO_COLOR=" + a.getenv("NO_COLOR")},
		})
		w.close()
		if err != nil {
			return a.unknown(ctx, c, arg, err)
		}
	}
	if len(views) == 1 && views[0].State.Ended() {
		_, err = io.WriteString(a.stdout, strings.Join(a.detail(views[0]), "\n")+"\n")
	}
	return err
}

// watching is the daemon as the screen sees it. An order may come while a request is under way.
type watching struct {
	*link
	arg string
}

// Views implements [screen.Daemon].
func (w *watching) Views(ctx context.Context) ([]record.View, error) {
	views, err := watched(ctx, w.client(), w.arg)
	w.answered(ctx, err)
	return views, err
}

// Events implements [screen.Daemon].
func (w *watching) Events(ctx context.Context, release string) ([]rollout.Event, error) {
	return w.client().Events(ctx, release, 0)
}

// Before implements [screen.Daemon].
func (w *watching) Before(ctx context.Context, name, release string) (string, error) {
	past, err := w.client().Releases(ctx, record.Filter{Rollout: name, Outcome: rollout.Released, Before: release, Limit: 1}, "")
	if err != nil || len(past) == 0 {
		return "", err
	}
	return rollout.Version(past[0].Parameters), nil
}

// Wait implements [screen.Daemon].
func (w *watching) Wait(ctx context.Context) { w.wait(ctx) }

// Now implements [screen.Daemon].
func (w *watching) Now() time.Time { return w.client().Now() }

// Temporary implements [screen.Daemon].
func (w *watching) Temporary(err error) bool { return client.Temporary(err) }

// Do implements [screen.Daemon].
func (w *watching) Do(ctx context.Context, o screen.Order) (string, error) {
	var result server.ActionResult
	var err error
	c := w.client()
	words := map[tell.Deed]string{
		tell.Approve: "gate " + o.Gate + " is approved", tell.Reject: "gate " + o.Gate + " is rejected",
		tell.KeepWaiting: "gate " + o.Gate + " keeps waiting",
		tell.GoOn:        "going on without waiting", tell.PauseIt: "paused", tell.Resume: "resumed", tell.RollBack: "going back to stable",
		tell.Cancel: "being cancelled", tell.Dismiss: "alarm dismissed at this weight",
	}[o.Deed]
	switch o.Deed {
	case tell.Approve, tell.Reject, tell.KeepWaiting:
		result, err = c.Answer(ctx, o.Release, o.Gate, rollout.Answer(o.Deed), o.Reason)
	case tell.GoOn:
		result, err = c.Promote(ctx, o.Release, server.PromoteBody{Reason: o.Reason, Full: o.Full, EvenIfWorse: o.EvenIfWorse})
	case tell.Undo:
		var started client.Started
		started, err = c.Undo(ctx, o.Rollout, server.UndoBody{Reason: o.Reason, Key: o.Key})
		words = "release " + started.Release.ID + " brings the previous version back"
	case tell.Retry:
		var started client.Started
		started, err = c.Retry(ctx, o.Rollout, server.RetryBody{Reason: o.Reason, Key: o.Key})
		words = "release " + started.Release.ID + " tries the version again"
	default:
		result, err = c.Act(ctx, o.Release, server.Action(o.Deed), o.Reason)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", o.Rollout, w.app.advise(err))
	}
	if result.Warning != "" {
		words += "; " + result.Warning
	}
	return o.Rollout + ": " + words, nil
}
