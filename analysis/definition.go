package analysis

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
)

// The defaults of a definition. They are those of the sequential judge's specification, except Interval (a look every
// ten seconds costs one shared query a template) and Settle (Prometheus's usual scrape interval).
const (
	DefaultInterval      = 10 * time.Second
	DefaultFalseRollback = share.Share(0.01)
	DefaultFalseAdvance  = share.Share(0.05)
	DefaultMinRequests   = 100
	DefaultWarmUp        = time.Minute
	DefaultSettle        = 15 * time.Second
	DefaultFreshEvery    = 10 * time.Minute
	DefaultFreshLive     = 6
	DefaultNoise         = 0.3
	DefaultWeight        = 1.0
	DefaultValues        = 20

	DefaultRelative          = share.Share(0.25)  // ratio metrics; other kinds have their own below
	DefaultAbsolute          = share.Share(0.001) // ratio metrics
	DefaultGaugeRelative     = share.Share(0.2)
	DefaultObjectiveRelative = share.Share(1)

	DefaultSplitNoise      = 0.02
	DefaultSplitFalseAlarm = 0.001
	DefaultSplitTolerance  = share.Share(0.1)
)

// Definition is what one evidence scope measures. It is stored with the release, so later versions have to read its
// JSON form. The zero value of a field means its default, see [Definition.Defaults].
type Definition struct {
	// Name is for people.
	Name string `json:"name"`
	// Interval is how often a look is taken.
	Interval time.Duration `json:"interval"`
	// FalseRollback is the chance, over the whole release, of rolling back a canary that is no worse.
	FalseRollback share.Share `json:"falseRollback"`
	// FalseAdvance is the chance of calling a canary no worse although it is worse by its margin.
	FalseAdvance share.Share `json:"falseAdvance"`
	// MinRequests in each arm before a pass may be given.
	MinRequests float64 `json:"minRequests"`
	// WarmUp is the time after the canary's first traffic in which it can fail but not pass. nil is the default; 0 is
	// none.
	WarmUp *time.Duration `json:"warmUp"`
	// PassAfter is the earliest time after the first look at which a pass may be given; nil is the judge's own.
	PassAfter *time.Duration `json:"passAfter,omitempty"`
	// Settle is how long before now a look's window ends, so that late samples have arrived: one scrape interval. The
	// engine subtracts it; [Plan.Asks] takes the window's end as given.
	Settle time.Duration `json:"settle"`
	// Within is the time within which a step has to be decided, written or by default. Budget is the same time as
	// stretches at each weight, including earlier stretches of the same evidence; metrics that are Budgeted pass by it.
	// Both belong to a scope of a rollout, not to an analysis.
	Within time.Duration `json:"within,omitempty"`
	Budget []Stretch     `json:"budget,omitempty"`
	// ByUsers: the arms are divided by users, who keep their arm. It belongs to a scope of a rollout, too.
	ByUsers bool  `json:"byUsers,omitempty"`
	Fresh   Fresh `json:"fresh"`
	// Split configures the test of the gateway's split, and how the requests of an arm are counted for it.
	Split   Split    `json:"split"`
	Metrics []Metric `json:"metrics"`
}

// Stretch is a time at one weight of the canary.
type Stretch struct {
	Weight share.Share   `json:"weight"`
	For    time.Duration `json:"for"`
}

// Fresh configured an earlier judge, which compared parts of a release again; today's judge finds a fault whenever it
// begins. The field has no effect, but older definitions contain it.
type Fresh struct {
	Off   bool          `json:"off,omitempty"`
	Every time.Duration `json:"every"`
	Live  int           `json:"live"`
}

// Earlier is d for a version that serves alone: metrics that compare arms at the same time are instead compared with
// what was in service that long ago. There is then no split to test, and there are no replicas or clusters of users to
// compare.
func (d Definition) Earlier(by time.Duration) Definition {
	d.Metrics = slices.Clone(d.Metrics)
	for i := range d.Metrics {
		m := &d.Metrics[i]
		if _, concurrent := m.Baseline.(Concurrent); concurrent || m.Baseline == nil {
			m.Baseline, m.Replicas, m.Clusters = Offset{By: by}, "", ""
		}
	}
	d.Split.Off = true
	return d
}

// Before is d with each earlier time moved back, by whole multiples of itself, until it lies at least that long ago:
// after a release of two days, yesterday's baseline would be the new version.
func (d Definition) Before(least time.Duration) Definition {
	d.Metrics = slices.Clone(d.Metrics)
	for i := range d.Metrics {
		if o, ok := d.Metrics[i].Baseline.(Offset); ok && o.By > 0 && o.By < least {
			d.Metrics[i].Baseline = Offset{By: (least + o.By - 1) / o.By * o.By}
		}
	}
	return d
}

// Split is the sample-ratio test: do the requests of the arms fit the weight in force?
type Split struct {
	// Off: the split is not tested, because it cannot be observed or does not depend on the gateway alone.
	Off bool `json:"off,omitempty"`
	// Requests selects the counter of an arm's requests. It has no default here, because it depends on the gateway.
	Requests Selector `json:"requests"`
	// From is the name of the source; empty means the daemon's own.
	From       string      `json:"from,omitempty"`
	Noise      float64     `json:"noise"`
	FalseAlarm float64     `json:"falseAlarm"`
	Tolerance  share.Share `json:"tolerance"`
	// Lags: users keep the version that they got at a lower weight, so the canary may have less than its weight.
	Lags bool `json:"lags,omitempty"`
}

// Margin is how much worse than the baseline is still acceptable; nil means the default of the metric's kind. For a
// gauge or a mean, Absolute is in its own unit, and both add up: Absolute more than the baseline's mean plus the share
// Relative of it.
type Margin struct {
	Relative *share.Share `json:"relative,omitempty"`
	Absolute *share.Share `json:"absolute,omitempty"`
}

// Metric is one thing that is measured, and how it is compared with its baseline.
type Metric struct {
	Name string
	// Source is what is measured.
	Source Source
	// Baseline is what it is compared with; nil is [Concurrent].
	Baseline  Baseline
	Margin    Margin
	Direction judge.Direction
	// Goal: the metric passes only if it has improved.
	Goal bool
	// Optional: missing data and an undecided comparison do not hold a pass back.
	Optional bool
	// Weight is its share of the chance of a false rollback, relative to the other metrics'.
	Weight float64
	// Noise is how much arms are assumed to differ from minute to minute before anything is learned.
	Noise float64
	// Replicas is the label that distinguishes the replicas of the version in service in the metric's series, such as
	// pod; empty means instance, or none for a gateway's metrics. How much they differ is learned before a release, see
	// [History].
	Replicas string
	// From is the name of the source; empty means the daemon's own.
	From string
	// Uneven: its exposure is not that of users' requests, and need not be divided between the arms as these are.
	Uneven bool
	// Clusters is the label that distinguishes groups of users, 64 or so, by a hash of the cookie that divides the
	// arms; empty if the arms are divided by requests. How much the groups differ is learned before a release.
	Clusters string
	// DryRun: the metric is judged and shown, but decides nothing.
	DryRun bool
	// By is a label whose values, such as routes, are also judged one by one; empty for none. Values is how many at
	// most: the first ones to occur, and among these the ones with the most exposure; the rest is judged together.
	By     string
	Values int
	// Budgeted: the user wrote no margin, but a time within which the metric has to be decided. See [Metric.Budget].
	Budgeted bool
}

// Budget makes the metric pass by what can be ruled out in a given time, if it counts bad events of two arms. It is for
// metrics without a written margin.
func (m *Metric) Budget() {
	_, fixed := m.Baseline.(Fixed)
	switch m.Source.(type) {
	case Ratio, Slow:
		m.Budgeted = !fixed && !m.Goal
	case Distribution, Mean, Gauge, nil:
	}
}

// ownUnit reports whether what is compared has a unit of its own: a mean or a gauge, and not a share of requests.
func (m *Metric) ownUnit() bool {
	switch m.Source.(type) {
	case Mean, Gauge:
		return true
	case Ratio, Slow, Distribution, nil:
	}
	return false
}

// Defaults returns the definition with every default filled in. d is not changed.
func (d Definition) Defaults() Definition {
	or(&d.Interval, DefaultInterval)
	or(&d.FalseRollback, DefaultFalseRollback)
	or(&d.FalseAdvance, DefaultFalseAdvance)
	or(&d.MinRequests, DefaultMinRequests)
	if d.WarmUp == nil {
		d.WarmUp = new(DefaultWarmUp)
	}
	or(&d.Settle, DefaultSettle)
	or(&d.Fresh.Every, DefaultFreshEvery)
	or(&d.Fresh.Live, DefaultFreshLive)
	or(&d.Split.Noise, DefaultSplitNoise)
	or(&d.Split.FalseAlarm, DefaultSplitFalseAlarm)
	or(&d.Split.Tolerance, DefaultSplitTolerance)
	d.Metrics = slices.Clone(d.Metrics)
	for i := range d.Metrics {
		d.Metrics[i].defaults()
	}
	return d
}

func (m *Metric) defaults() {
	if m.Baseline == nil {
		m.Baseline = Concurrent{}
	}
	or(&m.Weight, DefaultWeight)
	or(&m.Noise, DefaultNoise)
	if m.By != "" {
		or(&m.Values, DefaultValues)
	}
	relative, absolute := DefaultRelative, DefaultAbsolute
	direction := judge.Increase
	switch s := m.Source.(type) {
	case Ratio:
		if s.Good != "" {
			direction = judge.Decrease
		}
	case Mean, Gauge:
		relative, absolute = DefaultGaugeRelative, 0
	case Slow, Distribution, nil:
	}
	if _, ok := m.Baseline.(Fixed); ok {
		relative, absolute = DefaultObjectiveRelative, 0
	}
	or(&m.Direction, direction)
	if m.Margin.Relative == nil {
		m.Margin.Relative = &relative
	}
	if m.Margin.Absolute == nil {
		m.Margin.Absolute = &absolute
	}
}

// or fills in a default.
func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Judge returns the settings for a judge. scopes is the number of evidence scopes of the rollout (each A/B step is one,
// all gray steps together are one): the chance of a false rollback is divided among them. Defaults are filled in; the
// definition has to be valid.
func (d Definition) Judge(scopes int) judge.Settings {
	d = d.Defaults()
	s := judge.Settings{
		FalseRollback: float64(d.FalseRollback) / float64(max(scopes, 1)),
		FalseAdvance:  float64(d.FalseAdvance),
		PassAfter:     d.PassAfter,
	}
	for _, b := range d.Budget {
		s.Budget = append(s.Budget, judge.Stretch{Weight: float64(b.Weight), Seconds: b.For.Seconds()})
	}
	if !d.Split.Off {
		s.Split = &judge.Split{Noise: d.Split.Noise, FalseAlarm: d.Split.FalseAlarm, Tolerance: float64(d.Split.Tolerance), Lags: d.Split.Lags}
	}
	for i := range d.Metrics {
		m := d.Metrics[i].judge(d.MinRequests)
		_, concurrent := d.Metrics[i].Baseline.(Concurrent)
		m.Sticky = d.ByUsers && concurrent && !m.Users && (m.Kind == judge.Counts || m.Kind == judge.Histogram)
		s.Metrics = append(s.Metrics, m)
	}
	return s
}

func (m *Metric) judge(minRequests float64) judge.Metric {
	j := judge.Metric{
		Name: m.Name, Kind: judge.Counts, Direction: m.Direction, Goal: m.Goal, Optional: m.Optional, DryRun: m.DryRun, Users: m.Clusters != "",
		By: m.By, Values: m.Values, Budgeted: m.Budgeted, Weight: m.Weight, Noise: m.Noise, MinRequests: minRequests,
		Margin: judge.Margin{Relative: float64(*m.Margin.Relative), Absolute: float64(*m.Margin.Absolute)},
	}
	switch s := m.Source.(type) {
	case Mean:
		j.Kind = judge.Mean
	case Gauge:
		j.Kind, j.MinRequests = judge.Gauge, 0 // a gauge has no requests
	case Distribution:
		j.Kind, j.Bounds, j.Nearest, j.Cold = judge.Histogram, slices.Clone(s.Bounds), s.Nearest, true
	case Slow:
		j.Cold = true
	case Ratio:
	}
	if f, ok := m.Baseline.(Fixed); ok {
		j.Kind, j.Objective = judge.Objective, float64(f.Rate)
	}
	return j
}

type metricJSON struct {
	Name      string          `json:"name"`
	Source    json.RawMessage `json:"source"`
	Baseline  json.RawMessage `json:"baseline,omitempty"`
	Margin    Margin          `json:"margin"`
	Direction judge.Direction `json:"direction"`
	Goal      bool            `json:"goal,omitempty"`
	Optional  bool            `json:"optional,omitempty"`
	Weight    float64         `json:"weight"`
	Noise     float64         `json:"noise"`
	Replicas  string          `json:"replicas,omitempty"`
	From      string          `json:"from,omitempty"`
	Uneven    bool            `json:"uneven,omitempty"`
	Clusters  string          `json:"clusters,omitempty"`
	DryRun    bool            `json:"dryRun,omitempty"`
	By        string          `json:"by,omitempty"`
	Values    int             `json:"values,omitempty"`
	Budgeted  bool            `json:"budgeted,omitempty"`
}

// MarshalJSON writes source and baseline with their kind among their fields.
func (m Metric) MarshalJSON() ([]byte, error) {
	source, err := marshalSource(m.Source)
	if err != nil {
		return nil, err
	}
	baseline, err := marshalBaseline(m.Baseline)
	if err != nil {
		return nil, err
	}
	return json.Marshal(metricJSON{
		m.Name, source, baseline, m.Margin, m.Direction, m.Goal, m.Optional, m.Weight, m.Noise, m.Replicas, m.From,
		m.Uneven, m.Clusters, m.DryRun, m.By, m.Values, m.Budgeted,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote; an unknown kind is an error.
func (m *Metric) UnmarshalJSON(b []byte) error {
	var j metricJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	source, err := unmarshalSource(j.Source)
	if err != nil {
		return err
	}
	baseline, err := unmarshalBaseline(j.Baseline)
	if err != nil {
		return err
	}
	*m = Metric{
		j.Name, source, baseline, j.Margin, j.Direction, j.Goal, j.Optional, j.Weight, j.Noise, j.Replicas, j.From,
		j.Uneven, j.Clusters, j.DryRun, j.By, j.Values, j.Budgeted,
	}
	return nil
}
