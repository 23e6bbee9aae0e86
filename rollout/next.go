package rollout

import (
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
)

// Serin is the author of events that the state machine decides.
const Serin = "serin"

// Next returns the event that follows from the state at the given time: the next step or weight, a deadline, the end.
// ok is false when there is none. The event's head has the next Seq, the time and the author.
//
// It returns one event at a time: apply it, and call Next again.
func (s State) Next(d *Definition, now time.Time) (e Event, ok bool) {
	e, _ = s.decide(d, now)
	if e == nil {
		return nil, false
	}
	return e.With(Meta{Seq: s.Seq + 1, At: now, By: Serin}), true
}

// Deadline returns the next time after now at which Next has to be called even if nothing has happened; ok is false if
// there is none. Next may still return no event then.
func (s State) Deadline(d *Definition, now time.Time) (at time.Time, ok bool) {
	_, wake := s.decide(d, now)
	return wake.Add(s.PausedFor), !wake.IsZero()
}

// timer compares release times with now and records the earliest one in the future.
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
	case s.Phase == Active:
		return s.broken(d), time.Time{} // timers stop; failures do not
	}
	return nil, time.Time{}
}

// broken sends the release back, paused or not, if something that it needs has failed for good.
func (s State) broken(d *Definition) Event {
	if d.Cluster != nil && !s.Out && len(s.WorkFailed) > 0 && !s.onOld(d) {
		return RollbackRequested{Reason: strings.Join(s.WorkFailed, "; ")}
	}
	if step := s.at(d); step != nil {
		return step.broken(s)
	}
	return nil
}

// at is the current step; nil before the first one.
func (s State) at(d *Definition) Step {
	if s.Step < 0 || s.Step >= len(d.Steps) {
		return nil
	}
	return d.Steps[s.Step]
}

func (s State) nextBack(d *Definition, t *timer) Event {
	if s.Back == BackDone {
		return Ended{Outcome: s.Outcome, Why: s.Why + s.LeftBehind(d), Swapped: s.Swapped}
	}
	if t.passed(s.BackAt.Add(d.Rollback.Deadline)) {
		return Ended{Outcome: Failed, Swapped: s.Swapped, Why: s.Why + s.LeftBehind(d) + "; going back was not finished in time, " + s.unfinished()}
	}
	switch s.Back {
	case BackRestore:
		if t.passed(s.StageAt.Add(d.Cluster.Deadline)) {
			return DeploymentFailed{Work: s.Work, Why: []string{"stable is not what it was after " + figures.Span(d.Cluster.Deadline)}}
		}
	case BackTraffic:
		return s.trusted(d, t)
	case BackDrain:
		if e := s.trusted(d, t); e != nil {
			return e
		}
		// While an external writer has taken it out of force, the canary keeps everything it needs to serve.
		if s.InForce && t.passed(s.StageAt.Add(s.drain(d))) {
			return Drained{Leave: d.Cluster != nil}
		}
	case BackCleanup:
		if e := s.trusted(d, t); e != nil {
			return e
		}
		if len(d.Rollback.Steps) == 0 && s.putBack(d) {
			return CleanedUp{}
		}
	case BackDone: // its end is above
	}
	return nil
}

// drain is how long the canary keeps what it needs to serve after traffic has left it. A replica of the gateway that
// did not answer may not know that yet: so the canary stays for as long as a write may take to be confirmed.
func (s State) drain(d *Definition) time.Duration {
	if len(s.Silent) > 0 {
		return max(d.Rollback.Drain, d.Verify.For)
	}
	return d.Rollback.Drain
}

func (s State) unfinished() string {
	switch {
	case s.Back == BackRestore:
		return "stable's Deployment is not what it was, and traffic waited for that"
	case !s.InForce:
		return "stable at 100% is written but no replica of the gateway confirms it"
	}
	return "traffic is on stable, cleaning up is not done"
}

func (s State) nextActive(d *Definition, t *timer) Event {
	if s.Step < 0 {
		return s.enter(d, t, 0, 0)
	}
	if e := s.trusted(d, t); e != nil {
		return e
	}
	for _, due := range s.lacksDue(d) {
		if e := s.passed(t, due); e != nil && !s.hurries() {
			return e
		}
	}
	if e := s.broken(d); e != nil {
		return e
	}
	if e := s.lateWork(d, t); e != nil {
		return e
	}
	if s.Pending != nil {
		if !s.WorkReady {
			return nil
		}
		if said, closed := s.awaits(d, t); closed {
			return said
		}
		return s.stage(d, s.Step, s.Stage)
	}
	return d.Steps[s.Step].next(s, d, t)
}

// goOn is the event after a step that is not analysed. Nothing is promoted while the evidence leans towards worse; the
// last analysed step determines how long that may last, and what happens then.
func (s State) goOn(d *Definition, t *timer) Event {
	if s.leansBefore(d) {
		decide := s.decideBefore(d)
		return s.passed(t, Due{DecideMax, s.decideFrom(), decide.Max, decide.Inconclusive})
	}
	return s.enter(d, t, s.Step+1, 0)
}

// hurries reports whether a person's permission to go on without waiting applies now. A gate cannot be skipped, so
// permission given there applies once the gate is answered.
func (s State) hurries() bool { return s.Hurry != nil && !s.atGate() }

// leansBefore reports whether promote is next while the evidence leans towards worse.
func (s State) leansBefore(d *Definition) bool {
	if s.Step+1 >= len(d.Steps) || !s.leans() || s.Decided || s.Hurry != nil {
		return false
	}
	return promotes(d.Steps[s.Step+1])
}

// decideBefore is how the last analysed step is decided.
func (s State) decideBefore(d *Definition) Decide {
	for i := s.Step; i >= 0; i-- {
		if stages := d.Steps[i].stages(); len(stages) > 0 {
			return stages[0].Decide
		}
	}
	return Decide{}
}

// lateWork reports Deployments that are not ready in time.
func (s State) lateWork(d *Definition, t *timer) Event {
	if d.Cluster == nil || s.Out || len(s.WorkFailed) > 0 {
		return nil
	}
	long := d.Steps[s.Step].ready(s)
	if s.Pending != nil {
		long = d.Cluster.Deadline
	}
	if s.WorkReady || long == 0 || !t.passed(s.StageAt.Add(long)) {
		return nil
	}
	return DeploymentFailed{Work: s.Work, Why: []string{"not ready after " + figures.Span(long)}}
}

// forcedAt is the release time at which the target will have been in force for long.
func (s State) forcedAt(long time.Duration) time.Time { return s.InForceSince.Add(long - s.ForceFor) }

// passes reports whether the last look in this stage says pass, on enough data at this weight, or a human has said "go
// on". Evidence carries over from weight to weight, so a pass alone may rest on earlier weights.
func (s State) passes() bool {
	return s.Decided || s.Look != nil && s.Look.Outcome == judge.Pass && s.Look.Enough
}

// noFail reports whether, on enough data, nothing speaks against the canary. A look without data or without an answer
// does not count.
func (s State) noFail() bool {
	if s.passes() {
		return true
	}
	return s.Look != nil && s.Look.Outcome == judge.Inconclusive && s.Look.Enough &&
		s.Look.Reason != judge.NoData && s.Look.Reason != judge.Unreachable && s.Look.Reason != judge.WarmingUp
}

// leans reports whether the evidence leans towards worse: far from a fail, but a reason not to give it more traffic.
func (s State) leans() bool { return s.Look != nil && s.Look.Leaning }

// contested is how long the gateway's configuration has to stay free of external changes before the release goes on.
func (s State) contested(t *timer) time.Duration {
	if len(s.Drifts) < driftLimit {
		return 0
	}
	first, last := s.Drifts[0], s.Drifts[len(s.Drifts)-1]
	calm := last.Add(driftWindow - s.PausedFor)
	if last.Sub(first) > driftWindow || t.passed(calm) {
		return 0
	}
	return calm.Sub(t.now)
}

// Contested reports whether the release holds because an external writer keeps changing the gateway's configuration.
func (s State) Contested(now time.Time) bool {
	return s.contested(&timer{now: s.Clock(now)}) > 0
}

// analysed is the event that follows at an analysed stage: the next stage, once nothing holds this one.
func (s State) analysed(d *Definition, t *timer, stages []Stage) Event {
	stage := stages[s.Stage]
	if len(s.held(t, stage)) == 0 {
		if s.Stage+1 < len(stages) {
			return s.enter(d, t, s.Step, s.Stage+1)
		}
		return s.enter(d, t, s.Step+1, 0)
	}
	if due, ok := s.undecided(stage.Decide); ok {
		return s.passed(t, due)
	}
	return nil
}

// trusted puts a written target in force that no replica confirms, if the definition allows it.
func (s State) trusted(d *Definition, t *timer) Event {
	if s.InForce || s.UnconfirmedAt.IsZero() || !d.Verify.Trust || !t.passed(s.UnconfirmedAt.Add(d.Verify.For)) {
		return nil
	}
	return InForce{Turn: s.Turn, How: "trusted"}
}

// enter is the event that moves to a step and stage, or the end after the last step; nil while the released version is
// not served yet, and while nothing may be entered.
func (s State) enter(d *Definition, t *timer, step, stage int) Event {
	if step == len(d.Steps) {
		if !s.InForce {
			return nil
		}
		return Ended{Outcome: Released, Why: "every step is done", Swapped: s.SwappedNow()}
	}
	if said, closed := s.awaits(d, t); closed {
		return said
	}
	e := s.stage(d, step, stage)
	e.Prepare = d.Cluster != nil && (e.What == StageAB || e.What == StageGray || e.What == StageMirror || e.What == StagePreview)
	return e
}

// stage is the event that enters a stage without preparing capacity.
func (s State) stage(d *Definition, step, stage int) StepEntered {
	to := d.Steps[step]
	e := StepEntered{Step: step, Stage: stage, Name: to.StepName(), What: StageStill}
	to.enter(d, &e)
	return e
}
