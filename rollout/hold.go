package rollout

import "time"

// Hold is one thing that keeps a release at an A/B step or at a weight. The release goes on when there is none left:
// [State.Next] asks no more than that, and whoever says what a release waits for words the same values.
//
//sumtype:decl
type Hold interface{ hold() }

// The holds.
type (
	// NeedsForce: the target is not in force.
	NeedsForce struct{}
	// NeedsTime: it was not in force for long enough; Left is what is missing.
	NeedsTime struct{ Left time.Duration }
	// NeedsPass: the judge has not said pass, on enough data of this weight.
	NeedsPass struct{}
	// NeedsData: there is not enough data of this weight, or nothing can be said of it, without which it is not known
	// whether anything speaks against the canary.
	NeedsData struct{}
	// Leans: the evidence leans towards worse.
	Leans struct{}
	// Alarmed: the split that was seen is not the weight in force, and nobody has dismissed that.
	Alarmed struct{}
	// Contested: somebody else keeps writing the gateway's configuration; it has to be calm for as long as Calm.
	Contested struct{ Calm time.Duration }
)

func (NeedsForce) hold() {}
func (NeedsTime) hold()  {}
func (NeedsPass) hold()  {}
func (NeedsData) hold()  {}
func (Leans) hold()      {}
func (Alarmed) hold()    {}
func (Contested) hold()  {}

// Holds are what keeps an active release at an A/B step or a weight at the given time; none at other steps, and none while
// the canary's capacity is prepared.
func (s State) Holds(d *Definition, now time.Time) []Hold {
	if s.Phase != Active || s.Step < 0 || s.Step >= len(d.Steps) || s.Pending != nil {
		return nil
	}
	t := &timer{now: s.Clock(now)}
	switch step := d.Steps[s.Step].(type) {
	case AB:
		return s.held(t, step.Decide.Min, true)
	case Gray:
		return s.held(t, step.Hold, step.NeedsPass(s.Stage))
	case Gate, Wait, Webhook, Job, Deploy, Promote:
	}
	return nil
}

// held are the holds of a stage that has to be in force for least, and needs a pass or no more than that nothing speaks
// against it.
func (s State) held(t *timer, least time.Duration, pass bool) (out []Hold) {
	if !s.InForce {
		return []Hold{NeedsForce{}}
	}
	if s.Hurry != nil {
		return nil
	}
	if at := s.forcedAt(least); !t.passed(at) {
		out = append(out, NeedsTime{at.Sub(t.now)})
	}
	switch {
	case pass && !s.passes():
		out = append(out, NeedsPass{})
	case !pass && !s.noFail():
		out = append(out, NeedsData{})
	}
	if s.leans() && !s.Decided {
		out = append(out, Leans{})
	}
	if s.Alarm && !s.Dismissed {
		out = append(out, Alarmed{})
	}
	if calm := s.contested(t); calm > 0 {
		out = append(out, Contested{calm})
	}
	return out
}
