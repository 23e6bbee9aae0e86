package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// A panic is a defect of this program. It must not end the daemon and with it the releases of all other rollouts, and
// the release in which it happens must not stay in a state that cannot be judged.
const (
	// defectsAllowed is how many panics within defectsOver are tolerated: at the next one the release goes back.
	defectsAllowed = 2
	defectsOver    = 10 * time.Minute
)

// panicError is a panic that was contained.
type panicError struct {
	value any
	stack []byte
}

// Error implements error.
func (e *panicError) Error() string {
	return fmt.Sprintf("a defect of Serin, please report it: panic: %v", e.value)
}

// contained calls f and returns its panic as an error.
func contained(f func()) (err *panicError) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *panicError: // from a goroutine alongside the loop
			err = v
		default:
			err = &panicError{v, debug.Stack()}
		}
	}()
	f()
	return nil
}

// safely calls f. After a panic the loop's state is no longer trusted: it loads the rollout and writes its traffic
// again.
func (l *loop) safely(ctx context.Context, f func()) (ok bool) {
	err := contained(f)
	if err == nil {
		return true
	}
	l.log.Error("panic", "err", err, "stack", string(err.stack))
	l.note(aboutProgram, err)
	l.ready = false
	l.gw.again()
	now := time.Now()
	l.defects = append(l.recent(now), now)
	if len(l.defects) > defectsAllowed {
		l.goBackAfter(ctx, err)
	}
	return false
}

// recent returns the times of the defects that still count.
func (l *loop) recent(now time.Time) (out []time.Time) {
	for _, at := range l.defects {
		if now.Sub(at) < defectsOver {
			out = append(out, at)
		}
	}
	return out
}

// recovered clears the error about the program once nothing has gone wrong for long enough.
func (l *loop) recovered(now time.Time) {
	if l.defects = l.recent(now); len(l.defects) == 0 {
		l.note(aboutProgram, nil)
	}
}

// goBackAfter sends the current release back. If even that panics, the traffic is still written.
func (l *loop) goBackAfter(ctx context.Context, defect error) {
	r := l.running()
	if r == nil || r.back != nil {
		return
	}
	event := r.event(rollout.RollbackRequested{Reason: "Serin itself fails at this release: " + defect.Error()}, rollout.Serin)
	failed := contained(func() {
		if next, err := r.state.Apply(event); err == nil {
			r.back = &pendingBack{event: event, state: next}
		}
	})
	if failed == nil {
		return
	}
	err := contained(func() {
		if !l.ensureRouter() {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
		defer cancel()
		l.note(aboutGateway, l.gw.router.Apply(ctx, r.plan.Rollout.Idle(l.swapped)))
	})
	if err != nil {
		l.log.Error("panic", "err", err, "stack", string(err.stack))
	}
}

// alongside runs f concurrently with the loop, which handles its panic.
func (l *loop) alongside(f func()) {
	l.helpers.Go(func() {
		if err := contained(f); err != nil {
			l.send(func(context.Context) {
				l.work.busy, l.old.busy, l.triggers.busy, l.doing = false, false, false, "" // whatever part of it was running
				panic(err)                                                                  // where it is handled
			})
		}
	})
}

// failed is the result of a failed look at s, as if its source had not answered.
func (s *subject) failed(at time.Time, err error) taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := judge.Look{Number: s.number + 1, At: at.Add(-s.settle)}
	return taken{err: err, record: record.LookRecord{
		Release: s.release, Scope: s.follow.scope, Turn: s.follow.turn, Look: look,
		Verdict: judge.Verdict{Look: look.Number, At: look.At, Outcome: judge.Inconclusive, Reason: judge.Unreachable},
	}}
}
