// Package judge says what a look is, what evidence is, what a verdict is, and what every judge must do.
//
// It decides nothing itself: judge/sequential and judge/kayenta do. It knows neither Prometheus nor rollouts: the
// counts come from package analysis, and package rollout acts on the verdict. Start reading at [Judge].
package judge

import (
	"time"
)

// Judge judges the looks of one evidence scope. It is a pure function of its input: no clock, no I/O, no
// randomness; the same looks give the same verdict, one by one or in batches.
type Judge interface {
	// Begin returns the evidence of a scope before its first look. pasts is what was learned from earlier releases, by
	// metric name, the newest last; nil if nothing was.
	Begin(pasts map[string][]Past) Evidence
	// Look returns the evidence including one more look, and the verdict on all of it. e itself is not changed, so that
	// a caller whose write fails can go on with the evidence it had. A metric of the judge without an observation in
	// the look has no data in it.
	Look(e Evidence, l Look) (Evidence, Verdict)
	// History derives from the history of the version in service what Begin can use, by metric name: how its rates
	// wander, and how its replicas differ. Metrics with too little history are left out.
	History(of map[string]History) map[string]Past
	// Decode restores evidence from what Encode wrote. Evidence in an earlier version of the form begins again, and the
	// verdicts that rest on it say so. Anything else, and evidence of other metrics, is an error.
	Decode(b []byte) (Evidence, error)
}

// Evidence is the accumulated state of a judge for one scope. Its size does not grow with the number of looks.
type Evidence interface {
	// Encode writes the evidence in a versioned form that [Judge.Decode] reads back without loss.
	Encode() ([]byte, error)
	// Learned returns how much two good versions differ according to the looks, by metric name, for the next release's
	// Begin. It is called at the end of a release that went well. Metrics from which too little was learned are left
	// out.
	Learned() map[string]Past
}

// Past is what is known about the noise of a metric: how much good versions differ, and how much a rate wanders,
// without a fault. A past in the form of an earlier version of Serin reads as the zero value, from which nothing is
// learned.
type Past struct {
	// Release: it was learned by comparing the arms of an earlier release with the same rollout, metric and baseline
	// kind; otherwise it comes from the history of the version in service alone.
	Release bool `json:"release,omitempty"`
	// Blocks holds sums over blocks of 1, 5 and 15 minutes. They show how much more than by chance a rate varies at
	// each length.
	Blocks [3]Blocks `json:"blocks"`
	// Rate is the baseline's share of bad events.
	Rate float64 `json:"rate,omitempty"`
	// Replicas is how many replicas were distinguished, Spread the standard deviation of their rates relative to the
	// others', and Clusters how many bad events come at a time (history with replicas only).
	Replicas int     `json:"replicas,omitempty"`
	Spread   float64 `json:"spread,omitempty"`
	Clusters float64 `json:"clusters,omitempty"`
	// Incident is how long an incident of one replica lasts, in seconds; 0 where none was seen.
	Incident float64 `json:"incident,omitempty"`
	// Users is the relative variance of the overall rate that comes from the number of users (history with groups of
	// users only).
	Users float64 `json:"users,omitempty"`
	// Apart is the logarithm of the ratio that a release ended with, canary's rate over baseline's, in the direction that is
	// worse, and Unsure its variance; 0 where it is not known (releases only).
	Apart  float64 `json:"apart,omitempty"`
	Unsure float64 `json:"unsure,omitempty"`
	// Weight is the canary's share when a release ended whose arms were divided by users; 0 for others.
	Weight float64 `json:"weight,omitempty"`
	// Began is how much likelier the release's starts were if the service starts cold than if it starts warm, a natural logarithm
	// between -3 and 3; 0 where it is not known (releases of a metric that may be cold only).
	Began float64 `json:"began,omitempty"`
	// Parts is like Blocks for the values of a metric's label By: each value's deviations from its own rate, added up.
	Parts [3]Blocks `json:"parts,omitzero"`
}

// Blocks holds sums over blocks of one length. Those of several releases can be added.
type Blocks struct {
	// Squares is the sum of squared deviations from the expectation, Variance that of the variances expected by chance,
	// Weight that of the squares of these, and Fourth that of the deviations' fourth powers. Count is the number of
	// blocks.
	Squares  float64 `json:"squares"`
	Variance float64 `json:"variance"`
	Weight   float64 `json:"weight"`
	Fourth   float64 `json:"fourth"`
	Count    float64 `json:"count"`
}

// History is the record of the version in service before a release, in sums over intervals of one length.
type History struct {
	// Seconds is the length of an interval: a minute, or less.
	Seconds  float64 `json:"seconds"`
	Baseline Sums    `json:"baseline"`
	// Replicas has the sums of each replica, if replicas can be distinguished; zeros for one that is gone.
	Replicas []Sums `json:"replicas,omitempty"`
	// Parts has the sums of each value of the metric's label By.
	Parts []Sums `json:"parts,omitempty"`
}

// Sums holds the bad events and the exposure of each interval, the oldest first; both slices have the same length.
type Sums struct {
	Bad   []float64 `json:"bad"`
	Total []float64 `json:"total"`
}

// Kind is what kind of comparison a metric asks for.
type Kind string

// The kinds of comparison (docs/statistics.md).
const (
	Counts    Kind = "ratio"     // bad events over an exposure, both arms
	Objective Kind = "objective" // the canary's bad events against a fixed rate
	Gauge     Kind = "gauge"     // one positive number an arm and look
	Histogram Kind = "histogram" // a whole bucket distribution, both arms
	Mean      Kind = "mean"      // the sum of values and how many there were, both arms
)

// Direction is which way is worse.
type Direction string

// The directions. Increase is the default: more errors are worse.
const (
	Increase Direction = "increase"
	Decrease Direction = "decrease"
	Either   Direction = "either"
)

// Margin is how much worse than the baseline is still acceptable.
type Margin struct {
	// Relative to the baseline's rate or mean: 0.25 is a quarter more.
	Relative float64 `json:"relative"`
	// Absolute difference of rates: 0.001 is one more bad event in a thousand. For a gauge or a mean it is in
	// the metric's unit and is added to the relative margin, which then has to be above 0. Other kinds have no absolute margin.
	Absolute float64 `json:"absolute,omitempty"`
}

// Metric is what a judge has to know about one metric. Defaults are filled in by package analysis; a judge takes the
// values as they are.
type Metric struct {
	Name      string    `json:"name"`
	Kind      Kind      `json:"kind"`
	Margin    Margin    `json:"margin"`
	Direction Direction `json:"direction"`
	// Budgeted: no margin was given, but a time (Kind Counts). A pass rules out the ratio that can be ruled out within
	// [Settings.Budget], judging by the past of the version in service, if that is more than the margin. A fail always
	// goes by the margin.
	Budgeted bool `json:"budgeted,omitempty"`
	// Goal: the metric passes only if it has improved, not already if it is no worse.
	Goal bool `json:"goal,omitempty"`
	// Optional: missing data and an undecided comparison do not hold a pass back. It can still fail.
	Optional bool `json:"optional,omitempty"`
	// DryRun: the metric is judged and shown, but decides nothing: it neither fails the canary nor holds a pass back,
	// and takes no share of the chance of a false rollback.
	DryRun bool `json:"dryRun,omitempty"`
	// Weight is this metric's share of the chance of a false rollback, relative to the other metrics'.
	Weight float64 `json:"weight"`
	// Cold: replicas that have just started may be worse for their first minutes without being at fault (latencies).
	Cold bool `json:"cold,omitempty"`
	// Users: the arms are divided by users, not by requests, and the replicas of a [History] are groups of users.
	Users bool `json:"users,omitempty"`
	// Sticky: the arms are divided by an unknown number of users (Kinds Counts and Histogram). It has no meaning
	// together with Users.
	Sticky bool `json:"sticky,omitempty"`
	// By is a label, such as route, each value of which is also judged by itself (Kind Counts): half of the metric's stake is
	// on the whole, the rest divided evenly among Values values and one more for all others. A pass depends on the
	// whole alone.
	By     string `json:"by,omitempty"`
	Values int    `json:"values,omitempty"`
	// Noise is how much arms are assumed to differ from minute to minute before anything is learned (0.3).
	Noise float64 `json:"noise"`
	// MinRequests in each arm before a pass may be given.
	MinRequests float64 `json:"minRequests"`
	// Objective is the fixed rate to compare with (Kind Objective), between 0 and 1.
	Objective float64 `json:"objective,omitempty"`
	// Bounds are the finite upper bounds of the buckets, ascending (Kind Histogram).
	Bounds []float64 `json:"bounds,omitempty"`
	// Nearest is the bound that counts double (Kind Histogram); NaN is not allowed, 0 means none.
	Nearest float64 `json:"nearest,omitempty"`
}

// Settings is everything that a judge is made of.
type Settings struct {
	// FalseRollback is α of this scope: the chance that it ever fails a canary that is no worse. It is already
	// divided among the scopes of the rollout.
	FalseRollback float64 `json:"falseRollback"`
	// FalseAdvance is β: the chance of ever passing a canary that is worse by its margin.
	FalseAdvance float64  `json:"falseAdvance"`
	Metrics      []Metric `json:"metrics"`
	// PassAfter is the earliest time after the first look at which a pass may be given; nil is the default, 10 minutes.
	PassAfter *time.Duration `json:"passAfter,omitempty"`
	// Budget is the time in which the release is to be decided, as stretches at one weight each. It determines what the
	// pass of a metric that is Budgeted rules out.
	Budget []Stretch `json:"budget,omitempty"`
	// Split configures the sample-ratio test; nil if the gateway's split cannot be observed.
	Split *Split `json:"split,omitempty"`
}

// Stretch is a time at one weight.
type Stretch struct {
	Weight  float64 `json:"weight"`  // the canary's share, between 0 and 1
	Seconds float64 `json:"seconds"` // above 0
}

// Split configures the sample-ratio test (docs/statistics.md).
type Split struct {
	Noise      float64 `json:"noise"`      // 0.02: a gateway's rotation hardly wanders
	FalseAlarm float64 `json:"falseAlarm"` // 0.001
	Tolerance  float64 `json:"tolerance"`  // 0.1; wider where sessions are sticky
	// Lags: the canary's share approaches the weight slowly and from below, because users keep the version that they
	// got at a lower weight. Only a share above the weight raises an alarm.
	Lags bool `json:"lags,omitempty"`
}

// Reason says why a verdict is inconclusive.
type Reason string

// The reasons. The first three have policies and deadlines of their own in package rollout.
const (
	Unreachable Reason = "unreachable" // the source of the metrics did not answer
	NoData      Reason = "no-data"     // it answered, and there was nothing new
	TooFew      Reason = "too-few"     // there is data, but an arm has less than minRequests since the weight came into force
	Undecided   Reason = "undecided"   // enough data, no decision yet
	Waiting     Reason = "waiting"     // a pass by the evidence, but too early for one (passAfter)
	WarmingUp   Reason = "warming-up"  // the weight is not in force, or the canary has just started: no pass yet
	NotPositive Reason = "baseline-not-positive"
)

// Arm is what one arm contributed to one look of one metric.
type Arm struct {
	// Bad events and the exposure they are out of (requests): exact integers below 2^53. Kinds Counts, Objective. Of Kind Mean
	// Bad is the sum of the values, which are not negative, and Total how many there were.
	Bad   float64 `json:"bad,omitempty"`
	Total float64 `json:"total,omitempty"`
	// Value is the mean over the arm's series (Kind Gauge).
	Value float64 `json:"value,omitempty"`
	// Cumulative counts at the metric's bounds (Kind Histogram); Total is the count of all.
	Cumulative []float64 `json:"cumulative,omitempty"`
	// Missing: there was no data for this arm in this look. A measured zero is not missing.
	Missing bool `json:"missing,omitempty"`
}

// Observation is the new data of one metric since the last look, per arm. Its exposure is part of it, so weights
// may change freely between looks.
type Observation struct {
	Metric   string `json:"metric"`
	Canary   Arm    `json:"canary"`
	Baseline Arm    `json:"baseline"`
	// Absent is empty, NoData or Unreachable; or WarmingUp if part of the counts are from the canary's warm-up although
	// the look as a whole is not: they count, and withhold a pass.
	Absent Reason `json:"absent,omitempty"`
	// Detail says what is missing, in words for people: which series, which error.
	Detail string `json:"detail,omitempty"`
	// Parts divide the arms by the values of the metric's label By, those with the most exposure first. A value that did
	// nothing in this look may be left out.
	Parts []Part `json:"parts,omitempty"`
}

// Part is what one value of a metric's label By contributed to one look.
type Part struct {
	// Value is empty for the remaining values, taken together.
	Value    string `json:"value"`
	Canary   Arm    `json:"canary"`
	Baseline Arm    `json:"baseline"`
}

// Requests is how many requests the gateway sent to each arm in one look.
type Requests struct {
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
}

// Replica is one replica of the canary in one look.
type Replica struct {
	// Age is the time since it became ready, in seconds, at the end of the look.
	Age float64 `json:"age"`
	// Total is its exposure, in any unit that all replicas share.
	Total float64 `json:"total"`
}

// Look is one evaluation of all metrics of a scope at one slot.
type Look struct {
	// Number counts the looks of the scope from 1.
	Number int `json:"number"`
	// At is the end of the window, Length the window's length.
	At     time.Time     `json:"at"`
	Length time.Duration `json:"length"`
	// Weight is the canary's share that was in force during the window, between 0 and 1; the previous one if the look
	// is Unsettled. A change begins a new sample-ratio test, a fault may begin with it, and replicas that it adds may
	// be cold.
	Weight float64 `json:"weight"`
	// Replicas are the canary's, if they can be distinguished; nil otherwise.
	Replicas []Replica `json:"replicas,omitempty"`
	// Excluded is WarmingUp while the canary has just started; empty otherwise. The look counts like any other, and
	// overwhelming evidence fails in it; it withholds a pass, and [Verdict.Enough].
	Excluded Reason `json:"excluded,omitempty"`
	// Unsettled: no weight was known to be in force for the whole window. Both arms were served in it nevertheless, so
	// it is judged like any other, but it withholds a pass, enough data, and the test of the split. See [Take].
	Unsettled    bool          `json:"unsettled,omitempty"`
	Observations []Observation `json:"observations"`
	// Requests is nil if the gateway's split could not be observed in this look.
	Requests *Requests `json:"requests,omitempty"`
	// Contradictions are what package analysis found wrong with the exposures, see [Take].
	Contradictions []Contradiction `json:"contradictions,omitempty"`
}
