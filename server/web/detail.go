package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

// Record is everything that is known about a release; its page and its report are made from it alone.
type Record struct {
	View        record.View
	Explanation tell.Explanation
	Events      []rollout.Event
	// Looks by scope, in order. Cut: there were older ones.
	Looks map[string][]server.Look
	Cut   bool
	// Before is the version that was in service when the release began, as people call it; empty if it is not known.
	Before string
}

// Detail is a release as templates show it.
type Detail struct {
	Rollout, ID, Revision string
	// Brings is the version that is released, as people call it; empty if no parameter says it.
	Brings   string
	State    Pill
	Headline Headline
	// About is what people want to know about the rollout.
	About record.About
	// Users says what the release meant for users; nil unless it went back.
	Users *Users
	// Now says what a person has to do after the end; empty while the release runs.
	Now string
	// Plain says in plain words what the last verdict is based on, Look which look that was, and Reason is Plain in
	// numbers.
	Plain          string
	Look, Reason   string
	Waiting, Then  string
	Noise          string
	Over           bool
	Trouble, Notes []string
	StartedBy      string
	Started, Ended time.Time
	Took           string
	Parameters     []Pair
	Steps          []Step
	// Unjudged: the definition says that nothing is compared.
	Unjudged bool
	// Calendar says why the release takes this plan, if it is not the usual one, and when it may go on, if not always.
	Calendar []string
	// Timeline has charts with one time axis: the weight, and both arms of each metric; nil if no traffic has moved. Zoom
	// has links to other parts of the time.
	Timeline []Plot
	Zoom     []ZoomLink
	Traffic  Traffic
	// Arms says what both versions run, and lists the other workloads of the release.
	Arms  []tell.ArmVersion
	Split *Split
	// Exposure says which metrics contradict the number of requests; empty if none does.
	Exposure      string
	ExposureState Pill
	Scopes        []Scope
	Answers       []Answer
	// Events has the newest first. OlderEvents is the address of the page with the rest, if there are more; EventCount
	// counts all.
	Events      []EventLine
	OlderEvents string
	EventCount  int
	Cut         bool
}

// Types of package tell that templates use.
type (
	// Pill is a word with a colour: ok, bad, wait, go or rest.
	Pill = tell.Badge
	// Headline says what is the matter with a release in one sentence.
	Headline = tell.Headline
	// Step is one step of the plan.
	Step = tell.PlanStep
	// Arm is what one arm of a metric has shown.
	Arm = tell.Arm
	// Meter shows evidence against how much is needed.
	Meter = tell.Meter
)

// Pair is a name with its value.
type Pair struct{ Name, Value string }

// Answer is an answer that was given at a gate.
type Answer struct {
	Gate, By, Reason string
	Answer           Pill
	At               time.Time
}

// Traffic is who gets what, and how well that is known.
type Traffic struct {
	// Weight is the canary's share as text, Share as a number between 0 and 100.
	Weight       string
	Share        float64
	Cohort       string
	Confirmation Pill
	Differences  []string
	Replicas     []Replica
}

// Replica is one of the gateway's.
type Replica struct {
	Name  string
	State Pill
}

// Split is the sample-ratio check.
type Split struct {
	Text        string
	State       Pill
	Asked, Seen float64 // in percent
	Evidence    Meter
}

// newDetail prepares a record for templates, as of now. scopes are those of [drawScopes].
func newDetail(r Record, scopes []Scope, now time.Time) Detail {
	v := r.View
	d := Detail{
		Rollout: v.Rollout, State: tell.StateBadge(v), Brings: rollout.Version(v.State.Parameters),
		Headline: tell.HeadlineOf(v, now), Over: v.State.Ended(), About: v.About,
		Users: newUsers(v, r.Events, scopes), Waiting: r.Explanation.Waiting, Then: r.Explanation.Next,
		Noise: r.Explanation.Noise, Notes: v.Notes, Trouble: v.Trouble, Cut: r.Cut, Traffic: newTraffic(v, now), Split: newSplit(v, r.Explanation),
		Exposure: r.Explanation.Exposure, ExposureState: alarmPill(v.State.Dismissed),
	}
	d.Now = whatNow(v, d.Users)
	d.Unjudged = len(v.Steps.Stages()) > 0 && !v.Steps.Judges()
	d.Plain, d.Look, d.Reason = reason(v, r.Explanation)
	if v.Release != nil {
		d.ID, d.Revision, d.StartedBy, d.Started, d.Ended = v.Release.ID, v.Release.Revision, v.Release.StartedBy,
			v.Release.StartedAt, v.State.EndedAt
		if !d.Ended.IsZero() {
			d.Took = figures.Span(d.Ended.Sub(d.Started))
		}
	}
	d.Arms = tell.Arms(v, r.Before)
	for _, name := range sortedKeys(v.State.Parameters) {
		d.Parameters = append(d.Parameters, Pair{name, v.State.Parameters[name]})
	}
	d.Steps, d.Calendar, d.Answers = tell.PlanOf(v, r.Events, now), tell.PlanNotes(v), newAnswers(v)
	if whole, ok := span(v, r.Events, now); ok {
		d.Timeline = newTimeline(v, r.Events, joinedSeries(scopes), whole)
	}
	d.Scopes = explained(v, scopes, r.Explanation)
	d.Events, d.EventCount = newEventLines(v, r.Events), len(r.Events)
	return d
}

// drawScopes draws the scopes of a record, the newest first.
func drawScopes(r Record) []Scope {
	var out []Scope
	for i, name := range Scopes(r.View) {
		if looks := r.Looks[name]; len(looks) > 0 {
			out = append(out, newScope(r.View, i, name, looks))
		}
	}
	slices.Reverse(out)
	return out
}

// explained adds an explanation's words to the metrics of the scope whose verdict counts.
func explained(v record.View, scopes []Scope, x tell.Explanation) []Scope {
	verdict := v.LastVerdict()
	out := slices.Clone(scopes)
	for i := range out {
		if verdict == nil || out[i].Looks != verdict.Look || out[i].Verdict != tell.VerdictBadge(verdict.Outcome, verdict.Reason) {
			continue
		}
		out[i].Metrics = slices.Clone(out[i].Metrics)
		for k := range out[i].Metrics {
			for _, m := range x.Metrics {
				if m.Metric == out[i].Metrics[k].Name {
					out[i].Metrics[k].Plain, out[i].Metrics[k].Sure = m.Brief, m.Sure
				}
			}
		}
		break
	}
	return out
}

// reason describes the last look, and the metric that decided it or holds a pass back: in plain words, and in numbers.
func reason(v record.View, x tell.Explanation) (plain, look, numbers string) {
	verdict := v.LastVerdict()
	if verdict == nil {
		return "", "", ""
	}
	look = fmt.Sprintf("Look %d, %s, says %s.", verdict.Look, stamp(verdict.At), tell.VerdictBadge(verdict.Outcome, verdict.Reason).Text)
	for _, m := range x.Metrics {
		if m.Metric == verdict.Decisive {
			return m.Plain, look, m.Text + "."
		}
	}
	return "", look, ""
}

// weight is the canary's share: of all traffic, or of the cohort if only the cohort sees the canary.
func weight(v record.View) (text string, percent float64) {
	text, percent = v.Target.Weight.String(), 100*float64(v.Target.Weight)
	if m := v.Target.Mirror; m != nil {
		return "none; copies of " + m.Share.String() + " of the requests", 0
	}
	if c := v.Target.Cohort; c != nil {
		if v.Target.Weight == 0 {
			return c.Split.String() + " of the cohort", 100 * float64(c.Split)
		}
		text += ", " + c.Split.String() + " of the cohort"
	}
	return text, percent
}

func newTraffic(v record.View, now time.Time) Traffic {
	t := Traffic{Differences: v.Differences}
	t.Weight, t.Share = weight(v)
	if c := v.Target.Cohort; c != nil {
		t.Cohort = c.Split.String()
	}
	t.Confirmation = tell.Confirmation(v, now)
	if v.State.Ended() {
		t.Confirmation = Pill{}
	}
	for _, r := range v.Replicas {
		state := Pill{Text: "answers", Class: "ok"}
		if r.Err != "" {
			state = Pill{Text: r.Err, Class: "bad"}
		}
		t.Replicas = append(t.Replicas, Replica{r.Name, state})
	}
	return t
}

func alarmPill(dismissed bool) Pill {
	if dismissed {
		return Pill{Text: "alarm, dismissed", Class: "wait"}
	}
	return Pill{Text: "alarm", Class: "bad"}
}

func newSplit(v record.View, x tell.Explanation) *Split {
	verdict := v.LastVerdict()
	if verdict == nil || verdict.SampleRatio == nil {
		return nil
	}
	r := verdict.SampleRatio
	s := &Split{Text: x.SampleRatio, State: Pill{Text: "as asked", Class: "ok"}, Asked: 100 * r.Weight, Seen: 100 * r.Share}
	if r.Alarm {
		s.State = alarmPill(v.State.Dismissed)
	}
	s.Evidence = tell.NewMeter("evidence against the split that was asked for", max(r.More, r.Fewer), r.AlarmFrom, "bad")
	return s
}

// newAnswers lists the answers at gates by time.
func newAnswers(v record.View) []Answer {
	var out []Answer
	for gate, a := range v.State.Answered {
		out = append(out, Answer{Gate: gate, By: a.By, At: a.At, Reason: a.Reason, Answer: answerPill(a.Answer)})
	}
	slices.SortFunc(out, func(a, b Answer) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Gate, b.Gate)) })
	return out
}

func answerPill(a rollout.Answer) Pill {
	switch a {
	case rollout.Approve:
		return Pill{Text: "approved", Class: "ok"}
	case rollout.Reject:
		return Pill{Text: "rejected", Class: "bad"}
	case rollout.KeepWaiting:
	}
	return Pill{Text: "kept waiting", Class: "wait"}
}

// Scopes returns the scopes of evidence of a release's plan, in order.
func Scopes(v record.View) []string {
	var out []string
	add := func(scope string) {
		if scope != "" && !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	for _, stage := range v.Steps.Stages() {
		add(stage.Scope)
	}
	add(v.State.Scope)
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
