package rollout

import (
	"fmt"
	"time"

	"github.com/serindev/serin/share"
)

// Gray raises the canary's weight on the main route step by step.
type Gray struct {
	still

	Name    string        `json:"name"`
	Weights []share.Share `json:"weights"`
	// Hold is the least time in force at each weight.
	Hold time.Duration `json:"hold"`
	// Sticky: users keep the version that they were given first while weights grow, through all sticky gray steps of a
	// release.
	Sticky bool   `json:"sticky,omitempty"`
	Scope  string `json:"scope"`
	Decide Decide `json:"decide"`
	// Unjudged: nothing is compared, and a weight is left when its time is over. There is no scope then.
	Unjudged bool `json:"unjudged,omitempty"`
}

// StepName implements [Step].
func (s Gray) StepName() string { return s.Name }

// NeedsPass tells whether the weight of a stage is left on a pass only, and not already where nothing speaks against it.
func (s Gray) NeedsPass(stage int) bool {
	return !s.Unjudged && (s.Decide.On == OnPass || s.Decide.On == "" && stage == len(s.Weights)-1)
}

func (s Gray) check(c *checked) error {
	if len(s.Weights) == 0 {
		return fmt.Errorf("%s: no weights", c.at)
	}
	for i, w := range s.Weights {
		if w <= c.weight || w > 1 || w == 1 && c.d.Cluster.undoes() == nil {
			return fmt.Errorf("%s.weights[%d]: %s after %s: weights have to grow, below 100%%", c.at, i, w, c.weight)
		}
		c.weight = w
	}
	if s.Unjudged && s.Scope != "" {
		return fmt.Errorf("%s: scope %q of a step that compares nothing", c.at, s.Scope)
	}
	if c.promoted {
		return fmt.Errorf("%s: gray after promote", c.at)
	}
	c.exposed = true
	return nil
}

func (s Gray) enter(d *Definition, e *StepEntered) {
	e.What, e.Scope, e.KeepCohort = StageGray, s.Scope, d.KeepCohort
}

func (s Gray) stages() (out []Stage) {
	for i, w := range s.Weights {
		out = append(out, Stage{
			Name: s.Name, Scope: s.Scope, Exposure: w, Least: s.Hold, Decide: s.Decide, Pass: s.NeedsPass(i), Unjudged: s.Unjudged, Sticky: s.Sticky,
		})
	}
	return out
}

func (s Gray) next(st State, d *Definition, t *timer) Event { return st.analysed(d, t, s.stages()) }

func (s Gray) holds(st State, _ *Definition, t *timer) []Hold {
	return st.held(t, s.stages()[st.Stage])
}

func (Gray) goesBack(*Definition) bool { return true }
