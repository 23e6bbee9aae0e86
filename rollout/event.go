package rollout

import (
	"time"

	"github.com/serindev/serin/judge"
)

// Event is something that happened to a release. It is durable before anything follows from it.
//
//sumtype:decl
type Event interface {
	event()
	// Head tells when, the how-manieth of its release, and by whom.
	Head() Meta
	// With returns the same event with another head.
	With(Meta) Event
}

// Meta is what every event has.
type Meta struct {
	// Seq counts the events of a release from 1.
	Seq int       `json:"seq"`
	At  time.Time `json:"at"`
	// By is who or what caused it: a user's name, "serin", "judge", "gateway".
	By string `json:"by"`
}

// Started is the first event of every release.
type Started struct {
	Meta
	Rollout    string            `json:"rollout"`
	Revision   string            `json:"revision"`
	Parameters map[string]string `json:"parameters,omitempty"`
	// Key makes starting idempotent; empty for none.
	Key string `json:"key,omitempty"`
	// Swapped: the set declared as canary is the live one, so it is this release's stable.
	Swapped bool `json:"swapped,omitempty"`
	// Undoes is the release whose version this one takes out of service again, for Reason; empty for an ordinary one.
	Undoes string `json:"undoes,omitempty"`
	Reason string `json:"reason,omitempty"`
	// After is the release of the same rollout that was there before this one; empty for the first one, and in events that
	// were stored before releases said so.
	After string `json:"after,omitempty"`
}

// StepEntered moves the release to a step, or to the next stage of one: a weight of a gray step, a half of
// promote.
type StepEntered struct {
	Meta
	Step  int    `json:"step"`
	Stage int    `json:"stage"`
	Name  string `json:"name"`
	// What is done to the traffic, so that the log can be folded without the definition.
	What StageKind `json:"what"`
	// Scope of the evidence that is gathered from here on (StageAB, StageGray).
	Scope string `json:"scope,omitempty"`
	// KeepCohort: a cohort route that is there stays; otherwise it goes once this weight is in force (StageGray).
	KeepCohort bool `json:"keepCohort,omitempty"`
	// Prepare: the canary is brought to its capacity first; the traffic moves with the DeploymentReady that says so.
	Prepare bool `json:"prepare,omitempty"`
}

// StageKind is what entering a stage does to the traffic.
type StageKind string

// The kinds of stages.
const (
	StageAB      StageKind = "ab"      // the cohort route appears
	StageGray    StageKind = "gray"    // the main route's weight changes
	StagePromote StageKind = "promote" // all traffic to the canary, then the roles are exchanged
	StageDeploy  StageKind = "deploy"  // traffic stays, a Deployment changes
	StagePatch   StageKind = "patch"   // traffic stays, stable becomes the canary's version; nothing is compared any more
	StageAwait   StageKind = "await"   // the same, but somebody else changes stable
	StageReturn  StageKind = "return"  // all traffic to stable, which is the new version now
	StageLeave   StageKind = "leave"   // the canary leaves the weighted service, then it is scaled down
	StageGate    StageKind = "gate"    // traffic stays, a human is asked
	StageStill   StageKind = "still"   // traffic stays as it was
)

// InForce: the target of this turn is served by every replica that was asked.
type InForce struct {
	Meta
	Turn int `json:"turn"`
	// How is "api", "metrics" (no API is configured; the share that was seen stands in) or "trusted".
	How string `json:"how"`
	// Silent are the replicas that were asked and did not answer.
	Silent []string `json:"silent,omitempty"`
}

// NotInForce: the target of this turn is not served, or no longer, or cannot be confirmed.
type NotInForce struct {
	Meta
	Turn int `json:"turn"`
	// Unconfirmed: it is written, and no replica answers.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
	// Written: it is written, and a replica serves something else.
	Written bool     `json:"written,omitempty"`
	Why     []string `json:"why,omitempty"`
}

// Drifted: the gateway's configuration differs from what Serin wrote although nobody told Serin. It is put right.
type Drifted struct {
	Meta
	What []string `json:"what"`
}

// LookTaken: a look said something new.
type LookTaken struct {
	Meta
	Scope   string        `json:"scope"`
	Turn    int           `json:"turn"`
	Verdict judge.Verdict `json:"verdict"`
}

// AlarmDismissed: a human has looked at an alarm about the split or the exposures and lets the release go on at this weight.
type AlarmDismissed struct {
	Meta
	Reason string `json:"reason"`
}

// GateAnswered is a human's answer to a gate or to a question that a policy asked.
type GateAnswered struct {
	Meta
	Gate   string `json:"gate"`
	Answer Answer `json:"answer"`
	Reason string `json:"reason,omitempty"`
}

// Answer to a gate.
type Answer string

// The answers. Wait is for questions of policies only.
const (
	Approve     Answer = "approve"
	Reject      Answer = "reject"
	KeepWaiting Answer = "wait"
)

// WebhookAnswered: a webhook step has its answer.
type WebhookAnswered struct {
	Meta
	Step   int    `json:"step"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// JobSucceeded: the Job of a step is complete.
type JobSucceeded struct {
	Meta
	Step int `json:"step"`
	// Log has the last lines of its pods.
	Log []string `json:"log,omitempty"`
}

// JobFailed: the Job of a step has failed, or its time was over.
type JobFailed struct {
	Meta
	Step int      `json:"step"`
	Why  string   `json:"why"`
	Log  []string `json:"log,omitempty"`
}

// DeploymentReady: all Deployments are as the target of this work asks.
type DeploymentReady struct {
	Meta
	Work int `json:"work"`
}

// DeploymentFailed: they will not become so by themselves, or their time is over.
type DeploymentFailed struct {
	Meta
	Work int      `json:"work"`
	Why  []string `json:"why"`
}

// DeadlinePassed: time is over for something, and Then is what the definition says about it.
type DeadlinePassed struct {
	Meta
	Which Deadline `json:"which"`
	Then  Policy   `json:"then"`
}

// Deadline names what time was over for.
type Deadline string

// The deadlines.
const (
	GateExpired    Deadline = "gate"
	DecideMax      Deadline = "decide"
	NoDataFor      Deadline = "noData"
	UnreachableFor Deadline = "unreachable"
	BlindFor       Deadline = "blind"
	PromoteMax     Deadline = "promote"
)

// Paused: timers and advancing stand still. Looks go on, and a fail still rolls back.
type Paused struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// Resumed ends a pause.
type Resumed struct{ Meta }

// WentOn: a person takes the responsibility for going on without what the release still waits for: the rest of a hold, a
// verdict, a lack of data, a wait. Gates stay, for they are others' to answer, and so does what has to be done.
type WentOn struct {
	Meta
	Reason string `json:"reason"`
	// Full: not this weight or step alone, but all that is left, up to the next gate.
	Full bool `json:"full,omitempty"`
	// EvenIfWorse: from here on no verdict takes the release back, as for the repair of a stable version that is broken
	// itself, where the comparison says nothing.
	EvenIfWorse bool `json:"evenIfWorse,omitempty"`
}

// RollbackRequested: a person wants the release to go back.
type RollbackRequested struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// CancelRequested ends a release of which no traffic has moved; after that it is a rollback.
type CancelRequested struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// Superseded: another release takes this one's place as soon as this one has gone back.
type Superseded struct {
	Meta
	// Next is the release to start afterwards.
	Next StartRequest `json:"next"`
}

// SuccessorCancelled: the release that waits until this one has gone back is not to start.
type SuccessorCancelled struct {
	Meta
	// ID of the release that waits.
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

// StartRequest is what a release is started with.
type StartRequest struct {
	ID         string            `json:"id"`
	Key        string            `json:"key,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	By         string            `json:"by"`
}

// Drained: rollback.drain has passed with all traffic on stable.
type Drained struct {
	Meta
	// Leave: next the canary leaves the weighted service (Kubernetes).
	Leave bool `json:"leave,omitempty"`
}

// CleanedUp: what has to be done after a rollback is done.
type CleanedUp struct{ Meta }

// Ended is the last event of every release.
type Ended struct {
	Meta
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why"`
	// Swapped: from now on the set declared as canary is the live one.
	Swapped bool `json:"swapped,omitempty"`
}
