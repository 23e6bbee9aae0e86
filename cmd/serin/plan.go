package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/simulation"
	"github.com/serindev/serin/tell"
)

// planning holds the flags of plan.
type planning struct {
	subject
	reach
	rate     float64
	base     []string
	effect   float64
	first    bool
	service  string
	settings []string
	over     time.Duration
	stay     time.Duration
	effects  string

	// pasts is what Prometheus shows of stable's past, by scope and metric; nil if it was not queried.
	pasts map[string]map[string][]judge.Past
}

func (a *app) planCmd() *cobra.Command {
	p := &planning{}
	cmd := &cobra.Command{
		Use:   "plan [PATH…]",
		Short: "Say how long a rollout's steps take",
		Long: `Say for each step of a rollout how long the judge needs to find a worse version there, which differences the step can
find before it may be left, how many requests a bad version spoils until then, and how long a good one needs to pass;
and warn of steps that are too short to decide anything. Where the rollout has windows or freezes, or the daemon's document
among PATH does, it says when promotion is reached at the soonest.

PATH are files and folders with a Rollout and its Analyses; without any, or with --weights, a gray release over the
weights, judged by the only Analysis or by the built-in one. The rate of requests and the shares of bad ones are given,
or counted over the last hour in Prometheus.

These are rules of thumb for errors that come one by one, right within a factor of about 2; serin simulate says more.`,
		Example: `  serin plan rollouts/shop.yaml --rate 120 --base errors=0.5% --base slow-requests=4%
  serin plan --weights 5%,50% --prometheus http://127.0.0.1:9090 --service shop-stable@file --effect 3`,
		RunE: func(cmd *cobra.Command, paths []string) error { return a.plan(cmd.Context(), p, paths) },
	}
	p.subject.flags(cmd)
	p.reach.flags(cmd)
	f := cmd.Flags()
	f.Float64Var(&p.rate, "rate", 100, "requests a second, of both versions together")
	f.StringSliceVar(&p.base, "base", []string{"1%"}, "the `SHARE` of bad requests at stable; NAME=SHARE for one metric")
	f.StringVar(&p.effects, "effect", "2", "how many `TIMES` as bad the bad version is")
	f.BoolVar(&p.first, "first", false, "a first release, before anything has been learned")
	f.StringVar(&p.service, "service", "", "the `SERVICE` to count the rates of in Prometheus, as its metrics name it")
	f.StringSliceVar(&p.settings, "set", nil, "`NAME=VALUE` of a variable that the analysis uses; may be repeated")
	f.DurationVar(&p.stay, "stay", 0, "how long users stay on average, where sticky weights let them keep their version")
	f.DurationVar(&p.over, "over", time.Hour, "how much history is counted in Prometheus, at most 6h")
	return cmd
}

// planned is the plan for one weight and one metric, as JSON. Times are nil where they are not expected within a year.
type planned struct {
	Step   string  `json:"step"`
	Weight float64 `json:"weight"`
	Metric string  `json:"metric"`
	// Hold is the least time at the weight.
	Hold float64 `json:"holdSeconds"`
	// Finds is how many times as bad a version has to be to be found within Hold; nil if none is.
	Finds *float64 `json:"findsWithinHold"`
	// Found is how long the bad version goes undetected at this weight, and Spoiled how many of its requests fail by then.
	Found   *float64 `json:"foundAfterSeconds"`
	Spoiled *float64 `json:"badRequestsUntilFound"`
	// Passes is how long a good version takes to pass, from the beginning of the weight and with the evidence of
	// earlier weights.
	Passes *float64 `json:"passesAfterSeconds"`
	// Needs: the step waits for a pass.
	Needs bool `json:"waitsForPass"`
	// Requests the canary gets within Hold.
	Requests float64 `json:"canaryRequestsWithinHold"`
	// RulesOut is set where the step has a time to decide in and the metric has no margin of its own: how many times as bad
	// as stable a version has to be for the traffic of that time to rule it out, which is what a pass then says. It is 0
	// where a pass rules out the margin. Within is the time to decide in, and Before the time at earlier weights, which
	// counts as well. Margin is the default margin as a ratio, and AtMargin how long ruling that out would take at this
	// weight; nil for more than a year.
	RulesOut float64  `json:"rulesOut,omitempty"`
	Within   float64  `json:"withinSeconds,omitempty"`
	Before   float64  `json:"beforeSeconds,omitempty"`
	Margin   float64  `json:"margin,omitempty"`
	AtMargin *float64 `json:"passesMarginAfterSeconds,omitempty"`
	// UsersToFind and UsersToRule are how many users with bad requests it takes, where users keep their version, to find the
	// bad version and to rule out what a pass rules out. With fewer, a handful of users could cause such a difference.
	UsersToFind float64 `json:"usersToFind,omitempty"`
	UsersToRule float64 `json:"usersToRule,omitempty"`
	// PodsToFind and PodsToRule are the same in pods of the canary, where stable's history distinguishes its replicas.
	PodsToFind *judge.Pods `json:"podsToFind,omitempty"`
	PodsToRule *judge.Pods `json:"podsToRule,omitempty"`
	// Unplanned says why there are no numbers.
	Unplanned string `json:"unplanned,omitempty"`
	// Unjudged: the rollout says that nothing is compared there.
	Unjudged bool `json:"unjudged,omitempty"`
	// Earlier: all users have the version, and it is compared with the time before the release.
	Earlier bool `json:"earlier,omitempty"`
	// Share is the canary's share of the requests within Hold, where users keep the version of an earlier weight and --stay
	// says how long they stay; the other numbers are based on it. ShareAtFirst is the share at the beginning of the weight,
	// and Most is when it has come nine tenths of the way.
	Share        float64  `json:"shareWithinHold,omitempty"`
	ShareAtFirst float64  `json:"shareAtFirst,omitempty"`
	Most         *float64 `json:"mostOfWeightAfterSeconds,omitempty"`

	max, minRequests float64
	scope            string
	cohort           bool
	rolls            bool // going back takes as long as stable's rolling update
}

// plans is the whole output of plan.
type plans struct {
	Rollout  string             `json:"rollout"`
	Rate     float64            `json:"rate"`
	Base     map[string]float64 `json:"base"`
	Effect   float64            `json:"effect"`
	Steps    []planned          `json:"steps"`
	Warnings []string           `json:"warnings"`
	// Returning says which versions take the shorter plan, whose steps are ReturningSteps; empty if the rollout has none.
	Returning      string    `json:"returning,omitempty"`
	ReturningSteps []planned `json:"returningSteps,omitempty"`
	// Pods says in sentences how whole pods round the weights; empty if a gateway divides the work.
	Pods []string `json:"pods,omitempty"`
	// Kept says how long the version before keeps its pods after a release; empty if it keeps none.
	Kept string `json:"kept,omitempty"`
	// Calendar says in sentences when steps may be entered; empty if always. Soonest is when a release that begins now
	// enters its promotion if nothing but time holds it; nil if no window allows it.
	Calendar []string   `json:"calendar,omitempty"`
	Soonest  *time.Time `json:"soonestPromotion,omitempty"`
}

func (a *app) plan(ctx context.Context, p *planning, paths []string) error {
	loader, err := p.loader()
	if err != nil {
		return err
	}
	plan, err := p.load(a, loader, paths)
	if err != nil {
		return err
	}
	base, err := parseNumbers("base", p.base, parseShare)
	if err == nil {
		err = base.known("base", metricNames(plan))
	}
	if err != nil {
		return err
	}
	if p.effect, err = parseEffect(p.effects); err != nil || p.effect <= 1 {
		return fmt.Errorf("--effect %s: expected how many times as bad, more than 1", p.effects)
	}
	if p.given() {
		if err := p.count(ctx, a, plan, &base); err != nil {
			return err
		}
	}
	if p.stay < 0 {
		return fmt.Errorf("--stay %s: expected how long users stay, above 0", p.stay)
	}
	if !(p.rate > 0 && p.rate <= 1e9) {
		return fmt.Errorf("--rate %v: expected requests a second, above 0", p.rate)
	}
	out := plans{Rollout: plan.Definition.Name, Rate: p.rate, Base: map[string]float64{}, Effect: p.effect, Warnings: []string{}}
	for _, name := range metricNames(plan) {
		out.Base[name] = base.of(name, 0.01)
	}
	if out.Steps, err = p.steps(plan, out.Base); err != nil {
		return err
	}
	if out.Returning = tell.Returning(&plan.Definition); out.Returning != "" {
		if out.ReturningSteps, err = p.steps(plan.ForReturning(), out.Base); err != nil {
			return err
		}
	}
	out.Warnings = list(warnings(out))
	out.Pods, out.Kept = tell.Pods(&plan.Definition), tell.Kept(&plan.Definition)
	if out.Calendar = tell.Calendars(&plan.Definition); len(out.Calendar) > 0 {
		if at, ok := plan.Definition.Soonest(time.Now()); ok {
			out.Soonest = &at
		} else {
			out.Warnings = append(out.Warnings,
				"the windows leave no time for a step, so none is ever entered: there is no time that all of them allow and no freeze covers")
		}
	}
	return a.print(out, func(w io.Writer) error { return a.planTable(w, p, out) })
}

// steps plans every weight for every metric.
func (p *planning) steps(plan simulation.Plan, base map[string]float64) ([]planned, error) {
	var out []planned
	var crowd crowd
	gained := map[string]float64{} // evidence for a pass so far, by scope and metric
	first := map[string]time.Duration{}
	for _, s := range plan.Definition.Steps.Stages() {
		lag := crowd.enter(s, p.stay)
		if s.Unjudged {
			out = append(out, planned{Step: s.Name, Weight: float64(s.Exposure), Metric: "none", Hold: s.Least.Seconds(), Unjudged: true})
			continue
		}
		settings := judged(plan, s.Scope)
		j, err := choice.New(settings)
		if err != nil {
			return nil, fmt.Errorf("analysis of %s: %w", s.Scope, err)
		}
		wait := max(0, j.PassWait()-first[s.Scope])
		for _, m := range settings.Metrics {
			if m.DryRun { // nothing waits for it
				continue
			}
			weight := float64(s.Exposure)
			if lag != nil && lag.Stay > 0 {
				weight = float64(lag.Mean(s.Least))
			}
			pace := choice.Pace{Canary: p.rate * weight, Baseline: p.rate * (1 - weight), Base: base[m.Name], Learned: !p.first}
			pace.Pasts = p.pasts[s.Scope][m.Name]
			if s.Earlier {
				pace.Baseline = p.rate
			}
			if s.Copies { // stable answers all requests, and the canary gets copies on top
				pace.Canary, pace.Baseline = p.rate*weight/(1-weight), p.rate
			}
			stage := p.stage(j, m, s, pace, wait, gained)
			if s.Copies {
				stage.Spoiled = nil // no user gets an answer of the canary's
			}
			stage.budget(j, m, pace, plan.Analyses[s.Scope])
			if weight < 1 {
				stage.UsersToFind, stage.UsersToRule = j.UsersToFind(m.Name, p.effect, weight), j.UsersToRule(m.Name, pace, weight)
			}
			if !s.Earlier && weight < 1 {
				stage.PodsToRule, stage.PodsToFind = j.Pods(m.Name, pace, p.effect)
			}
			stage.lags(lag, s.Least)
			stage.rolls = s.Earlier && plan.Definition.Cluster != nil
			out = append(out, stage)
		}
		first[s.Scope] += s.Least
	}
	return out, nil
}

// stage plans one weight for one metric and adds the evidence gained by its end to gained.
func (p *planning) stage(j choice.Judge, m judge.Metric, s rollout.Stage, pace choice.Pace, wait time.Duration, gained map[string]float64) planned {
	out := planned{scope: s.Scope, cohort: s.Cohort, Earlier: s.Earlier, Step: s.Name, Weight: float64(s.Exposure),
		Metric: m.Name, Hold: s.Least.Seconds(), Needs: s.Pass,
		Requests: pace.Canary * s.Least.Seconds(), max: s.Decide.Max.Seconds(), minRequests: m.MinRequests}
	fails, err := j.Fails(m.Name, pace, p.effect)
	if err != nil {
		out.Unplanned = err.Error()
		return out
	}
	if t, ok := fails.Time(); ok {
		out.Found = new(t.Seconds())
		out.Spoiled = new(t.Seconds() * pace.Canary * min(1, pace.Base*p.effect))
	}
	for effect := 1.05; effect < 200 && s.Least > 0; effect *= 1.02 {
		f, _ := j.Fails(m.Name, pace, effect)
		if t, ok := f.Time(); ok && t <= s.Least {
			out.Finds = &effect
			break
		}
	}
	passes, _ := j.Passes(m.Name, pace)
	key := s.Scope + "\x00" + m.Name
	rest := choice.Prospect{Needs: max(0, passes.Needs-gained[key]), Gains: passes.Gains}
	if t, ok := rest.Time(); ok {
		requests := m.MinRequests / min(pace.Canary, max(pace.Baseline, 1e-9))
		out.Passes = new(max(t.Seconds(), wait.Seconds(), requests))
	}
	gained[key] += passes.Gains * s.Least.Seconds()
	return out
}

// rolling warns of what a watch means on Kubernetes.
const rolling = ": on Kubernetes a version that is worse goes back by stable's rolling update, and users keep it until that has finished; " +
	"from a last weight of 98% before the promotion it goes back at once"

// warnings lists weights at which nothing can be decided.
func warnings(p plans) []string {
	var out []string
	for _, s := range p.Steps {
		if text := s.Step + rolling; s.rolls && !slices.Contains(out, text) {
			out = append(out, text)
		}
		at := fmt.Sprintf("%s at %s, %s: ", s.Step, percentage(s.Weight), s.Metric)
		switch {
		case s.Unjudged:
			out = append(out, fmt.Sprintf("%s at %s: nothing is compared (analysis: none), so nothing rolls a bad "+
				"version back there by itself", s.Step, percentage(s.Weight)))
			continue
		case s.Unplanned != "":
			out = append(out, at+s.Unplanned+"; try serin simulate")
			continue
		case s.Earlier && s.Found == nil:
			out = append(out, fmt.Sprintf("%s, %s: ×%g is within the margin, or would take more "+
				"than a year: it is not found", s.Step, s.Metric, p.Effect))
		case s.Earlier && *s.Found > s.Hold:
			out = append(out, fmt.Sprintf("%s, %s: the watch is over after %s, before a version ×%g as bad is found (about %s)",
				s.Step, s.Metric, lasting(s.Hold), p.Effect, lasting(*s.Found)))
		case s.Earlier:
		case s.Weight >= 1:
			out = append(out, at+"no users are left to compare with")
			continue
		case s.Requests < s.minRequests:
			out = append(out, fmt.Sprintf("%sonly %.0f requests reach the canary within %s, and %.0f are needed: the step waits longer",
				at, s.Requests, lasting(s.Hold), s.minRequests))
		case s.Found == nil:
			out = append(out, fmt.Sprintf("%s×%g is within the margin, or would take more than a year: it is not found", at, p.Effect))
		case *s.Found > s.Hold && !s.Needs:
			out = append(out, fmt.Sprintf("%sthe weight may be left after %s, before a version ×%g as bad is found "+
				"(about %s): too short to decide that",
				at, lasting(s.Hold), p.Effect, lasting(*s.Found)))
		}
		if !s.Needs || s.max <= 0 {
			continue
		}
		if s.Passes == nil || *s.Passes > s.max {
			out = append(out, fmt.Sprintf("%sa good version is not expected to pass within %s, and then the policy decides", at, lasting(s.max)))
		}
	}
	return slices.Compact(out)
}

func (a *app) planTable(w io.Writer, p *planning, out plans) error {
	bad := fmt.Sprintf("×%g", out.Effect)
	head := []string{"STEP", "WEIGHT", "METRIC", "HOLD", "FOUND WITHIN HOLD", bad + " FOUND AFTER", "BAD REQUESTS BY THEN", "GOOD PASSES AFTER"}
	if err := a.table(w, head, plannedRows(out.Steps)); err != nil {
		return err
	}
	if out.Returning != "" {
		_, _ = fmt.Fprintf(w, "\n%s.\n", clean(tell.Capital(out.Returning)))
	}
	if len(out.ReturningSteps) > 0 {
		if err := a.table(w, head, plannedRows(out.ReturningSteps)); err != nil {
			return err
		}
	}
	past := "with the noise of earlier releases known"
	if p.first {
		past = "for a first release"
	}
	_, _ = fmt.Fprintf(w, "\n%s requests a second, %s. In brackets: the weight does not wait for a pass.\n",
		number(out.Rate), past)
	for _, line := range slices.Concat(out.Pods, out.Calendar) {
		_, _ = fmt.Fprintln(w, clean(tell.Capital(line)+"."))
	}
	if out.Soonest != nil {
		_, _ = fmt.Fprintf(w, "A release that begins now is promoted at %s, at the soonest.\n",
			out.Soonest.Local().Format("Mon 2006-01-02 15:04 MST"))
	}
	keptLine(w, out.Kept)
	for _, line := range slices.Concat(lagging(out.Steps, p.stay), lagging(out.ReturningSteps, p.stay),
		p.ruledOut(out.Steps), usersNeeded(out), podsNeeded(out)) {
		_, _ = fmt.Fprintln(w, clean(line))
	}
	for _, text := range out.Warnings {
		_, _ = fmt.Fprintln(w, painted("warning: ", yellow, a.colours())+clean(text))
	}
	return nil
}

// keptLine prints what [tell.Kept] says, if anything.
func keptLine(w io.Writer, kept string) {
	if kept != "" {
		_, _ = fmt.Fprintln(w, clean(tell.Capital(kept)+"."))
	}
}

// plannedRows are the steps of a plan as rows of a table.
func plannedRows(steps []planned) [][]cell {
	rows := [][]cell{}
	for _, s := range steps {
		if s.Unjudged {
			rows = append(rows, []cell{
				{s.Step, bold}, {percentage(s.Weight), plain}, {"none", plain}, {lasting(s.Hold), plain}, {"–", plain},
				{"never", plain}, {"–", plain}, {"–", plain},
			})
			continue
		}
		finds, spoiled := "–", "–"
		if s.Finds != nil {
			finds = "×" + strconv.FormatFloat(*s.Finds, 'f', 1, 64) + " and worse"
		}
		if s.Spoiled != nil {
			spoiled = strconv.FormatFloat(math.Ceil(*s.Spoiled), 'f', 0, 64)
		}
		passes := lastingOr(s.Passes)
		if !s.Needs {
			passes = "(" + passes + ")"
		}
		rows = append(rows, []cell{{s.Step, bold}, {percentage(s.Weight), plain}, {s.Metric, plain}, {lasting(s.Hold), plain},
			{finds, plain}, {lastingOr(s.Found), plain}, {spoiled, plain}, {passes, plain}})
	}
	return rows
}

// budget fills in the time within which the metric has to be decided, if a step sets one, and what a pass then rules out.
func (s *planned) budget(j choice.Judge, m judge.Metric, pace choice.Pace, def analysis.Definition) {
	if !m.Budgeted || !s.Needs {
		return
	}
	s.Within, s.Before = def.Within.Seconds(), -def.Within.Seconds()
	for _, b := range def.Budget {
		s.Before += b.For.Seconds()
	}
	s.RulesOut = j.Rules(m.Name, pace)
	s.Margin = max(1+m.Margin.Relative, 1+m.Margin.Absolute/pace.Base)
	if p, err := j.WithinMargin(m.Name, pace); err == nil {
		if t, ok := p.Time(); ok {
			s.AtMargin = new(max(t, j.PassWait()).Seconds())
		}
	}
}

// ruledOut says what a pass will rule out if that follows from a time to decide in: once for each metric of a scope, at the
// last weight that waits for a pass.
func (p *planning) ruledOut(steps []planned) (out []string) {
	for i, s := range steps {
		again := func(later planned) bool {
			return later.scope == s.scope && later.Metric == s.Metric && later.Within > 0
		}
		if s.Within == 0 || slices.ContainsFunc(steps[i+1:], again) {
			continue
		}
		text := fmt.Sprintf("%s, %s: ", s.Step, s.Metric)
		switch margin := figures.Times(s.Margin) + " times, the default margin"; {
		case p.first:
			text += "before a first release nothing is known about stable, so the time to decide in has no effect: a pass rules out " + margin
		case s.RulesOut == 0:
			text += "in " + s.within() + " this traffic can rule out " + margin
		default:
			text += fmt.Sprintf("in %s this traffic can rule out a version %s times as bad as stable, and a "+
				"pass says no more than that", s.within(), figures.Times(s.RulesOut))
			if p.pasts[s.scope][s.Metric] == nil && !s.cohort {
				text += " (if bad requests come one by one; with --prometheus, by how they came in the last day)"
			}
			at := "would take more than a year"
			if s.AtMargin != nil {
				at = "takes " + lasting(*s.AtMargin) + " at " + percentage(s.Weight)
			}
			text += fmt.Sprintf("; to rule out %s, %s", margin, at)
			if s.cohort {
				text += ". Traefik counts a cohort's requests separately, so an earlier release has to show how " +
					"their rates vary; until then the time to decide in has no effect, and a pass rules out " + margin
			}
		}
		out = append(out, text+".")
	}
	return out
}

// usersNeeded says how many users it takes where users keep their version, at the last weight of each step.
func usersNeeded(p plans) (out []string) {
	for i, s := range p.Steps {
		if s.UsersToFind == 0 || saidLater(p.Steps, i, func(later planned) bool { return later.UsersToFind > 0 }) {
			continue
		}
		out = append(out, fmt.Sprintf("%s, %s: users keep their version, and a few of them may make a difference by "+
			"themselves. At %s it takes about %s users with bad requests to find ×%g, and %s to pass, unless earlier "+
			"releases or groups of users (clusters) show how much users differ.",
			s.Step, s.Metric, percentage(s.Weight), figures.Rounded(s.UsersToFind), p.Effect, figures.Rounded(s.UsersToRule)))
	}
	return out
}

// podsNeeded says how many pods the canary needs where stable's differ: once for each metric of a step.
func podsNeeded(p plans) (out []string) {
	for i, s := range p.Steps {
		if s.PodsToRule == nil || s.PodsToRule.Canary == 1 && s.PodsToFind.Canary == 1 ||
			saidLater(p.Steps, i, func(later planned) bool { return later.PodsToRule != nil }) {
			continue
		}
		out = append(out, fmt.Sprintf("%s, %s: stable's %s pods differ by %s, and with few pods a good canary "+
			"differs from stable as much. To find ×%g it takes %s, and to pass %s.",
			s.Step, s.Metric, figures.Grouped(s.PodsToRule.Stable), figures.Percent(s.PodsToRule.Spread), p.Effect,
			podsOf(s.PodsToFind), podsOf(s.PodsToRule)))
	}
	return out
}

// saidLater reports whether something is said of a later weight of the same step and metric.
func saidLater(steps []planned, i int, says func(planned) bool) bool {
	return slices.ContainsFunc(steps[i+1:], func(later planned) bool {
		return later.Step == steps[i].Step && later.Metric == steps[i].Metric && says(later)
	})
}

func podsOf(p *judge.Pods) string {
	switch p.Canary {
	case 0:
		return "more than any number of the canary's pods"
	case 1:
		return "1 pod of the canary"
	}
	return "about " + figures.Rounded(p.Canary) + " pods of the canary"
}

// within is the time in which the metric has to be decided, in words.
func (s planned) within() string {
	if s.Before > 0 {
		return lasting(s.Within) + ", and " + lasting(s.Before) + " at the weights before,"
	}
	return lasting(s.Within)
}

func percentage(share float64) string { return number(100*share) + "%" }

// lasting writes seconds for people: 45s, 12m, 3.5h, 2.1d.
func lasting(seconds float64) string {
	switch {
	case seconds < 90:
		return strconv.FormatFloat(math.Ceil(seconds), 'f', 0, 64) + "s"
	case seconds < 90*60:
		return strconv.FormatFloat(math.Round(seconds/60), 'f', 0, 64) + "m"
	case seconds < 36*3600:
		return strconv.FormatFloat(math.Round(seconds/360)/10, 'f', -1, 64) + "h"
	}
	return strconv.FormatFloat(math.Round(seconds/8640)/10, 'f', -1, 64) + "d"
}

func lastingOr(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return lasting(*seconds)
}

// count takes the rates from Prometheus: how many requests the service has served, and how many of them were bad.
func (p *planning) count(ctx context.Context, a *app, plan simulation.Plan, base *numbers) error {
	if p.service == "" {
		return fmt.Errorf("--service: which service's requests are to be counted? As its metrics name it: shop-stable@file")
	}
	if p.over < time.Minute || p.over > analysis.MaxWindow {
		return fmt.Errorf("--over %s: expected 1m to %s", p.over, analysis.MaxWindow)
	}
	source, err := p.source()
	if err != nil {
		return err
	}
	vars, err := variables(p.settings)
	if err != nil {
		return err
	}
	end, detail := time.Now().Add(-analysis.DefaultSettle), ""
	var cohorts []string // Prometheus has no past for them
	for _, s := range plan.Definition.Steps.Stages() {
		if s.Cohort {
			cohorts = append(cohorts, s.Scope)
		}
	}
	for _, scope := range plan.Definition.Scopes {
		look, err := oneLook(ctx, source.all, plan.Analyses[scope.Name], analysis.Names{Service: p.service, Vars: vars}, end, p.over)
		if err != nil {
			return err
		}
		if look.Requests != nil && look.Requests.Baseline > 0 {
			p.rate = look.Requests.Baseline / p.over.Seconds()
		}
		for _, o := range look.Observations {
			if _, given := base.named[o.Metric]; given {
				continue
			}
			if _, says, ok := strings.Cut(o.Detail, "baseline: "); ok && o.Baseline.Missing {
				detail = ": " + says
			}
			if !o.Baseline.Missing && o.Baseline.Total > 0 {
				base.named[o.Metric] = o.Baseline.Bad / o.Baseline.Total
				if look.Requests == nil {
					p.rate = max(p.rate, o.Baseline.Total/p.over.Seconds())
				}
			}
		}
		if slices.Contains(cohorts, scope.Name) {
			continue
		}
		if err := p.remember(ctx, a, source.all, plan, scope.Name, analysis.Names{Service: p.service, Vars: vars}, end); err != nil {
			return err
		}
	}
	if len(base.named) == 0 {
		return fmt.Errorf("prometheus has no requests of %s in the last %s%s", p.service, p.over, detail)
	}
	return nil
}

// remember queries what stable did over the last day, if what a pass rules out, or how many pods it takes, depends on it.
// The daemon does the same before a release.
func (p *planning) remember(ctx context.Context, a *app, source promsource.Sources, plan simulation.Plan, scope string,
	stable analysis.Names, before time.Time) error {
	if p.first || len(plan.Analyses[scope].Budget) == 0 && !plan.Analyses[scope].TellsReplicas() {
		return nil
	}
	j, err := choice.New(judged(plan, scope))
	if err != nil {
		return fmt.Errorf("analysis of %s: %w", scope, err)
	}
	pasts, err := a.rehearsed(ctx, source, plan.Analyses[scope], j, stable, before)
	if err != nil {
		return err
	}
	if p.pasts == nil {
		p.pasts = map[string]map[string][]judge.Past{}
	}
	p.pasts[scope] = pasts
	return nil
}
