package simulation

import (
	"math"
	"time"

	"github.com/serindev/serin/share"
)

// Lag is the canary's share of requests at a weight at which users keep the version that they were given: new users follow
// the weight, and the others leave one after the other.
type Lag struct {
	// From is the share at the beginning of the weight, Weight where it is going.
	From, Weight share.Share
	// Stay is how long a user's requests carry the cookie, on average. It is above 0.
	Stay time.Duration
}

// At is the share after some time at the weight.
func (l Lag) At(after time.Duration) share.Share {
	return l.Weight - (l.Weight-l.From)*share.Share(math.Exp(-after.Seconds()/l.Stay.Seconds()))
}

// Mean is the share over the first part of the weight, as long as hold: that of all requests which are then judged.
func (l Lag) Mean(hold time.Duration) share.Share {
	if hold <= 0 {
		return l.From
	}
	part := hold.Seconds() / l.Stay.Seconds()
	return l.Weight - (l.Weight-l.From)*share.Share((1-math.Exp(-part))/part)
}

// Most is when nine tenths of the way are behind.
func (l Lag) Most() time.Duration { return time.Duration(float64(l.Stay) * math.Ln10) }
