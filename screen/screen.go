// Package screen is the screen on which people watch rollouts in a terminal, and their keys: the rollouts, the most
// urgent first; for one of them the headline, the plan, the weight, both arms of every metric and the events; and the
// possible deeds, each of which has to be confirmed.
//
// It decides nothing and has few words of its own: package tell says how a release is doing, what comes next and what
// may be done. Start reading at [Run], then model.go.
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

// Daemon is the daemon as the screen sees it.
type Daemon interface {
	// Views returns the watched rollouts.
	Views(ctx context.Context) ([]record.View, error)
	// Events returns those of one release, in order.
	Events(ctx context.Context, release string) ([]rollout.Event, error)
	// Before is the version that was in service when a release of a rollout began, as people call it; empty if unknown.
	Before(ctx context.Context, rollout, release string) (string, error)
	// Wait returns when something may have changed, or when ctx is done.
	Wait(ctx context.Context)
	// Do carries out an order that a person has confirmed, and says what was done.
	Do(ctx context.Context, o Order) (string, error)
	// Now is the daemon's time, which may not be this machine's.
	Now() time.Time
	// Temporary reports whether the same request may succeed later: the daemon was unreachable, or said so.
	Temporary(err error) bool
}

// Order is a deed with its arguments.
type Order struct {
	tell.Deed

	Rollout, Release string
	// Gate that is answered; empty for other deeds.
	Gate   string
	Reason string
	// Full and EvenIfWorse are choices of [tell.GoOn].
	Full, EvenIfWorse bool
	// Key makes an undo or a retry happen only once.
	Key string
}

// Options configures the screen.
type Options struct {
	// Title names what is watched, as on the command line; empty for everything.
	Title string
	// Release: one release is watched, and the screen ends with it.
	Release bool
	// Colours is false if NO_COLOR is set.
	Colours bool
	// Command is the name of this program: serin, or kubectl serin.
	Command string
	In      io.Reader
	Out     io.Writer
	// Environ is the environment, which determines the kind of terminal.
	Environ []string
}

// Run shows the screen until the person leaves it, ctx is done, or the watched release has ended. It returns the last
// views that were shown. An error means that the daemon can no longer be watched.
func Run(ctx context.Context, d Daemon, o Options) ([]record.View, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // for requests that still wait for the daemon
	p := tea.NewProgram(newModel(ctx, d, o), tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out),
		tea.WithEnvironment(o.Environ), tea.WithoutSignalHandler())
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

// Clean protects a terminal from texts of others, such as reasons and messages of the gateway. Line ends stay.
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
