package rollout

import (
	"fmt"
	"slices"
	"time"
)

func (s State) entered(e StepEntered) (State, error) {
	p := s.Pending
	forward := e.Step == s.Step+1 && e.Stage == 0 || e.Step == s.Step && e.Stage == s.Stage+1
	if p != nil && !forward {
		forward = e.Step == p.Step && e.Stage == p.Stage && !e.Prepare && s.WorkReady
	}
	if s.Phase != Active || s.Pause != nil || !forward || s.atGate() {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if s = s.unwatched().waited(now); e.Step != s.Step {
		s.StepAt, s.DecideFrom = now, time.Time{}
	}
	s.Step, s.Stage, s.StepName, s.StageAt = e.Step, e.Stage, e.Name, now
	s.Gate = ""
	s.Webhook, s.Job, s.Decided, s.Pending = nil, nil, false, nil
	prepared := p != nil && !e.Prepare // the stage that the person's permission was about
	if s.Hurry != nil && (!s.Hurry.Full && !prepared || e.What == StageGate) {
		s.Hurry = nil
	}
	for _, about := range []Deadline{GateExpired, DecideMax, PromoteMax} { // a lack of data outlasts the stage
		s = s.over(about)
	}
	if e.Prepare {
		s.Pending, s.Worked = &e, true
		return s.working(), nil
	}
	return s.moved(e)
}

// moved changes traffic and Deployments for the entry of a stage, and records what users are still served.
func (s State) moved(e StepEntered) (State, error) {
	turn, served := s.Turn, s.served()
	s, err := s.heads(e)
	if s.Turn != turn && served.Scope != "" {
		s.Served = &served
	}
	return s, err
}

// heads sets the targets of traffic and Deployments for a stage.
func (s State) heads(e StepEntered) (State, error) {
	copies := s.Doing == StageMirror
	switch e.What {
	case StageGate, StageStill, StageDeploy, StageWatch, StagePreview:
	default:
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
	case StageMirror:
		s.Reached, s.Scope = true, e.Scope
		return s.turned(), nil
	case StagePreview:
		s.Reached, s.Previewed = true, true
		return s.redirected(), nil
	case StagePromote:
		// Both arms are, or are about to be, the same version: there is nothing left to compare.
		s.Moved, s.Scope, s.Previewed = true, "", false
		s.CohortStep, s.CohortGoes = -1, false
		s.Exchanged = e.Stage == 1
		return s.turned(), nil
	case StageDeploy:
		return s.working(), nil
	case StagePatch, StageAwait:
		s.Scope, s.Served = "", nil
		s.Patched = s.Patched || e.What == StagePatch
		if s = s.working(); s.CohortStep >= 0 || s.Previewed || copies {
			s.CohortStep, s.CohortGoes, s.Previewed = -1, false, false
			s = s.turned()
		}
		return s, nil
	case StageReturn, StageLeave:
		return s.turned(), nil
	case StageGate:
		s.Gate = e.Name
		return s, nil
	case StageWatch:
		return s.watched(e), nil
	case StageStill:
		return s, nil
	}
	return s, fmt.Errorf("%w: unknown stage %q", ErrNotAllowed, e.What)
}

// working begins a new target of the Deployments; nothing is known about it yet.
func (s State) working() State {
	s.Work++
	s.WorkReady, s.WorkFailed = false, nil
	return s
}

// worked records how far the Deployments have come; failed is nil if they are ready.
func (s State) worked(e Event, work int, failed []string) (State, error) {
	if work != s.Work || work == 0 || failed == nil && s.WorkReady {
		return s, s.refuse(e)
	}
	s.WorkReady, s.WorkFailed = failed == nil, failed
	if s.Phase == RollingBack && s.Back == BackRestore {
		// Whether or not stable could be restored, the canary's traffic now goes back to it.
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

// turned begins a new target of traffic; nothing is known about it yet, and earlier observations do not count.
func (s State) turned() State {
	s = s.redirected()
	s.Look, s.Alarm, s.Dismissed = nil, false, false
	return s.lacking(nil)
}

// redirected begins a new target of traffic in which both arms keep their users: earlier looks still hold, so that no
// canary is promoted that leaned towards worse a moment ago.
func (s State) redirected() State {
	s.Turn++
	s.InForce, s.InForceHow, s.ForceFor, s.InForceSince = false, "", 0, time.Time{}
	s.UnconfirmedAt, s.NotInForceWhy = time.Time{}, nil
	return s
}

func (s State) inForce(e InForce) (State, error) {
	if e.Turn != s.Turn || s.InForce {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	s.InForce, s.InForceHow, s.InForceSince, s.Silent = true, e.How, now, slices.Clone(e.Silent)
	s.UnconfirmedAt, s.NotInForceWhy, s.Served = time.Time{}, nil, nil
	if (s.Moved || s.Doing == StageMirror) && s.ExposedAt.IsZero() {
		s.ExposedAt = e.At
	}
	switch {
	case s.Phase == RollingBack && s.Back == BackTraffic:
		s.Back, s.StageAt = BackDrain, now
	case s.Doing == StageLeave && !s.Out && (s.Phase == Active || s.Back == BackCleanup):
		s.Out = true // now its replicas may be removed
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
		s.Served = nil // it is written, so it is on its way to the users
	}
	switch {
	case !e.Unconfirmed:
		s.UnconfirmedAt = time.Time{}
	case s.UnconfirmedAt.IsZero():
		s.UnconfirmedAt = now
	}
	return s, nil
}
