package rollout

import (
	"fmt"
	"time"
)

// Watch continues to judge after the promotion: the new version, which now serves everyone, is compared with the same
// metrics before the release. It moves no traffic.
type Watch struct {
	still

	Name  string        `json:"name"`
	For   time.Duration `json:"for"`
	Scope string        `json:"scope"`
	// Ask: if it is found worse, a person is asked; otherwise it is rolled back at once.
	Ask bool `json:"ask,omitempty"`
}

// leaningTimes is how many times as long as it should last a watch goes on while the evidence leans towards worse; then a
// person is asked.
const leaningTimes = 2

// StepName implements [Step].
func (w Watch) StepName() string { return w.Name }

func (w Watch) check(c *checked) error {
	if !c.promoted {
		return fmt.Errorf("%s: watch before promote", c.at)
	}
	if w.For <= 0 || w.Scope == "" {
		return fmt.Errorf("%s: a watch needs a time and a scope", c.at)
	}
	for _, step := range c.d.Steps {
		if p, ok := step.(Promote); ok && p.Strategy == AwaitStable {
			return fmt.Errorf("%s: another system brings stable to a version, so there is no way back from here", c.at)
		}
	}
	return nil
}

func (w Watch) enter(_ *Definition, e *StepEntered) {
	e.What, e.Scope, e.Ask = StageWatch, w.Scope, w.Ask
}

func (w Watch) stages() []Stage {
	return []Stage{{Name: w.Name, Scope: w.Scope, Exposure: 1, Least: w.For, Decide: w.decide(), Earlier: true}}
}

// decide is what ends a watch that the evidence keeps open.
func (w Watch) decide() Decide {
	return Decide{Max: leaningTimes * w.For, Inconclusive: PolicyGate}
}

func (w Watch) next(s State, d *Definition, t *timer) Event {
	if due, ok := s.foundWorse(); ok {
		return s.passed(t, due) // and then it waits for the answer
	}
	if len(w.holds(s, d, t)) == 0 {
		return s.enter(d, t, s.Step+1, 0)
	}
	if due, ok := s.undecided(w.decide()); ok {
		return s.passed(t, due)
	}
	return nil
}

func (w Watch) holds(s State, _ *Definition, t *timer) (out []Hold) {
	if s.Hurry != nil || s.Decided {
		return nil
	}
	if at := s.StepAt.Add(w.For); !t.passed(at) {
		out = append(out, Watches{at.Sub(t.now)})
	}
	if s.leans() {
		out = append(out, Leans{})
	}
	if _, worse := s.foundWorse(); worse && len(out) == 0 {
		out = append(out, Watches{}) // it is not over while a person decides
	}
	return out
}

// foundWorse is the question about a version that the watch has found worse, if a person is to be asked. A following
// release counts as an answer: it replaces the version.
func (s State) foundWorse() (Due, bool) {
	if !s.Watching() || s.WorseAt.IsZero() || s.Decided || s.EvenIfWorse || s.Successor != nil {
		return Due{}, false
	}
	return Due{Which: FoundWorse, Since: s.WorseAt, Then: PolicyGate}, true
}

// Watching tells whether only the watch after the promotion is left.
func (s State) Watching() bool { return s.Phase == Active && !s.WatchedFrom.IsZero() }

// watched begins the watch; the traffic stays as it is.
func (s State) watched(e StepEntered) State {
	s.WatchedFrom, s.WatchAsks, s.WorseAt = e.At, e.Ask, time.Time{}
	s.Scope, s.Look, s.Alarm, s.Dismissed = e.Scope, nil, false, false
	return s.lacking(nil)
}

func (s State) unwatched() State {
	if s.WatchedFrom.IsZero() {
		return s
	}
	s.WatchedFrom, s.WatchAsks, s.WorseAt, s.Scope = time.Time{}, false, time.Time{}, ""
	return s.over(FoundWorse)
}

// followed ends the watch in favour of the release that comes next, which is no reason to roll the version back.
func (s State) followed(e Superseded) (State, error) {
	if s.Successor != nil {
		return s, s.refuse(e)
	}
	s = s.unpaused(e.At)
	s.Successor = &e.Next
	s.Hurry = &WentOn{Meta: e.Meta, Reason: "release " + e.Next.ID + " follows", Full: true}
	return s, nil
}

// watch finds the watch that gathers evidence of a scope.
func (d *Definition) watch(scope string) (Watch, bool) {
	for _, step := range d.Steps {
		if w, ok := step.(Watch); ok && w.Scope == scope {
			return w, true
		}
	}
	return Watch{}, false
}

// before is how far back, at least, the compared period has to lie so that the whole watch is compared with what was in
// service before the release.
func (s State) before(w Watch) time.Duration {
	return s.WatchedFrom.Sub(s.StartedAt) + leaningTimes*w.For
}

func (Watch) goesBack(*Definition) bool { return true }
