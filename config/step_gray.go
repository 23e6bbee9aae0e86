package config

import (
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
)

// GraySpec raises the canary's share of all traffic step by step.
type GraySpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Weights are the canary's shares, growing, below 100%: promote does the rest.
	Weights []Share `json:"weights" jsonschema:"minItems=1"`
	// Hold is the least time in force at each weight.
	Hold *Duration `json:"hold,omitempty"`
	// Sticky: while weights grow, a user keeps the version that they were given first, by cookie; only new users follow the
	// weight.
	Sticky bool `json:"sticky,omitempty"`
	// Analysis of all gray steps, in place of the rollout's; none compares nothing at this step.
	Analysis Texts `json:"analysis,omitempty"`
	// Decide is when the step may be left.
	Decide *DecideGraySpec `json:"decide,omitempty"`
}

// DecideGraySpec is when a gray step may be left.
type DecideGraySpec struct {
	// Max is the longest time without a decision.
	Max *Duration `json:"max,omitempty"`
	// Inconclusive is what is done then.
	Inconclusive string `json:"inconclusive,omitempty" jsonschema:"enum=hold,enum=gate,enum=rollback"`
	// On is what a weight is left on. Without it: no-fail at every weight but the last, pass at the last.
	On string `json:"on,omitempty" jsonschema:"enum=pass,enum=no-fail"`
	// Within is the time from the entry of the step within which it should pass. Metrics without a margin of their own pass by
	// what the traffic can rule out in that time, which the verdict names. All gray steps share their evidence, so the last
	// one with a time sets it for all of them, earlier weights included. Without any it is 30 minutes for all of them
	// together, or the least time that they take, if that is longer.
	Within *Duration `json:"within,omitempty"`
}

func (g *GraySpec) named() Name { return g.Name }

func (g *GraySpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	if t := s.Traffic.Traefik; g.Sticky && t != nil && t.Adopt {
		c.fail(at.in("sticky"), "the TraefikService is yours (traffic.traefik.adopt), and so is its cookie: set sticky there")
	}
	if g.Sticky && s.Traffic.GatewayAPI != nil {
		c.fail(at.in("sticky"), notSticky)
	}
	if !c.analysed(at, g.Analysis, s) {
		if g.Decide != nil {
			c.fail(at.in("decide").atKey(), "nothing is compared at this step, so there is nothing to decide: leave it out")
		}
		return
	}
	var d DecideGraySpec
	if g.Decide != nil {
		d = *g.Decide
	}
	c.positive(at.in("decide"), "max", d.Max)
	hold, most := long(g.Hold, defaultHold), long(d.Max, defaultDecideMost)
	if all := hold * time.Duration(len(g.Weights)); all > most || hold > most {
		p := at.in("hold")
		if g.Hold == nil {
			p = at.in("decide", "max")
		}
		c.fail(p, "%s of %s take longer than decide.max, %s: it could never be decided",
			count(len(g.Weights), "weight", "weights"), show(hold), show(most))
	}
	c.within(at.in("decide"), d.Within, hold*time.Duration(len(g.Weights)), most)
}

// within checks the time within which a step has to be decided against the least and the most that it takes.
func (c *checker) within(at place, within *Duration, least, most time.Duration) {
	c.positive(at, "within", within)
	switch t := long(within, 0); {
	case t > 0 && t < least:
		c.fail(at.in("within"), "the step takes %s at least: expected that or more", show(least))
	case t > most:
		c.fail(at.in("within"), "decide.max, %s, ends the step before that: expected less", show(most))
	}
}

// stretches are the times at each weight until a pass; the last weight gets what is left.
func (g *GraySpec) stretches() (out []analysis.Stretch) {
	hold := long(g.Hold, defaultHold)
	for _, w := range g.Weights {
		out = append(out, analysis.Stretch{Weight: share.Share(w), For: max(hold, time.Second)})
	}
	if d := g.Decide; d != nil && d.Within != nil && len(out) > 0 {
		out[len(out)-1].For = max(long(d.Within, 0)-hold*time.Duration(len(out)-1), time.Second)
	}
	return out
}

// defaultBudget is the budget of gray steps without a written time: all their weights, of which the last gets what is left.
// most is the longest that the last step may take.
func defaultBudget(stretches []analysis.Stretch, most time.Duration) budget {
	out := slices.Clone(stretches)
	last, before := &out[len(out)-1], time.Duration(0)
	for _, s := range out[:len(out)-1] {
		before += s.For
	}
	last.For = max(last.For, min(defaultWithin-before, most))
	return budget{within: before + last.For, stretches: out}
}

// weights checks weights, and returns the last one for the next gray step.
func (c *checker) weights(at place, weights []Share, last Share) Share {
	for i, w := range weights {
		p := at.in(i)
		switch {
		case !c.weight(p, w):
		case w == 0:
			c.fail(p, "at 0%% nobody would be on the canary")
		case w == 1:
			c.fail(p, "weights stay below 100%%: promote does the rest")
		case w <= last:
			c.fail(p, "%s after %s: weights have to grow", share.Share(w), share.Share(last))
		}
		last = max(last, w)
	}
	return last
}

func (g *GraySpec) step(m *planner, _ place, name string) rollout.Step {
	d := or(g.Decide, DecideGraySpec{})
	out := rollout.Gray{
		Name: name, Scope: grayScope, Hold: long(g.Hold, defaultHold), Sticky: g.Sticky,
		Decide: rollout.Decide{Max: long(d.Max, defaultDecideMost), Inconclusive: policy(d.Inconclusive), On: rollout.DecideOn(d.On)},
	}
	if !m.spec.judges(g.Analysis) {
		out.Scope, out.Decide, out.Unjudged = "", rollout.Decide{}, true
	}
	for _, w := range g.Weights {
		out.Weights = append(out.Weights, share.Share(w))
	}
	return out
}
