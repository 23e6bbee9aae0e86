package config

import (
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// ABSpec compares both versions among a cohort of users.
type ABSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// Cohort picks the users that take part.
	Cohort MatcherSpec `json:"cohort"`
	// Split is the canary's share of the cohort.
	Split Share `json:"split"`
	// Sticky: a user keeps their arm for as long as the step lasts, by cookie.
	Sticky bool `json:"sticky,omitempty"`
	// Analysis of this step, in place of the rollout's; none compares nothing.
	Analysis Texts `json:"analysis,omitempty"`
	// Decide is when the step may be left.
	Decide *DecideABSpec `json:"decide,omitempty"`
}

// DecideABSpec is when an A/B step may be left.
type DecideABSpec struct {
	// Min is the least time in force.
	Min *Duration `json:"min,omitempty"`
	// Max is the longest time without a decision.
	Max *Duration `json:"max,omitempty"`
	// Inconclusive is what is done then.
	Inconclusive string `json:"inconclusive,omitempty" jsonschema:"enum=hold,enum=gate,enum=rollback"`
	// Within is the time from the entry of the step within which it should pass. Metrics without a margin of their own pass by
	// what the traffic can rule out in that time, which the verdict names. Without it, it is 30 minutes, but no less than min
	// and no more than max.
	Within *Duration `json:"within,omitempty"`
}

func (a *ABSpec) named() Name { return a.Name }

func (a *ABSpec) check(c *checker, at place, s *RolloutSpec, _ []string) {
	c.cohort(at.in("cohort"), a.Cohort)
	if g := s.Traffic.GatewayAPI; g != nil {
		g.cohort(c, at, a)
	}
	if split := at.in("split"); c.weight(split, a.Split) {
		switch a.Split {
		case 0:
			c.fail(split, "at 0%% nobody would be on the canary")
		case 1:
			c.warn(split, "the arms are not randomised: the whole cohort is on the canary, and is compared with everybody else")
		}
	}
	d := a.Decide
	if d == nil {
		d = &DecideABSpec{}
	}
	if !c.analysed(at, a.Analysis, s) {
		if d.Max != nil || d.Inconclusive != "" || d.Within != nil {
			c.fail(at.in("decide").atKey(), "nothing is compared at this step, so there is nothing to decide: only min, its time, has a meaning")
		}
		return
	}
	c.positive(at.in("decide"), "max", d.Max)
	if least, most := long(d.Min, defaultDecideLeast), long(d.Max, defaultDecideMost); least > most {
		p := at.in("decide", "min")
		if d.Min == nil {
			p = at.in("decide", "max")
		}
		c.fail(p, "min is %s and max is %s: it could never be decided", show(least), show(most))
	}
	if d.Within != nil && a.Split == 1 {
		c.fail(at.in("decide", "within"), "at a split of 100%% nobody of the cohort stays on stable, so what the "+
			"traffic can rule out is not known: leave it out, or set a margin in the analysis")
	}
	c.within(at.in("decide"), d.Within, long(d.Min, defaultDecideLeast), long(d.Max, defaultDecideMost))
}

// budget is the time in which the step has to be decided. There is none if nobody of the cohort stays on stable.
func (a *ABSpec) budget() budget {
	if a.Split == 1 {
		return budget{}
	}
	d := or(a.Decide, DecideABSpec{})
	within := max(min(defaultWithin, long(d.Max, defaultDecideMost)), long(d.Min, defaultDecideLeast))
	if d.Within != nil {
		within = time.Duration(*d.Within)
	}
	return budget{within, []analysis.Stretch{{Weight: share.Share(a.Split), For: within}}, d.Within != nil}
}

func (a *ABSpec) step(m *planner, _ place, name string) rollout.Step {
	d := or(a.Decide, DecideABSpec{})
	out := rollout.AB{
		Name: name, Scope: "ab/" + name,
		Cohort: traffic.Cohort{Match: a.Cohort.toTraffic(), Split: share.Share(a.Split)},
		Sticky: a.Sticky,
		Decide: rollout.Decide{Min: long(d.Min, defaultDecideLeast), Max: long(d.Max, defaultDecideMost), Inconclusive: policy(d.Inconclusive)},
	}
	if !m.spec.judges(a.Analysis) {
		out.Scope, out.Decide, out.Unjudged = "", rollout.Decide{Min: out.Decide.Min}, true
	}
	return out
}
