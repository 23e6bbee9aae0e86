package judge

import (
	"slices"
	"strconv"
	"time"
)

// Outcome is a verdict in one word. There are three, because a canary without enough evidence is neither good nor bad.
type Outcome string

// The outcomes.
const (
	Inconclusive Outcome = "inconclusive"
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
)

// Verdict is a judge's answer after a look, with everything needed to question it.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Reason is empty unless the outcome is inconclusive.
	Reason Reason `json:"reason,omitempty"`
	// Look is the number of the look in its scope, At the end of its window.
	Look int       `json:"look"`
	At   time.Time `json:"at"`
	// Enough: each arm of every metric that is not optional has reached its minRequests since this weight came into
	// force.
	Enough bool `json:"enough"`
	// Decisive is the metric that failed, or the one that holds the pass back; empty on a pass.
	Decisive string `json:"decisive,omitempty"`
	// Metrics in the order of the settings.
	Metrics []MetricVerdict `json:"metrics"`
	// SampleRatio is nil if the split could not be tested at all.
	SampleRatio *SampleRatio `json:"sampleRatio,omitempty"`
	// Contradictions are those of the look: exposures that cannot be those of the requests that the gateway divided.
	// They fail nothing, but somebody has to look at them before the release goes on.
	Contradictions []Contradiction `json:"contradictions,omitempty"`
	// Begun says why the evidence begins in the middle of the release; empty if it goes back to the start.
	Begun string `json:"begun,omitempty"`
	// Learned: the noise was known before the first look, from earlier releases or from the version in service.
	Learned bool `json:"learned"`
	// Leaning: the evidence of at least one metric leans towards worse, see [MetricVerdict.Leaning]. A fail does not
	// require it, and a pass of the other metrics does not end it.
	Leaning bool `json:"leaning,omitempty"`
	// Blind: the look has no data of any metric, because the source could not be reached or had no samples. A measured
	// zero is data.
	Blind bool `json:"blind,omitempty"`
}

// MetricVerdict is what a judge says about one metric.
type MetricVerdict struct {
	Metric   string  `json:"metric"`
	Kind     Kind    `json:"kind"`
	Outcome  Outcome `json:"outcome"`
	Reason   Reason  `json:"reason,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	Optional bool    `json:"optional,omitempty"`
	Goal     bool    `json:"goal,omitempty"`
	// DryRun: the metric decides nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// Canary and Baseline are the totals of the whole scope: bad events, exposure, and their rate or mean.
	Canary   Totals `json:"canary"`
	Baseline Totals `json:"baseline"`
	// Ratio is the estimate of canary's rate over baseline's, Lower and Upper its confidence sequence (lower at α, upper
	// at β); 1/245 and 245 mean that nothing is excluded on that side. Margin is m, the ratio from which the canary
	// counts as worse by its margin.
	Ratio  float64 `json:"ratio"`
	Lower  float64 `json:"lower"`
	Upper  float64 `json:"upper"`
	Margin float64 `json:"margin"`
	// Rules is the ratio that a pass rules out, if that is not the margin but the one that can be ruled out in the time
	// that the release has; 0 otherwise.
	Rules float64 `json:"rules,omitempty"`
	// Leading is the estimate for the likeliest fault since it began; Ratio is over the whole scope.
	Leading float64 `json:"leading"`
	// Leaning: the canary looks worse by more than its margin, and the odds for that are at least 3 to 1: far from a
	// fail, and no reason to give it more traffic. LogEvidence has the numbers: Leading is how many times worse it
	// looks, exp(Beyond) the odds for it, exp(Worse) the e-value, exp(FailsFrom) what that needs to fail.
	Leaning bool `json:"leaning,omitempty"`
	// Noise is how much the ratio of two good versions is assumed to vary: the standard deviation of its logarithm.
	Noise float64 `json:"noise"`
	// Users estimates how many users with bad events it would take to distinguish a canary that is worse by its margin
	// from the chance that sent a few users to one arm or the other; 0 if that question holds nothing back. Only if the
	// arms are divided by users (Sticky).
	Users float64 `json:"usersNeeded,omitempty"`
	// Pods says how many pods it would take to decide, if what is known of the pods holds the metric back, and not what is
	// known of the requests; nil otherwise.
	Pods *Pods `json:"podsNeeded,omitempty"`
	// By is the metric's label By if the numbers are those of one of its values, because the evidence against that one
	// is the strongest; empty if they are those of the whole. Value is that value, empty for the values that are judged
	// together.
	By    string `json:"by,omitempty"`
	Value string `json:"value,omitempty"`
	// Bound is the histogram bound with the most evidence; 0 for other kinds.
	Bound float64 `json:"bound,omitempty"`
	// Quantiles are those of a histogram over the whole scope (Kind Histogram).
	Quantiles []Quantile `json:"quantiles,omitempty"`
	// LogEvidence holds natural logarithms of e-values: Worse, against "no worse", with the threshold of a fail, and
	// NoWorse, against "worse by its margin", with the threshold of a pass.
	LogEvidence LogEvidence `json:"logEvidence"`
	// Fresh belongs to an earlier judge: how many parts of the release it had begun to compare again. Stored verdicts
	// have it; it is 0 today.
	Fresh int `json:"fresh"`
}

// Quantile is a quantile of both arms, in the histogram's unit.
type Quantile struct {
	// Of is the share of requests that take at most this long: 0.99.
	Of       float64      `json:"of"`
	Canary   QuantileBand `json:"canary"`
	Baseline QuantileBand `json:"baseline"`
}

// Name is what people call it: p99.
func (q Quantile) Name() string { return "p" + strconv.FormatFloat(100*q.Of, 'f', -1, 64) }

// QuantileBand locates a quantile of one arm: Value by interpolation between bounds, Lower and Upper as the bounds that
// enclose it. If requests are independent, each is wrong at any look of the release with a chance of 5%; 0 if nothing
// is excluded. Beyond: the quantile is above the last bound, which is then Value.
type QuantileBand struct {
	Value  float64 `json:"value"`
	Lower  float64 `json:"lower,omitempty"`
	Upper  float64 `json:"upper,omitempty"`
	Beyond bool    `json:"beyond,omitempty"`
}

// Part names the value of the label By to which the numbers belong: route "/cart". It is empty if they are those of the
// whole.
func (m MetricVerdict) Part() string {
	switch {
	case m.By == "":
		return ""
	case m.Value == "":
		return "a " + m.By + " that is not judged by itself"
	}
	return m.By + " " + strconv.Quote(m.Value)
}

// Named is the metric's name with the value of its label to which the numbers belong: errors of route "/cart".
func (m MetricVerdict) Named() string {
	if part := m.Part(); part != "" {
		return m.Metric + " of " + part
	}
	return m.Metric
}

// WouldFail are the metrics of a dry run that would send the release back, without those that already would by last, an
// earlier verdict; nil for none.
func (v *Verdict) WouldFail(last *Verdict) (out []MetricVerdict) {
	for _, m := range v.Metrics {
		said := last != nil && slices.ContainsFunc(last.Metrics, func(b MetricVerdict) bool { return b.Metric == m.Metric && b.WouldFail() })
		if m.WouldFail() && !said {
			out = append(out, m)
		}
	}
	return out
}

// WouldFail: it is a dry run, and would have sent the release back.
func (m MetricVerdict) WouldFail() bool { return m.DryRun && m.Outcome == Fail }

// DecisiveName is [Verdict.Decisive], named as its verdict names it.
func (v *Verdict) DecisiveName() string {
	for i := range v.Metrics {
		if v.Metrics[i].Metric == v.Decisive {
			return v.Metrics[i].Named()
		}
	}
	return v.Decisive
}

// Bounded reports which ends of the confidence sequence exclude anything: those that have moved in from the ends of the
// drawn range.
func (m MetricVerdict) Bounded() (lower, upper bool) {
	const from, to = 1.0 / 240, 240
	return m.Lower > from, m.Upper < to
}

// Pods is how many pods the canary needs to distinguish the margin from the difference between pods of one version.
type Pods struct {
	// Canary is that number, 0 if none suffices. Stable is how many pods stable has, Spread how much their rates differ, as
	// a standard deviation relative to their mean.
	Canary float64 `json:"canary"`
	Stable float64 `json:"stable"`
	Spread float64 `json:"spread"`
}

// Totals of one arm over a whole scope.
type Totals struct {
	Bad   float64 `json:"bad"`
	Total float64 `json:"total"`
	// Rate is Bad/Total, or a gauge's mean over its looks; 0 without data. For Kind Mean, Bad is the sum of the values and Rate
	// their mean.
	Rate float64 `json:"rate"`
}

// LogEvidence is the evidence of a metric with the thresholds it is compared with, all natural logarithms.
type LogEvidence struct {
	Worse     float64 `json:"worse"`
	Whole     float64 `json:"whole"`     // of an earlier judge; 0 today
	FailsFrom float64 `json:"failsFrom"` // log(1/α of this metric)
	NoWorse   float64 `json:"noWorse"`
	PassFrom  float64 `json:"passFrom"` // log(1/β)
	// Beyond is the logarithm of the odds for "worse by more than the margin" against "within it".
	Beyond float64 `json:"beyond,omitempty"`
}

// LeansFrom is the logarithm of the odds from which a metric leans towards worse: 3 to 1.
const LeansFrom = 1.0986122886681098

// BeyondFrom is the logarithm of the odds for "worse by more than the margin" that a fail needs, in addition to its
// evidence: 20 to 1.
const BeyondFrom = 2.995732273553991

// SampleRatio is the test of the split that the gateway made against the weight in force, since the last change
// of weight.
type SampleRatio struct {
	Alarm bool `json:"alarm"`
	// Weight is the canary's share that was set, Share the one that was observed.
	Weight   float64 `json:"weight"`
	Share    float64 `json:"share"`
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	// Ratio is r̂ of the two arms' exposures; More and Fewer are log e-values against "not more" and "not fewer"
	// requests for the canary than the weight says; AlarmFrom is their threshold.
	Ratio     float64 `json:"ratio"`
	More      float64 `json:"more"`
	Fewer     float64 `json:"fewer"`
	AlarmFrom float64 `json:"alarmFrom"`
}

// What the exposure of a metric may contradict, apart from the exposure of another metric.
const (
	AgainstRequests = "requests" // the requests that the gateway sent to the arms
	AgainstWeight   = "weight"   // the one in force
)

// Contradiction says that, since the last change of weight, a metric's exposure has been divided between the arms
// differently from the requests: its labels are swapped or foreign, or an arm is counted twice.
type Contradiction struct {
	Metric string `json:"metric"`
	// Canary and Baseline are the exposure of the metric.
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	// Against is [AgainstRequests], [AgainstWeight] or the name of another metric; OtherCanary and OtherBaseline are its
	// counts in the same looks, 0 for the weight.
	Against       string  `json:"against"`
	OtherCanary   float64 `json:"otherCanary,omitempty"`
	OtherBaseline float64 `json:"otherBaseline,omitempty"`
	// Ratio is the canary's exposure relative to what it should be.
	Ratio float64 `json:"ratio"`
	// Evidence is the log e-value against "they agree within a half", AlarmFrom its threshold.
	Evidence  float64 `json:"evidence"`
	AlarmFrom float64 `json:"alarmFrom"`
}
