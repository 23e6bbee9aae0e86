package judge

import (
	"strconv"
	"time"
)

// Outcome is a verdict in one word. There are three: a canary about which nothing can be said is neither good nor bad.
type Outcome string

// The outcomes.
const (
	Inconclusive Outcome = "inconclusive"
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
)

// Verdict is what a judge says after a look, with all that is needed to doubt it.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Reason is empty unless the outcome is inconclusive.
	Reason Reason `json:"reason,omitempty"`
	// Look is the number of the look in its scope, At the end of its window.
	Look int       `json:"look"`
	At   time.Time `json:"at"`
	// Enough: each arm of every metric that is not optional has its minRequests since this weight is in force.
	Enough bool `json:"enough"`
	// Decisive is the metric that failed, or that holds the pass back; empty on a pass.
	Decisive string `json:"decisive,omitempty"`
	// Metrics in the order of the settings.
	Metrics []MetricVerdict `json:"metrics"`
	// SampleRatio is nil where the split could not be tested at all.
	SampleRatio *SampleRatio `json:"sampleRatio,omitempty"`
	// Contradictions are those of the look: exposures that cannot be of the requests that the gateway divided. They fail
	// nothing, and people have to look at them before the release goes on.
	Contradictions []Contradiction `json:"contradictions,omitempty"`
	// Begun says why the evidence begins in the middle of the release; empty if it does not.
	Begun string `json:"begun,omitempty"`
	// Learned: the noise was known, of earlier releases or of the version in service, before the first look.
	Learned bool `json:"learned"`
	// Leaning: the evidence of at least one metric leans towards worse, see [MetricVerdict.Leaning]. A fail does not
	// need it, and a pass of the other metrics does not end it.
	Leaning bool `json:"leaning,omitempty"`
	// Blind: the look has shown nothing of any metric: it could not be asked, or nothing of what it counts is there. A
	// measured zero is something.
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
	// DryRun: what it says decides nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// Canary and Baseline are the totals of the whole scope: bad events, exposure, and their rate or mean.
	Canary   Totals `json:"canary"`
	Baseline Totals `json:"baseline"`
	// Ratio is the estimate of canary's rate over baseline's, Lower and Upper its confidence sequence (lower at α, upper
	// at β); 1/245 and 245 mean that nothing beyond is excluded. Margin is m: the ratio from which on the canary counts
	// as worse by its margin.
	Ratio  float64 `json:"ratio"`
	Lower  float64 `json:"lower"`
	Upper  float64 `json:"upper"`
	Margin float64 `json:"margin"`
	// Rules is the ratio that a pass rules out where that is not the margin, but what can be ruled out in the time that the
	// release has; 0 otherwise.
	Rules float64 `json:"rules,omitempty"`
	// Leading is the estimate of the fault that is the likeliest, since it began; Ratio is over the whole scope.
	Leading float64 `json:"leading"`
	// Leaning: the canary looks worse by more than its margin, and the odds for that are at least 3 to 1: far from a
	// fail, and no reason to give it more traffic. LogEvidence has the numbers: Leading is how many times worse it
	// looks, exp(Beyond) the odds for it, exp(Worse) the e-value, exp(FailsFrom) what that needs to fail.
	Leaning bool `json:"leaning,omitempty"`
	// Noise is how much the ratio of two good versions is assumed to wander and to differ: the standard deviation of
	// its logarithm.
	Noise float64 `json:"noise"`
	// Users is how many users with bad events it would take to tell a canary that is worse by its margin from what a few users
	// make by falling into one arm or the other; 0 where that question holds nothing back. Only where arms are divided by
	// users (Sticky), and an estimate.
	Users float64 `json:"usersNeeded,omitempty"`
	// By is the metric's label By where the numbers are those of one of its values, because the evidence against that one is
	// the strongest; it is empty where they are those of the whole. Value is that value, empty for all values together that
	// are not judged one by one.
	By    string `json:"by,omitempty"`
	Value string `json:"value,omitempty"`
	// Bound is the histogram bound where the evidence is largest; 0 otherwise.
	Bound float64 `json:"bound,omitempty"`
	// Quantiles are those of a histogram over the whole scope (Kind Histogram).
	Quantiles []Quantile `json:"quantiles,omitempty"`
	// LogEvidence are natural logarithms of e-values: Worse against "no worse" with the threshold that fails,
	// NoWorse against "worse by its margin" with the threshold that passes.
	LogEvidence LogEvidence `json:"logEvidence"`
	// Fresh is how many parts of the release the judge before this one had begun to compare again; stored verdicts have
	// it, and it is 0 today.
	Fresh int `json:"fresh"`
}

// Quantile is a quantile of both arms, in the histogram's unit.
type Quantile struct {
	// Of is the share of requests that are at most as long: 0.99.
	Of       float64      `json:"of"`
	Canary   QuantileBand `json:"canary"`
	Baseline QuantileBand `json:"baseline"`
}

// Name is what people call it: p99.
func (q Quantile) Name() string { return "p" + strconv.FormatFloat(100*q.Of, 'f', -1, 64) }

// QuantileBand is where a quantile of one arm lies: Value by interpolation between bounds, Lower and Upper the bounds between
// which it is, each wrong at any look of the release with a chance of 5% if requests are independent. Lower and Upper are 0
// where nothing is excluded. Beyond: it is above the last bound, which is Value then.
type QuantileBand struct {
	Value  float64 `json:"value"`
	Lower  float64 `json:"lower,omitempty"`
	Upper  float64 `json:"upper,omitempty"`
	Beyond bool    `json:"beyond,omitempty"`
}

// Part names the value of the label By that the numbers are those of: route "/cart". It is empty where they are those of the
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

// Named is the metric's name, with the value of its label that the numbers are those of: errors of route "/cart".
func (m MetricVerdict) Named() string {
	if part := m.Part(); part != "" {
		return m.Metric + " of " + part
	}
	return m.Metric
}

// DecisiveName is [Verdict.Decisive], named as its verdict names it.
func (v *Verdict) DecisiveName() string {
	for i := range v.Metrics {
		if v.Metrics[i].Metric == v.Decisive {
			return v.Metrics[i].Named()
		}
	}
	return v.Decisive
}

// Bounded tells which ends of the confidence sequence exclude anything: those that have moved in from the ends of the
// drawn range.
func (m MetricVerdict) Bounded() (lower, upper bool) {
	const from, to = 1.0 / 240, 240
	return m.Lower > from, m.Upper < to
}

// Totals of one arm over a whole scope.
type Totals struct {
	Bad   float64 `json:"bad"`
	Total float64 `json:"total"`
	// Rate is Bad/Total, or a gauge's mean over its looks; 0 while there is no data.
	Rate float64 `json:"rate"`
}

// LogEvidence is the evidence of a metric with the thresholds it is compared with, all natural logarithms.
type LogEvidence struct {
	Worse     float64 `json:"worse"`
	Whole     float64 `json:"whole"`     // of the judge before this one; 0 today
	FailsFrom float64 `json:"failsFrom"` // log(1/α of this metric)
	NoWorse   float64 `json:"noWorse"`
	PassFrom  float64 `json:"passFrom"` // log(1/β)
	// Beyond is the logarithm of the odds for "worse by more than the margin" against "within it".
	Beyond float64 `json:"beyond,omitempty"`
}

// LeansFrom is the logarithm of the odds from which on a metric leans towards worse: 3 to 1.
const LeansFrom = 1.0986122886681098

// BeyondFrom is the logarithm of the odds for "worse by more than the margin" that a fail needs, in addition to its
// evidence: 20 to 1.
const BeyondFrom = 2.995732273553991

// SampleRatio is the test of the split that the gateway made against the weight in force, since the last change
// of weight.
type SampleRatio struct {
	Alarm bool `json:"alarm"`
	// Weight is the canary's share that was asked for, Share the one that was seen.
	Weight   float64 `json:"weight"`
	Share    float64 `json:"share"`
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	// Ratio is r̂ of the two arms' exposures; More and Fewer are log e-values against "not more" and "not fewer"
	// requests for the canary than asked; AlarmFrom is their threshold.
	Ratio     float64 `json:"ratio"`
	More      float64 `json:"more"`
	Fewer     float64 `json:"fewer"`
	AlarmFrom float64 `json:"alarmFrom"`
}

// What the exposure of a metric may contradict, where it is not another metric's.
const (
	AgainstRequests = "requests" // those that the gateway sent to the arms
	AgainstWeight   = "weight"   // the one in force
)

// Contradiction says that the exposure of a metric divides between the arms in another way than the requests do, since the
// last change of weight: its labels are swapped or foreign, or an arm is counted twice.
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
	// Ratio is how many times as much there is on the canary as there should be.
	Ratio float64 `json:"ratio"`
	// Evidence is the log e-value against "they agree but for a half", AlarmFrom its threshold.
	Evidence  float64 `json:"evidence"`
	AlarmFrom float64 `json:"alarmFrom"`
}
