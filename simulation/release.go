package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// Plan is a rollout to simulate: its definition, and the analyses of its scopes by name.
type Plan struct {
	Definition rollout.Definition
	Analyses   map[string]analysis.Definition
	// Returning holds the analyses of the shorter plan for a version that returns.
	Returning map[string]analysis.Definition
	// Limit ends a release that takes longer as Undecided.
	Limit time.Duration
}

// ForReturning returns the plan for a version that was in service recently.
func (p Plan) ForReturning() Plan {
	p.Definition, p.Analyses, p.Returning = p.Definition.ForReturning(), p.Returning, nil
	return p
}

// End is how a simulated release ended.
type End string

// The ends. Gates are approved at once. A policy's question ends the release as Asked, because a person's answer cannot be
// simulated.
const (
	RolledBack End = "rolledBack"
	Released   End = "released"
	Asked      End = "asked"
	Undecided  End = "undecided"
)

// Outcome describes how one release went.
type Outcome struct {
	End End
	// Failed means that the release was rolled back because Metric failed, not by a policy.
	Failed bool
	Metric string
	// Took is the time since the canary first got traffic; Fault is the time since its fault began, negative if the release
	// ended before that.
	Took, Fault time.Duration
	// Requests counts the canary's requests. Bad counts the bad ones among them over all metrics that count requests; Hurt
	// counts those since the fault began.
	Requests, Bad, Hurt float64
	// Alarms means that the test of the split raised an alarm at some time and held the release.
	Alarms bool
	// RulesOut is how many times as bad as stable a version would have to be for the passes to rule it out, the largest
	// among the metrics, where the available time decides that. It is 0 where the margin does.
	RulesOut float64
	// Learned holds what the comparisons taught, by scope and metric.
	Learned map[string]map[string][]judge.Past
}

// ErrScope is returned by [Plan.Run], wrapped, if a scope has no analysis.
var ErrScope = errors.New("no analysis")

// epoch is when simulated time begins; no result depends on it.
var epoch = time.Unix(0, 0).UTC()

// Run simulates one release in a world. pasts holds what earlier releases taught, by scope and metric; src is the source
// of all randomness. The gateway puts each weight in force at once and splits requests accordingly.
func (p Plan) Run(w World, pasts map[string]map[string][]judge.Past, src rand.Source) (Outcome, error) {
	p.Definition = p.Definition.WithoutCluster()  // steps in a cluster affect neither users nor the judge
	p.Definition = p.Definition.WithoutCalendar() // simulated time has no weekdays
	r := run{plan: p, users: w.Users(src), world: w, pasts: pasts, now: epoch}
	r.out.Learned = map[string]map[string][]judge.Past{}
	if err := r.apply(rollout.Started{Rollout: p.Definition.Name, Revision: p.Definition.Revision}); err != nil {
		return Outcome{}, err
	}
	for {
		end, err := r.settle()
		if err != nil {
			return Outcome{}, err
		}
		if end == "" && r.now.Sub(epoch) >= p.Limit {
			end = Undecided
		}
		if end != "" {
			return r.ended(end), nil
		}
		if err := r.look(); err != nil {
			return Outcome{}, err
		}
	}
}

// run is the state of a simulated release.
type run struct {
	plan  Plan
	world World
	users *Users
	pasts map[string]map[string][]judge.Past
	state rollout.State
	now   time.Time
	scope scope
	out   Outcome
}

// scope is the scope under analysis and its evidence.
type scope struct {
	name     string
	def      analysis.Definition
	judge    judge.Judge
	evidence judge.Evidence
	number   int
	weight   float64 // at the newest settled look
}

func (r *run) apply(e rollout.Event) error {
	next, err := r.state.Apply(e.With(rollout.Meta{Seq: r.state.Seq + 1, At: r.now, By: "simulation"}))
	if err != nil {
		return fmt.Errorf("simulate %s: %w", rollout.Kind(e), err)
	}
	r.state = next
	return nil
}

// settle applies everything that happens at the current time, until time has to pass or the release has ended.
func (r *run) settle() (End, error) {
	for {
		switch s := r.state; {
		case s.Phase == rollout.RollingBack:
			return RolledBack, nil
		case s.Ended():
			return Released, nil
		case s.Promoting():
			return Released, nil
		case s.Question != nil:
			return Asked, nil
		}
		e, err := r.next()
		if err != nil || e == nil {
			return "", err
		}
		if err := r.apply(e); err != nil {
			return "", err
		}
	}
}

// next returns the event that happens now, or nil if time has to pass.
func (r *run) next() (rollout.Event, error) {
	if e, ok := r.state.Next(&r.plan.Definition, r.now); ok {
		return e, nil
	}
	if gate := r.state.OpenGate(); gate != "" {
		return rollout.GateAnswered{Gate: gate, Answer: rollout.Approve}, nil
	}
	for _, task := range r.state.Target(&r.plan.Definition, "simulated").Tasks {
		return rollout.WebhookAnswered{Step: task.Step, OK: true}, nil // without a cluster all tasks are webhooks
	}
	if !r.state.InForce {
		return rollout.InForce{Turn: r.state.Turn, How: "api"}, r.follow()
	}
	return nil, r.follow()
}

// follow replaces the judge when the state enters another scope.
func (r *run) follow() error {
	target := r.state.Target(&r.plan.Definition, "simulated")
	if target.Analyse == "" || target.Analyse == r.scope.name {
		return nil
	}
	r.learn()
	def, ok := r.plan.Analyses[target.Analyse]
	if !ok {
		return fmt.Errorf("scope %s: %w", target.Analyse, ErrScope)
	}
	def = def.Defaults()
	j, err := choice.New(def.Judge(len(r.plan.Definition.Scopes)))
	if err != nil {
		return fmt.Errorf("scope %s: %w", target.Analyse, err)
	}
	r.scope = scope{name: target.Analyse, def: def, judge: j, evidence: j.Begin(r.pasts[target.Analyse])}
	return nil
}

// defaultStep is how far time advances at once while no looks are taken.
const defaultStep = 10 * time.Second

// look advances time to the next look and takes it.
func (r *run) look() error {
	target := r.state.Target(&r.plan.Definition, "simulated")
	if target.Analyse == "" {
		r.now = r.now.Add(defaultStep)
		return nil
	}
	interval, weight := r.scope.def.Interval, float64(target.Exposure)
	r.now = r.now.Add(interval)
	standing := analysis.Standing{Warm: r.state.Warm(*r.scope.def.WarmUp, r.now)}
	settled, ok := r.state.Settled(r.scope.def.Settle)
	standing.Settled, standing.Unsettled = settled, !ok
	end := r.now.Add(-r.scope.def.Settle)
	r.scope.number++
	look := r.users.Look(r.scope.number, end, interval, weight)
	standing.Mark(&look, nil)
	if target.Lane != traffic.MirrorLane { // no user sees answers to mirrored requests
		r.count(look)
	}
	if look.Unsettled && r.scope.weight > 0 {
		look.Weight = r.scope.weight
	}
	if !look.Unsettled {
		r.scope.weight = weight
	}
	var v judge.Verdict
	r.scope.evidence, v = judge.Take(r.scope.judge, r.scope.evidence, look)
	r.out.Alarms = r.out.Alarms || v.SampleRatio != nil && v.SampleRatio.Alarm
	for _, m := range v.Metrics {
		r.out.RulesOut = max(r.out.RulesOut, timesAsBad(m.Rules))
	}
	if v.Outcome == judge.Fail {
		r.out.Failed, r.out.Metric = true, v.Decisive
	}
	return r.apply(rollout.LookTaken{Scope: r.scope.name, Turn: r.state.Turn, Verdict: v})
}

// timesAsBad converts a metric's ratio into how many times as bad the version is. The ratio is below 1 if lower is worse. 0
// stays 0.
func timesAsBad(ratio float64) float64 {
	if 0 < ratio && ratio < 1 {
		return 1 / ratio
	}
	return ratio
}

// count adds up the requests of the canary's users.
func (r *run) count(l judge.Look) {
	r.out.Requests += l.Requests.Canary
	faulty := !l.At.Add(-l.Length).Before(r.users.begun.Add(r.world.From))
	for _, o := range l.Observations {
		r.out.Bad += o.Canary.Bad
		if faulty {
			r.out.Hurt += o.Canary.Bad
		}
	}
}

// learn stores what the scope's comparisons taught.
func (r *run) learn() {
	if r.scope.evidence == nil {
		return
	}
	for metric, past := range r.scope.evidence.Learned() {
		of := r.out.Learned[r.scope.name]
		if of == nil {
			of = map[string][]judge.Past{}
			r.out.Learned[r.scope.name] = of
		}
		of[metric] = append(of[metric], past)
	}
}

func (r *run) ended(end End) Outcome {
	r.out.End = end
	if end != RolledBack {
		r.learn()
	} else {
		r.out.Learned = nil // nothing is learned from a rolled-back release
	}
	if !r.state.ExposedAt.IsZero() {
		r.out.Took = r.now.Sub(r.state.ExposedAt)
		r.out.Fault = r.out.Took - r.world.From
	}
	return r.out
}
