package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// over withdraws the questions about a condition that has ended, and lets its deadline act again.
func (s State) over(about Deadline) State {
	s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == about })
	s.Later = slices.DeleteFunc(s.Later, func(q Question) bool { return q.About == about })
	if s.Question != nil && s.Question.About == about {
		return s.nextQuestion()
	}
	return s
}

// nextQuestion replaces the open question with the one that was asked after it.
func (s State) nextQuestion() State {
	s.Question = nil
	if len(s.Later) > 0 {
		q := s.Later[0]
		s.Question, s.Later = &q, s.Later[1:]
	}
	return s
}

// asked finds an open question by its name.
func (s State) asked(name string) (Question, bool) {
	if s.Question != nil && s.Question.Name == name {
		return *s.Question, true
	}
	i := slices.IndexFunc(s.Later, func(q Question) bool { return q.Name == name })
	if i < 0 {
		return Question{}, false
	}
	return s.Later[i], true
}

// answered removes a question.
func (s State) answered(q Question) State {
	if s.Question != nil && s.Question.Name == q.Name {
		return s.nextQuestion()
	}
	s.Later = slices.DeleteFunc(s.Later, func(l Question) bool { return l.Name == q.Name })
	return s
}

// wentOn folds a person's permission to go on without waiting. At a gate only permission for everything that is left
// can be given; the gate itself is answered.
func (s State) wentOn(e WentOn) (State, error) {
	switch {
	case s.Phase != Active || s.Promoting() && !s.Watching():
		return s, s.refuse(e)
	case s.Pause != nil:
		return s, fmt.Errorf("%w: it is paused by %s: resume it first", ErrNotAllowed, s.Pause.By)
	case s.atGate() && !e.Full:
		return s, fmt.Errorf("%w: it waits at gate %s, which has to be answered", ErrNotAllowed, s.Gate)
	}
	e.Full = e.Full || s.Hurry != nil && s.Hurry.Full
	s.Hurry, s.EvenIfWorse = &e, s.EvenIfWorse || e.EvenIfWorse
	s.DecideFrom = s.Clock(e.At) // as the answer to a question, it gives the weights to come their time
	return s, nil
}

func (s State) gateAnswered(e GateAnswered) (State, error) {
	if a, ok := s.Answered[e.Gate]; ok {
		return s, &AnsweredError{Gate: e.Gate, By: a.By, At: a.At, Answer: a.Answer}
	}
	asked, question := s.asked(e.Gate)
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
			// "Go on" also gives the remaining weights their time: the step's own has passed.
			s = s.answered(asked)
			s.Decided, s.DecideFrom = true, s.Clock(e.At)
		}
		return s, nil
	case KeepWaiting:
		if question && asked.About == FoundWorse {
			return s, fmt.Errorf("%w: it was found worse: approve keeps it, reject takes it back", ErrNotAllowed)
		}
		if !question {
			return s, fmt.Errorf("%w: a gate takes approve or reject, not wait", ErrNotAllowed)
		}
		s.Answered[e.Gate] = e
		return s.answered(asked).waitAgain(asked.About, s.Clock(e.At)), nil
	}
	return s, fmt.Errorf("%w: unknown answer %q", ErrNotAllowed, e.Answer)
}

// waitAgain gives the condition of a question its full time again.
func (s State) waitAgain(about Deadline, now time.Time) State {
	s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == about })
	switch about {
	case DecideMax, PromoteMax:
		s.DecideFrom = now
	case NoDataFor:
		s.NoDataSince = s.again(judge.NoData, now)
	case UnreachableFor:
		s.UnreachableSince = s.again(judge.Unreachable, now)
	case BlindFor:
		s.BlindSince = now
	case GateExpired, FoundWorse:
	}
	return s
}

// again lets all lacks for a reason begin now.
func (s State) again(reason judge.Reason, now time.Time) time.Time {
	for i := range s.Lacks {
		if s.Lacks[i].Reason == reason {
			s.Lacks[i].Since = now
		}
	}
	return now
}

func (s State) deadlinePassed(e DeadlinePassed) (State, error) {
	again := slices.Contains(s.Told, e.Which)
	lack := e.Which == NoDataFor || e.Which == UnreachableFor // earlier versions repeated them at each step
	if s.Phase != Active || s.Pause != nil || again && !lack {
		return s, s.refuse(e)
	}
	if !again {
		s.Told = append(s.Told, e.Which)
	}
	why := "time ran out (" + string(e.Which) + ")"
	switch e.Then {
	case PolicyHold:
		return s, nil
	case PolicyGate:
		s.Questions++
		q := Question{Name: fmt.Sprintf("%s.%s.%d", s.StepName, e.Which, s.Questions), About: e.Which, Since: e.At}
		if s.Question == nil {
			s.Question = &q
		} else {
			s.Later = append(s.Later, q)
		}
		return s, nil
	case PolicyRollback:
		return s.back(e, why, RolledBack)
	case PolicyCancel:
		return s.back(e, why, Cancelled)
	}
	return s, fmt.Errorf("%w: unknown policy %q", ErrNotAllowed, e.Then)
}
