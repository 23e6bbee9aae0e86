package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/tell"
)

// crowd is the users, while sticky weights grow.
type crowd struct {
	sticky bool
	share  share.Share // the canary's share of their requests
}

// enter moves the crowd on to a weight, and returns how its share lags behind, or nil if it does not: at the first sticky
// weight nobody has a version to keep.
func (c *crowd) enter(s rollout.Stage, stay time.Duration) *simulation.Lag {
	before := *c
	*c = crowd{s.Sticky, s.Exposure}
	if !s.Sticky || !before.sticky {
		return nil
	}
	lag := &simulation.Lag{From: before.share, Weight: s.Exposure, Stay: stay}
	c.share = before.share
	if stay > 0 {
		c.share = lag.At(s.Least)
	}
	return lag
}

// lags notes how the canary's share lags behind the weight.
func (s *planned) lags(lag *simulation.Lag, hold time.Duration) {
	if lag == nil {
		return
	}
	s.ShareAtFirst = float64(lag.From)
	if lag.Stay > 0 {
		s.Share, s.Most = float64(lag.Mean(hold)), new(lag.Most().Seconds())
	}
}

// lagging says in sentences what sticky users mean for each weight.
func lagging(steps []planned, stay time.Duration) (out []string) {
	for _, s := range steps {
		if s.ShareAtFirst == 0 {
			continue
		}
		at := fmt.Sprintf("%s at %s: users keep their version, so the canary begins with %s of the requests. ", s.Step,
			percentage(s.Weight), percentage(s.ShareAtFirst))
		at = tell.Capital(at)
		text := at + "Only new users follow the weight, and the times above assume that all users are new: tell plan with --stay how long users stay."
		if s.Most != nil {
			text = at + fmt.Sprintf("If users stay %s, it gets %s of the requests of the first %s, which the times "+
				"above are based on, and is nine tenths of the way to the weight after %s.",
				lasting(stay.Seconds()), percentage(s.Share), lasting(s.Hold), lasting(*s.Most))
		}
		if !slices.Contains(out, text) { // one for all metrics
			out = append(out, text)
		}
	}
	return out
}
