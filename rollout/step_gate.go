package rollout

import "time"

// Gate is a question to a human.
type Gate struct {
	still

	Name string `json:"name"`
	// Approvers are roles or users; empty means every operator.
	Approvers []string `json:"approvers,omitempty"`
	// Expires is nil for a gate that waits forever.
	Expires *Expiry `json:"expires,omitempty"`
	// FourEyes: the person who started the release may not answer.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// Expiry is what becomes of a gate that nobody answers.
type Expiry struct {
	After time.Duration `json:"after"`
	Then  Policy        `json:"then"`
}

// StepName implements [Step].
func (g Gate) StepName() string { return g.Name }

func (Gate) enter(_ *Definition, e *StepEntered) { e.What = StageGate }

func (g Gate) next(s State, d *Definition, t *timer) Event {
	if g.approved(s) {
		return s.enter(d, t, s.Step+1, 0)
	}
	if due, ok := g.due(s); ok {
		return s.passed(t, due)
	}
	return nil
}

func (g Gate) holds(s State, _ *Definition, _ *timer) []Hold {
	if g.approved(s) {
		return nil
	}
	hold := NeedsAnswer{Gate: g}
	if due, ok := g.due(s); ok {
		hold.Expires = &due
	}
	return []Hold{hold}
}

func (g Gate) approved(s State) bool {
	return s.Answered[g.Name].Answer == Approve
}

func (g Gate) due(s State) (Due, bool) {
	if g.Expires == nil {
		return Due{}, false
	}
	return Due{GateExpired, s.StepAt, g.Expires.After, g.Expires.Then}, true
}
