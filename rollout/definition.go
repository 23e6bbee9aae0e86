// Package rollout answers what state a release is in, what an event does to it, what follows from it by itself,
// and what the world should look like.
//
// It is pure: [State.Apply] folds an event, [State.Next] is the only place where decisions are made,
// [State.Target] is a level that the shell brings the world to, [State.Deadline] is when to ask Next again.
// It knows no gateway, no metrics and no clock. The rules are those of the release's specification: see
// docs/how-a-release-moves.md. Start reading at [State].
package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// Definition is what a rollout declares, with every default filled in. A release keeps the one it started with.
type Definition struct {
	Name string `json:"name"`
	// Revision is a hash of the definition and the analyses it uses.
	Revision   string      `json:"revision"`
	Parameters []Parameter `json:"parameters,omitempty"`
	// Stable and Canary are the two sets as declared. Without Kubernetes they exchange their roles at each
	// promotion; which one is live is remembered beside the definition ([State.Exchanged]).
	Stable traffic.Backend `json:"stable"`
	Canary traffic.Backend `json:"canary"`
	Guards traffic.Guards  `json:"guards,omitzero"`
	// Cluster is nil without Kubernetes.
	Cluster    *Cluster `json:"cluster,omitempty"`
	Steps      Steps    `json:"steps"`
	Scopes     []Scope  `json:"scopes"`
	KeepCohort bool     `json:"keepCohort,omitempty"`
	Verify     Verify   `json:"verify"`
	Rollback   Rollback `json:"rollback"`
}

// Parameter is a value given at the start of a release.
type Parameter struct {
	Name     string `json:"name"`
	Required bool   `json:"required,omitempty"`
	Default  string `json:"default,omitempty"`
	// Pattern is a regular expression (RE2) that the whole value has to match; empty takes anything.
	Pattern string `json:"pattern,omitempty"`
}

// Scope is one body of evidence: one for each A/B step, one for all gray steps together.
type Scope struct {
	Name        string   `json:"name"`
	NoData      Patience `json:"noData"`
	Unreachable Patience `json:"unreachable"`
}

// Patience is how long a lack of data is waited for, and what is done then.
type Patience struct {
	For  time.Duration `json:"for"`
	Then Policy        `json:"then"`
	// Blind is how long all metrics of the scope may be unreachable at once before the release goes back; 0 is for ever.
	Blind time.Duration `json:"blind,omitempty"`
}

// Policy is what is done when nothing can be said.
type Policy string

// The policies.
const (
	PolicyHold     Policy = "hold"     // stay, and tell
	PolicyGate     Policy = "gate"     // ask a human: go on, wait, or back
	PolicyRollback Policy = "rollback" // go back
	PolicyCancel   Policy = "cancel"   // a gate's expiry before traffic moved; after it, the same as rollback
)

// Verify is what to do with a target that is written but that no replica of the gateway confirms.
type Verify struct {
	For time.Duration `json:"for"`
	// Trust: after For it counts as in force; otherwise the release holds.
	Trust bool `json:"trust,omitempty"`
}

// Rollback is how a release goes back.
type Rollback struct {
	// Drain is the time between traffic on stable and cleaning up.
	Drain time.Duration `json:"drain"`
	// Deadline of the whole rollback: after it the release has failed, with traffic on stable.
	Deadline time.Duration `json:"deadline"`
	// Steps are the user's own, jobs and webhooks: done at the end of cleaning up, in order, whatever comes of them.
	Steps Steps `json:"steps,omitempty"`
}

// Step is one entry of the plan.
//
//sumtype:decl
type Step interface {
	step()
	// StepName is unique in its rollout.
	StepName() string
}

// AB is an A/B test among a cohort.
type AB struct {
	Name   string         `json:"name"`
	Cohort traffic.Cohort `json:"cohort"`
	// Sticky: users keep their arm for as long as the step lasts.
	Sticky bool   `json:"sticky,omitempty"`
	Scope  string `json:"scope"`
	Decide Decide `json:"decide"`
}

// Gray raises the canary's weight on the main route step by step.
type Gray struct {
	Name    string        `json:"name"`
	Weights []share.Share `json:"weights"`
	// Hold is the least time in force at each weight.
	Hold   time.Duration `json:"hold"`
	Scope  string        `json:"scope"`
	Decide Decide        `json:"decide"`
}

// Decide is when a step that is analysed may be left.
type Decide struct {
	// Min is the least time in force (A/B only).
	Min time.Duration `json:"min,omitempty"`
	// Max counts from the entry of the step; after it Inconclusive acts.
	Max          time.Duration `json:"max"`
	Inconclusive Policy        `json:"inconclusive"`
	// On is what a weight is left on; empty is no-fail at every weight but the last, and pass at the last.
	On DecideOn `json:"on,omitempty"`
}

// DecideOn is what a weight of a gray step is left on.
type DecideOn string

// The choices of DecideOn; the empty one is the default described at [Decide].
const (
	OnPass   DecideOn = "pass"
	OnNoFail DecideOn = "no-fail"
)

// Gate is a question to a human.
type Gate struct {
	Name string `json:"name"`
	// Approvers are roles or users; empty means every operator.
	Approvers []string `json:"approvers,omitempty"`
	// Expires is nil for a gate that waits for ever.
	Expires *Expiry `json:"expires,omitempty"`
	// FourEyes: whoever started the release may not answer.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// Expiry is what becomes of a gate that nobody answers.
type Expiry struct {
	After time.Duration `json:"after"`
	Then  Policy        `json:"then"`
}

// Wait lets time pass.
type Wait struct {
	Name string        `json:"name"`
	For  time.Duration `json:"for"`
}

// Webhook tells another system, and may wait for its word.
type Webhook struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Body is sent as JSON; empty sends Serin's own description of the release.
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Ignore: whatever comes back, or nothing, the release goes on.
	Ignore bool `json:"ignore,omitempty"`
	// Deadline of all tries together.
	Deadline time.Duration `json:"deadline"`
	// Status is polled until it says so, if set.
	Status string `json:"status,omitempty"`
}

// NeedsPass tells whether the weight of a stage is left on a pass only, and not already where nothing speaks against it.
func (s Gray) NeedsPass(stage int) bool {
	return s.Decide.On == OnPass || s.Decide.On == "" && stage == len(s.Weights)-1
}

// Promote makes the canary stable.
type Promote struct {
	Name     string   `json:"name"`
	Strategy Strategy `json:"strategy,omitempty"`
	// Whole takes over all of the canary's pod template, not its images only.
	Whole bool `json:"whole,omitempty"`
	// Deadline until stable's Deployment is the new version; then Expired acts ([AwaitStable]; a patch goes back).
	Deadline time.Duration `json:"deadline,omitempty"`
	Expired  Policy        `json:"expired,omitempty"`
}

func (AB) step()      {}
func (Gray) step()    {}
func (Gate) step()    {}
func (Wait) step()    {}
func (Webhook) step() {}
func (Promote) step() {}

// StepName implements [Step].
func (s AB) StepName() string { return s.Name }

// StepName implements [Step].
func (s Gray) StepName() string { return s.Name }

// StepName implements [Step].
func (s Gate) StepName() string { return s.Name }

// StepName implements [Step].
func (s Wait) StepName() string { return s.Name }

// StepName implements [Step].
func (s Webhook) StepName() string { return s.Name }

// StepName implements [Step].
func (s Promote) StepName() string { return s.Name }

// Scope finds a scope by name.
func (d *Definition) Scope(name string) (Scope, bool) {
	i := slices.IndexFunc(d.Scopes, func(s Scope) bool { return s.Name == name })
	if i < 0 {
		return Scope{}, false
	}
	return d.Scopes[i], true
}

// Check tells what of the rules that the state machine builds on d does not keep; package config says the same
// with file and line. Weights grow over all gray steps and lie above 0 and below 100%, step names are unique,
// there is exactly one promote, and nothing that moves traffic follows it.
func (d *Definition) Check() error {
	seen, last, promoted := map[string]bool{}, share.Share(0), false
	for i, s := range d.Steps {
		if seen[s.StepName()] || s.StepName() == "" {
			return fmt.Errorf("steps[%d]: name %q is empty or used twice", i, s.StepName())
		}
		seen[s.StepName()] = true
		switch s := s.(type) {
		case Gray:
			if len(s.Weights) == 0 {
				return fmt.Errorf("steps[%d]: no weights", i)
			}
			for j, w := range s.Weights {
				if w <= last || w >= 1 {
					return fmt.Errorf("steps[%d].weights[%d]: %s after %s: weights have to grow, below 100%%", i, j, w, last)
				}
				last = w
			}
			if promoted {
				return fmt.Errorf("steps[%d]: gray after promote", i)
			}
		case AB:
			if promoted {
				return fmt.Errorf("steps[%d]: ab after promote", i)
			}
		case Promote:
			if promoted {
				return fmt.Errorf("steps[%d]: a second promote", i)
			}
			promoted = true
			if (s.Strategy != Exchange) != (d.Cluster != nil) {
				return fmt.Errorf("steps[%d]: strategy %q does not fit a rollout with cluster: %t", i, s.Strategy, d.Cluster != nil)
			}
		case Job, Deploy:
			if d.Cluster == nil {
				return fmt.Errorf("steps[%d]: %s needs Kubernetes", i, Kind(s))
			}
		case Gate, Wait, Webhook:
		}
	}
	for i, step := range d.Rollback.Steps {
		switch step.(type) {
		case Webhook, Job:
		case AB, Gray, Gate, Wait, Promote, Deploy:
			return fmt.Errorf("rollback.steps[%d]: only jobs and webhooks", i)
		}
	}
	if !promoted {
		return fmt.Errorf("steps: no promote")
	}
	return nil
}
