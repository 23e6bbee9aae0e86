package web

import (
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// Step is one step of the plan on the line.
type Step struct {
	Kind, Name, Detail string
	// Status is done, now, stopped (the release went back from here) or todo; Says is the same in words.
	Status, Says string
	// Weights of a gray step.
	Weights []Stage
	Took    string
}

// Stage is one weight of a gray step.
type Stage struct {
	Weight, Status, Says string
	// Took is how long it was asked for, or has been until now; empty before.
	Took string
}

// The statuses.
const (
	done    = "done"
	now     = "now"
	stopped = "stopped"
	todo    = "todo"
)

// says are the statuses in words, for those who do not see the colours.
var says = map[string]string{done: "done", now: "here now", stopped: "stopped here", todo: "not yet"}

// position is where a release stands, or stood when it turned back.
type position struct {
	step, stage int
	status      string
}

func positionOf(v record.View, events []rollout.Event) position {
	if v.Release == nil {
		return position{step: -1, status: todo} // a plan
	}
	p := position{step: v.State.Step, stage: v.State.Stage, status: now}
	for _, e := range events {
		if e, ok := e.(rollout.StepEntered); ok {
			p.step, p.stage = e.Step, e.Stage
		}
	}
	switch {
	case v.State.Outcome == rollout.Released:
		p.step = len(v.Steps)
	case v.State.Phase != rollout.Active:
		p.status = stopped
	}
	return p
}

func (p position) at(step int) string {
	switch {
	case step < p.step:
		return done
	case step > p.step:
		return todo
	}
	return p.status
}

func newSteps(v record.View, events []rollout.Event, now time.Time) []Step {
	p, entered, long := positionOf(v, events), enteredAt(events), stagesTook(v, events, now)
	out := make([]Step, 0, len(v.Steps))
	for i, step := range v.Steps {
		words := tell.Step(step, subjectOf(v))
		s := Step{Kind: words.Kind, Name: step.StepName(), Detail: words.Detail, Status: p.at(i)}
		if s.Says = says[s.Status]; s.Status == todo && v.State.Ended() {
			s.Says = "not reached"
		}
		if gray, ok := step.(rollout.Gray); ok {
			for j, w := range gray.Weights {
				status := s.Status
				if i == p.step && j != p.stage {
					status = map[bool]string{true: done, false: todo}[j < p.stage]
				}
				s.Weights = append(s.Weights, Stage{Weight: w.String(), Status: status, Says: says[status], Took: long[[2]int{i, j}]})
			}
		}
		if from, ok := entered[i]; ok {
			s.Took = tookFrom(v, entered, i, from)
		}
		out = append(out, s)
	}
	return out
}

// stagesTook is how long each weight lasted, or has lasted, by step and stage.
func stagesTook(v record.View, events []rollout.Event, now time.Time) map[[2]int]string {
	out := map[[2]int]string{}
	var at time.Time
	var open [2]int
	end := func(to time.Time) {
		if !at.IsZero() {
			out[open] = figures.Span(max(to.Sub(at), time.Second))
		}
		at = time.Time{}
	}
	for _, e := range events {
		if turns(e) != "" {
			end(e.Head().At)
		}
		if e, ok := e.(rollout.StepEntered); ok && !e.Prepare {
			end(e.At)
			if at = (time.Time{}); e.What == rollout.StageGray {
				at, open = e.At, [2]int{e.Step, e.Stage}
			}
		}
	}
	if !v.State.Ended() {
		end(now)
	}
	return out
}

// enteredAt is when each step was entered first.
func enteredAt(events []rollout.Event) map[int]time.Time {
	out := map[int]time.Time{}
	for _, e := range events {
		if e, ok := e.(rollout.StepEntered); ok {
			if _, known := out[e.Step]; !known {
				out[e.Step] = e.At
			}
		}
	}
	return out
}

// tookFrom is how long a step took until the next one, the rollback or the end; empty while it lasts.
func tookFrom(v record.View, entered map[int]time.Time, step int, from time.Time) string {
	to, ok := entered[step+1]
	switch {
	case ok:
	case !v.State.BackAt.IsZero():
		to = v.State.BackAt
	case v.State.Ended():
		to = v.State.EndedAt
	default:
		return ""
	}
	return figures.Span(to.Sub(from))
}
