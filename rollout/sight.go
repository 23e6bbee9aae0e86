package rollout

import (
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// missesAllowed is how many observations in a row have to miss before a target counts as not in force: a single late
// answer of a replica says nothing.
const missesAllowed = 2

// Sight is an observation of the current target at the gateway.
type Sight struct {
	Confirmed traffic.Confirmation
	// Asks: the gateway has an API that can be queried; without one, users' requests show what is served.
	Asks bool
	// Written: the target is written where the gateway reads it.
	Written bool
	// Misses is how many times in a row it was not seen in force, including this time.
	Misses int
	// Silent are the replicas that did not answer; Why says what differs.
	Silent, Why []string
}

// Saw is the event that a sight causes for a release; ok is false if nothing is new.
func (s State) Saw(v Sight) (e Event, ok bool) {
	inForce, silent := v.Confirmed == traffic.InForce, v.Confirmed == traffic.Unconfirmed
	switch {
	case inForce && !s.InForce:
		return InForce{Turn: s.Turn, How: "api", Silent: v.Silent}, true
	case silent && !v.Asks:
		return NotInForce{Turn: s.Turn, Unconfirmed: true}, !s.InForce && s.UnconfirmedAt.IsZero()
	case inForce || v.Misses < missesAllowed:
		return nil, false
	case s.InForce, silent && s.UnconfirmedAt.IsZero():
		return NotInForce{Turn: s.Turn, Unconfirmed: silent, Written: v.Written, Why: v.Why}, true
	case s.Served != nil && v.Written:
		return NotInForce{Turn: s.Turn, Written: true, Why: v.Why}, true
	}
	return nil, false
}

// Requests are the requests that a look has counted.
type Requests struct {
	Turn int
	// From is the beginning of the window in which they were counted.
	From             time.Time
	Canary, Baseline float64
}

// StandsIn reports whether the requests of a look show the target to be in force, for a gateway without an API: the
// target of this turn was written at writtenAt, all requests came later, and they are split as it says.
func (s State) StandsIn(exposure share.Share, r Requests, writtenAt time.Time) bool {
	if s.InForce || s.UnconfirmedAt.IsZero() || r.Turn != s.Turn {
		return false // requests may well agree with a target that is not written yet
	}
	return r.From.After(writtenAt) && traffic.Agrees(exposure, r.Canary, r.Baseline)
}
