package rollout

import (
	"cmp"
	"time"
)

// back turns the release towards stable. A release that has moved no traffic has nothing to go back from: Next ends it as
// cancelled, without a rollback.
func (s State) back(e Event, why string, outcome Outcome) (State, error) {
	if s.Phase != Active {
		return s, s.refuse(e)
	}
	s = s.unpaused(e.Head().At)
	switch served := s.Moved || s.Patched; { // users may have been served by the new version
	case outcome == Cancelled && served:
		outcome = RolledBack
	case outcome == RolledBack && !served && !s.Reached:
		outcome = Cancelled
	}
	now := s.Clock(e.Head().At)
	s.Phase, s.StageAt, s.BackAt = RollingBack, now, now
	s.Why, s.WhyBy, s.Outcome = why, e.Head().By, outcome
	s.Scope, s.Served, s.Gate, s.Question, s.Later, s.Webhook, s.Told = "", nil, "", nil, nil, nil, nil // Job is kept: the end says what became of it
	s.Pending, s.Hurry = nil, nil
	s = s.unawaited().unwatched()
	switch {
	case !s.Moved && !s.Reached && s.Work == 0:
		s.Back = BackDone
		s.Doing = ""
		return s, nil
	case s.Doing == StagePatch && len(s.WorkFailed) > 0:
		s.Back = BackRestore
		return s.working(), nil
	}
	look := s.Look
	s = s.toStable(now)
	s.Look = look
	return s, nil
}

// toStable begins a rollback's first target: all traffic on stable.
func (s State) toStable(now time.Time) State {
	s.Back, s.StageAt = BackTraffic, now
	s.Exchanged = false
	s.CohortStep, s.CohortGoes, s.GrayStep, s.GrayStage = -1, false, -1, 0
	if s.Doing != StageLeave {
		s.Doing = "" // a canary that has left already stays out
	}
	s.Out, s.Previewed = false, false
	if s.Work > 0 {
		s = s.working()
	}
	return s.turned()
}

// ended accepts the one end that each way has: released, with the promotion in force; the outcome that the rollback was
// begun for; or failed while going back.
func (s State) ended(e Ended) (State, error) {
	released := s.Phase == Active && s.Pause == nil && e.Outcome == Released && (s.Exchanged || s.Out) && s.InForce
	back := s.Phase == RollingBack && (e.Outcome == Failed || s.Back == BackDone && (e.Outcome == s.Outcome || s.saidCancelled(e)))
	if !released && !back {
		return s, s.refuse(e)
	}
	s.Phase, s.Outcome, s.EndedAt = PhaseEnded, e.Outcome, e.At
	s.Why, s.WhyBy = e.Why, cmp.Or(s.WhyBy, e.By)
	s = s.unwatched()
	s.Scope, s.Served, s.Question, s.Later = "", nil, nil, nil
	return s, nil
}

// saidCancelled accepts what earlier versions stored: cancelled, although stable's Deployment had been changed.
func (s State) saidCancelled(e Ended) bool {
	return e.Outcome == Cancelled && s.Outcome == RolledBack && s.Patched && !s.Moved
}

func (s State) rollbackStage(e Event, from, to BackStage) (State, error) {
	if s.Phase != RollingBack || s.Back != from {
		return s, s.refuse(e)
	}
	s.Back, s.StageAt = to, s.Clock(e.Head().At)
	return s, nil
}

// unpaused restarts the release's own clock.
func (s State) unpaused(at time.Time) State {
	if s.Pause != nil {
		s = s.pausedAwaiting(s.Pause.At, at)
		s.PausedFor += max(0, at.Sub(s.Pause.At))
		s.Pause = nil
	}
	return s
}
