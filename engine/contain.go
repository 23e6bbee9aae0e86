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

// A panic is a defect of this program. It must not end the daemon and with it the releases of all other rollouts, and the
// one that it happens at must not stay where nobody can judge it.
const (
	// defectsAllowed within defectsOver: at the next one, a release goes back.
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

// contained calls f, and returns a panic of it as an error.
func contained(f func()) (err *panicError) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *panicError: // of a goroutine alongside the loop
			err = v
		default:
			err = &panicError{v, debug.Stack()}
		}
	}()
	f()
	return nil
}

// safely calls f. After a panic the loop knows nothing for certain: it loads the rollout again, and writes its traffic again.
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

// recent are the times of the defects that still count.
func (l *loop) recent(now time.Time) (out []time.Time) {
	for _, at := range l.defects {
		if now.Sub(at) < defectsOver {
			out = append(out, at)
		}
	}
	return out
}

// recovered ends the trouble about the program, once nothing has gone wrong for long enough.
func (l *loop) recovered(now time.Time) {
	if l.defects = l.recent(now); len(l.defects) == 0 {
		l.note(aboutProgram, nil)
	}
}

// goBackAfter sends the release under way back. Where even that is a panic, all that is left is to write the traffic.
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

// alongside runs f next to the loop, which gets to know of a panic.
func (l *loop) alongside(f func()) {
	l.beside.Go(func() {
		if err := contained(f); err != nil {
			l.send(func(context.Context) {
				l.work.busy, l.triggers.busy, l.doing = false, false, "" // whatever of it was under way
				panic(err)                                               // where it is handled
			})
		}
	})
}

// failed stands for a look of s that could not be taken: its source might as well not have answered.
func (s *subject) failed(at time.Time, err error) taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := judge.Look{Number: s.number + 1, At: at.Add(-s.settle)}
	return taken{err: err, record: record.LookRecord{
		Release: s.release, Scope: s.follow.scope, Turn: s.follow.turn, Look: look,
		Verdict: judge.Verdict{Look: look.Number, At: look.At, Outcome: judge.Inconclusive, Reason: judge.Unreachable},
	}}
}
