package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// driftWindow and driftLimit: so many foreign edits within this time mean that somebody else keeps writing.
const (
	driftWindow = time.Minute
	driftLimit  = 3
)

// Apply folds one event into the state; e's time is the only time it knows. For an event that this state does not
// take it returns an error that wraps [ErrNotAllowed] (or an [*AnsweredError]) and the state unchanged.
//
// Apply does not decide: what follows by itself is an event of its own, from [State.Next]. So a log is folded the
// same by every version of the program, however its decisions have improved.
func (s State) Apply(e Event) (State, error) {
	if got, want := e.Head().Seq, s.Seq+1; got != want {
		return s, fmt.Errorf("%w: event %d after %d", ErrNotAllowed, got, s.Seq)
	}
	next, err := s.clone().fold(e)
	if err != nil {
		return s, err
	}
	next.Seq = e.Head().Seq
	return next, nil
}

// clone copies what fold may change in place, so that the old state stays what it was.
func (s State) clone() State {
	s.Told = slices.Clone(s.Told)
	s.Drifts = slices.Clone(s.Drifts)
	s.Answered = maps.Clone(s.Answered)
	return s
}

func (s State) fold(e Event) (State, error) {
	switch s.Phase {
	case "":
		if e, ok := e.(Started); ok {
			return started(e), nil
		}
		return s, fmt.Errorf("%w: a release begins with Started, not with %s", ErrNotAllowed, Kind(e))
	case PhaseEnded:
		return s, s.refuse(e)
	case Active, RollingBack:
	}
	switch e := e.(type) {
	case RollbackRequested:
		return s.back(e, "rolled back: "+orNone(e.Reason), RolledBack)
	case CancelRequested:
		return s.back(e, "cancelled: "+orNone(e.Reason), Cancelled)
	case Superseded:
		back, err := s.back(e, "superseded by release "+e.Next.ID, OutcomeSuperseded)
		back.Successor = &e.Next
		return back, err
	case SuccessorCancelled:
		if s.Successor == nil || s.Successor.ID != e.ID || s.SuccessorCancelled != nil {
			return s, s.refuse(e)
		}
		s.SuccessorCancelled = &e
		return s, nil
	case Drained:
		if !s.InForce {
			return s, s.refuse(e) // somebody may be served by the canary again
		}
		next, err := s.rollbackStage(e, backDrain, backCleanup)
		if err == nil && e.Leave {
			next.Doing = StageLeave
			next = next.turned()
		}
		return next, err
	case CleanedUp:
		if s.Doing == StageLeave && !s.Out {
			return s, s.refuse(e)
		}
		return s.rollbackStage(e, backCleanup, backDone)
	case Ended:
		return s.ended(e)
	default:
		return s.foldOn(e)
	}
}

// foldOn folds the events of a release that goes on, or stands still.
func (s State) foldOn(e Event) (State, error) {
	switch e := e.(type) {
	case Started:
		return s, s.refuse(e)
	case StepEntered:
		return s.entered(e)
	case InForce:
		return s.inForce(e)
	case NotInForce:
		return s.notInForce(e)
	case Drifted:
		s.Drifts = append(s.Drifts, e.At)
		s.Drifts = s.Drifts[max(0, len(s.Drifts)-driftLimit):]
		return s, nil
	case LookTaken:
		return s.lookTaken(e)
	case AlarmDismissed:
		if s.Phase != Active || !s.Alarm {
			return s, s.refuse(e)
		}
		s.Dismissed = true
		return s, nil
	case GateAnswered:
		return s.gateAnswered(e)
	case WebhookAnswered:
		if s.Phase != Active || e.Step != s.Step || s.Webhook != nil {
			return s, s.refuse(e)
		}
		s.Webhook = &e
		return s, nil
	case JobSucceeded:
		return s.jobEnded(e, e.Step, "")
	case JobFailed:
		return s.jobEnded(e, e.Step, orElse(e.Why, "no reason is known"))
	case DeploymentReady:
		return s.worked(e, e.Work, nil)
	case DeploymentFailed:
		return s.worked(e, e.Work, append([]string{}, e.Why...))
	case DeadlinePassed:
		return s.deadlinePassed(e)
	case Paused:
		if s.Phase != Active || s.Pause != nil {
			return s, s.refuse(e)
		}
		s.Pause = &e
		return s, nil
	case Resumed:
		if s.Phase != Active || s.Pause == nil {
			return s, s.refuse(e)
		}
		return s.unpaused(e.At), nil
	case RollbackRequested, CancelRequested, Superseded, SuccessorCancelled, Drained, CleanedUp, Ended: // folded by fold
	}
	panic(fmt.Sprintf("rollout: event %T is not folded", e))
}

// refuse says that the state does not take an event.
func (s State) refuse(e Event) error {
	where := string(s.Phase)
	if s.StepName != "" && s.Phase == Active {
		where += " at step " + s.StepName
	}
	return fmt.Errorf("%w: %s while %s", ErrNotAllowed, Kind(e), where)
}

func started(e Started) State {
	return State{
		Rollout: e.Rollout, Revision: e.Revision, Parameters: maps.Clone(e.Parameters), Key: e.Key,
		StartedBy: e.By, StartedAt: e.At, Swapped: e.Swapped, Phase: Active,
		Step: -1, GrayStep: -1, CohortStep: -1, StepAt: e.At, StageAt: e.At, Turn: 1,
	}
}

func (s State) entered(e StepEntered) (State, error) {
	forward := e.Step == s.Step+1 && e.Stage == 0 || e.Step == s.Step && e.Stage == s.Stage+1
	if p := s.Pending; p != nil && !forward {
		forward = e.Step == p.Step && e.Stage == p.Stage && !e.Prepare && s.WorkReady
	}
	if s.Phase != Active || s.Pause != nil || !forward {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if e.Step != s.Step {
		s.StepAt, s.DecideFrom = now, time.Time{}
	}
	s.Step, s.Stage, s.StepName, s.StageAt = e.Step, e.Stage, e.Name, now
	s.Gate = ""
	s.Told, s.Webhook, s.Job, s.Question, s.Decided, s.Pending = nil, nil, nil, nil, false, nil
	if e.Prepare {
		s.Pending, s.Worked, s.Touched = &e, true, true
		return s.working(), nil
	}
	return s.moved(e)
}

// moved does what entering a stage does to traffic and Deployments.
func (s State) moved(e StepEntered) (State, error) {
	turn, served := s.Turn, s.served()
	s, err := s.heads(e)
	if s.Turn != turn && served.Scope != "" {
		s.Served = &served
	}
	return s, err
}

// heads turns traffic and Deployments to what a stage is about.
func (s State) heads(e StepEntered) (State, error) {
	if e.What != StageGate && e.What != StageStill && e.What != StageDeploy {
		s.Doing = e.What
	}
	switch e.What {
	case StageAB:
		s.Moved, s.CohortStep, s.CohortGoes, s.Scope = true, e.Step, false, e.Scope
		return s.turned(), nil
	case StageGray:
		s.Moved, s.GrayStep, s.GrayStage, s.Scope = true, e.Step, e.Stage, e.Scope
		s.CohortGoes = s.CohortStep >= 0 && !e.KeepCohort
		return s.turned(), nil
	case StagePromote:
		// Both arms are, or are about to be, one version: there is nothing left to compare.
		s.Moved, s.Promoting, s.Promotion, s.Scope = true, true, e.Stage, ""
		s.CohortStep, s.CohortGoes = -1, false
		s.Exchanged = e.Stage == 1
		return s.turned(), nil
	case StageDeploy:
		s.Touched = true
		return s.working(), nil
	case StagePatch, StageAwait:
		s.Promoting, s.Promotion, s.Scope, s.Served = true, e.Stage, "", nil
		s.Patched = s.Patched || e.What == StagePatch
		s.Touched = true
		if s = s.working(); s.CohortStep >= 0 {
			s.CohortStep, s.CohortGoes = -1, false
			s = s.turned()
		}
		return s, nil
	case StageReturn, StageLeave:
		s.Promotion = e.Stage
		return s.turned(), nil
	case StageGate:
		s.Gate = e.Name
		return s, nil
	case StageStill:
		return s, nil
	}
	return s, fmt.Errorf("%w: unknown stage %q", ErrNotAllowed, e.What)
}

// working begins a new target of the Deployments: nothing is known of it yet.
func (s State) working() State {
	s.Work++
	s.WorkReady, s.WorkFailed = false, nil
	return s
}

// worked takes what is known of the Deployments; failed is nil if they are ready.
func (s State) worked(e Event, work int, failed []string) (State, error) {
	if work != s.Work || work == 0 || failed == nil && s.WorkReady {
		return s, s.refuse(e)
	}
	s.WorkReady, s.WorkFailed = failed == nil, failed
	if s.Phase == RollingBack && s.Stage == backRestore {
		// Stable is whole again, or cannot be made so: the canary's traffic goes back to it either way.
		return s.toStable(s.Clock(e.Head().At)), nil
	}
	return s, nil
}

func (s State) jobEnded(e Event, step int, why string) (State, error) {
	if s.Phase != Active || step != s.Step || s.Job != nil {
		return s, s.refuse(e)
	}
	s.Job = &JobEnded{Why: why}
	return s, nil
}

// turned begins a new target of traffic: nothing is known of it yet, and what was seen before counts for nothing.
func (s State) turned() State {
	s.Turn++
	s.InForce, s.InForceHow, s.ForceFor, s.InForceSince = false, "", 0, time.Time{}
	s.UnconfirmedAt, s.NotInForceWhy = time.Time{}, nil
	s.Look, s.Alarm, s.Dismissed = nil, false, false
	s.NoDataSince, s.UnreachableSince = time.Time{}, time.Time{}
	return s
}

func (s State) inForce(e InForce) (State, error) {
	if e.Turn != s.Turn || s.InForce {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	s.InForce, s.InForceHow, s.InForceSince = true, e.How, now
	s.UnconfirmedAt, s.NotInForceWhy, s.Served = time.Time{}, nil, nil
	if s.Moved && s.ExposedAt.IsZero() {
		s.ExposedAt = e.At
	}
	switch {
	case s.Phase == RollingBack && s.Stage == backTraffic:
		s.Stage, s.StageAt = backDrain, now
	case s.Doing == StageLeave && !s.Out && (s.Phase == Active || s.Stage == backCleanup):
		s.Out = true // now its replicas may go
		s = s.working()
	case s.CohortGoes:
		s.CohortStep, s.CohortGoes = -1, false
		s = s.turned()
	}
	return s, nil
}

func (s State) notInForce(e NotInForce) (State, error) {
	if e.Turn != s.Turn {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if s.InForce {
		s.ForceFor += max(0, now.Sub(s.InForceSince))
		s.InForce = false
	}
	s.NotInForceWhy = slices.Clone(e.Why)
	if e.Unconfirmed || e.Written {
		s.Served = nil // whatever can be asked says that it is on its way to the users
	}
	switch {
	case !e.Unconfirmed:
		s.UnconfirmedAt = time.Time{}
	case s.UnconfirmedAt.IsZero():
		s.UnconfirmedAt = now
	}
	return s, nil
}

// lookTaken takes a look at what is served. A fail of an earlier turn of the same evidence counts as well: it outranks an
// advance that was decided meanwhile.
func (s State) lookTaken(e LookTaken) (State, error) {
	v, now := e.Verdict, s.Clock(e.At)
	if !s.Watches(e.Scope) || e.Turn != s.Turn && (e.Turn > s.Turn || v.Outcome != judge.Fail) {
		return s, s.refuse(e)
	}
	v.Enough = v.Enough && e.Scope == s.Scope // enough for what was before is none for what comes
	s.Look, s.LastVerdict = &v, &v
	s.Alarm = alarm(&v)
	s.Dismissed = s.Dismissed && s.Alarm
	s.NoDataSince = since(s.NoDataSince, v.Reason == judge.NoData, now)
	s.UnreachableSince = since(s.UnreachableSince, v.Reason == judge.Unreachable, now)
	if q := s.Question; q != nil && (q.About == NoDataFor && s.NoDataSince.IsZero() || q.About == UnreachableFor && s.UnreachableSince.IsZero()) {
		s.Question = nil // the data is back: there is nothing to ask any more
	}
	if s.NoDataSince.IsZero() {
		s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == NoDataFor })
	}
	if s.UnreachableSince.IsZero() {
		s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == UnreachableFor })
	}
	if v.Outcome == judge.Fail {
		return s.back(e, "the canary is worse: "+v.Decisive, RolledBack)
	}
	return s, nil
}

// News tells whether a verdict says something that last, that of the newest event of this target, did not; last is nil
// where there is none. What a warm-up shows is none; nor is what a look shows that is unsettled, unless it fails or there
// is nothing to be seen.
func News(last *judge.Verdict, v judge.Verdict, unsettled bool) bool {
	blind := v.Reason == judge.NoData || v.Reason == judge.Unreachable
	if v.Reason == judge.WarmingUp || unsettled && v.Outcome != judge.Fail && !blind {
		return false
	}
	return last == nil || last.Outcome != v.Outcome || last.Reason != v.Reason || last.Enough != v.Enough || alarm(last) != alarm(&v)
}

func alarm(v *judge.Verdict) bool { return v.SampleRatio != nil && v.SampleRatio.Alarm }

// since keeps the beginning of a condition for as long as it lasts.
func since(began time.Time, holds bool, now time.Time) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case began.IsZero():
		return now
	}
	return began
}

func (s State) gateAnswered(e GateAnswered) (State, error) {
	if a, ok := s.Answered[e.Gate]; ok {
		return s, &AnsweredError{Gate: e.Gate, By: a.By, At: a.At, Answer: a.Answer}
	}
	question := s.Question != nil && s.Question.Name == e.Gate
	if s.Phase != Active || !question && (e.Gate == "" || e.Gate != s.Gate) {
		return s, s.refuse(e)
	}
	if s.Answered == nil {
		s.Answered = map[string]GateAnswered{}
	}
	switch e.Answer {
	case Reject:
		s.Answered[e.Gate] = e
		return s.back(e, "gate "+e.Gate+" was rejected: "+orNone(e.Reason), RolledBack)
	case Approve:
		s.Answered[e.Gate] = e
		if question {
			// "Go on" also gives the weights to come their time: the step's is over.
			s.Question, s.Decided, s.DecideFrom = nil, true, s.Clock(e.At)
		}
		return s, nil
	case KeepWaiting:
		if !question {
			return s, fmt.Errorf("%w: a gate takes approve or reject, not wait", ErrNotAllowed)
		}
		s.Answered[e.Gate] = e
		return s.waitAgain(s.Clock(e.At)), nil
	}
	return s, fmt.Errorf("%w: unknown answer %q", ErrNotAllowed, e.Answer)
}

// waitAgain gives what the question was about its whole time once more.
func (s State) waitAgain(now time.Time) State {
	about := s.Question.About
	s.Question = nil
	s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == about })
	switch about {
	case DecideMax, PromoteMax:
		s.DecideFrom = now
	case NoDataFor:
		s.NoDataSince = now
	case UnreachableFor:
		s.UnreachableSince = now
	case GateExpired:
	}
	return s
}

func (s State) deadlinePassed(e DeadlinePassed) (State, error) {
	if s.Phase != Active || s.Pause != nil || slices.Contains(s.Told, e.Which) {
		return s, s.refuse(e)
	}
	s.Told = append(s.Told, e.Which)
	why := "time was over (" + string(e.Which) + ")"
	switch e.Then {
	case PolicyHold:
		return s, nil
	case PolicyGate:
		s.Questions++
		s.Question = &Question{Name: fmt.Sprintf("%s.%s.%d", s.StepName, e.Which, s.Questions), About: e.Which, Since: e.At}
		return s, nil
	case PolicyRollback:
		return s.back(e, why, RolledBack)
	case PolicyCancel:
		return s.back(e, why, Cancelled)
	}
	return s, fmt.Errorf("%w: unknown policy %q", ErrNotAllowed, e.Then)
}

// back turns the release towards stable. A release of which no traffic has moved has nothing to go back from: it
// is cancelled, by Next, without a rollback.
func (s State) back(e Event, why string, outcome Outcome) (State, error) {
	if s.Phase != Active {
		return s, s.refuse(e)
	}
	s = s.unpaused(e.Head().At)
	if outcome == Cancelled && s.Moved {
		outcome = RolledBack
	}
	if outcome == RolledBack && !s.Moved {
		outcome = Cancelled
	}
	now := s.Clock(e.Head().At)
	s.Phase, s.StageAt, s.BackAt = RollingBack, now, now
	s.Why, s.WhyBy, s.Outcome = why, e.Head().By, outcome
	s.Scope, s.Served, s.Gate, s.Question, s.Webhook, s.Told = "", nil, "", nil, nil, nil // whether a Job has ended is kept
	s.Pending = nil
	switch {
	case !s.Moved && !s.Touched:
		s.Stage = backDone
		s.Doing = ""
		return s, nil
	case s.Doing == StagePatch && len(s.WorkFailed) > 0:
		s.Stage = backRestore
		return s.working(), nil
	}
	look := s.Look
	s = s.toStable(now)
	s.Look = look
	return s, nil
}

// toStable begins a rollback's first target: all traffic on stable.
func (s State) toStable(now time.Time) State {
	s.Stage, s.StageAt = backTraffic, now
	s.Exchanged, s.Promoting, s.Promotion = false, false, 0
	s.CohortStep, s.CohortGoes, s.GrayStep, s.GrayStage = -1, false, -1, 0
	if s.Doing != StageLeave {
		s.Doing = "" // a canary that has left already does not come back
	}
	s.Out = false
	if s.Touched {
		s = s.working()
	}
	return s.turned()
}

// ended takes the one end that each way has: released with the roles exchanged and all of it in force, what the
// rollback was begun for, or failed while going back.
func (s State) ended(e Ended) (State, error) {
	released := s.Phase == Active && s.Pause == nil && e.Outcome == Released && (s.Exchanged || s.Out) && s.InForce
	back := s.Phase == RollingBack && (e.Outcome == Failed || s.Stage == backDone && e.Outcome == s.Outcome)
	if !released && !back {
		return s, s.refuse(e)
	}
	s.Phase, s.Outcome, s.EndedAt = PhaseEnded, e.Outcome, e.At
	s.Why, s.WhyBy = e.Why, orElse(s.WhyBy, e.By)
	s.Scope, s.Served, s.Question = "", nil, nil
	return s, nil
}

func (s State) rollbackStage(e Event, from, to int) (State, error) {
	if s.Phase != RollingBack || s.Stage != from {
		return s, s.refuse(e)
	}
	s.Stage, s.StageAt = to, s.Clock(e.Head().At)
	return s, nil
}

// unpaused lets the release's own time go on.
func (s State) unpaused(at time.Time) State {
	if s.Pause != nil {
		s.PausedFor += max(0, at.Sub(s.Pause.At))
		s.Pause = nil
	}
	return s
}

func orNone(reason string) string { return orElse(reason, "no reason given") }

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
