package rollout

import (
	"time"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/judge"
)

// Event is something that happened to a release. It is durable before anything follows from it.
//
//sumtype:decl
type Event interface {
	event()
	// Head is the event's number in its release, its time and its author.
	Head() Meta
	// With returns the same event with another head.
	With(Meta) Event
}

// Meta is what every event has.
type Meta struct {
	// Seq counts the events of a release from 1.
	Seq int       `json:"seq"`
	At  time.Time `json:"at"`
	// By is the author: a user's name, "serin", "judge", "gateway", "cluster" or "webhook".
	By string `json:"by"`
}

// Started is the first event of every release.
type Started struct {
	Meta
	Rollout    string            `json:"rollout"`
	Revision   string            `json:"revision"`
	Parameters map[string]string `json:"parameters,omitempty"`
	// Key makes the start idempotent; empty for none.
	Key string `json:"key,omitempty"`
	// Swapped: the set declared as canary is the live one, so it is this release's stable.
	Swapped bool `json:"swapped,omitempty"`
	// Undoes is the release whose version this one takes out of service again, for Reason; empty for an ordinary one.
	Undoes string `json:"undoes,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Retries is the release that ended without its version in service, and that this one repeats; empty for an ordinary one.
	Retries string `json:"retries,omitempty"`
	// Done are the job steps that succeeded in that release and are not run again.
	Done []string `json:"done,omitempty"`
	// Worse: that release, or one that it repeats in turn, was found worse.
	Worse bool `json:"worse,omitempty"`
	// Returns is the release that last brought this version into service, if the version takes the plan for those that return.
	Returns string `json:"returns,omitempty"`
	// After is the previous release of the same rollout; empty for the first one, and in events of earlier versions.
	After string `json:"after,omitempty"`
}

// StepEntered moves the release to a step, or to its next stage: a weight of a gray step, a part of promote.
type StepEntered struct {
	Meta
	Step  int    `json:"step"`
	Stage int    `json:"stage"`
	Name  string `json:"name"`
	// What entering does to the traffic, so that the log can be folded without the definition.
	What StageKind `json:"what"`
	// Scope is the body of evidence that is gathered from here on (StageAB, StageGray).
	Scope string `json:"scope,omitempty"`
	// KeepCohort: an existing cohort route stays; otherwise it is removed once this weight is in force (StageGray).
	KeepCohort bool `json:"keepCohort,omitempty"`
	// Prepare: the canary gets its capacity first; traffic moves once DeploymentReady confirms that.
	Prepare bool `json:"prepare,omitempty"`
	// Ask: a person is asked where it is found worse, and it does not go back by itself (StageWatch).
	Ask bool `json:"ask,omitempty"`
}

// StageKind is what entering a stage does to the traffic.
type StageKind string

// The kinds of stages.
const (
	StageAB      StageKind = "ab"      // the cohort route appears
	StageGray    StageKind = "gray"    // the main route's weight changes
	StagePromote StageKind = "promote" // all traffic to the canary, then the roles are exchanged
	StageDeploy  StageKind = "deploy"  // traffic stays, a Deployment changes
	StagePatch   StageKind = "patch"   // traffic stays, stable becomes the canary's version; the comparison has ended
	StageAwait   StageKind = "await"   // the same, but another system changes stable
	StageReturn  StageKind = "return"  // all traffic to stable, which is now the new version
	StageLeave   StageKind = "leave"   // the canary leaves the weighted service, then it is scaled down
	StageGate    StageKind = "gate"    // traffic stays, a human is asked
	StageWatch   StageKind = "watch"   // traffic stays, and the new version is compared with the time before the release
	StageMirror  StageKind = "mirror"  // the canary gets copies of users' requests; its answers are discarded
	StagePreview StageKind = "preview" // the canary gets a route of its own, for no ordinary user
	StageStill   StageKind = "still"   // traffic stays as it was
)

// InForce: every replica that answered serves the target of this turn.
type InForce struct {
	Meta
	Turn int `json:"turn"`
	// How is "api", "metrics" (no API is configured, and requests were seen to be split like this) or "trusted".
	How string `json:"how"`
	// Silent are the replicas that did not answer.
	Silent []string `json:"silent,omitempty"`
}

// NotInForce: the target of this turn is not served, is no longer served, or cannot be confirmed.
type NotInForce struct {
	Meta
	Turn int `json:"turn"`
	// Unconfirmed: it is written, and no replica answers.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
	// Written: it is written, and a replica serves something else.
	Written bool     `json:"written,omitempty"`
	Why     []string `json:"why,omitempty"`
}

// Drifted: an external change of the gateway's configuration, or of a Deployment, was found and is reverted.
type Drifted struct {
	Meta
	What []string `json:"what"`
}

// LookTaken: a look was news.
type LookTaken struct {
	Meta
	Scope   string        `json:"scope"`
	Turn    int           `json:"turn"`
	Verdict judge.Verdict `json:"verdict"`
}

// AlarmDismissed: a human has considered an alarm about the split or the exposures and lets the release go on at this weight.
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

// WebhookAnswered: a webhook step got its answer.
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

// JobFailed: the Job of a step has failed, or exceeded its deadline.
type JobFailed struct {
	Meta
	Step int      `json:"step"`
	Why  string   `json:"why"`
	Log  []string `json:"log,omitempty"`
}

// DeploymentReady: all Deployments are as this target wants them.
type DeploymentReady struct {
	Meta
	Work int `json:"work"`
}

// DeploymentFailed: the Deployments cannot get there, or did not in time.
type DeploymentFailed struct {
	Meta
	Work int      `json:"work"`
	Why  []string `json:"why"`
}

// DeadlinePassed: a condition has lasted too long, and Then is what the definition wants done about it.
type DeadlinePassed struct {
	Meta
	Which Deadline `json:"which"`
	Then  Policy   `json:"then"`
}

// Deadline names a condition that has lasted too long.
type Deadline string

// The deadlines.
const (
	GateExpired    Deadline = "gate"
	DecideMax      Deadline = "decide"
	NoDataFor      Deadline = "noData"
	UnreachableFor Deadline = "unreachable"
	BlindFor       Deadline = "blind"
	PromoteMax     Deadline = "promote"
	FoundWorse     Deadline = "worse" // while a release is watched, and a person is to be asked
)

// WindowAwaited: the release could go on but for its calendar, which is closed.
type WindowAwaited struct {
	Meta
	calendar.Closed
}

// Paused stops timers and progress. Looks continue, and a fail still rolls back.
type Paused struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// Resumed ends a pause.
type Resumed struct{ Meta }

// WentOn: a person takes responsibility for going on without what the release still waits for: the rest of a hold, a
// verdict, missing data, a wait. Gates still have to be answered, and work still has to be done.
type WentOn struct {
	Meta
	Reason string `json:"reason"`
	// Full: this and everything up to the next gate, not only the current weight or step.
	Full bool `json:"full,omitempty"`
	// EvenIfWorse: from here on no verdict rolls the release back. It is meant for the repair of a broken stable version, with
	// which no comparison makes sense.
	EvenIfWorse bool `json:"evenIfWorse,omitempty"`
}

// RollbackRequested: a person, or a failed step, sends the release back.
type RollbackRequested struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// CancelRequested ends a release that has moved no traffic; afterwards it is a rollback.
type CancelRequested struct {
	Meta
	Reason string `json:"reason,omitempty"`
}

// Superseded: another release takes this one's place once this one has gone back.
type Superseded struct {
	Meta
	// Next is the release to start afterwards.
	Next StartRequest `json:"next"`
}

// SuccessorCancelled: the release that waits for this one to go back will not start.
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
	// AllSteps: a version that returns takes the whole plan all the same.
	AllSteps bool `json:"allSteps,omitempty"`
	// Urgent: it begins with this word of its author's; nil for an ordinary start.
	Urgent *Urgency `json:"urgent,omitempty"`
}

// Urgency is why a release does not wait from its start on, as [WentOn] with Full.
type Urgency struct {
	Reason      string `json:"reason"`
	EvenIfWorse bool   `json:"evenIfWorse,omitempty"`
}

// Drained: rollback.drain has passed with all traffic on stable.
type Drained struct {
	Meta
	// Leave: next the canary leaves the weighted service (Kubernetes).
	Leave bool `json:"leave,omitempty"`
}

// CleanedUp: the cleanup after a rollback is done.
type CleanedUp struct{ Meta }

// Ended is the last event of every release.
type Ended struct {
	Meta
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why"`
	// Swapped: the set declared as canary is the live one from here on.
	Swapped bool `json:"swapped,omitempty"`
}
