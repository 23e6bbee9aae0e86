package tell

import (
	"cmp"
	"slices"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// PlanStep is one step of the plan with its progress.
type PlanStep struct {
	Kind, Name, Detail string
	// Status is done, now, stopped (the release went back from here) or todo; Says is the same in words.
	Status, Says string
	// Weights of a gray step.
	Weights []PlanWeight
	Took    string
}

// PlanWeight is one weight of a gray step.
type PlanWeight struct {
	Weight, Status, Says string
	// Took is how long it was, or has been, the requested weight, and At since when; empty before.
	Took string
	At   time.Time
	// Due is when a future weight is requested at the earliest; zero if unknown.
	Due time.Time
}

// The statuses of a step and of a weight.
const (
	StepDone    = "done"
	StepNow     = "now"
	StepStopped = "stopped"
	StepToDo    = "todo"
)

// says has the statuses in words, for people who do not see the colours.
var says = map[string]string{StepDone: "done", StepNow: "here now", StepStopped: "stopped here", StepToDo: "not yet"}

// TurnedBack says why an event has sent a release back; empty for an event that has not, such as a look that found it
// worse while a person lets it go on even so.
func TurnedBack(s rollout.State, e rollout.Event) string {
	if s.Phase == rollout.Active || s.Outcome == rollout.Released || e.Head().At.Before(wall(s, s.BackAt)) {
		return ""
	}
	return Turns(e)
}

// StableSince says since when all traffic has been on stable after a release of which some had moved went back; after is how
// long that took ("2s"), counted from what ("it was found worse"). went is false for any other release, and at is zero while no
// replica of the gateway has confirmed it.
func StableSince(s rollout.State, events []rollout.Event) (at time.Time, after, what string, went bool) {
	if s.Phase == rollout.Active || s.Outcome == rollout.Released || !s.Moved {
		return time.Time{}, "", "", false
	}
	var turned time.Time
	for _, e := range events {
		switch back := TurnedBack(s, e); {
		case back != "" && turned.IsZero():
			turned, what = e.Head().At, back
		case !turned.IsZero():
			if e, ok := e.(rollout.InForce); ok {
				took := e.At.Sub(turned)
				if after = figures.Span(took); took < time.Second {
					after = "under 1s"
				}
				return e.At, after, what, true
			}
		}
	}
	return time.Time{}, "", what, true
}

// Turns says why an event sends a release back; empty for an event that does not.
func Turns(e rollout.Event) string {
	switch e := e.(type) {
	case rollout.LookTaken:
		if e.Verdict.Outcome == judge.Fail {
			return "it was found worse"
		}
	case rollout.RollbackRequested, rollout.CancelRequested:
		return "it was asked for"
	case rollout.Superseded:
		return "another release took its place"
	case rollout.GateAnswered:
		if e.Answer == rollout.Reject {
			return "the answer"
		}
	case rollout.DeadlinePassed:
		if e.Then == rollout.PolicyRollback || e.Then == rollout.PolicyCancel {
			return "time was over"
		}
	default:
	}
	return ""
}

// position is where a release is, or was when it turned back.
type position struct {
	step, stage int
	status      string
}

func positionOf(v record.View, events []rollout.Event) position {
	if v.Release == nil {
		return position{step: -1, status: StepToDo} // a plan
	}
	p := position{step: v.State.Step, stage: v.State.Stage, status: StepNow}
	for _, e := range events {
		if e, ok := e.(rollout.StepEntered); ok {
			p.step, p.stage = e.Step, e.Stage
		}
	}
	switch {
	case v.State.Outcome == rollout.Released:
		p.step = len(v.Steps)
	case v.State.Phase != rollout.Active:
		p.status = StepStopped
	}
	return p
}

func (p position) at(step int) string {
	switch {
	case step < p.step:
		return StepDone
	case step > p.step:
		return StepToDo
	}
	return p.status
}

// PlanOf is the plan with its progress. Without events it has no times.
func PlanOf(v record.View, events []rollout.Event, now time.Time) []PlanStep {
	p, entered, long := positionOf(v, events), enteredAt(events), stagesTook(v, events, now)
	out := make([]PlanStep, 0, len(v.Steps))
	for i, step := range v.Steps {
		words := Step(step, Subject(v))
		s := PlanStep{Kind: words.Kind, Name: step.StepName(), Detail: words.Detail, Status: p.at(i)}
		if s.Says = says[s.Status]; s.Status == StepToDo && v.State.Ended() {
			s.Says = "not reached"
		}
		if s.Status != StepToDo && slices.Contains(v.State.Done, step.StepName()) {
			s.Says = "done in the previous release"
		}
		if gray, ok := step.(rollout.Gray); ok {
			for j, w := range gray.Weights {
				status := s.Status
				if i == p.step && j != p.stage {
					status = map[bool]string{true: StepDone, false: StepToDo}[j < p.stage]
				}
				at := long[[2]int{i, j}]
				s.Weights = append(s.Weights, PlanWeight{Weight: w.String(), Status: status, Says: says[status], Took: at.took, At: at.at})
			}
			if i == p.step && p.status == StepNow {
				due(s.Weights[p.stage:], v, gray, now)
			}
		}
		if from, ok := entered[i]; ok {
			s.Took = tookFrom(v, entered, i, from)
		}
		out = append(out, s)
	}
	return out
}

// due says when later weights come at the earliest. That is unknown while a person is asked, or while the release waits
// for something other than time and evidence.
func due(weights []PlanWeight, v record.View, step rollout.Gray, now time.Time) {
	if v.State.Pause != nil || v.Gate != "" || v.State.Awaited != nil {
		return
	}
	at := now
	for _, h := range v.State.Holds(cmp.Or(v.Definition, &rollout.Definition{Steps: v.Steps}), now) {
		switch h := h.(type) {
		case rollout.NeedsTime:
			at = now.Add(h.Left)
		case rollout.NeedsPass, rollout.NeedsData:
		default:
			return
		}
	}
	for i := range weights[min(1, len(weights)):] {
		weights[i+1].Due = at.Add(time.Duration(i) * step.Hold)
	}
}

// lasted is since when a weight was requested, and for how long.
type lasted struct {
	at   time.Time
	took string
}

// stagesTook is how long each weight lasted, or has lasted, by step and stage.
func stagesTook(v record.View, events []rollout.Event, now time.Time) map[[2]int]lasted {
	out := map[[2]int]lasted{}
	var at time.Time
	var open [2]int
	end := func(to time.Time) {
		if !at.IsZero() {
			out[open] = lasted{at, figures.Span(max(to.Sub(at), time.Second))}
		}
		at = time.Time{}
	}
	for _, e := range events {
		if TurnedBack(v.State, e) != "" {
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
