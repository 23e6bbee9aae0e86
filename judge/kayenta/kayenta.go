// Package kayenta judges as Kayenta's NetflixACAJudge-v1.0 does: the same labels, reasons and scores for the same
// remote-judge request, so that a team that moves from there gets the same verdicts as before.
//
// It is a copy of a behaviour, not a recommendation. [Warnings] says what that behaviour does to its users; Serin's own
// judge is judge/sequential. It is not concerned with where samples come from or what follows from a score, and it has
// no settings of its own: tolerance and confidence level are fixed in the reference.
//
// Start at [Judge]; [DecodeRequest] says what is read of a request, [MannWhitney] holds the numbers.
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

// Fixed in the reference: its properties and judgeConfigurations for these two are never read.
const (
	tolerance  = 0.25
	confidence = 0.98
)

// ErrNoGroups is returned by [Judge] for a scored metric whose groups are nil. An empty list is no error.
var ErrNoGroups = errors.New("no groups")

// ErrOutlierFactor is returned by [Judge] if outliers should be removed by a factor that is not above 0.
var ErrOutlierFactor = errors.New("the outlier factor has to be above 0")

// Request is what the judge reads of a remote-judge request, with each pair's settings already found.
type Request struct {
	// Pairs are judged and scored each on its own, in this order; names may repeat.
	Pairs []Pair
	// Weights are the groups' weights in percent. They are not validated: see [Warnings].
	Weights map[string]float64
	// Pass and Marginal are the scores from which on the canary passes or is marginal, tested in that order.
	Pass, Marginal float64
	// Notes is what the decoder noticed and the judge accepts, in words. See [Warnings].
	Notes []string
}

// Pair is one metric's samples of both arms, and how to judge them.
type Pair struct {
	Name string
	// ID and Tags are returned in the result; nil is absent there.
	ID   *string
	Tags map[string]string
	// Control is the baseline, Experiment the canary. NaN is a missing point. The arms need not be of one length,
	// and points are not matched by time.
	Control, Experiment []float64
	Settings            Settings
	// Groups are the groups in which the metric counts; a repeated name counts repeatedly. Nil fails the judgement
	// unless the metric is muted.
	Groups []string
}

// Direction is which change of a metric counts.
type Direction string

// The directions; everything else is read as Either.
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
	// Critical fails the canary as a whole if the metric fails, MustHaveData fails the metric if it has no data,
	// Muted keeps it out of the score.
	Critical, MustHaveData, Muted bool
	// CLES takes the common language effect size (the share of pairs in which the canary's point is larger) as
	// effect instead of the ratio of means.
	CLES bool
	// Below AllowedIncrease no effect is High, above AllowedDecrease none is Low; the critical ones say from where
	// on a critical metric fails the canary. All are in the unit of the effect.
	AllowedIncrease, AllowedDecrease   float64
	CriticalIncrease, CriticalDecrease float64
}

// DefaultSettings are those of a metric that configures nothing: either direction, all points kept, NaNs left out,
// any effect allowed to count. With cles the four thresholds are 0.5, otherwise 1.
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

// Label is the classification of a metric or of the whole.
type Label string

// Pass is used for metrics and for the whole, Marginal and Fail for the whole only, the others for metrics only.
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
	// Score is rounded to two decimals; nothing keeps it within 0 to 100, and it may be NaN, which fails.
	Score float64
	// Label is Pass, Marginal or Fail; Reason is why the score is 0 if it did not come from the groups.
	Label  Label
	Reason string
}

// MetricResult is the judgement of one pair.
type MetricResult struct {
	Name   string
	ID     *string
	Tags   map[string]string
	Label  Label
	Reason string // empty: none
	Groups []string
	// Experiment and Control describe the arms after NaNs and outliers were handled.
	Experiment, Control Stats
	// Ratio is the ratio of the means, canary over baseline: NaN if either is 0, 1 if nothing was compared,
	// without meaning if Label is Error.
	Ratio float64
	// Critical says that this metric fails the canary as a whole, not that it was configured as critical.
	Critical, Muted bool
	// Compared says that the arms were compared: not if one is empty, both hold the same, or Label is Error.
	Compared bool
}

// GroupScore is a group's score in percent, not rounded. HasData is false if no metric of the group passed or
// failed: then Score is 0, but 100 was counted.
type GroupScore struct {
	Name    string
	Score   float64
	HasData bool
}

// Judge judges all pairs and scores them. It changes nothing of r and gives the same result each time, also where
// the reference draws random noise (see noisy). Its errors are [ErrNoGroups] and [ErrOutlierFactor], wrapped with
// the pair; the reference then fails as a whole, and no result is given.
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
