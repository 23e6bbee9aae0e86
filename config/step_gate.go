package config

import (
	"time"

	"github.com/serindev/serin/rollout"
)

// GateSpec asks a human whether to go on.
type GateSpec struct {
	// Name of the gate.
	Name Name `json:"name,omitempty"`
	// Approvers are roles or users; without any every operator may answer.
	Approvers []string `json:"approvers,omitempty" jsonschema:"minItems=1"`
	// Expires says what happens if nobody answers; without it, the gate waits forever.
	Expires *ExpirySpec `json:"expires,omitempty"`
	// FourEyes: the person who started the release may not answer.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// ExpirySpec says what happens to a gate that nobody answers.
type ExpirySpec struct {
	// After how long.
	After Duration `json:"after"`
	// Then: cancel (the same as rollback once traffic has moved) or rollback.
	Then string `json:"then" jsonschema:"enum=cancel,enum=rollback"`
}

func (g *GateSpec) named() Name { return g.Name }

func (g *GateSpec) check(c *checker, at place, _ *RolloutSpec, _ []string) {
	if e := g.Expires; e != nil {
		c.positive(at.in("expires"), "after", &e.After)
	}
}

func (g *GateSpec) step(_ *planner, _ place, name string) rollout.Step {
	out := rollout.Gate{Name: name, Approvers: g.Approvers, FourEyes: g.FourEyes}
	if e := g.Expires; e != nil {
		out.Expires = &rollout.Expiry{After: time.Duration(e.After), Then: rollout.Policy(e.Then)}
	}
	return out
}
