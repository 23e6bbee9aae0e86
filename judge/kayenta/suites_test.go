package kayenta

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of this file check what Kayenta's own test suites assert, which is in suites.json.

type suites struct {
	Classifier []struct {
		Name, Metric           string
		Control, Experiment    []float
		Direction, NaNStrategy string
		Critical, MustHaveData bool
		Tolerance              float64
		ConfidenceLevel        float64
		EffectSizeMeasure      string
		AllowedDecrease        float64
		AllowedIncrease        float64
		CriticalDecrease       float64
		CriticalIncrease       float64
		Expect                 struct {
			Classification Label
			Critical       *bool
			Ratio          *float
			HasReason      *bool
		}
	}
	MannWhitney []struct {
		Name            string
		X, Y            []float
		ConfidenceLevel float64
		Expect          struct{ Lower, Upper, Estimate float64 }
		AbsTolerance    struct{ Lower, Upper, Estimate float64 }
	}
	StandardizedRankSum []struct {
		Name            string
		X, Y            []float
		Shift, Quantile float64
		Expect          float64
		AbsTolerance    float64
	}
	Intermediate []struct {
		Name            string
		X, Y            []float
		ConfidenceLevel float64
		Expect          map[string]float64
		AbsTolerance    float64
	}
	Detectors []struct {
		Name, Detector string
		Factor         float64
		Data           []float
		Expect         []bool
	}
	Statistics []struct {
		Name, Statistic     string
		Data                []float
		Control, Experiment []float
		Percent             float64
		Expect              json.RawMessage
		AbsTolerance        float64
	}
	Scorer []struct {
		Name         string
		GroupWeights map[string]float64
		Results      []struct {
			Name           string
			Classification Label
			Groups         []string
			Critical       bool
		}
		Expect struct {
			Score       float64
			GroupScores json.RawMessage
		}
	}
}

func TestClassificationsOfTheReferencesSuiteAgree(t *testing.T) {
	for _, c := range readGolden[suites](t, "suites").Classifier {
		t.Run(c.Name, func(t *testing.T) {
			m, err := new(desk).judge(Pair{Name: c.Metric, Control: floats(c.Control), Experiment: floats(c.Experiment), Settings: Settings{
				Direction: Direction(c.Direction), ReplaceNaN: c.NaNStrategy == "replace", Critical: c.Critical, MustHaveData: c.MustHaveData,
				CLES: c.EffectSizeMeasure == "cles", AllowedIncrease: c.AllowedIncrease, AllowedDecrease: c.AllowedDecrease,
				CriticalIncrease: c.CriticalIncrease, CriticalDecrease: c.CriticalDecrease,
			}}, c.Tolerance, c.ConfidenceLevel)
			require.NoError(t, err)
			if c.Expect.Classification != "" {
				require.Equal(t, c.Expect.Classification, m.Label)
			}
			if c.Expect.Critical != nil {
				require.Equal(t, *c.Expect.Critical, m.Critical)
			}
			if c.Expect.Ratio != nil {
				requireClose(t, float64(*c.Expect.Ratio), m.Ratio, 1e-9, "ratio")
			}
			if c.Expect.HasReason != nil {
				require.Equal(t, *c.Expect.HasReason, m.Reason != "")
			}
		})
	}
}

func TestMannWhitneyOfTheReferencesSuiteAgrees(t *testing.T) {
	s := readGolden[suites](t, "suites")
	for _, c := range s.MannWhitney {
		t.Run(c.Name, func(t *testing.T) {
			i, err := MannWhitney(floats(c.X), floats(c.Y), c.ConfidenceLevel)
			require.NoError(t, err)
			require.InDelta(t, c.Expect.Lower, i.Lower, c.AbsTolerance.Lower)
			require.InDelta(t, c.Expect.Upper, i.Upper, c.AbsTolerance.Upper)
			require.InDelta(t, c.Expect.Estimate, i.Estimate, c.AbsTolerance.Estimate)
		})
	}
	for _, c := range s.StandardizedRankSum {
		require.InDelta(t, c.Expect, newRankSum(floats(c.X), floats(c.Y)).at(c.Shift)-c.Quantile, c.AbsTolerance)
	}
	for _, c := range s.Intermediate {
		w := newRankSum(floats(c.X), floats(c.Y))
		lo, hi := w.bracket()
		z := quantile(c.ConfidenceLevel)
		below := func(d float64) float64 { return w.at(d) - z }
		above := func(d float64) float64 { return w.at(d) + z }
		for name, got := range map[string]float64{
			"shiftMin": lo, "shiftMax": hi, "quantileLower": z, "quantileUpper": -z,
			"atMinForLower": below(lo), "atMaxForLower": below(hi), "atMinForUpper": above(lo), "atMaxForUpper": above(hi),
			"lower": zeroin(below, lo, hi), "upper": zeroin(above, lo, hi), "estimate": zeroin(w.at, lo, hi),
		} {
			require.Contains(t, c.Expect, name)
			tolerance := c.AbsTolerance
			if name == "lower" || name == "upper" || name == "estimate" {
				tolerance = 1e-9 * math.Abs(c.Expect[name])
			}
			require.InDelta(t, c.Expect[name], got, tolerance, name)
		}
	}
}

func TestStatisticsOfTheReferencesSuiteAgree(t *testing.T) {
	for _, c := range readGolden[suites](t, "suites").Statistics {
		t.Run(c.Name, func(t *testing.T) {
			if c.Statistic == "summary" {
				var want Stats
				require.NoError(t, json.Unmarshal(c.Expect, &want))
				got := describe(floats(c.Data))
				require.InDelta(t, want.Std, got.Std, c.AbsTolerance)
				got.Std = want.Std
				require.Equal(t, want, got)
				return
			}
			var got float64
			switch c.Statistic {
			case "percentile":
				// The suite also tests the percentile 100, which the judge does not use.
				got = percentile(ascending(floats(c.Data)), c.Percent/100)
			case "meanRatio":
				got = meanRatio(mean(floats(c.Experiment)), mean(floats(c.Control)))
			case "cles":
				got = newRankSum(floats(c.Experiment), floats(c.Control)).cles()
			default:
				require.Equal(t, "cohenD", c.Statistic) // not used by the judge
				return
			}
			var want float
			require.NoError(t, json.Unmarshal(c.Expect, &want))
			if math.IsNaN(float64(want)) {
				require.True(t, math.IsNaN(got))
				return
			}
			require.InDelta(t, float64(want), got, c.AbsTolerance+1e-12)
		})
	}
}

func TestFencesOfTheReferencesSuiteAgree(t *testing.T) {
	for _, c := range readGolden[suites](t, "suites").Detectors {
		if c.Detector != "iqr" || len(c.Data) == 0 {
			continue // the judge uses no other kind, and never calls it with an empty arm
		}
		lower, upper := quartileFences(ascending(floats(c.Data)), c.Factor)
		for i, v := range floats(c.Data) {
			require.Equal(t, c.Expect[i], v < lower || v > upper, "%s: %v", c.Name, v)
		}
	}
}

func TestScoresOfTheReferencesSuiteAgree(t *testing.T) {
	for _, c := range readGolden[suites](t, "suites").Scorer {
		t.Run(c.Name, func(t *testing.T) {
			var r Result
			for _, m := range c.Results {
				r.Metrics = append(r.Metrics, MetricResult{Name: m.Name, Label: m.Classification, Groups: m.Groups, Critical: m.Critical})
			}
			r.score(Request{Weights: c.GroupWeights, Pass: 95, Marginal: 75})
			require.InDelta(t, c.Expect.Score, r.Score, 0)
		})
	}
}
