package rollout

import (
	"errors"
	"fmt"
	"time"

	"github.com/serindev/serin/judge"
)

// Phase is the overall state of a release.
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
	Failed            Outcome = "failed" // could not finish going back; traffic is on stable
)

// ErrNotAllowed is returned by [State.Apply], wrapped with the reason, for an event that the state does not accept.
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
// Timers use the release's own time, which stops while the release is paused: see [State.Clock].
type State struct {
	Seq        int               `json:"seq"`
	Rollout    string            `json:"rollout"`
	Revision   string            `json:"revision"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Key        string            `json:"key,omitempty"`
	// Undoes is the release whose version this one takes out of service again; empty for an ordinary release.
	Undoes string `json:"undoes,omitempty"`
	// Retries is the release that this one repeats, and Done are the job steps that succeeded there and are not run again.
	Retries string   `json:"retries,omitempty"`
	Done    []string `json:"done,omitempty"`
	// Worse: the release that this one repeats, or one that that one repeats in turn, was found worse.
	Worse bool `json:"worse,omitempty"`
	// Returns is the release that last brought this version into service, if it takes the plan for those that return.
	Returns   string    `json:"returns,omitempty"`
	StartedBy string    `json:"startedBy"`
	StartedAt time.Time `json:"startedAt"`
	// Swapped: the declared canary set was live at the start. Exchanged: this release has made its own canary live.
	// [State.SwappedNow] combines both.
	Swapped   bool `json:"swapped,omitempty"`
	Exchanged bool `json:"exchanged,omitempty"`

	Phase   Phase   `json:"phase"`
	Outcome Outcome `json:"outcome,omitempty"`
	// Why the release goes back, or how it ended, in one sentence; WhyBy is who caused it.
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

	// Served is what users still get although a newer target has been decided: writing it may fail or take time. It is
	// nil once the current target is written, or if nothing was analysed before.
	Served *Served `json:"served,omitempty"`

	// Moved: the canary may have served a user's request.
	Moved bool `json:"moved,omitempty"`
	// Reached: the canary may have got copies, or requests of its preview, although no user's. Previewed: it has a route of its
	// own.
	Reached   bool `json:"reached,omitempty"`
	Previewed bool `json:"previewed,omitempty"`
	// ExposedAt is when the canary's first share of traffic came into force.
	ExposedAt time.Time `json:"exposedAt,omitzero"`
	// GrayStep and GrayStage are the weight that holds on the main route; GrayStep is -1 before the first.
	GrayStep  int `json:"grayStep"`
	GrayStage int `json:"grayStage"`
	// CohortStep is the A/B step whose cohort route is there, or -1.
	CohortStep int `json:"cohortStep"`
	// CohortGoes: that route is removed once the weight that was entered after it is in force.
	CohortGoes bool `json:"cohortGoes,omitempty"`
	// Doing is the kind of the last stage that moves traffic or changes stable's Deployment.
	Doing StageKind `json:"doing,omitempty"`

	// Work numbers the targets of the Deployments, 0 while this release has changed none; WorkReady and WorkFailed describe
	// the current one.
	Work       int      `json:"work,omitempty"`
	WorkReady  bool     `json:"workReady,omitempty"`
	WorkFailed []string `json:"workFailed,omitempty"`
	// Worked: the canary has been prepared for traffic. Patched: stable's Deployment has been changed.
	Worked  bool `json:"worked,omitempty"`
	Patched bool `json:"patched,omitempty"`
	// Pending is the stage whose capacity is being prepared; traffic stays as it was.
	Pending *StepEntered `json:"pending,omitempty"`
	// Out: the canary has left the weighted service.
	Out bool `json:"out,omitempty"`
	// Job is the outcome of the current job step; nil while the Job runs, and if the release went back meanwhile.
	Job *JobEnded `json:"job,omitempty"`

	// Turn numbers the targets of traffic. InForce tells whether the current one is served, InForceSince since when
	// (release time), and ForceFor for how long it had been served earlier in this stage.
	Turn          int           `json:"turn"`
	InForce       bool          `json:"inForce"`
	InForceHow    string        `json:"inForceHow,omitempty"`
	InForceSince  time.Time     `json:"inForceSince,omitzero"`
	ForceFor      time.Duration `json:"forceFor,omitempty"`
	UnconfirmedAt time.Time     `json:"unconfirmedAt,omitzero"`
	NotInForceWhy []string      `json:"notInForceWhy,omitempty"`
	// Silent are the gateway's replicas that did not answer when the others confirmed the target.
	Silent []string `json:"silent,omitempty"`
	// Drifts are the times of the last three external changes.
	Drifts []time.Time `json:"drifts,omitempty"`

	// Scope is the body of evidence that the current target adds to; empty where nothing is analysed. While something else
	// is Served, looks are about that. Look is the verdict of the last look that was news in this stage, nil before one.
	Scope string         `json:"scope,omitempty"`
	Look  *judge.Verdict `json:"look,omitempty"`
	// LastVerdict is the last such verdict of the whole release.
	LastVerdict *judge.Verdict `json:"lastVerdict,omitempty"`
	// Alarm: the observed split is not the weight in force, or what a metric counts contradicts it. Dismissed: a human lets
	// this weight go on all the same.
	Alarm     bool `json:"alarm,omitempty"`
	Dismissed bool `json:"dismissed,omitempty"`
	// NoDataSince and UnreachableSince are release times; zero while there is data.
	NoDataSince      time.Time `json:"noDataSince,omitzero"`
	UnreachableSince time.Time `json:"unreachableSince,omitzero"`
	// BlindSince is when it began that no metric shows anything; zero while one does.
	BlindSince time.Time `json:"blindSince,omitzero"`
	// Lacks are the metrics without data now, each since its own time.
	Lacks []Lack `json:"lacks,omitempty"`
	// Told are the deadlines that have acted in this stage, so that each acts once.
	Told []Deadline `json:"told,omitempty"`

	// Gate is the gate that the release is at; empty at other steps.
	Gate string `json:"gate,omitempty"`
	// Question is the oldest open question that a policy has asked, Later are the others. Answered has the gates and
	// questions that have been answered. A question ends with the condition that it is about.
	Question *Question               `json:"question,omitempty"`
	Later    []Question              `json:"later,omitempty"`
	Answered map[string]GateAnswered `json:"answered,omitempty"`
	// Webhook is the answer of the current webhook step; nil before it.
	Webhook *WebhookAnswered `json:"webhook,omitempty"`

	// Hurry: a person lets the release go on without waiting; nil otherwise. EvenIfWorse: no verdict rolls it back.
	Hurry       *WentOn `json:"hurry,omitempty"`
	EvenIfWorse bool    `json:"evenIfWorse,omitempty"`

	// Awaited is what the release last reported to be waiting for: a window, or the end of a freeze. It is nil once the
	// next step or weight is entered.
	Awaited *WindowAwaited `json:"awaited,omitempty"`
	// AwaitedAt is when that wait began (release time), AwaitedFor how long the calendar is closed from then on, not
	// counting pauses.
	AwaitedAt  time.Time     `json:"awaitedAt,omitzero"`
	AwaitedFor time.Duration `json:"awaitedFor,omitempty"`

	// WatchedFrom is when the watch after the promotion began, in wall time; zero outside of it. WatchAsks: a person is
	// asked if it is found worse, which happened at WorseAt (release time).
	WatchedFrom time.Time `json:"watchedFrom,omitzero"`
	WatchAsks   bool      `json:"watchAsks,omitempty"`
	WorseAt     time.Time `json:"worseAt,omitzero"`

	Pause     *Paused       `json:"pause,omitempty"`
	PausedFor time.Duration `json:"pausedFor,omitempty"`
	// Successor is the release that takes this one's place.
	Successor *StartRequest `json:"successor,omitempty"`
	// SuccessorCancelled: the successor ends as cancelled instead of starting.
	SuccessorCancelled *SuccessorCancelled `json:"successorCancelled,omitempty"`
	// Decided: a human has answered a question with "go on", so this stage no longer needs a verdict.
	Decided bool `json:"decided,omitempty"`
	// DecideFrom is when the time for deciding a step began (release time), if that is not its entry: a human gave an undecided
	// step its full time again, or it waited for a window between two weights.
	DecideFrom time.Time `json:"decideFrom,omitzero"`
	// Questions counts the questions, to give each a unique name.
	Questions int `json:"questions,omitempty"`
	// BackAt is when the rollback began (release time).
	BackAt time.Time `json:"backAt,omitzero"`
}

// JobEnded is how a Job ended; Why is empty if it succeeded.
type JobEnded struct {
	Why string `json:"why,omitempty"`
}

// Lack is a metric without data; Reason is [judge.NoData] or [judge.Unreachable].
type Lack struct {
	Metric string       `json:"metric"`
	Reason judge.Reason `json:"reason"`
	Since  time.Time    `json:"since"` // release time
	// Optional: neither a pass nor a policy waits for it.
	Optional bool `json:"optional,omitempty"`
}

// Question is what a policy asks a human; it is answered like a gate.
type Question struct {
	Name  string    `json:"name"`
	About Deadline  `json:"about"`
	Since time.Time `json:"since"`
}

// Served is what is analysed of a superseded target that is still being served.
type Served struct {
	Scope      string `json:"scope"`
	GrayStep   int    `json:"grayStep"`
	GrayStage  int    `json:"grayStage"`
	CohortStep int    `json:"cohortStep"`
}

// served is what is analysed now: what users get, as far as that is known.
func (s State) served() Served {
	if s.Served != nil {
		return *s.Served
	}
	return Served{Scope: s.Scope, GrayStep: s.GrayStep, GrayStage: s.GrayStage, CohortStep: s.CohortStep}
}

// Watches reports whether a look at a scope is about what users get now, or are about to get.
func (s State) Watches(scope string) bool {
	return s.Phase == Active && scope != "" && (scope == s.Scope || scope == s.served().Scope)
}

// Settled is the time from which a window shows only the current target of traffic; ok is false while that is not in
// force. settle is how late samples may be.
func (s State) Settled(settle time.Duration) (at time.Time, ok bool) {
	return s.InForceSince.Add(s.PausedFor + settle), s.InForce
}

// Warm is the end of the canary's warm-up, which begins with its first share of traffic in force, or with the decision
// where no share has been confirmed yet. It is zero if that lies in the future: then the clock was set back, and how
// long the canary has been serving is no longer known.
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

// Clock converts a wall time to the release's own time, which stops during pauses.
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

// Promoting reports whether promote was entered and not reverted, which ends the analysis.
func (s State) Promoting() bool {
	switch s.Doing {
	case StagePromote, StagePatch, StageAwait, StageReturn:
		return true
	case StageLeave:
		return s.Back == "" // the canary leaves at the end of a rollback, too
	case "", StageAB, StageGray, StageDeploy, StageGate, StageStill, StageWatch, StageMirror, StagePreview:
	}
	return false
}

// SwappedNow reports whether the set declared as canary is the live one now.
func (s State) SwappedNow() bool { return s.Swapped != s.Exchanged }

// FoundWorse reports whether the last verdict of the release is that the canary is worse.
func (s State) FoundWorse() bool { return s.LastVerdict != nil && s.LastVerdict.Outcome == judge.Fail }

// KnownWorse reports whether this version was found worse, by this release or by one that it repeats.
func (s State) KnownWorse() bool { return s.Worse || s.FoundWorse() }

// Ended reports whether the release is over.
func (s State) Ended() bool { return s.Phase == PhaseEnded }

// atGate reports whether the release is at an unanswered gate.
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
