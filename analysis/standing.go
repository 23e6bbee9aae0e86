package analysis

import (
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// Standing is what the state of a release allows its looks to prove. With the zero value, every look counts in full.
//
// To pass needs certainty, to fail needs evidence only, so doubt withholds a pass and nothing else. The same holds
// during the warm-up of the analysis.
type Standing struct {
	// Unsettled: no weight is in force. Otherwise Settled is when it came into force; a window that begins earlier also
	// covers another weight.
	Unsettled bool
	Settled   time.Time
	// Warm is the end of the canary's warm-up.
	Warm time.Time
}

// Earlier is the standing on a clock that is behind by that much.
func (s Standing) Earlier(by time.Duration) Standing {
	for _, at := range []*time.Time{&s.Settled, &s.Warm} {
		if !at.IsZero() {
			*at = at.Add(-by)
		}
	}
	return s
}

// Mark writes into a look what it may count for. froms are the starts of its observations' windows, in their order: a
// metric that could not be asked for a while has a longer window than the look, which does not affect the others.
func (s Standing) Mark(l *judge.Look, froms []time.Time) {
	begin := l.At.Add(-l.Length)
	l.Unsettled = s.Unsettled || begin.Before(s.Settled)
	if begin.Before(s.Warm) {
		if !unreachable(l) { // an outage of the source is always reported; it changes no evidence
			l.Excluded = judge.WarmingUp
		}
		return
	}
	for i, from := range froms {
		if o := &l.Observations[i]; o.Absent == "" && from.Before(s.Warm) {
			o.Absent, o.Detail = judge.WarmingUp, "a part of what was counted is of the warm-up"
		}
	}
}

// unreachable reports whether the source could be asked for no metric at all.
func unreachable(l *judge.Look) bool {
	return len(l.Observations) > 0 && !slices.ContainsFunc(l.Observations, func(o judge.Observation) bool { return o.Absent != judge.Unreachable })
}
