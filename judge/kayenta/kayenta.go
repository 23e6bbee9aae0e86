// Package kayenta answers the question how Kayenta's NetflixACAJudge-v1.0 would judge a request: it gives the same labels,
// reasons and scores for the same remote-judge request, so that teams who move from Kayenta keep their verdicts.
//
// It copies a behaviour and does not recommend it. [Warnings] says where that behaviour misleads; Serin's own judge is
// judge/sequential. Where samples come from and what follows from a score is up to callers. The package has no settings
// of its own: tolerance and confidence level are fixed in the reference.
//
// Start at [Judge]; [DecodeRequest] says what is read from a request, [MannWhitney] does the numerical work.
//
// Source: the behaviour of Kayenta v2.46.0 (kayenta-judge, kayenta-mannwhitney) as spec/kayenta-judge.md describes it;
// the section names in comments ("Each metric", "Score") are that document's. Outputs of the reference itself are in
// testdata/kayenta-judge.
package kayenta

import (
	"errors"
	"fmt"
)

// Name is the judge's name, in requests and results.
const Name = "NetflixACAJudge-v1.0"

// The reference fixes both: it never reads its properties and judgeConfigurations for them.
const (
	tolerance  = 0.25
	confidence = 0.98
)

// ErrNoGroups is returned by [Judge] for a scored metric whose groups are nil. An empty list is no error.
var ErrNoGroups = errors.New("no groups")

// ErrOutlierFactor is returned by [Judge] if outliers are to be removed with a factor that is not above 0.
var ErrOutlierFactor = errors.New("the outlier factor has to be above 0")

// Request is the part of a remote-judge request that the judge reads, with each pair's settings already looked up.
type Request struct {
	// Pairs are judged one by one, in this order. Names may repeat.
	Pairs []Pair
	// Weights are the groups' weights in percent. They are not validated: see [Warnings].
	Weights map[string]float64
	// Pass and Marginal are the lowest scores that pass and that are marginal, tested in that order.
	Pass, Marginal float64
	// Notes say what the decoder found odd although the judge accepts it. See [Warnings].
	Notes []string
}

// Pair is one metric's samples of both arms, and how to judge them.
type Pair struct {
	Name string
	// ID and Tags are returned in the result, which omits them if they are nil.
	ID   *string
	Tags map[string]string
	// Control is the baseline, Experiment the canary. NaN is a missing point. The arms may differ in length, and points
	// are not matched by time.
	Control, Experiment []float64
	Settings            Settings
	// Groups are the groups that the metric belongs to; it counts as often as a name is repeated. Nil fails the
	// judgement unless the metric is muted.
	Groups []string
}

// Direction says which changes of a metric count.
type Direction string

// The directions. Anything else is read as Either.
const (
	Either   Direction = "either"
	Increase Direction = "increase"
	Decrease Direction = "decrease"
)

// Settings are a metric's analysisConfigurations.canary. The zero value is not the default: see [DefaultSettings].
type Settings struct {
	Direction Direction
	// ReplaceNaN reads missing points as 0; otherwise they are left out.
	ReplaceNaN bool
	// RemoveOutliers leaves out points beyond OutlierFactor interquartile ranges; the factor has to be above 0.
	RemoveOutliers bool
	OutlierFactor  float64
	// Critical fails the whole canary if the metric fails, MustHaveData fails the metric if it has no data, and Muted
	// keeps it out of the score.
	Critical, MustHaveData, Muted bool
	// CLES measures the effect by the common language effect size, the share of pairs in which the canary's point is
	// larger, instead of the ratio of means.
	CLES bool
	// No effect below AllowedIncrease is High, and none above AllowedDecrease is Low. The critical ones say from where on
	// a critical metric fails the canary. All are in the unit of the effect.
	AllowedIncrease, AllowedDecrease   float64
	CriticalIncrease, CriticalDecrease float64
}

// DefaultSettings are those of a metric without configuration: either direction, outliers kept, NaNs left out, and any
// effect counts. The four thresholds are 0.5 with cles, otherwise 1.
func DefaultSettings(cles bool) Settings {
	effect := 1.0
	if cles {
		effect = 0.5
	}
	return Settings{
		Direction: Either, OutlierFactor: 3, CLES: cles,
		AllowedIncrease: effect, AllowedDecrease: effect, CriticalIncrease: effect, CriticalDecrease: effect,
	}
}

// Label is the classification of a metric or of the whole canary.
type Label string

// Pass is used for both, Marginal and Fail only for the whole canary, the others only for metrics.
const (
	Pass             Label = "Pass"
	High             Label = "High"
	Low              Label = "Low"
	Nodata           Label = "Nodata"
	NodataFailMetric Label = "NodataFailMetric"
	Error            Label = "Error"
	Marginal         Label = "Marginal"
	Fail             Label = "Fail"
)

// Result is the judgement. Its JSON is the reference's CanaryJudgeResult.
type Result struct {
	// Metrics are in the order of the request's pairs.
	Metrics []MetricResult
	// Groups are in the order in which the scored metrics name them first.
	Groups []GroupScore
	// Score is rounded to two decimals. Nothing keeps it between 0 and 100, and it may be NaN, which fails.
	Score float64
	// Label is Pass, Marginal or Fail. Reason says why the score is 0 if the groups were not scored.
	Label  Label
	Reason string
}

// MetricResult is the judgement of one pair.
type MetricResult struct {
	Name   string
	ID     *string
	Tags   map[string]string
	Label  Label
	Reason string // empty if there is none
	Groups []string
	// Experiment and Control describe the arms after NaNs and outliers were handled.
	Experiment, Control Stats
	// Ratio is the mean of the canary over that of the baseline: NaN if either is 0, 1 if nothing was compared, and
	// meaningless if Label is Error.
	Ratio float64
	// Critical means that this metric fails the whole canary, not that it was configured as critical.
	Critical, Muted bool
	// Compared is false if an arm is empty, both hold the same values, or Label is Error.
	Compared bool
}

// GroupScore is a group's score in percent, not rounded. HasData is false if no metric of the group passed or failed:
// Score is 0 then, although 100 was counted.
type GroupScore struct {
	Name    string
	Score   float64
	HasData bool
}

// Judge judges all pairs and scores them. It does not modify r, and the result is always the same, even where the
// reference draws random noise (see noisy). Its errors are [ErrNoGroups] and [ErrOutlierFactor], wrapped with the pair;
// like the reference, it then returns no result at all.
//
// It costs O(k log k) per pair for k points, and hardly any new memory.
func Judge(r Request) (Result, error) {
	res := Result{Metrics: make([]MetricResult, 0, len(r.Pairs))}
	k := desks.Get().(*desk) //nolint:forcetypeassert // see its New
	defer desks.Put(k)
	for i, p := range r.Pairs {
		if !p.Settings.Muted && p.Groups == nil {
			return Result{}, fmt.Errorf("judge pair %d, metric %q: %w", i, p.Name, ErrNoGroups)
		}
		m, err := k.judge(p, tolerance, confidence)
		if err != nil {
			return Result{}, fmt.Errorf("judge pair %d, metric %q: %w", i, p.Name, err)
		}
		res.Metrics = append(res.Metrics, m)
	}
	res.score(r)
	return res, nil
}
