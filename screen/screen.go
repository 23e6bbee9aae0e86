// Package screen answers what people see in a terminal while they watch rollouts, and what their keys do: the rollouts in
// the order in which they need a person; of one of them the headline, the plan, the weight, both arms of every metric, and
// what has happened; and whatever may be done now, which is confirmed before it is done.
//
// It decides nothing and words little: package tell says how a release is doing, what comes next and what may be done.
// Start reading at [Run], then model.go.
package screen

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// Daemon is what is watched.
type Daemon interface {
	// Views are the rollouts that are watched.
	Views(ctx context.Context) ([]record.View, error)
	// Events are those of one release, in order.
	Events(ctx context.Context, release string) ([]rollout.Event, error)
	// Before is the version that was in service when a release of a rollout began, as people call it; empty where nothing tells.
	Before(ctx context.Context, rollout, release string) (string, error)
	// Wait returns when something may have changed, or when ctx ends.
	Wait(ctx context.Context)
	// Do does what a person has confirmed, and says what was done.
	Do(ctx context.Context, o Order) (string, error)
	// Now is the daemon's time, which may not be this machine's.
	Now() time.Time
	// Temporary reports whether the same question may be answered later: the daemon was not reached, or said so.
	Temporary(err error) bool
}

// Order is a deed with everything that it takes.
type Order struct {
	tell.Deed

	Rollout, Release string
	// Gate that is answered; empty for other deeds.
	Gate   string
	Reason string
	// Full and EvenIfWorse are choices of [tell.GoOn].
	Full, EvenIfWorse bool
	// Key: the same undoes nothing twice.
	Key string
}

// Options say how to show it.
type Options struct {
	// Title is what is watched, as on the command line; empty for everything.
	Title string
	// Release: one release is watched, and the screen ends with it.
	Release bool
	// Colours are off where NO_COLOR is set.
	Colours bool
	// Command is what this program is called: serin, or kubectl serin.
	Command string
	In      io.Reader
	Out     io.Writer
	// Environ is the environment, from which the terminal's kind is known.
	Environ []string
}

// Run shows the screen until the person leaves it, ctx ends, or the watched release has. The views are the last ones
// that were shown. An error means that the daemon can no longer be watched.
func Run(ctx context.Context, d Daemon, o Options) ([]record.View, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what still waits for the daemon
	p := tea.NewProgram(newModel(ctx, d, o), tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithEnvironment(o.Environ), tea.WithoutSignalHandler())
	last, err := p.Run()
	m, ok := last.(*model)
	switch {
	case ok && m.fatal != nil:
		return m.views, m.fatal
	case err != nil && ctx.Err() == nil && !errors.Is(err, tea.ErrInterrupted):
		return nil, err
	case !ok:
		return nil, nil
	}
	return m.views, nil
}

// Clean protects a terminal from text that others wrote, such as reasons and messages of the gateway. Line ends stay.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) && r != utf8.RuneError {
			return r
		}
		return '·'
	}, s)
}

// line is [Clean] for a text of a single line.
func line(s string) string { return strings.Join(strings.Fields(Clean(s)), " ") }
