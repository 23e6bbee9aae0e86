package rollout

import (
	"encoding/json"
	"fmt"

	"github.com/serindev/serin/traffic"
)

// AB is an A/B test among a cohort.
type AB struct {
	still

	Name   string         `json:"name"`
	Cohort traffic.Cohort `json:"cohort"`
	// Sticky: users keep their arm for as long as the step lasts.
	Sticky bool   `json:"sticky,omitempty"`
	Scope  string `json:"scope"`
	Decide Decide `json:"decide"`
	// Unjudged: nothing is compared, and the step is left when its time is over. There is no scope then.
	Unjudged bool `json:"unjudged,omitempty"`
}

// StepName implements [Step].
func (s AB) StepName() string { return s.Name }

func (s AB) check(c *checked) error {
	if s.Unjudged && s.Scope != "" {
		return fmt.Errorf("%s: scope %q of a step that compares nothing", c.at, s.Scope)
	}
	if c.promoted {
		return fmt.Errorf("%s: ab after promote", c.at)
	}
	c.exposed = true
	return nil
}

func (s AB) enter(_ *Definition, e *StepEntered) { e.What, e.Scope = StageAB, s.Scope }

func (s AB) stages() []Stage {
	return []Stage{{
		Name: s.Name, Scope: s.Scope, Exposure: s.Cohort.Split, Least: s.Decide.Min, Decide: s.Decide,
		Pass: !s.Unjudged, Unjudged: s.Unjudged, Cohort: true,
	}}
}

func (s AB) next(st State, d *Definition, t *timer) Event { return st.analysed(d, t, s.stages()) }

func (s AB) holds(st State, _ *Definition, t *timer) []Hold { return st.held(t, s.stages()[0]) }

// UnmarshalJSON also reads the plans of versions in which the cohort said, with true, that users keep their arm. Such a
// step now draws its users again.
func (s *AB) UnmarshalJSON(b []byte) error {
	type cohort traffic.Cohort
	type plain AB
	in := struct {
		*plain
		Cohort struct {
			*cohort
			Sticky any `json:"sticky"`
		} `json:"cohort"`
	}{plain: (*plain)(s)}
	in.Cohort.cohort = (*cohort)(&s.Cohort)
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.Cohort.Sticky == true {
		s.Sticky = true
	}
	return nil
}

func (AB) goesBack(*Definition) bool { return true }
