// Package tell puts events and states into words, in one wording for pages, the command line, chat messages and Kubernetes.
//
// It is pure and decides nothing: package rollout says what holds a release and what follows. Start reading at [Explain].
package tell

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Explanation says, in words and numbers, why a release is where it is.
type Explanation struct {
	Rollout string `json:"rollout"`
	Release string `json:"release,omitempty"`
	// Headline is the last verdict, or how the release ended, in one sentence.
	Headline string `json:"headline"`
	// Metrics are in the order of the verdict; empty before the first look.
	Metrics []MetricExplanation `json:"metrics,omitempty"`
	// SampleRatio compares the observed split with the requested weight; empty if it was not tested.
	SampleRatio string `json:"sampleRatio,omitempty"`
	// Exposure says which metrics have counts that contradict the requests; empty if none does.
	Exposure string `json:"exposure,omitempty"`
	// Noise says why the evidence began in the middle of the release, if it did, and that it is still unknown how much
	// good versions of this service differ; empty once that is known, and if no verdict is awaited.
	Noise string `json:"noise,omitempty"`
	// Plan says why the release takes these steps, if it is not an ordinary one.
	Plan string `json:"plan,omitempty"`
	// Waiting is [Waiting], Next what follows after that; both are empty once the release has ended.
	Waiting string   `json:"waiting,omitempty"`
	Next    string   `json:"next,omitempty"`
	Trouble []string `json:"trouble,omitempty"`
	// Notes are for information and hold nothing up.
	Notes []string `json:"notes,omitempty"`
}

// MetricExplanation is one metric of a verdict in words.
type MetricExplanation struct {
	Metric  string        `json:"metric"`
	Outcome judge.Outcome `json:"outcome"`
	// Plain is for readers who do not know Serin, Text for those who want every number.
	Plain string `json:"plain"`
	Text  string `json:"text"`
	// Badge is the outcome in a word. Brief is Plain for a person in a hurry. Sure is the end of Plain, which says how
	// certain the outcome is; empty if nothing is compared. Pages fold it away.
	Badge Badge  `json:"-"`
	Brief string `json:"-"`
	Sure  string `json:"-"`
}

// String is the explanation as lines of text.
func (e Explanation) String() string {
	lines := []string{e.Headline}
	for _, m := range e.Metrics {
		lines = append(lines, "  "+m.Metric+": "+m.Plain, "    in numbers: "+strings.TrimPrefix(m.Text, m.Metric+": "))
	}
	for _, part := range []struct{ name, text string }{
		{"sample ratio", e.SampleRatio}, {"exposure", e.Exposure}, {"noise", e.Noise}, {"plan", e.Plan},
		{"waiting", e.Waiting}, {"next", e.Next}, {"note", strings.Join(e.Notes, "; ")}, {"trouble", strings.Join(e.Trouble, "; ")},
	} {
		if part.text != "" {
			lines = append(lines, part.name+": "+part.text)
		}
	}
	return strings.Join(lines, "\n")
}

// Explain says why the last verdict is what it is, what the release waits for, and what happens next.
func Explain(v record.View) Explanation {
	e := Explanation{Rollout: v.Rollout, Trouble: slices.Clone(v.Trouble), Notes: v.Notes}
	for _, w := range v.Workloads {
		if w.Phase != workload.Ready && w.Why != "" {
			e.Trouble = append(e.Trouble, w.Name.String()+": "+w.Why)
		}
	}
	if v.Release == nil {
		e.Headline = "rollout " + v.Rollout + " has had no release"
		return e
	}
	e.Release, e.Plan = v.Release.ID, Origin(v.State)
	verdict, state := v.LastVerdict(), v.State
	if state.Phase == rollout.RollingBack && v.Definition != nil {
		state.Why += state.LeftBehind(v.Definition) // the end of the release says it itself
	}
	e.Headline = headline(state, verdict, v.Steps)
	if verdict != nil {
		for _, m := range verdict.Metrics {
			e.Metrics = append(e.Metrics, MetricExplanation{
				Metric: m.Metric, Outcome: m.Outcome, Plain: plainly(m), Text: explainMetric(m),
				Badge: MetricBadge(m), Brief: briefly(m), Sure: sure(m),
			})
		}
		e.SampleRatio = explainSplit(verdict.SampleRatio, v.State.Dismissed)
		e.Exposure = explainExposures(verdict.Contradictions, v.State.Dismissed)
		if !verdict.Learned && v.State.Phase == rollout.Active {
			e.Noise = notLearned
		}
		if verdict.Begun != "" && v.State.Phase == rollout.Active {
			e.Noise = strings.TrimSuffix(verdict.Begun+"; "+e.Noise, "; ")
		}
	}
	if !v.State.Ended() {
		e.Waiting, e.Next = v.Waiting, afterwards(v.State, v.Definition)
	}
	return e
}

// notLearned is for people who watch a release without learned noise.
const notLearned = "nothing is known yet of how much good versions of this service differ: " +
	"neither stable's past nor a release says it, so a usual amount is assumed, and a pass waits longer"

func headline(s rollout.State, v *judge.Verdict, steps rollout.Steps) string {
	var out string
	switch s.Phase {
	case rollout.PhaseEnded:
		out = fmt.Sprintf("ended, %s: %s", OutcomeBadge(s.Outcome).Text, s.Why)
	case rollout.RollingBack:
		out = "going back: " + s.Why
	case rollout.Active:
		out = "active at step " + s.StepName
		if s.StepName == "" {
			out = "active, before its first step"
		}
		if s.Pause != nil {
			out += ", paused by " + s.Pause.By
		}
	}
	if s.WhyBy != "" && s.Phase != rollout.Active {
		out += " (by " + s.WhyBy + ")"
	}
	switch {
	case v == nil && len(steps.Stages()) > 0 && !steps.Judges():
		return out + unjudged(true)
	case v == nil:
		return out + "; no look has been taken"
	}
	out += fmt.Sprintf("; look %d at %s says %s", v.Look, v.At.UTC().Format(time.RFC3339), v.Outcome)
	if v.Outcome == judge.Inconclusive {
		out += ", " + Reason(v.Reason)
	}
	if v.Decisive != "" {
		out += " (" + v.Decisive + ")"
	}
	return out
}

// explainMetric is one metric with the numbers on which its outcome rests.
func explainMetric(m judge.MetricVerdict) string {
	if !Compared(m) {
		return m.Metric + ": " + arms(m) + ": there is no data to compare yet → " + outcome(m)
	}
	var parts []string
	if m.Ratio > 0 {
		parts = append(parts, fmt.Sprintf("ratio %s, at least %s (%s)%s", figures.Number(m.Ratio), figures.Number(m.Lower),
			level(m.LogEvidence.FailsFrom), upper(m)), against(m))
	}
	if moved := Quantiles(m); moved != "" {
		parts = append(parts, moved)
	}
	parts = append(parts, evidence(m)+" → "+outcome(m))
	return m.Metric + ": " + arms(m) + ": " + strings.Join(parts, "; ")
}

func upper(m judge.MetricVerdict) string {
	return fmt.Sprintf(", at most %s (%s)", figures.Number(m.Upper), level(m.LogEvidence.PassFrom))
}

func arms(m judge.MetricVerdict) string {
	switch m.Kind {
	case judge.Gauge:
		return fmt.Sprintf("canary's mean %s against baseline's %s", figures.Number(m.Canary.Rate), figures.Number(m.Baseline.Rate))
	case judge.Mean:
		return fmt.Sprintf("canary's mean of %s values %s against baseline's of %s, %s",
			figures.Grouped(m.Canary.Total), figures.Number(m.Canary.Rate),
			figures.Grouped(m.Baseline.Total), figures.Number(m.Baseline.Rate))
	case judge.Objective:
		return "canary " + counted(m.Canary) + " against an objective of " + figures.Percent(m.Baseline.Rate)
	case judge.Histogram:
		return fmt.Sprintf("above %s canary %s against baseline %s", figures.Number(m.Bound), counted(m.Canary), counted(m.Baseline))
	case judge.Counts:
		if m.By != "" {
			return m.Part() + ": canary " + counted(m.Canary) + " against baseline " + counted(m.Baseline)
		}
	}
	return "canary " + counted(m.Canary) + " against baseline " + counted(m.Baseline)
}

func counted(t judge.Totals) string {
	if t.Total == 0 {
		return "nothing yet"
	}
	return fmt.Sprintf("%s of %s (%s)", figures.Grouped(t.Bad), figures.Grouped(t.Total), figures.Percent(t.Rate))
}

// against compares the estimate with the margin. For a fail it is the estimate of the comparison that decided, which
// may have begun later. A margin below 1 belongs to a metric for which less is worse.
func against(m judge.MetricVerdict) string {
	ratio := m.Ratio
	if m.Outcome == judge.Fail && m.Leading > 0 {
		ratio = m.Leading
	}
	beyond := ratio >= m.Margin
	if m.Margin < 1 {
		beyond = ratio <= m.Margin
	}
	if beyond {
		return "worse than the margin allows (ratio " + figures.Number(m.Margin) + ")"
	}
	return "within the margin (ratio " + figures.Number(m.Margin) + ")"
}

func evidence(m judge.MetricVerdict) string {
	l := m.LogEvidence
	against := "no worse"
	if m.Kind == judge.Mean { // its bets are against the margin itself
		against = "within the margin"
	}
	worse := fmt.Sprintf("evidence %s against “%s”, needed %s", figures.Odds(l.Worse), against, figures.Odds(l.FailsFrom))
	if m.Outcome == judge.Fail {
		return worse
	}
	if l.Worse >= l.FailsFrom && l.Beyond < judge.BeyondFrom { // or a reader would take it for a fail
		worse += fmt.Sprintf(", but %s for “worse by more than the margin”, needed %s", figures.Odds(l.Beyond), figures.Odds(judge.BeyondFrom))
	}
	what := "“worse by the margin”"
	if m.Rules > 0 {
		what = "“" + howBad(m.Rules) + "”, which is what the available time can rule out"
	}
	if m.Goal {
		what = "“no better”"
	}
	return fmt.Sprintf("%s; %s against %s, needed %s", worse, figures.Odds(l.NoWorse), what, figures.Odds(l.PassFrom))
}

func outcome(m judge.MetricVerdict) string {
	out := string(m.Outcome)
	if m.Outcome == judge.Inconclusive {
		out += ", " + Reason(m.Reason)
	}
	if m.Detail != "" {
		out += " (" + m.Detail + ")"
	}
	if m.Optional {
		out += "; optional"
	}
	if m.DryRun {
		out += "; a dry run, which decides nothing"
	}
	return out
}

func explainSplit(r *judge.SampleRatio, dismissed bool) string {
	if r == nil {
		return ""
	}
	out := fmt.Sprintf("%s of %s requests went to the canary (%s), asked for %s", figures.Grouped(r.Canary), figures.Grouped(r.Canary+r.Baseline),
		figures.Percent(r.Share), share.Share(r.Weight))
	if !r.Alarm {
		return out + ": no alarm"
	}
	out += fmt.Sprintf(": alarm, evidence %s against the split asked for, needed %s", figures.Odds(max(r.More, r.Fewer)), figures.Odds(r.AlarmFrom))
	if dismissed {
		out += "; dismissed by a human for this weight"
	}
	return out
}

func explainExposures(found []judge.Contradiction, dismissed bool) string {
	if len(found) == 0 {
		return ""
	}
	var out []string
	for _, c := range found {
		out = append(out, Contradiction(c))
	}
	end := "the labels of the arms may be swapped or name another version, or an arm is counted twice; " +
		"nothing passes until that is fixed, or dismissed by a human for this weight"
	if dismissed {
		end = "dismissed by a human for this weight"
	}
	return strings.Join(append(out, end), "; ")
}

// Contradiction says how the exposure of a metric contradicts the requests, the weight, or another metric.
func Contradiction(c judge.Contradiction) string {
	out := fmt.Sprintf("alarm: %s counts %s on the canary and %s on the baseline, ", c.Metric, figures.Grouped(c.Canary), figures.Grouped(c.Baseline))
	switch c.Against {
	case judge.AgainstWeight:
		out += "which is not the weight in force"
	case judge.AgainstRequests:
		out += fmt.Sprintf("where the gateway sent %s and %s requests", figures.Grouped(c.OtherCanary), figures.Grouped(c.OtherBaseline))
	default:
		out += fmt.Sprintf("where %s counts %s and %s", c.Against, figures.Grouped(c.OtherCanary), figures.Grouped(c.OtherBaseline))
	}
	times, than := c.Ratio, "times as much on the canary as there should be"
	if times < 1 {
		times, than = 1/times, "times too little on the canary"
	}
	return fmt.Sprintf("%s: %.2g %s", out, times, than)
}

// afterwards is what happens once the release no longer waits; empty if that is its end.
func afterwards(s rollout.State, d *rollout.Definition) string {
	switch {
	case s.Phase == rollout.RollingBack:
		return "the release ends, " + string(s.Outcome)
	case s.Phase != rollout.Active || d == nil || s.Step >= len(d.Steps):
		return ""
	}
	if s.Step >= 0 {
		switch step := d.Steps[s.Step].(type) {
		case rollout.Gray:
			if s.Stage+1 < len(step.Weights) {
				return Weight(step, s.Stage+1)
			}
		case rollout.Promote:
			switch {
			case s.Stage == 0 && step.Strategy == rollout.Exchange:
				return "the canary's servers become stable"
			case s.Stage == 0:
				return "all traffic on stable, which is the new version then"
			case s.Stage == 1 && step.Strategy != rollout.Exchange:
				return "the canary leaves the service and is scaled down"
			}
		default:
		}
	}
	if s.Step+1 == len(d.Steps) {
		return "the release ends, " + string(rollout.Released)
	}
	return Step(d.Steps[s.Step+1], "").Does
}

// level is the confidence for a threshold on the log scale: log 100 is 99%.
func level(threshold float64) string {
	if threshold <= 0 {
		return "0%"
	}
	return strconv.FormatFloat(100*(1-math.Exp(-threshold)), 'g', 4, 64) + "%"
}
