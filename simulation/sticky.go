package simulation

import (
	"math"
	"time"

	"github.com/serindev/serin/share"
)

// Lag is the canary's share of requests over time if users keep the version that they were given: new users follow the
// weight, while the others leave one by one.
type Lag struct {
	// From is the share when the weight begins, and Weight the share that it approaches.
	From, Weight share.Share
	// Stay is how long a user's requests carry the cookie on average. It is above 0.
	Stay time.Duration
}

// At returns the share after some time at the weight.
func (l Lag) At(after time.Duration) share.Share {
	return l.Weight - (l.Weight-l.From)*share.Share(math.Exp(-after.Seconds()/l.Stay.Seconds()))
}

// Mean returns the mean share over the first hold of the weight, which is that of the requests judged in that time.
func (l Lag) Mean(hold time.Duration) share.Share {
	if hold <= 0 {
		return l.From
	}
	part := hold.Seconds() / l.Stay.Seconds()
	return l.Weight - (l.Weight-l.From)*share.Share((1-math.Exp(-part))/part)
}

// Most returns the time after which the share has come nine tenths of the way.
func (l Lag) Most() time.Duration { return time.Duration(float64(l.Stay) * math.Ln10) }
