package config

// AnalysisDocument is a whole document of kind Analysis.
type AnalysisDocument struct {
	APIVersion string       `json:"apiVersion" jsonschema:"enum=serin.dev/v1alpha1"`
	Kind       string       `json:"kind" jsonschema:"enum=Analysis"`
	Metadata   Metadata     `json:"metadata"`
	Spec       AnalysisSpec `json:"spec"`
}

// AnalysisSpec says what is measured and what counts as worse.
type AnalysisSpec struct {
	// Interval is how often a look is taken.
	Interval *Duration `json:"interval,omitempty"`
	// FalseRollback is the chance, over the whole release, of rolling back a canary that is no worse.
	FalseRollback *Share `json:"falseRollback,omitempty"`
	// FalseAdvance is the chance of calling a canary no worse although it is worse by its margin.
	FalseAdvance *Share `json:"falseAdvance,omitempty"`
	// Metrics that are compared.
	Metrics []MetricSpec `json:"metrics,omitempty"`
	// NoData is what is done when there are no samples.
	NoData *PatienceSpec `json:"noData,omitempty"`
	// Unreachable is what is done when Prometheus does not answer. Unset: hold after 10m, back after 1h without any metric.
	Unreachable *PatienceSpec `json:"unreachable,omitempty"`
	// MinRequests in each arm before a pass may be given.
	MinRequests *int `json:"minRequests,omitempty" jsonschema:"minimum=1"`
	// WarmUp after the canary gets its first traffic: every request counts, and can fail the canary, but nothing passes.
	WarmUp *Duration `json:"warmUp,omitempty"`
	// PassAfter is the earliest time after the first look at which a pass may be given.
	PassAfter *Duration `json:"passAfter,omitempty"`
	// Settle is how long late samples are awaited: one scrape interval.
	Settle *Duration `json:"settle,omitempty"`
	// Fresh belongs to an earlier judge and has no effect: a fault is found whenever it begins.
	Fresh *FreshSpec `json:"fresh,omitempty"`
	// SampleRatio tests whether the requests of the arms fit the weight in force.
	SampleRatio *SampleRatioSpec `json:"sampleRatio,omitempty"`
	// Prometheus is the name of one of the daemon's sources; the rollout's by default.
	Prometheus string `json:"prometheus,omitempty" jsonschema:"minLength=1"`
	// ServiceLabel is the name of Traefik's label service in that source; by default, the one that the daemon's
	// document gives for the source.
	ServiceLabel string `json:"serviceLabel,omitempty" jsonschema:"pattern=^[a-zA-Z_][a-zA-Z0-9_]*$"`
	// Match adds matchers for Traefik's series, for presets and the sample ratio, to the daemon's.
	Match Matchers `json:"match,omitempty"`
}

// PatienceSpec is how long to put up with a lack of data, and what to do then.
type PatienceSpec struct {
	// For how long.
	For Duration `json:"for"`
	// Then hold, ask a human (gate), or roll back.
	Then string `json:"then" jsonschema:"enum=hold,enum=gate,enum=rollback"`
}

// FreshSpec is read so that older documents stay valid.
type FreshSpec struct {
	// Disabled has no effect.
	Disabled bool `json:"disabled,omitempty"`
	// Every has no effect.
	Every *Duration `json:"every,omitempty"`
	// Live has no effect.
	Live *int `json:"live,omitempty" jsonschema:"minimum=1,maximum=64"`
}

// SampleRatioSpec tests whether the requests of the arms fit the weight in force.
type SampleRatioSpec struct {
	// Disabled switches the test off.
	Disabled bool `json:"disabled,omitempty"`
	// Requests selects the counter of an arm's requests; the default is Traefik's.
	Requests string `json:"requests,omitempty"`
	// Prometheus is the name of one of the daemon's sources, in place of the analysis's.
	Prometheus string `json:"prometheus,omitempty" jsonschema:"minLength=1"`
	// Tolerance is how far the split may be off before there is an alarm.
	Tolerance *Share `json:"tolerance,omitempty"`
	// FalseAlarm is the chance of an alarm although the split is right.
	FalseAlarm *Share `json:"falseAlarm,omitempty"`
}

// MetricSpec is one thing to measure, with exactly one of preset, ratio, slow, distribution, mean and gauge.
type MetricSpec struct {
	// Name of the metric.
	Name MetricName `json:"name"`
	// Preset is a metric that Serin knows: traefik-errors or traefik-latency.
	Preset string `json:"preset,omitempty"`
	// Codes that the preset traefik-errors counts, such as 499 or 5xx; 5xx by default.
	Codes []Code `json:"codes,omitempty" jsonschema:"minItems=1"`
	// Match narrows a preset: further matchers for Traefik's series, in addition to the analysis's and the daemon's.
	Match Matchers `json:"match,omitempty"`
	// Prometheus is the name of one of the daemon's sources, in place of the analysis's.
	Prometheus string `json:"prometheus,omitempty" jsonschema:"minLength=1"`
	// SlowerThan is the bound of the preset traefik-latency; it has to be one of Traefik's bucket bounds.
	SlowerThan *Duration `json:"slowerThan,omitempty"`
	// Absent says what it means if an arm has a series for total and none for bad (or good): zero means no events. Without
	// it, that holds as soon as any arm has had such a series.
	Absent string `json:"absent,omitempty" jsonschema:"enum=zero"`
	// Ratio counts events over an exposure.
	Ratio *RatioSpec `json:"ratio,omitempty"`
	// Slow counts requests above a bound of a latency histogram.
	Slow *SlowSpec `json:"slow,omitempty"`
	// Distribution compares a whole latency histogram.
	Distribution *DistributionSpec `json:"distribution,omitempty"`
	// Mean compares the mean of values that are counted and summed up, such as order totals, also where a few are very large.
	Mean *MeanSpec `json:"mean,omitempty"`
	// Gauge compares the mean of a value.
	Gauge *GaugeSpec `json:"gauge,omitempty"`
	// Baseline is what to compare with instead of stable at the same time.
	Baseline *BaselineSpec `json:"baseline,omitempty"`
	// Margin is how much worse is still acceptable: worse by more than both is a regression.
	Margin *MarginSpec `json:"margin,omitempty"`
	// Direction says which way is worse.
	Direction string `json:"direction,omitempty" jsonschema:"enum=increase,enum=decrease,enum=either"`
	// Weight is its share of the chance of a false rollback, relative to the other metrics'.
	Weight *float64 `json:"weight,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000"`
	// Goal: it passes only when it has improved; not being worse is not enough.
	Goal bool `json:"goal,omitempty"`
	// Optional: no data is not held against the canary.
	Optional bool `json:"optional,omitempty"`
	// Noise is how much the arms are assumed to differ from minute to minute before anything has been learned.
	Noise *Share `json:"noise,omitempty"`
	// Replicas is the label that distinguishes the replicas of stable in the metric's series (pod, instance): Serin
	// learns before the first release how much they differ. It is not for Traefik's own metrics.
	Replicas string `json:"replicas,omitempty"`
	// Uneven: it counts something other than users' requests (queues, jobs, probes), which need not divide between the arms
	// as the requests do. Without uneven, such a difference raises an alarm.
	Uneven bool `json:"uneven,omitempty"`
	// Clusters is the label that distinguishes groups of users (64 or so, by a hash of the cookie that divides the arms):
	// from them Serin learns before the first release how much a few users can change a rate.
	Clusters string `json:"clusters,omitempty"`
	// DryRun: it is judged and shown, and decides nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// By is a label, such as route, whose values are also judged one by one, so that a fault in one of them is found even if
	// it hardly shows in the whole. For ratio, slow and presets.
	By string `json:"by,omitempty" jsonschema:"minLength=1"`
	// Values is how many values of that label are judged one by one; 20 by default. The rest are judged together.
	Values *int `json:"values,omitempty" jsonschema:"minimum=1,maximum=100"`
}

// RatioSpec counts events over an exposure.
type RatioSpec struct {
	// Bad selects the counter of what should not happen.
	Bad string `json:"bad,omitempty"`
	// Good selects the counter of what should happen.
	Good string `json:"good,omitempty"`
	// Total selects the counter of the exposure.
	Total string `json:"total" jsonschema:"minLength=1"`
}

// SlowSpec counts requests above a bound of a latency histogram, over all requests.
type SlowSpec struct {
	// Histogram selects the buckets of a classic histogram (the name ends in _bucket) or a native histogram.
	Histogram string `json:"histogram" jsonschema:"minLength=1"`
	// SlowerThan has to be a bucket bound of a classic histogram.
	SlowerThan Duration `json:"slowerThan"`
}

// DistributionSpec compares a whole latency histogram, bound by bound.
type DistributionSpec struct {
	// Histogram selects the buckets of a classic histogram (the name ends in _bucket) or a native histogram.
	Histogram string `json:"histogram" jsonschema:"minLength=1"`
	// Bounds to compare at, ascending; bucket bounds of a classic histogram.
	Bounds []Duration `json:"bounds" jsonschema:"minItems=1,maxItems=64"`
	// Objective is the bound that counts double.
	Objective *Duration `json:"objective,omitempty"`
}

// MeanSpec compares the mean of values: how much their sum has grown over how much their number has. Values must not be
// negative.
type MeanSpec struct {
	// Sum selects the counter that adds up the values (of a histogram or summary, the one whose name ends in _sum).
	Sum string `json:"sum" jsonschema:"minLength=1"`
	// Count selects the counter of how many values there were (the one whose name ends in _count).
	Count string `json:"count" jsonschema:"minLength=1"`
}

// GaugeSpec compares the mean of a value over the series of an arm.
type GaugeSpec struct {
	// Query is a PromQL expression that gives an instant vector.
	Query string `json:"query" jsonschema:"minLength=1"`
}

// BaselineSpec is what a metric is compared with: exactly one of its fields.
type BaselineSpec struct {
	// Fixed is a rate that must not be exceeded.
	Fixed *Share `json:"fixed,omitempty"`
	// Offset compares with the same metric that long ago.
	Offset *Duration `json:"offset,omitempty"`
}

// MarginSpec is how much worse is still acceptable.
type MarginSpec struct {
	// Relative to the baseline's rate or mean.
	Relative *Share `json:"relative,omitempty"`
	// Absolute difference: of rates, a share; of a gauge or a mean, a number in its own unit, to which relative is added.
	Absolute *Difference `json:"absolute,omitempty"`
}
