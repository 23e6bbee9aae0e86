package sequential

import (
	"fmt"
	"math"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// Pace determines how fast a metric's evidence can come: the requests of each arm, and which share of them is bad at
// stable.
type Pace struct {
	// Canary and Baseline are requests a second, constant.
	Canary, Baseline float64
	// Base is the baseline's share of bad events, between 0 and 1. For an objective it is the canary's own share.
	Base float64
	// Learned: the noise is known from earlier releases or from the version in service.
	Learned bool
	// Pasts are the source of that knowledge, if at hand; only [Judge.Rules] uses them.
	Pasts []judge.Past
}

// Prospect is how much evidence a decision needs and how much a second brings, both natural logarithms of an e-value.
// It is a rule of thumb for independent events (docs/statistics.md), right within a factor of about 2; a simulation is
// more precise.
type Prospect struct{ Needs, Gains float64 }

// Time is how long the decision takes; ok is false if it cannot be expected within a year.
func (p Prospect) Time() (t time.Duration, ok bool) {
	const year = 365 * 24 * 3600
	seconds := p.Needs / p.Gains
	if !(seconds <= year) {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// Factors between the time that the likelihood alone would take and the measured time: with known noise, and with the
// default that is assumed.
const (
	slowerSupposed = 2.5
	slowerLearned  = 1.2
)

func (p Pace) slower() float64 {
	if p.Learned {
		return slowerLearned
	}
	return slowerSupposed
}

// Fails is how fast a metric fails a canary whose rate is ratio times the baseline's, ratio above 1. A ratio below
// the metric's margin never fails; Gains is 0 then. The errors are an unknown metric and one that counts nothing: the
// time of a gauge depends on how it wanders, that of a histogram on its bounds.
func (j *Judge) Fails(name string, p Pace, ratio float64) (Prospect, error) {
	m, err := j.counting(name)
	if err != nil {
		return Prospect{}, err
	}
	out := Prospect{Needs: (m.failsFrom + statespace.Price(ratio)) * p.slower()}
	if ratio < m.marginAt(p.Base) || ratio <= 1 {
		return out, nil
	}
	out.Gains = m.gains(p, ratio, 1)
	// The canary also has to be distinguished from one within its margin.
	odds := Prospect{Needs: (judge.BeyondFrom + math.Ln2) * p.slower(), Gains: m.gains(p, ratio, m.marginAt(p.Base))}
	if odds.Needs*out.Gains > out.Needs*odds.Gains {
		out = odds
	}
	return out, nil
}

// Passes is how fast a metric passes a canary whose rate is the baseline's. The errors are those of [Judge.Fails].
// In addition a pass has to wait, see [Judge.PassWait], and needs requests.
func (j *Judge) Passes(name string, p Pace) (Prospect, error) {
	m, err := j.counting(name)
	if err != nil {
		return Prospect{}, err
	}
	out := Prospect{Needs: m.passFrom * p.slower(), Gains: m.gains(p, 1, max(m.marginAt(p.Base), j.Rules(name, p)))}
	if m.Kind == judge.Counts && m.Margin.Absolute > p.Base {
		out.Gains = max(out.Gains, p.Canary*poisson(p.Base, m.Margin.Absolute))
	}
	return out, nil
}

// Rules is the ratio that a pass of a metric rules out if there is a budget of time instead of a written margin; 0 if
// the ratio is that of the margin, as it always is if nothing was learned. With the pasts it is the ratio that the
// judge will use. Without them it follows from the pace of the whole release for independent events, and wandering
// noise will make it larger. Canary and Baseline may be those of any weight, since only their sum matters.
func (j *Judge) Rules(name string, p Pace) float64 {
	m, err := j.counting(name)
	if err != nil || !m.Budgeted || !p.Learned {
		return 0
	}
	if len(p.Pasts) > 0 {
		n := suppose(m, p.Pasts)
		return j.rules(m, &n, p.Pasts)
	}
	model := m.model(&noise{clusters: 1})
	return m.affords(&model, j.settings.Budget, (p.Canary+p.Baseline)*p.Base, p.Base)
}

// WithinMargin is [Judge.Passes] for the metric's margin, even if a pass rules out something else.
func (j *Judge) WithinMargin(name string, p Pace) (Prospect, error) {
	m, err := j.counting(name)
	if err != nil {
		return Prospect{}, err
	}
	return Prospect{Needs: m.passFrom * p.slower(), Gains: m.gains(p, 1, m.marginAt(p.Base))}, nil
}

// UsersToFind is how many users with bad events it takes, if the arms are divided by an unknown number of users, to
// fail a canary whose rate is ratio times the baseline's (above 1), at a weight of the canary between 0 and 1. With
// fewer users a difference of that size is no evidence. 0 if the arms are divided otherwise.
func (j *Judge) UsersToFind(name string, ratio, weight float64) float64 {
	m, err := j.counting(name)
	if err != nil || !m.dividedByUsers() {
		return 0
	}
	return math.Ceil(statespace.UsersFor(ratio, m.failsFrom+statespace.Price(ratio), weight))
}

// UsersToRule is the same for a pass, which rules out the margin or the ratio of [Judge.Rules].
func (j *Judge) UsersToRule(name string, p Pace, weight float64) float64 {
	m, err := j.counting(name)
	if err != nil || !m.dividedByUsers() {
		return 0
	}
	return math.Ceil(statespace.UsersFor(max(m.marginAt(p.Base), j.Rules(name, p)), m.passFrom, weight))
}

// Pods is how many pods the canary needs to rule out what a pass rules out, and to fail a canary whose rate is ratio
// times the baseline's (above 1), where a past shows how many replicas the version in service has and how much these
// differ; nil where none does, or where they are so alike that one of the canary's is enough.
func (j *Judge) Pods(name string, p Pace, ratio float64) (rules, finds *judge.Pods) {
	m, err := j.counting(name)
	if err != nil || m.comparing != judge.Counts {
		return nil, nil
	}
	n := suppose(m, p.Pasts)
	if n.replicas == 0 || m.model(&n).Arm <= leastArm {
		return nil, nil
	}
	rules = m.pods(n.spread, n.replicas, max(m.marginAt(p.Base), j.Rules(name, p)), m.passFrom)
	return rules, m.pods(n.spread, n.replicas, ratio, m.failsFrom+statespace.Price(ratio))
}

// PassWait is the earliest time after the first look at which a pass is possible.
func (j *Judge) PassWait() time.Duration {
	if j.settings.PassAfter != nil {
		return *j.settings.PassAfter
	}
	return passAfterDefault
}

// counting returns a metric by its name if it counts bad events.
func (j *Judge) counting(name string) (*metric, error) {
	for i := range j.metrics {
		m := &j.metrics[i]
		if m.Name != name {
			continue
		}
		if m.Kind != judge.Counts && m.Kind != judge.Objective {
			return nil, fmt.Errorf("metric %q: a %s cannot be planned for", name, m.Kind)
		}
		return m, nil
	}
	return nil, fmt.Errorf("metric %q: there is none of this name", name)
}

// marginAt is m at a known rate of the baseline.
func (m *metric) marginAt(base float64) float64 {
	relative := 1 + m.Margin.Relative
	if m.Kind != judge.Counts {
		return relative
	}
	return max(relative, 1+m.Margin.Absolute/base)
}

// gains is the evidence that a second brings for the true ratio against the supposed one: the mean log likelihood
// ratio.
func (m *metric) gains(p Pace, is, supposed float64) float64 {
	if m.Kind == judge.Objective {
		return p.Canary * poisson(p.Base*is, m.Objective*supposed)
	}
	if p.Canary <= 0 || p.Baseline <= 0 || p.Base <= 0 || math.IsInf(supposed, 0) {
		return 0
	}
	theta := func(r float64) float64 { return r * p.Canary / (r*p.Canary + p.Baseline) }
	t, s := theta(is), theta(supposed)
	bad := p.Base * (p.Canary*is + p.Baseline)
	return bad * (t*math.Log(t/s) + (1-t)*math.Log((1-t)/(1-s)))
}

// poisson is the divergence between Poisson events at two rates, for an exposure of 1.
func poisson(is, supposed float64) float64 {
	if is <= 0 {
		return supposed
	}
	return is*math.Log(is/supposed) - is + supposed
}
