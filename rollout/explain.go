package rollout

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// Explanation is why a release stands where it stands, in words and numbers.
type Explanation struct {
	Rollout string `json:"rollout"`
	Release string `json:"release,omitempty"`
	// Headline is the last verdict, or how the release ended, in a sentence.
	Headline string `json:"headline"`
	// Metrics are in the order of the verdict; empty before the first look.
	Metrics []MetricExplanation `json:"metrics,omitempty"`
	// SampleRatio compares the split that was seen with the weight asked for; empty where it was not tested.
	SampleRatio string `json:"sampleRatio,omitempty"`
	// Noise says that nothing is learned yet of how much good versions of this service differ; empty once it is, or
	// where no verdict is awaited.
	Noise string `json:"noise,omitempty"`
	// Waiting is [State.Waiting], Next what follows after that; both are empty once the release has ended.
	Waiting string   `json:"waiting,omitempty"`
	Next    string   `json:"next,omitempty"`
	Trouble []string `json:"trouble,omitempty"`
}

// MetricExplanation is one metric of a verdict in words.
type MetricExplanation struct {
	Metric  string        `json:"metric"`
	Outcome judge.Outcome `json:"outcome"`
	// Plain is for somebody who knows nothing of Serin, Text for somebody who wants every number.
	Plain string `json:"plain"`
	Text  string `json:"text"`
}

// String is the explanation as lines of text.
func (e Explanation) String() string {
	lines := []string{e.Headline}
	for _, m := range e.Metrics {
		lines = append(lines, "  "+m.Metric+": "+m.Plain, "    in numbers: "+strings.TrimPrefix(m.Text, m.Metric+": "))
	}
	for _, part := range []struct{ name, text string }{
		{"sample ratio", e.SampleRatio}, {"noise", e.Noise}, {"waiting", e.Waiting}, {"next", e.Next}, {"trouble", strings.Join(e.Trouble, "; ")},
	} {
		if part.text != "" {
			lines = append(lines, part.name+": "+part.text)
		}
	}
	return strings.Join(lines, "\n")
}

// Explain says why the last verdict is what it is, what the release waits for and what happens next.
func Explain(v View) Explanation {
	e := Explanation{Rollout: v.Rollout, Trouble: slices.Clone(v.Trouble)}
	for _, w := range v.Workloads {
		if w.Phase != workload.Ready && w.Why != "" {
			e.Trouble = append(e.Trouble, w.Name.String()+": "+w.Why)
		}
	}
	if v.Release == nil {
		e.Headline = "rollout " + v.Rollout + " has had no release"
		if len(v.Unsupported) > 0 {
			e.Headline += ", and this build cannot run it: " + strings.Join(v.Unsupported, "; ")
		}
		return e
	}
	e.Release = v.Release.ID
	verdict := v.Verdict
	// A release that has left the state of being analysed is explained by what it was decided on.
	if verdict == nil || v.State.Phase != Active {
		if v.State.LastVerdict != nil {
			verdict = v.State.LastVerdict
		}
	}
	state := v.State
	if state.Phase == RollingBack && v.Definition != nil {
		state.Why += state.leftBehind(v.Definition) // once it has ended, that is said by its end
	}
	e.Headline = headline(state, verdict)
	if verdict != nil {
		for _, m := range verdict.Metrics {
			e.Metrics = append(e.Metrics, MetricExplanation{Metric: m.Metric, Outcome: m.Outcome, Plain: plainly(m), Text: explainMetric(m)})
		}
		e.SampleRatio = explainSplit(verdict.SampleRatio, v.State.Dismissed)
		if !verdict.Learned && v.State.Phase == Active {
			e.Noise = notLearned
		}
	}
	if !v.State.Ended() {
		e.Waiting, e.Next = v.Waiting, v.State.afterwards(v.Definition)
	}
	return e
}

// notLearned is what whoever watches a first release has to know (spec/sequential-judge.md, Evidence begun anew).
const notLearned = "nothing is learned yet of how much good versions of this service differ: " +
	"until a release has gone well, versions that drift apart slowly may be taken for worse, and a pass waits longer"

func headline(s State, v *judge.Verdict) string {
	var out string
	switch s.Phase {
	case PhaseEnded:
		out = fmt.Sprintf("ended, %s: %s", s.Outcome, s.Why)
	case RollingBack:
		out = "going back: " + s.Why
	case Active:
		out = "active at step " + s.StepName
		if s.StepName == "" {
			out = "active, before its first step"
		}
		if s.Pause != nil {
			out += ", paused by " + s.Pause.By
		}
	}
	if s.WhyBy != "" && s.Phase != Active {
		out += " (by " + s.WhyBy + ")"
	}
	if v == nil {
		return out + "; no look has been taken"
	}
	out += fmt.Sprintf("; look %d at %s says %s", v.Look, v.At.UTC().Format(time.RFC3339), v.Outcome)
	if v.Outcome == judge.Inconclusive {
		out += ", " + reasonWords(v.Reason)
	}
	if v.Decisive != "" {
		out += " (" + v.Decisive + ")"
	}
	return out
}

// explainMetric is one metric with the numbers that its outcome rests on.
func explainMetric(m judge.MetricVerdict) string {
	if !compared(m) {
		return m.Metric + ": " + arms(m) + ": there is no data to compare yet → " + outcome(m)
	}
	var parts []string
	if m.Ratio > 0 {
		parts = append(parts, fmt.Sprintf("ratio %s, at least %s (%s)%s", number(m.Ratio), number(m.Lower),
			level(m.LogEvidence.FailsFrom), upper(m)), against(m))
	}
	parts = append(parts, evidence(m)+" → "+outcome(m))
	return m.Metric + ": " + arms(m) + ": " + strings.Join(parts, "; ")
}

func upper(m judge.MetricVerdict) string {
	return fmt.Sprintf(", at most %s (%s)", number(m.Upper), level(m.LogEvidence.PassFrom))
}

func arms(m judge.MetricVerdict) string {
	switch m.Kind {
	case judge.Gauge:
		return fmt.Sprintf("canary's mean %s against baseline's %s", number(m.Canary.Rate), number(m.Baseline.Rate))
	case judge.Objective:
		return "canary " + counted(m.Canary) + " against an objective of " + percent(m.Baseline.Rate)
	case judge.Histogram:
		return fmt.Sprintf("above %s canary %s against baseline %s", number(m.Bound), counted(m.Canary), counted(m.Baseline))
	case judge.Counts:
	}
	return "canary " + counted(m.Canary) + " against baseline " + counted(m.Baseline)
}

func counted(t judge.Totals) string {
	if t.Total == 0 {
		return "nothing yet"
	}
	return fmt.Sprintf("%s of %s (%s)", grouped(t.Bad), grouped(t.Total), percent(t.Rate))
}

// against says where the estimate lies beside the margin: for a fail that of the comparison that decided, which may be
// one begun anew since. A margin below 1 belongs to a metric of which less is worse.
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
		return "worse than the margin allows (ratio " + number(m.Margin) + ")"
	}
	return "within the margin (ratio " + number(m.Margin) + ")"
}

func evidence(m judge.MetricVerdict) string {
	l := m.LogEvidence
	worse := fmt.Sprintf("evidence %s against “no worse”, needed %s", odds(l.Worse), odds(l.FailsFrom))
	if m.Outcome == judge.Fail {
		return worse
	}
	what := "“worse by the margin”"
	if m.Goal {
		what = "“no better”"
	}
	return fmt.Sprintf("%s; %s against %s, needed %s", worse, odds(l.NoWorse), what, odds(l.PassFrom))
}

func outcome(m judge.MetricVerdict) string {
	out := string(m.Outcome)
	if m.Outcome == judge.Inconclusive {
		out += ", " + reasonWords(m.Reason)
	}
	if m.Detail != "" {
		out += " (" + m.Detail + ")"
	}
	if m.Optional {
		out += "; optional"
	}
	return out
}

func explainSplit(r *judge.SampleRatio, dismissed bool) string {
	if r == nil {
		return ""
	}
	out := fmt.Sprintf("%s of %s requests went to the canary (%s), asked for %s", grouped(r.Canary), grouped(r.Canary+r.Baseline),
		percent(r.Share), share.Share(r.Weight))
	if !r.Alarm {
		return out + ": no alarm"
	}
	out += fmt.Sprintf(": alarm, evidence %s against the split asked for, needed %s", odds(max(r.More, r.Fewer)), odds(r.AlarmFrom))
	if dismissed {
		out += "; dismissed by a human for this weight"
	}
	return out
}

// afterwards is what happens once the release waits no longer; empty where that is the end of it.
func (s State) afterwards(d *Definition) string {
	switch {
	case s.Phase == RollingBack:
		return "the release ends, " + string(s.Outcome)
	case s.Phase != Active || d == nil || s.Step >= len(d.Steps):
		return ""
	}
	if s.Step >= 0 {
		switch step := d.Steps[s.Step].(type) {
		case Gray:
			if s.Stage+1 < len(step.Weights) {
				return fmt.Sprintf("%s of traffic on the canary, for at least %s", step.Weights[s.Stage+1], span(step.Hold))
			}
		case Promote:
			switch {
			case s.Stage == 0 && step.Strategy == Exchange:
				return "the canary's servers become stable"
			case s.Stage == 0:
				return "all traffic on stable, which is the new version then"
			case s.Stage == 1 && step.Strategy != Exchange:
				return "the canary leaves the service and is scaled down"
			}
		case AB, Gate, Wait, Webhook, Job, Deploy:
		}
	}
	if s.Step+1 == len(d.Steps) {
		return "the release ends, " + string(Released)
	}
	return stepWords(d.Steps[s.Step+1])
}

// stepWords say what a step does.
func stepWords(step Step) string {
	switch step := step.(type) {
	case AB:
		return fmt.Sprintf("A/B step %s, %s of the cohort on the canary, for at least %s", step.Name, step.Cohort.Split, span(step.Decide.Min))
	case Gray:
		return fmt.Sprintf("%s of traffic on the canary, for at least %s", step.Weights[0], span(step.Hold))
	case Gate:
		return "gate " + step.Name + ", which a human answers"
	case Wait:
		return "wait " + step.Name + " for " + span(step.For)
	case Webhook:
		return "webhook " + step.Name
	case Job:
		return "job " + step.Name
	case Deploy:
		return "deploy " + step.Name + ": Deployment " + step.Deployment.String()
	case Promote:
		switch step.Strategy {
		case Patch:
			return "promotion: stable's Deployment becomes the canary's version, then gets all traffic"
		case AwaitStable:
			return "promotion: somebody else brings stable's Deployment to the canary's images, then it gets all traffic"
		case Exchange:
		}
		return "promotion: all traffic on the canary, whose servers then become stable"
	}
	return ""
}

// level is the confidence that belongs to a threshold on the log scale: log 100 is 99%.
func level(threshold float64) string {
	if threshold <= 0 {
		return "0%"
	}
	return strconv.FormatFloat(100*(1-math.Exp(-threshold)), 'g', 4, 64) + "%"
}

// mostOdds is where odds stop being numbers that anybody reads.
const mostOdds = 1e6

// odds writes exp(log) as odds: "12,000 : 1". Below one they are the other way round: "1 : 3".
func odds(log float64) string {
	switch e := math.Exp(math.Abs(log)); {
	case math.IsNaN(log):
		return "none"
	case math.IsInf(log, -1):
		return "none"
	case log < 0 && e > mostOdds:
		return "less than 1 : 1,000,000"
	case log < 0:
		return "1 : " + rounded(e)
	case e > mostOdds:
		return fmt.Sprintf("10^%.0f : 1", math.Floor(log/math.Ln10+1e-9))
	default:
		return rounded(e) + " : 1"
	}
}

// rounded has two digits of meaning and thousands apart.
func rounded(v float64) string {
	if v < 10 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return grouped(math.Round(v/unit) * unit)
}

// number has two digits of meaning, more where they stand before the point.
func number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsInf(v, 0), math.IsNaN(v):
		return fmt.Sprint(v)
	case a == 0:
		return "0"
	case a >= 1000:
		return grouped(v)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1e-4:
		return strconv.FormatFloat(v, 'f', 1-int(math.Floor(math.Log10(a))), 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// percent has at least two digits of meaning: 3.0%, 0.50%, 12%.
func percent(rate float64) string { return number(100*rate) + "%" }

// grouped writes a whole number with its thousands apart.
func grouped(v float64) string {
	if math.IsNaN(v) || math.Abs(v) > 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	out := strings.Join(groups, ",")
	if v < 0 {
		return "-" + out
	}
	return out
}
