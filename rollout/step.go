package rollout

import (
	"slices"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Step is one entry of the plan. Each kind has its own file with everything that the state machine knows about it: its
// fields, its rules, when it is left, what holds it, and what has to be done meanwhile.
//
//sumtype:decl
type Step interface {
	// StepName is unique in its rollout.
	StepName() string

	// check returns which of the rules that the state machine builds on the step breaks.
	check(c *checked) error
	// enter completes the event that enters a stage of the step.
	enter(d *Definition, e *StepEntered)
	// stages are the exposures that are analysed, in order; none if the step compares nothing new.
	stages() []Stage
	// next is the event that follows while a release is at the step; nil while it has to wait.
	next(s State, d *Definition, t *timer) Event
	// holds are what the release waits for.
	holds(s State, d *Definition, t *timer) []Hold
	// broken is the event that sends the release back, paused or not, because the step has failed for good; nil if it has
	// not.
	broken(s State) Event
	// task is the step's work that may happen only once, under a key; ok is false if it has none. done tells whether its
	// outcome is known.
	task(s State, key string) (t Task, ok bool)
	done(s State) bool
	// deployments are what the step wants of Deployments while a release is at it, and ready is how long they may take; 0 is
	// no limit.
	deployments(s State, d *Definition) []workload.Deployment
	ready(s State) time.Duration
	// onCluster tells whether it needs a cluster.
	onCluster() bool
	// lasts is how long the step lets time pass, apart from its stages.
	lasts() time.Duration
	// undoes tells whether bringing an earlier version back takes it.
	undoes(d *Definition) bool
	// goesBack tells whether a rollback takes back what the step has done.
	goesBack(d *Definition) bool
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
	// Earlier: it is compared with the same metrics before the release, since nothing else is served any more.
	Earlier bool
	// Unjudged: the definition says explicitly that nothing is compared here.
	Unjudged bool
	// Copies: the canary gets copies of users' requests, and no user its answers.
	Copies bool
	// Sticky: users keep the version that they were given at an earlier weight, so the exposure is reached late.
	Sticky bool
	// Cohort: it compares among a cohort of users, whose requests a gateway counts apart from all others.
	Cohort bool
}

// Stages are the exposures of all steps, in order.
func (s Steps) Stages() (out []Stage) {
	for _, step := range s {
		out = append(out, step.stages()...)
	}
	return out
}

// Judges tells whether a plan compares the canary with anything: otherwise nothing but people, and steps that fail, roll it
// back.
func (s Steps) Judges() bool {
	return slices.ContainsFunc(s.Stages(), func(stage Stage) bool { return !stage.Unjudged })
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
	exposed  bool // users may be on the canary
	promoted bool
}

// still is embedded in every kind of step. It has the behaviour of a step that moves no traffic, compares nothing and
// needs no cluster. Each kind says itself what holds the step and what follows it.
type still struct{}

func (still) check(*checked) error                                 { return nil }
func (still) enter(*Definition, *StepEntered)                      {}
func (still) stages() []Stage                                      { return nil }
func (still) broken(State) Event                                   { return nil }
func (still) task(State, string) (t Task, ok bool)                 { return Task{}, false }
func (still) done(State) bool                                      { return false }
func (still) deployments(State, *Definition) []workload.Deployment { return nil }
func (still) ready(State) time.Duration                            { return 0 }
func (still) onCluster() bool                                      { return false }
func (still) lasts() time.Duration                                 { return 0 }
func (still) undoes(*Definition) bool                              { return false }
func (still) goesBack(*Definition) bool                            { return false }
