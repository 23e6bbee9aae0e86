package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// driftLimit external changes within driftWindow mean that another writer keeps changing the configuration.
const (
	driftWindow = time.Minute
	driftLimit  = 3
)

// Apply folds one event into the state; e's time is the only time it knows. For an event that the state does not accept it
// returns the state unchanged, and an error that wraps [ErrNotAllowed] or is an [*AnsweredError].
//
// Apply decides nothing: every decision is an event of its own, from [State.Next]. So each version of the program folds a
// log to the same state, even if it would decide differently.
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

// clone copies what fold changes in place, so that the old state stays valid.
func (s State) clone() State {
	s.Told = slices.Clone(s.Told)
	s.Drifts = slices.Clone(s.Drifts)
	s.Answered = maps.Clone(s.Answered)
	s.Later, s.Lacks = slices.Clone(s.Later), slices.Clone(s.Lacks)
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
		if s.Watching() || s.Successor != nil {
			return s.followed(e)
		}
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
			return s, s.refuse(e) // the canary may be serving users again
		}
		next, err := s.rollbackStage(e, BackDrain, BackCleanup)
		if err == nil && e.Leave {
			next.Doing = StageLeave
			next = next.turned()
		}
		return next, err
	case CleanedUp:
		if s.Doing == StageLeave && !s.Out {
			return s, s.refuse(e)
		}
		return s.rollbackStage(e, BackCleanup, BackDone)
	case Ended:
		return s.ended(e)
	default:
		return s.foldOn(e)
	}
}

// foldOn folds the events of a release that goes on or is paused.
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
		return s.jobEnded(e, e.Step, cmp.Or(e.Why, "no reason is known"))
	case DeploymentReady:
		return s.worked(e, e.Work, nil)
	case DeploymentFailed:
		return s.worked(e, e.Work, append([]string{}, e.Why...))
	case DeadlinePassed:
		return s.deadlinePassed(e)
	case WindowAwaited:
		return s.windowAwaited(e)
	case Paused:
		if s.Phase != Active || s.Pause != nil {
			return s, s.refuse(e)
		}
		s.Pause = &e
		return s, nil
	case WentOn:
		return s.wentOn(e)
	case Resumed:
		if s.Phase != Active || s.Pause == nil {
			return s, s.refuse(e)
		}
		return s.unpaused(e.At), nil
	case RollbackRequested, CancelRequested, Superseded, SuccessorCancelled, Drained, CleanedUp, Ended: // folded by fold
	}
	panic(fmt.Sprintf("rollout: event %T is not folded", e))
}

// refuse is the error for an event that the state does not accept.
func (s State) refuse(e Event) error {
	where := string(s.Phase)
	if s.StepName != "" && s.Phase == Active {
		where += " at step " + s.StepName
	}
	return fmt.Errorf("%w: %s while %s", ErrNotAllowed, Kind(e), where)
}

func started(e Started) State {
	return State{
		Rollout: e.Rollout, Revision: e.Revision, Parameters: maps.Clone(e.Parameters), Key: e.Key, Undoes: e.Undoes,
		Retries: e.Retries, Done: slices.Clone(e.Done), Worse: e.Worse, Returns: e.Returns,
		StartedBy: e.By, StartedAt: e.At, Swapped: e.Swapped, Phase: Active,
		Step: -1, GrayStep: -1, CohortStep: -1, StepAt: e.At, StageAt: e.At, Turn: 1,
	}
}

func orNone(reason string) string { return cmp.Or(reason, "no reason given") }
