package rollout

import (
	"fmt"
	"time"

	"github.com/serindev/serin/traffic"
)

// Mirror sends the canary copies of users' requests, before any user is exposed to it. Stable answers; the canary's
// answers are counted and discarded.
type Mirror struct {
	still

	Name   string         `json:"name"`
	Copies traffic.Mirror `json:"copies"`
	// For is the least time in force.
	For    time.Duration `json:"for"`
	Scope  string        `json:"scope"`
	Decide Decide        `json:"decide"`
	// Unjudged: nothing is compared, and the step is left when its time is over. There is no scope then.
	Unjudged bool `json:"unjudged,omitempty"`
}

// StepName implements [Step].
func (m Mirror) StepName() string { return m.Name }

func (m Mirror) check(c *checked) error {
	switch err := m.Copies.Validate(); {
	case err != nil:
		return fmt.Errorf("%s: %w", c.at, err)
	case c.exposed || c.promoted:
		return fmt.Errorf("%s: mirror after users have been on the canary: copies come before that", c.at)
	case m.Unjudged && m.Scope != "":
		return fmt.Errorf("%s: scope %q of a step that compares nothing", c.at, m.Scope)
	}
	return nil
}

func (m Mirror) enter(_ *Definition, e *StepEntered) { e.What, e.Scope = StageMirror, m.Scope }

func (m Mirror) stages() []Stage {
	return []Stage{{
		Name: m.Name, Scope: m.Scope, Exposure: m.Copies.Exposure(), Least: m.For, Decide: m.Decide,
		Pass: !m.Unjudged && m.Decide.On == OnPass, Unjudged: m.Unjudged, Copies: true,
	}}
}

func (m Mirror) next(s State, d *Definition, t *timer) Event { return s.analysed(d, t, m.stages()) }

func (m Mirror) holds(s State, _ *Definition, t *timer) []Hold { return s.held(t, m.stages()[0]) }

// mirror is the step whose copies the canary gets now.
func (s State) mirror(d *Definition) (m Mirror, ok bool) {
	switch {
	case s.Doing != StageMirror:
		return Mirror{}, false
	case s.Pending != nil: // its copies come once the canary has its capacity
		return d.mirrorUpTo(s.Pending.Step - 1)
	}
	return d.mirrorUpTo(s.Step)
}

// mirrorUpTo is the last mirror step up to an index.
func (d *Definition) mirrorUpTo(step int) (m Mirror, ok bool) {
	for i := min(step, len(d.Steps)-1); i >= 0; i-- {
		if m, ok := d.Steps[i].(Mirror); ok {
			return m, true
		}
	}
	return Mirror{}, false
}

// Mirror finds the mirror step that gathers evidence of a scope; the answers that it counts reach no user.
func (s Steps) Mirror(scope string) (m Mirror, ok bool) {
	for _, step := range s {
		if m, ok := step.(Mirror); ok && m.Scope == scope && scope != "" {
			return m, true
		}
	}
	return Mirror{}, false
}

func (Mirror) goesBack(*Definition) bool { return true }
