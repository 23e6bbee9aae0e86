package rollout

import (
	"errors"
	"fmt"
	"time"

	"github.com/serindev/serin/judge"
)

// Phase is where a release stands as a whole.
type Phase string

// The phases. The zero value is a release that has not started.
const (
	Active      Phase = "active"
	RollingBack Phase = "rollingBack"
	PhaseEnded  Phase = "ended"
)

// Outcome is how a release ended.
type Outcome string

// The outcomes.
const (
	Released          Outcome = "released"
	RolledBack        Outcome = "rolledBack"
	Cancelled         Outcome = "cancelled" // before any traffic moved
	OutcomeSuperseded Outcome = "superseded"
	Failed            Outcome = "failed" // neither on nor back by itself; traffic is on stable
)

// ErrNotAllowed is returned by [State.Apply] for an event that the state does not take. Wrapped, it says why.
var ErrNotAllowed = errors.New("not allowed")

// AnsweredError is returned for a second answer to a gate.
type AnsweredError struct {
	Gate   string
	By     string
	At     time.Time
	Answer Answer
}

func (e *AnsweredError) Error() string {
	return fmt.Sprintf("gate %s was answered by %s at %s: %s", e.Gate, e.By, e.At.UTC().Format(time.RFC3339), e.Answer)
}

// BackStage is how far a release has come on its way back.
type BackStage string

// The stages of going back; the zero value is a release that does not.
const (
	// BackRestore comes first where stable's Deployment could not be brought to the new version: its template is put
	// back before the canary's traffic comes to it.
	BackRestore BackStage = "restore"
	BackTraffic BackStage = "traffic" // until stable at 100% is in force
	BackDrain   BackStage = "drain"   // until rollback.drain has passed
	BackCleanup BackStage = "cleanup" // until everything else is as it was
	BackDone    BackStage = "done"
)

// State of a release: the fold of its events. The zero value is a release before its first event.
//
// Times that belong to timers are kept in the release's own time, which stands still while it is paused: see
// [State.Clock].
type State struct {
	Seq        int               `json:"seq"`
	Rollout    string            `json:"rollout"`
	Revision   string            `json:"revision"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Key        string            `json:"key,omitempty"`
	// Undoes is the release whose version this one takes out of service again; empty for an ordinary one.
	Undoes    string    `json:"undoes,omitempty"`
	StartedBy string    `json:"startedBy"`
	StartedAt time.Time `json:"startedAt"`
	// Swapped: the declared canary set was live at the start. Exchanged: this release has made its own canary live.
	// [State.SwappedNow] is what follows from both.
	Swapped   bool `json:"swapped,omitempty"`
	Exchanged bool `json:"exchanged,omitempty"`

	Phase   Phase   `json:"phase"`
	Outcome Outcome `json:"outcome,omitempty"`
	// Why the release goes back or how it ended, in a sentence, and by whom.
	Why     string    `json:"why,omitempty"`
	WhyBy   string    `json:"whyBy,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`

	// Step is the index of the current step, -1 before the first; Stage the weight of a gray step or the part of promote.
	// A release that goes back keeps where it turned, and Back says how far back it has come.
	Step     int       `json:"step"`
	StepName string    `json:"stepName,omitempty"`
	Stage    int       `json:"stage"`
	StepAt   time.Time `json:"stepAt,omitzero"`  // release time: entry of the step
	StageAt  time.Time `json:"stageAt,omitzero"` // release time: entry of the stage, also of one of going back
	Back     BackStage `json:"back,omitempty"`

	// Served is what users are still served although another target has been decided: a write may fail, or take its
	// time. It is nil once the current target is written, and while nothing was analysed before it.
	Served *Served `json:"served,omitempty"`

	// Moved: some user's request may have been served by the canary.
	Moved bool `json:"moved,omitempty"`
	// ExposedAt is when the canary's first share of the traffic was in force.
	ExposedAt time.Time `json:"exposedAt,omitzero"`
	// GrayStep and GrayStage are the weight that holds on the main route; GrayStep is -1 before the first.
	GrayStep  int `json:"grayStep"`
	GrayStage int `json:"grayStage"`
	// CohortStep is the A/B step whose cohort route is there, or -1.
	CohortStep int `json:"cohortStep"`
	// CohortGoes: it goes as soon as the weight that was entered after it is in force.
	CohortGoes bool `json:"cohortGoes,omitempty"`
	// Promoting is true from the entry of promote on; analysis has ended then. Promotion is its half: 1 means that
	// the roles are exchanged.
	Promoting bool `json:"promoting,omitempty"`
	Promotion int  `json:"promotion,omitempty"`
	// Doing is what the last stage that moves traffic or stable's Deployment does.
	Doing StageKind `json:"doing,omitempty"`

	// Work counts the targets of the Deployments; WorkReady and WorkFailed are what is known of the current one.
	Work       int      `json:"work,omitempty"`
	WorkReady  bool     `json:"workReady,omitempty"`
	WorkFailed []string `json:"workFailed,omitempty"`
	// Worked: the canary has been prepared for traffic. Touched: some Deployment is changed by this release. Patched:
	// stable's is.
	Worked  bool `json:"worked,omitempty"`
	Touched bool `json:"touched,omitempty"`
	Patched bool `json:"patched,omitempty"`
	// Pending is the stage whose capacity is being prepared; the traffic is as before.
	Pending *StepEntered `json:"pending,omitempty"`
	// Out: the canary has left the weighted service.
	Out bool `json:"out,omitempty"`
	// Job is the outcome of the current job step; nil while it runs, and if the release went back while it ran.
	Job *JobEnded `json:"job,omitempty"`

	// Turn counts the changes of the traffic's target. InForce tells whether the current one is served, since
	// when (release time), and ForceFor for how long before that in this stage.
	Turn          int           `json:"turn"`
	InForce       bool          `json:"inForce"`
	InForceHow    string        `json:"inForceHow,omitempty"`
	InForceSince  time.Time     `json:"inForceSince,omitzero"`
	ForceFor      time.Duration `json:"forceFor,omitempty"`
	UnconfirmedAt time.Time     `json:"unconfirmedAt,omitzero"`
	NotInForceWhy []string      `json:"notInForceWhy,omitempty"`
	// Silent are replicas of the gateway that did not answer when the others said that they serve the target.
	Silent []string `json:"silent,omitempty"`
	// Drifts are the times of the last three foreign edits.
	Drifts []time.Time `json:"drifts,omitempty"`

	// Scope is the evidence that the current target is for; empty where nothing is analysed. As long as something else is
	// Served, that is looked at. Look is the last look that
	// said something new since the stage was entered, nil before.
	Scope string         `json:"scope,omitempty"`
	Look  *judge.Verdict `json:"look,omitempty"`
	// LastVerdict is the last one of the whole release, for people.
	LastVerdict *judge.Verdict `json:"lastVerdict,omitempty"`
	// Alarm: the split that was seen is not the weight in force, or what a metric counts contradicts it. Dismissed: a human lets this weight go on.
	Alarm     bool `json:"alarm,omitempty"`
	Dismissed bool `json:"dismissed,omitempty"`
	// NoDataSince and UnreachableSince are release times; zero while there is data.
	NoDataSince      time.Time `json:"noDataSince,omitzero"`
	UnreachableSince time.Time `json:"unreachableSince,omitzero"`
	// BlindSince is the same for a time in which nothing could be seen of any metric.
	BlindSince time.Time `json:"blindSince,omitzero"`
	// Lacks are the metrics of which nothing can be said now, each with its own beginning.
	Lacks []Lack `json:"lacks,omitempty"`
	// Told are the deadlines that have passed in this stage, so that each acts once.
	Told []Deadline `json:"told,omitempty"`

	// Gate is the gate that the release stands at; empty at other steps.
	Gate string `json:"gate,omitempty"`
	// Question is the open question of a policy to a human that was asked first, Later are those after it; Answered the
	// gates that have their answer. A question lives as long as what it is about.
	Question *Question               `json:"question,omitempty"`
	Later    []Question              `json:"later,omitempty"`
	Answered map[string]GateAnswered `json:"answered,omitempty"`
	// Webhook is the answer that the current webhook step has got.
	Webhook *WebhookAnswered `json:"webhook,omitempty"`

	// Hurry: a person lets the release go on without waiting; nil where nobody does. EvenIfWorse: no verdict takes it back.
	Hurry       *WentOn `json:"hurry,omitempty"`
	EvenIfWorse bool    `json:"evenIfWorse,omitempty"`

	Pause     *Paused       `json:"pause,omitempty"`
	PausedFor time.Duration `json:"pausedFor,omitempty"`
	// Successor is the release that takes this one's place.
	Successor *StartRequest `json:"successor,omitempty"`
	// SuccessorCancelled: it ends as cancelled instead of starting.
	SuccessorCancelled *SuccessorCancelled `json:"successorCancelled,omitempty"`
	// Decided: a human has answered a question with "go on", so this stage needs no verdict any more.
	Decided bool `json:"decided,omitempty"`
	// DecideFrom is set when a human gave an undecided step its whole time once more (release time).
	DecideFrom time.Time `json:"decideFrom,omitzero"`
	// Questions counts the questions asked, so that each has a name of its own.
	Questions int `json:"questions,omitempty"`
	// BackAt is when the rollback began (release time).
	BackAt time.Time `json:"backAt,omitzero"`
}

// JobEnded is how a Job ended; Why is empty if it is complete.
type JobEnded struct {
	Why string `json:"why,omitempty"`
}

// Lack is that nothing can be said of a metric: Reason is [judge.NoData] or [judge.Unreachable].
type Lack struct {
	Metric string       `json:"metric"`
	Reason judge.Reason `json:"reason"`
	Since  time.Time    `json:"since"` // release time
	// Optional: a pass does not wait for it, so no policy does.
	Optional bool `json:"optional,omitempty"`
}

// Question is what a policy asks a human, answered like a gate.
type Question struct {
	Name  string    `json:"name"`
	About Deadline  `json:"about"`
	Since time.Time `json:"since"`
}

// Served is what is analysed of a target that another one has followed and not replaced yet.
type Served struct {
	Scope      string `json:"scope"`
	GrayStep   int    `json:"grayStep"`
	GrayStage  int    `json:"grayStage"`
	CohortStep int    `json:"cohortStep"`
}

// served is what is analysed now: what users really get, as far as is known.
func (s State) served() Served {
	if s.Served != nil {
		return *s.Served
	}
	return Served{Scope: s.Scope, GrayStep: s.GrayStep, GrayStage: s.GrayStage, CohortStep: s.CohortStep}
}

// Watches tells whether a look at a scope is about what users are served, or are about to be.
func (s State) Watches(scope string) bool {
	return s.Phase == Active && scope != "" && (scope == s.Scope || scope == s.served().Scope)
}

// Settled is the time from which on a window shows the current target of traffic and no other; ok is false while that
// is not in force. settle is how late samples may be.
func (s State) Settled(settle time.Duration) (at time.Time, ok bool) {
	return s.InForceSince.Add(s.PausedFor + settle), s.InForce
}

// Warm is the end of the canary's warm-up: it counts from the first share of the traffic that was in force, and where
// none could be confirmed so far from the time that it was decided. It is zero if that time is still to come: a clock was
// set back, and how long the canary has been there is not known any more.
func (s State) Warm(warmUp time.Duration, now time.Time) time.Time {
	from := s.ExposedAt
	if from.IsZero() {
		from = s.StageAt.Add(s.PausedFor)
	}
	if from.After(now) {
		return time.Time{}
	}
	return from.Add(warmUp)
}

// Clock is the release's own time at the given one: it stands still during pauses.
func (s State) Clock(at time.Time) time.Time {
	if s.Pause != nil {
		at = s.Pause.At
	}
	return at.Add(-s.PausedFor)
}

// ForcedFor is how long the current target has been in force in this stage, pauses not counted.
func (s State) ForcedFor(now time.Time) time.Duration {
	if !s.InForce {
		return s.ForceFor
	}
	return s.ForceFor + max(0, s.Clock(now).Sub(s.InForceSince))
}

// SwappedNow tells whether the set that is declared as canary is the live one now.
func (s State) SwappedNow() bool { return s.Swapped != s.Exchanged }

// Ended tells whether the release is over.
func (s State) Ended() bool { return s.Phase == PhaseEnded }

// atGate: the release stands at a gate that nobody has answered.
func (s State) atGate() bool {
	_, done := s.Answered[s.Gate]
	return s.Gate != "" && !done
}

// OpenGate is the name of the gate or question that waits for a human, or empty.
func (s State) OpenGate() string {
	if s.Phase != Active {
		return ""
	}
	if s.Question != nil {
		return s.Question.Name
	}
	if !s.atGate() {
		return ""
	}
	return s.Gate
}
