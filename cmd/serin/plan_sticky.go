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

// crowd is the users who are there while sticky weights grow.
type crowd struct {
	sticky bool
	share  share.Share // of their requests, the canary's
}

// enter moves the crowd on to a weight, and returns how its share lags behind; nil where it does not. At the first sticky
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

// lagging says in sentences what it means for the weights that users keep their version.
func lagging(steps []planned, stay time.Duration) (out []string) {
	for _, s := range steps {
		if s.ShareAtFirst == 0 {
			continue
		}
		at := fmt.Sprintf("%s at %s: users keep their version, so the canary begins with %s of the requests. ", s.Step, percentage(s.Weight), percentage(s.ShareAtFirst))
		at = tell.Capital(at)
		text := at + "Only new users follow the weight, and the times above are of users who are all new: --stay says how long users stay, and plan reckons with it."
		if s.Most != nil {
			text = at + fmt.Sprintf("Where users stay %s, it has %s of those of the first %s, by which the times above are reckoned, and nine tenths of the way to the weight are behind after %s.",
				lasting(stay.Seconds()), percentage(s.Share), lasting(s.Hold), lasting(*s.Most))
		}
		if !slices.Contains(out, text) { // one for all metrics
			out = append(out, text)
		}
	}
	return out
}
