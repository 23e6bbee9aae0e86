package rollout

import (
	"time"

	"github.com/serindev/serin/calendar"
)

// shut tells why nothing may be entered at this time, and until when; it is false if something may. Windows do not
// apply to a promotion that has begun, to a rollback, or to a release that a person has let go on without waiting.
func (s State) shut(d *Definition, t *timer) (calendar.Closed, bool) {
	if s.Promoting() || s.Hurry != nil || s.Undoes != "" {
		return calendar.Closed{}, false
	}
	closed, open := calendar.And{d.Calendar, d.House}.At(t.now.Add(s.PausedFor))
	return closed, !open
}

// awaits is called when the release would otherwise go on: closed means that its calendar forbids it now, and said is
// the event that records this, nil if it is recorded already.
func (s State) awaits(d *Definition, t *timer) (said Event, closed bool) {
	why, closed := s.shut(d, t)
	switch {
	case !closed:
		return nil, false
	case s.Awaited == nil || !s.Awaited.Until.Equal(why.Until):
		return WindowAwaited{Closed: why}, true
	case why.Until.IsZero():
		t.passed(t.now.Add(calendar.Horizon / 2)) // it may be known by then
	default:
		t.passed(why.Until.Add(-s.PausedFor))
	}
	return nil, true
}

func (s State) windowAwaited(e WindowAwaited) (State, error) {
	if s.Phase != Active || s.Pause != nil {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if s.Awaited == nil || now.Sub(s.AwaitedAt) >= s.AwaitedFor { // it was open in the meantime, and something else held the release
		s = s.waited(now)
		s.AwaitedAt = now
	}
	s.Awaited, s.AwaitedFor = &e, calendar.Horizon
	if !e.Until.IsZero() {
		s.AwaitedFor = now.Sub(s.AwaitedAt) + max(0, e.Until.Sub(e.At))
	}
	return s, nil
}

// waited gives the remaining weights back the time that a decided weight spent waiting for a window.
func (s State) waited(now time.Time) State {
	if s.Awaited != nil {
		s.DecideFrom = s.decideSince().Add(s.closedFor(min(now.Sub(s.AwaitedAt), s.AwaitedFor)))
	}
	return s.unawaited()
}

// closedFor is how much of the wait for a window falls within the time for deciding, which may have begun again since.
func (s State) closedFor(long time.Duration) time.Duration {
	if s.Awaited == nil {
		return 0
	}
	return max(0, long-max(0, s.decideSince().Sub(s.AwaitedAt)))
}

func (s State) unawaited() State {
	s.Awaited, s.AwaitedAt, s.AwaitedFor = nil, time.Time{}, 0
	return s
}

// pausedAwaiting subtracts a pause from the wait for a window: the release's own clock stopped, but the window opens at
// its usual time.
func (s State) pausedAwaiting(from, to time.Time) State {
	if s.Awaited == nil || s.Awaited.Until.IsZero() {
		return s
	}
	if to.After(s.Awaited.Until) {
		to = s.Awaited.Until
	}
	s.AwaitedFor -= max(0, to.Sub(from))
	return s
}

// Opens is the first instant, not before at, at which a release of d may enter a step; ok is false if there is none.
func (d *Definition) Opens(at time.Time) (opens time.Time, ok bool) {
	closed, open := calendar.And{d.Calendar, d.House}.At(at)
	if open {
		return at, true
	}
	return closed.Until, !closed.Until.IsZero()
}

// Soonest is when a release of d that begins at a time enters its promotion, if nothing is waited for but time and windows;
// ok is false if no window lets it.
func (d *Definition) Soonest(at time.Time) (soonest time.Time, ok bool) {
	for _, step := range d.Steps {
		if at, ok = d.Opens(at); !ok {
			return at, false
		}
		if promotes(step) {
			return at, true
		}
		at = at.Add(step.lasts())
		for _, stage := range step.stages() {
			if at, ok = d.Opens(at); !ok {
				return at, false
			}
			at = at.Add(stage.Least)
		}
	}
	return at, false
}
