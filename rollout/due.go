package rollout

import (
	"slices"
	"time"
)

// Due is the reaction to a condition that lasts too long. Each acts once: [State.Told] lists those that have acted.
type Due struct {
	Which Deadline
	// Since is when the condition began, in the release's own time.
	Since time.Time
	For   time.Duration
	Then  Policy
}

// Left is the time until it acts; negative if that has passed.
func (due Due) Left(s State, now time.Time) time.Duration {
	return due.Since.Add(due.For).Sub(s.Clock(now))
}

// Acted reports whether it has acted in this state.
func (due Due) Acted(s State) bool { return slices.Contains(s.Told, due.Which) }

// passed is the event of a condition that has lasted too long; nil before, and once it has acted.
func (s State) passed(t *timer, due Due) Event {
	if due.Acted(s) || !t.passed(due.Since.Add(due.For)) {
		return nil
	}
	return DeadlinePassed{Which: due.Which, Then: due.Then}
}

// Dues returns the reactions to come in an active release, to missing data and to an undecided comparison, unless these
// end.
func (s State) Dues(d *Definition, now time.Time) []Due {
	if s.Phase != Active || s.Pause != nil {
		return nil
	}
	out := s.lacksDue(d)
	step := s.at(d)
	if step == nil || s.Pending != nil {
		return out
	}
	held, stages := len(step.holds(s, d, &timer{now: s.Clock(now)})) > 0, len(step.stages()) > 0
	if stages && step.stages()[0].Earlier && !s.leans() {
		return out // a watch is over when its time is, unless the evidence leans towards worse
	}
	if stages && held || s.leansBefore(d) && !held {
		if due, ok := s.undecided(s.decideBefore(d)); ok {
			out = append(out, due)
		}
	}
	return out
}

// undecided is the reaction to a stage that stays undecided; ok is false if there is none.
func (s State) undecided(decide Decide) (Due, bool) {
	return Due{DecideMax, s.decideFrom(), decide.Max, decide.Inconclusive}, decide.Max > 0 && !s.Decided
}

// decideFrom is when the time to decide began, moved by the time for which a decided weight waits for a window.
func (s State) decideFrom() time.Time { return s.decideSince().Add(s.closedFor(s.AwaitedFor)) }

// decideSince is when it began: on entry to the step, or when a person gave the step its full time again.
func (s State) decideSince() time.Time {
	if s.DecideFrom.IsZero() {
		return s.StepAt
	}
	return s.DecideFrom
}

// lacksDue returns the reactions to missing data.
func (s State) lacksDue(d *Definition) (out []Due) {
	scope, ok := d.Scope(s.Scope)
	if !ok {
		return nil
	}
	if !s.NoDataSince.IsZero() {
		out = append(out, Due{NoDataFor, s.NoDataSince, scope.NoData.For, scope.NoData.Then})
	}
	if !s.UnreachableSince.IsZero() {
		out = append(out, Due{UnreachableFor, s.UnreachableSince, scope.Unreachable.For, scope.Unreachable.Then})
	}
	if blind := s.blindFor(scope); !s.BlindSince.IsZero() && blind > 0 && !s.Decided {
		out = append(out, Due{BlindFor, s.BlindSince, blind, PolicyRollback})
	}
	return out
}

// blindFor is how long the release may stay blind.
func (s State) blindFor(scope Scope) time.Duration {
	blind := scope.Unreachable.Blind
	if blind > 0 && s.UnreachableSince.IsZero() {
		blind = max(blind, scope.NoData.Blind)
	}
	return blind
}
