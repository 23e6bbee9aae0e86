package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
)

// Serin is the author of what follows by itself.
const Serin = "serin"

// Next is what follows from the state by itself at the given time: the next step or weight, a deadline, the end.
// ok is false when nothing does. The event's head has the time and the author; Seq is the next one.
//
// It returns one event at a time: apply it, and ask again.
func (s State) Next(d *Definition, now time.Time) (e Event, ok bool) {
	e, _ = s.decide(d, now)
	if e == nil {
		return nil, false
	}
	return e.With(Meta{Seq: s.Seq + 1, At: now, By: Serin}), true
}

// Deadline is the next time after now at which Next has to be asked again although nothing has happened; ok is
// false if there is none. Next may still have nothing to say then.
func (s State) Deadline(d *Definition, now time.Time) (at time.Time, ok bool) {
	_, wake := s.decide(d, now)
	return wake.Add(s.PausedFor), !wake.IsZero()
}

// timer compares release times with now and remembers the earliest that is still to come.
type timer struct{ now, wake time.Time }

func (t *timer) passed(at time.Time) bool {
	if !t.now.Before(at) {
		return true
	}
	if t.wake.IsZero() || at.Before(t.wake) {
		t.wake = at
	}
	return false
}

func (s State) decide(d *Definition, now time.Time) (Event, time.Time) {
	t := &timer{now: s.Clock(now)}
	switch {
	case s.Phase == RollingBack:
		return s.nextBack(d, t), t.wake
	case s.Phase == Active && s.Pause == nil:
		return s.nextActive(d, t), t.wake
	}
	return nil, time.Time{}
}

func (s State) nextBack(d *Definition, t *timer) Event {
	if s.Stage == backDone {
		return Ended{Outcome: s.Outcome, Why: s.Why + s.LeftBehind(d), Swapped: s.Swapped}
	}
	if t.passed(s.BackAt.Add(d.Rollback.Deadline)) {
		return Ended{Outcome: Failed, Swapped: s.Swapped, Why: s.Why + s.LeftBehind(d) + "; going back was not finished in time, " + s.unfinished()}
	}
	switch s.Stage {
	case backRestore:
		if t.passed(s.StageAt.Add(d.Cluster.Deadline)) {
			return DeploymentFailed{Work: s.Work, Why: []string{"stable is not what it was after " + figures.Span(d.Cluster.Deadline)}}
		}
	case backTraffic:
		return s.trusted(d, t)
	case backDrain:
		// Not in force any more: somebody else writes. Nothing is taken from the canary until it is again.
		if s.InForce && t.passed(s.StageAt.Add(d.Rollback.Drain)) {
			return Drained{Leave: d.Cluster != nil}
		}
	case backCleanup:
		if e := s.trusted(d, t); e != nil {
			return e
		}
		if len(d.Rollback.Steps) == 0 && s.putBack(d) {
			return CleanedUp{}
		}
	}
	return nil
}

func (s State) unfinished() string {
	if s.Stage == backTraffic || !s.InForce {
		return "stable at 100% is written but no replica of the gateway confirms it"
	}
	return "traffic is on stable, cleaning up is not done"
}

func (s State) nextActive(d *Definition, t *timer) Event {
	if s.Step < 0 {
		return s.enter(d, 0, 0)
	}
	if e := s.trusted(d, t); e != nil {
		return e
	}
	if e := s.outOfPatience(d, t); e != nil {
		return e
	}
	if e := s.lateWork(d, t); e != nil {
		return e
	}
	if s.Pending != nil {
		if s.WorkReady {
			return s.stage(d, s.Step, s.Stage)
		}
		return nil
	}
	switch step := d.Steps[s.Step].(type) {
	case AB:
		long := s.InForce && t.passed(s.forcedAt(step.Decide.Min))
		return s.analysed(d, t, step.Decide, long && s.passes() && s.steady(t))
	case Gray:
		long := s.InForce && t.passed(s.forcedAt(step.Hold))
		on := step.Decide.On == OnPass || step.Decide.On == "" && s.Stage == len(step.Weights)-1
		fine := on && s.passes() || !on && s.noFail()
		return s.analysed(d, t, step.Decide, long && fine && s.steady(t))
	case Gate:
		return s.gated(d, t, step)
	case Wait:
		if t.passed(s.StepAt.Add(step.For)) {
			return s.enter(d, s.Step+1, 0)
		}
	case Webhook:
		if s.Webhook == nil {
			return nil
		}
		if s.Webhook.OK || step.Ignore {
			return s.enter(d, s.Step+1, 0)
		}
		return RollbackRequested{Reason: "webhook " + step.Name + ": " + s.Webhook.Detail}
	case Job:
		return s.jobNext(d, t, step)
	case Deploy:
		if s.WorkReady {
			return s.enter(d, s.Step+1, 0)
		}
	case Promote:
		return s.promoteNext(d, t, step)
	}
	return nil
}

// jobGrace is what a Job's own deadline may be late by before the step gives up on hearing of it.
const jobGrace = time.Minute

func (s State) jobNext(d *Definition, t *timer, step Job) Event {
	switch {
	case s.Job == nil && t.passed(s.StepAt.Add(step.Deadline+jobGrace)):
		return JobFailed{Step: s.Step, Why: "nothing was heard of its end in " + figures.Span(step.Deadline+jobGrace)}
	case s.Job == nil:
		return nil
	case s.Job.Why != "":
		return RollbackRequested{Reason: "job " + step.Name + ": " + s.Job.Why}
	}
	return s.enter(d, s.Step+1, 0)
}

func (s State) promoteNext(d *Definition, t *timer, step Promote) Event {
	switch s.Doing {
	case StagePatch:
		if s.WorkReady {
			return s.enter(d, s.Step, 1)
		}
	case StageAwait:
		if s.WorkReady {
			return s.enter(d, s.Step, 1)
		}
		return s.deadline(t, PromoteMax, s.decideFrom().Add(step.Deadline), step.Expired)
	case StageReturn:
		if s.InForce && t.passed(s.forcedAt(d.Rollback.Drain)) {
			return s.enter(d, s.Step, 2)
		}
	case StageLeave:
		if s.Out && s.InForce && (s.WorkReady || t.passed(s.StageAt.Add(d.Cluster.Deadline))) {
			return s.enter(d, s.Step+1, 0)
		}
	default: // the sets of servers exchange their roles
		if s.InForce && s.Stage == 0 {
			return s.enter(d, s.Step, 1)
		}
		if s.InForce {
			return s.enter(d, s.Step+1, 0)
		}
	}
	return nil
}

// lateWork goes back where the Deployments have failed, or are not ready in time.
func (s State) lateWork(d *Definition, t *timer) Event {
	if d.Cluster == nil || s.Out {
		return nil
	}
	if len(s.WorkFailed) > 0 {
		return RollbackRequested{Reason: strings.Join(s.WorkFailed, "; ")}
	}
	at, long := s.StageAt, time.Duration(0)
	switch step := d.Steps[s.Step].(type) {
	case Deploy:
		long = step.Deadline
	case Promote:
		if s.Doing == StagePatch {
			long = step.Deadline
		}
	case AB, Gray:
		if s.Pending != nil {
			long = d.Cluster.Deadline
		}
	case Job, Gate, Wait, Webhook:
	}
	if s.WorkReady || long == 0 || !t.passed(at.Add(long)) {
		return nil
	}
	return DeploymentFailed{Work: s.Work, Why: []string{"not ready after " + figures.Span(long)}}
}

// forcedAt is the release time at which the target will have been in force for so long.
func (s State) forcedAt(long time.Duration) time.Time { return s.InForceSince.Add(long - s.ForceFor) }

// passes: the last look since this weight is in force says pass, on enough data at this weight, or a human said
// "go on". Evidence lasts over weights, so a pass alone may rest on the weights before.
func (s State) passes() bool {
	return s.Decided || s.Look != nil && s.Look.Outcome == judge.Pass && s.Look.Enough
}

// noFail: the last look says no fail on enough data. Without data, or without a source, nothing is "no fail".
func (s State) noFail() bool {
	if s.passes() {
		return true
	}
	return s.Look != nil && s.Look.Outcome == judge.Inconclusive && s.Look.Enough &&
		s.Look.Reason != judge.NoData && s.Look.Reason != judge.Unreachable && s.Look.Reason != judge.WarmingUp
}

// steady: no sample-ratio alarm that nobody has dismissed, and nobody else keeps writing the gateway's
// configuration.
func (s State) steady(t *timer) bool {
	if s.Alarm && !s.Dismissed {
		return false
	}
	if len(s.Drifts) < driftLimit {
		return true
	}
	first, last := s.Drifts[0], s.Drifts[len(s.Drifts)-1]
	return last.Sub(first) > driftWindow || t.passed(last.Add(driftWindow-s.PausedFor))
}

// Contested tells whether the release holds because somebody else keeps writing the gateway's configuration.
func (s State) Contested(now time.Time) bool {
	calm := s
	calm.Alarm = false
	return !calm.steady(&timer{now: s.Clock(now)})
}

func (s State) analysed(d *Definition, t *timer, decide Decide, ready bool) Event {
	if ready {
		if gray, ok := d.Steps[s.Step].(Gray); ok && s.Stage+1 < len(gray.Weights) {
			return s.enter(d, s.Step, s.Stage+1)
		}
		return s.enter(d, s.Step+1, 0)
	}
	from := s.StepAt
	if !s.DecideFrom.IsZero() {
		from = s.DecideFrom
	}
	if decide.Max > 0 && !s.Decided {
		return s.deadline(t, DecideMax, from.Add(decide.Max), decide.Inconclusive)
	}
	return nil
}

func (s State) gated(d *Definition, t *timer, g Gate) Event {
	if a, ok := s.Answered[g.Name]; ok && a.Answer == Approve {
		return s.enter(d, s.Step+1, 0)
	}
	if g.Expires == nil {
		return nil
	}
	return s.deadline(t, GateExpired, s.StepAt.Add(g.Expires.After), g.Expires.Then)
}

func (s State) outOfPatience(d *Definition, t *timer) Event {
	scope, ok := d.Scope(s.Scope)
	if !ok {
		return nil
	}
	if !s.NoDataSince.IsZero() {
		if e := s.deadline(t, NoDataFor, s.NoDataSince.Add(scope.NoData.For), scope.NoData.Then); e != nil {
			return e
		}
	}
	if !s.UnreachableSince.IsZero() {
		return s.deadline(t, UnreachableFor, s.UnreachableSince.Add(scope.Unreachable.For), scope.Unreachable.Then)
	}
	return nil
}

// deadline is the event of a time that is over, once.
func (s State) deadline(t *timer, which Deadline, at time.Time, then Policy) Event {
	if slices.Contains(s.Told, which) || !t.passed(at) {
		return nil
	}
	return DeadlinePassed{Which: which, Then: then}
}

// trusted puts a written target that nobody confirms in force, where the definition says so.
func (s State) trusted(d *Definition, t *timer) Event {
	if s.InForce || s.UnconfirmedAt.IsZero() || !d.Verify.Trust || !t.passed(s.UnconfirmedAt.Add(d.Verify.For)) {
		return nil
	}
	return InForce{Turn: s.Turn, How: "trusted"}
}

// enter is the event that moves to a step and stage, or the end after the last step.
func (s State) enter(d *Definition, step, stage int) Event {
	if step == len(d.Steps) {
		return Ended{Outcome: Released, Why: "every step is done", Swapped: s.Swapped != s.Exchanged}
	}
	e := s.stage(d, step, stage)
	e.Prepare = d.Cluster != nil && (e.What == StageAB || e.What == StageGray)
	return e
}

// stage is the event that enters a stage at once.
func (s State) stage(d *Definition, step, stage int) StepEntered {
	e := StepEntered{Step: step, Stage: stage, Name: d.Steps[step].StepName(), What: StageStill}
	switch to := d.Steps[step].(type) {
	case AB:
		e.What, e.Scope = StageAB, to.Scope
	case Gray:
		e.What, e.Scope, e.KeepCohort = StageGray, to.Scope, d.KeepCohort
	case Promote:
		e.What = promoteStage(to.Strategy, stage)
	case Gate:
		e.What = StageGate
	case Deploy:
		e.What = StageDeploy
	case Wait, Webhook, Job:
	}
	return e
}

// promoteStage is what a stage of promote does.
func promoteStage(strategy Strategy, stage int) StageKind {
	switch {
	case strategy == Exchange:
		return StagePromote
	case stage == 1:
		return StageReturn
	case stage == 2:
		return StageLeave
	case strategy == AwaitStable:
		return StageAwait
	}
	return StagePatch
}
