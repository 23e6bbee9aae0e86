package rollout

import (
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// missesAllowed is how often in a row a target may not be seen in force before that is said: one observation in which a
// replica did not answer in time says nothing yet.
const missesAllowed = 2

// Sight is what was seen of the current target of traffic at the gateway.
type Sight struct {
	Confirmed traffic.Confirmation
	// Asks: there is something at the gateway that can be asked; without it, what users are served stands in.
	Asks bool
	// Written: the target stands where the gateway reads it.
	Written bool
	// Misses is how often in a row it was not seen in force, this time included.
	Misses int
	// Silent are the replicas that did not answer; Why says what differs.
	Silent, Why []string
}

// Saw is the event that a sight is for a release; ok is false if it says nothing new.
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

// Requests are what a look has counted of users' requests.
type Requests struct {
	Turn int
	// From is where the window begins that they were counted in.
	From             time.Time
	Canary, Baseline float64
}

// StandsIn tells whether the requests of a look show the target in force, where the gateway has nothing that can be
// asked: all of them came after the target of this turn was written, at writtenAt, and seen to be written; and they are
// split as it says.
func (s State) StandsIn(exposure share.Share, r Requests, writtenAt time.Time) bool {
	if s.InForce || s.UnconfirmedAt.IsZero() || r.Turn != s.Turn {
		return false // what is not known to be written shows nothing, however well the requests agree with it
	}
	return r.From.After(writtenAt) && traffic.Agrees(exposure, r.Canary, r.Baseline)
}
