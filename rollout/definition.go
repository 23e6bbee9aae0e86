// Package rollout says what state a release is in, what an event does to it, what follows by itself, and what the world
// should look like.
//
// It is pure: [State.Apply] folds an event, [State.Next] is the only place that makes decisions, [State.Target] is the
// state of the world that the shell works towards, and [State.Deadline] is when to call Next again. It knows no gateway,
// no metrics and no clock. The rules are those of docs/how-a-release-moves.md. Start reading at [State].
package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/traffic"
)

// Definition is what a rollout declares, with all defaults filled in. A release keeps the one it started with.
type Definition struct {
	Name string `json:"name"`
	// Revision is a hash of the definition and the analyses it uses.
	Revision   string      `json:"revision"`
	Parameters []Parameter `json:"parameters,omitempty"`
	// Stable and Canary are the two sets as declared. Without Kubernetes they exchange their roles at each promotion; the
	// store remembers which one is live ([State.SwappedNow]).
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	Guards traffic.Guards  `json:"guards,omitzero"`
	// Cluster is nil without Kubernetes.
	Cluster *Cluster `json:"cluster,omitempty"`
	Steps   Steps    `json:"steps"`
	Scopes  []Scope  `json:"scopes"`
	// Returning is the plan for a version that was in service recently; nil if it takes the whole plan.
	Returning  *Returning `json:"returning,omitempty"`
	KeepCohort bool       `json:"keepCohort,omitempty"`
	// Override says who may let a release go on without waiting ([WentOn]); nil is every operator.
	Override *Override `json:"override,omitempty"`
	// Calendar is when a release may enter a step or the next weight of one. House is the daemon's calendar, which
	// applies to all of its rollouts, also to releases that were started before it was declared.
	Calendar calendar.Calendar `json:"calendar,omitzero"`
	House    calendar.Calendar `json:"-"`
	Verify   Verify            `json:"verify"`
	Rollback Rollback          `json:"rollback"`
}

// Override is who may let a release go on without waiting.
type Override struct {
	// Approvers are roles or users; without any, every operator may.
	Approvers []string `json:"approvers,omitempty"`
	// FourEyes: the person who started the release may not.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// Parameter is a value given at the start of a release.
type Parameter struct {
	Name     string `json:"name"`
	Required bool   `json:"required,omitempty"`
	Default  string `json:"default,omitempty"`
	// Pattern is a regular expression (RE2) that the whole value has to match; empty allows any value.
	Pattern string `json:"pattern,omitempty"`
}

// Scope is one body of evidence: one for each A/B step, one for all gray steps together.
type Scope struct {
	Name        string   `json:"name"`
	NoData      Patience `json:"noData"`
	Unreachable Patience `json:"unreachable"`
}

// Patience is how long a release waits for missing data, and what happens then.
type Patience struct {
	For  time.Duration `json:"for"`
	Then Policy        `json:"then"`
	// Blind, of Unreachable, is how long nothing of any metric of the scope may be seen before the release goes back; 0
	// is forever. NoData's time is used instead if it is longer and every metric that counts was asked and had no data.
	Blind time.Duration `json:"blind,omitempty"`
}

// Policy is what happens when no decision can be made.
type Policy string

// The policies.
const (
	PolicyHold     Policy = "hold"     // stay, and notify
	PolicyGate     Policy = "gate"     // ask a human: go on, wait, or back
	PolicyRollback Policy = "rollback" // go back
	PolicyCancel   Policy = "cancel"   // of an expired gate, before traffic moved; afterwards the same as rollback
)

// Verify is what happens to a target that is written and that no replica of the gateway confirms.
type Verify struct {
	For time.Duration `json:"for"`
	// Trust: after For the target counts as in force; otherwise the release holds.
	Trust bool `json:"trust,omitempty"`
}

// Rollback is how a release goes back.
type Rollback struct {
	// Drain is how long to wait, with all traffic on stable, before cleaning up.
	Drain time.Duration `json:"drain"`
	// Deadline of the whole rollback. A release that exceeds it has failed, with its traffic on stable.
	Deadline time.Duration `json:"deadline"`
	// Steps are the user's own jobs and webhooks. They run in order at the end of the cleanup, whether or not they succeed.
	Steps Steps `json:"steps,omitempty"`
}

// Scope finds a scope by name.
func (d *Definition) Scope(name string) (Scope, bool) {
	i := slices.IndexFunc(d.Scopes, func(s Scope) bool { return s.Name == name })
	if i < 0 {
		return Scope{}, false
	}
	return d.Scopes[i], true
}

// Check returns which of the rules that the state machine builds on d breaks; package config says the same with file and
// line. Weights grow over all gray steps and lie above 0 and below 100%, step names are unique, there is exactly one
// promote, and nothing that moves traffic follows it.
func (d *Definition) Check() error {
	seen, c := map[string]bool{}, &checked{d: d}
	for i, s := range d.Steps {
		c.at = fmt.Sprintf("steps[%d]", i)
		if seen[s.StepName()] || s.StepName() == "" {
			return fmt.Errorf("%s: name %q is empty or used twice", c.at, s.StepName())
		}
		seen[s.StepName()] = true
		if err := s.check(c); err != nil {
			return err
		}
	}
	for i, s := range d.Rollback.Steps {
		if _, ok := s.task(State{}, ""); !ok {
			return fmt.Errorf("rollback.steps[%d]: only jobs and webhooks", i)
		}
	}
	if !c.promoted {
		return fmt.Errorf("steps: no promote")
	}
	return d.checkReturning()
}

// WithoutCalendar leaves out windows and freezes.
func (d *Definition) WithoutCalendar() Definition {
	out := *d
	out.Calendar, out.House = calendar.Calendar{}, calendar.Calendar{}
	return out
}

// WithoutCluster leaves out what only a cluster has: Jobs and Deployments, and how the canary becomes stable there.
func (d *Definition) WithoutCluster() Definition {
	out := *d
	out.Cluster = nil
	out.Steps = slices.DeleteFunc(slices.Clone(d.Steps), func(s Step) bool { return s.onCluster() })
	for i, s := range out.Steps {
		if p, ok := s.(Promote); ok {
			out.Steps[i] = Promote{Name: p.Name}
		}
	}
	return out
}
