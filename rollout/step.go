package rollout

import (
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Step is one entry of the plan. Each kind has a file of its own with everything that the state machine has to know of
// it: its fields, the rules that it keeps, when it is left and what holds it, what has to be done meanwhile.
//
//sumtype:decl
type Step interface {
	// StepName is unique in its rollout.
	StepName() string

	// check says which of the rules that the state machine builds on the step breaks.
	check(c *checked) error
	// enter completes the event that enters a stage of the step.
	enter(d *Definition, e *StepEntered)
	// stages are the exposures that are analysed, in order; none where nothing is compared that was not before.
	stages() []Stage
	// next is what follows by itself while a release is at the step; nil while it has to wait.
	next(s State, d *Definition, t *timer) Event
	// holds are what it waits for.
	holds(s State, d *Definition, t *timer) []Hold
	// broken is what sends the release back because the step has failed for good, also while it is paused; nil if it
	// has not failed.
	broken(s State) Event
	// task is what may happen only once, under a key; ok is false where there is nothing to do. done tells whether its
	// outcome is known.
	task(s State, key string) (t Task, ok bool)
	done(s State) bool
	// deployments are what the step asks of Deployments while a release is at it, and ready how long they may take for
	// it; 0 does not bound it.
	deployments(s State, d *Definition) []workload.Deployment
	ready(s State) time.Duration
	// onCluster: it is about something that only a cluster has.
	onCluster() bool
	// undoes: it is a part of bringing an earlier version back.
	undoes(d *Definition) bool
}

// Steps is a plan. As JSON each step is an object with its kind among its fields: {"kind": "gray", …}.
type Steps []Step

// Stage is one exposure of the canary that is compared with stable: an A/B step, or one weight of a gray step.
type Stage struct {
	// Name is the step's, Scope the body of evidence that it adds to.
	Name, Scope string
	// Exposure is the canary's share of the requests that are compared.
	Exposure share.Share
	// Least is how long it has to be in force.
	Least  time.Duration
	Decide Decide
	// Pass: it is left on a pass only, and not already where nothing speaks against the canary.
	Pass bool
}

// Stages are the exposures of all steps, in order.
func (s Steps) Stages() (out []Stage) {
	for _, step := range s {
		out = append(out, step.stages()...)
	}
	return out
}

// Decide is when a step that is analysed may be left.
type Decide struct {
	// Min is the least time in force (A/B only).
	Min time.Duration `json:"min,omitempty"`
	// Max counts from the entry of the step; after it Inconclusive acts.
	Max          time.Duration `json:"max"`
	Inconclusive Policy        `json:"inconclusive"`
	// On is what a weight is left on; empty is no-fail at every weight but the last, and pass at the last.
	On DecideOn `json:"on,omitempty"`
}

// DecideOn is what a weight of a gray step is left on.
type DecideOn string

// The choices of DecideOn; the empty one is the default described at [Decide].
const (
	OnPass   DecideOn = "pass"
	OnNoFail DecideOn = "no-fail"
)

// checked is how far a definition has been checked.
type checked struct {
	d        *Definition
	at       string // the step that is checked, as an error names it
	weight   share.Share
	promoted bool
}

// still is embedded in every kind of step: what a kind does that moves no traffic, compares nothing, asks nothing of a
// cluster and goes on at once.
type still struct{}

func (still) check(*checked) error                                 { return nil }
func (still) enter(*Definition, *StepEntered)                      {}
func (still) stages() []Stage                                      { return nil }
func (still) next(s State, d *Definition, t *timer) Event          { return s.goOn(d, t) }
func (still) holds(State, *Definition, *timer) []Hold              { return nil }
func (still) broken(State) Event                                   { return nil }
func (still) task(State, string) (t Task, ok bool)                 { return Task{}, false }
func (still) done(State) bool                                      { return false }
func (still) deployments(State, *Definition) []workload.Deployment { return nil }
func (still) ready(State) time.Duration                            { return 0 }
func (still) onCluster() bool                                      { return false }
func (still) undoes(*Definition) bool                              { return false }
