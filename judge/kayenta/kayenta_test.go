package kayenta

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// request makes a request with one metric m from parts of JSON.
func request(metric, pair, rest string) []byte {
	return fmt.Appendf(nil, `{"canaryConfig": {"metrics": [{"name": "m"%s}], "classifier": {}}, "metricSetPairList": [{"name": "m"%s}]%s}`, metric, pair, rest)
}

const (
	inGroup    = `, "groups": ["g"]`
	someValues = `, "values": {"control": [1, 2], "experiment": [3, 4]}`
	thresholds = `, "scoreThresholds": {"pass": 95, "marginal": 75}`
)

func TestErrorsNameThePlaceInTheRequest(t *testing.T) {
	canary := func(s string) []byte {
		return request(inGroup+`, "analysisConfigurations": {"canary": `+s+`}`, someValues, thresholds)
	}
	for _, c := range []struct {
		name    string
		request []byte
		message string
	}{
		{"no JSON", []byte(`{"canaryConfig": nan}`), `byte 17: "nan" is not a value`},
		{"a list", []byte(`[]`), "an object was expected"},
		{"no config", []byte(`{}`), "canaryConfig: an object was expected"},
		{"no thresholds", request(inGroup, someValues, ""), "scoreThresholds: an object was expected"},
		{"a threshold in words", request(inGroup, someValues, `, "scoreThresholds": {"pass": "high"}`), `scoreThresholds.pass: "high" is not a number`},
		{"no experiment", request(inGroup, `, "values": {"control": []}`, thresholds), "metricSetPairList[0].values.experiment: a list was expected"},
		{"a word in a series", request(inGroup, `, "values": {"control": [1, "x"], "experiment": []}`, thresholds), `metricSetPairList[0].values.control[1]: "x" is not a number`},
		{"an empty string in a series", request(inGroup, `, "values": {"control": [""], "experiment": []}`, thresholds), `values.control[0]: "" is not a number`},
		{"true in a series", request(inGroup, `, "values": {"control": [true], "experiment": []}`, thresholds), "values.control[0]: a number was expected"},
		{"a hexadecimal number in a string", request(inGroup, `, "values": {"control": ["0x10"], "experiment": []}`, thresholds), `values.control[0]: "0x10" is not a number`},
		{"no groups", request("", someValues, thresholds), `metricSetPairList[0]: metric "m" of the config: no groups`},
		{"a null group", request(`, "groups": ["g", null]`, someValues, thresholds), "groups[1]: null"},
		{"a null direction", canary(`{"direction": null}`), "analysisConfigurations.canary.direction: null is not allowed"},
		{"a boolean in quotes", canary(`{"critical": "true"}`), "analysisConfigurations.canary.critical: true or false was expected"},
		{"an integer of 33 bits", canary(`{"effectSize": {"allowedIncrease": 2147483648}}`), "effectSize.allowedIncrease: an integer beyond 32 bits"},
		{"a boolean in a list", canary(`[{"critical": true}]`), "analysisConfigurations.canary.critical: true or false was expected"},
		{"an outlier factor of 0", canary(`{"outliers": {"strategy": "remove", "outlierFactor": 0}}`), "outliers.outlierFactor: the outlier factor has to be above 0"},
		{"an outlier factor of NaN", canary(`{"outliers": {"strategy": "remove", "outlierFactor": NaN}}`), "the outlier factor has to be above 0"},
		{"a factor in quotes though outliers are kept", canary(`{"outliers": {"strategy": "keep", "outlierFactor": "3"}}`), "outliers.outlierFactor: a number was expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := DecodeRequest(c.request)
			require.ErrorContains(t, err, c.message)
			require.ErrorContains(t, err, "decode judge request: ")
			require.Empty(t, q)
		})
	}
	_, err := DecodeRequest(make([]byte, MaxRequest+1))
	require.ErrorContains(t, err, "at most 67108864 are read")
}

func TestValuesAreReadAsTheReferenceReadsThem(t *testing.T) {
	q, err := DecodeRequest(request(
		inGroup+`, "analysisConfigurations": {"canary": {"direction": 7, "effectSize": {"measure": "cles", "allowedIncrease": null, "allowedDecrease": 2147483647}}}`,
		`, "id": 3, "tags": {"a": "b", "c": null}, "values": {"other": "ignored", "control": [NaN, "NaN", "-Infinity", Infinity, " 1e3 ", null], "experiment": []}`,
		`, "scoreThresholds": {"pass": "95", "marginal": null}`))
	require.NoError(t, err)
	require.InDelta(t, 95, q.Pass, 0)
	require.Zero(t, q.Marginal)
	p := q.Pairs[0]
	require.Equal(t, "3", *p.ID)
	require.Equal(t, map[string]string{"a": "b"}, p.Tags)
	require.True(t, math.IsNaN(p.Control[0]) && math.IsNaN(p.Control[1]))
	require.Equal(t, []float64{math.Inf(-1), math.Inf(1), 1000, 0}, p.Control[2:])
	want := DefaultSettings(true)
	want.AllowedIncrease, want.AllowedDecrease = 0, math.MaxInt32
	require.Equal(t, want, p.Settings)
	require.Equal(t, []string{
		`metric "m": 1 of 6 points of control are null, which is read as 0; a missing point is NaN`,
		`metric "m": direction: 7 is unknown and read as either`,
		`metric "m": effectSize.allowedIncrease: null is read as 0, not as the default`,
	}, q.Notes)
}

func TestTheFirstOfRepeatedMetricsAndTheLastOfRepeatedKeysCount(t *testing.T) {
	q, err := DecodeRequest([]byte(`{"canaryConfig": {"metrics": [
		{"name": "m", "groups": ["no"], "groups": ["first"]}, {"name": "m", "groups": ["second"]}, {"name": "unused", "analysisConfigurations": {"canary": {"critical": "x"}}}],
		"judge": {"judgeConfigurations": {"tolerance": 0.1}}, "classifier": {"groupWeights": {"g": 1, "g": 2}}},
		"scoreThresholds": {}, "metricSetPairList": [{"name": "m", "values": {"control": [], "experiment": []}}]}`))
	require.NoError(t, err)
	require.Equal(t, []string{"first"}, q.Pairs[0].Groups)
	require.Equal(t, map[string]float64{"g": 2}, q.Weights)
	require.Equal(t, []string{
		`metric "m" is configured more than once; the first counts`,
		`judgeConfigurations.tolerance is not read: tolerance is 0.25 and the confidence level 0.98, always`,
		`metric "unused" has no samples in this request and is silently left out`,
	}, q.Notes)
}

// judged judges one scored metric of group g, with the default settings as modified by change.
func judged(t *testing.T, control, experiment []float64, change func(*Request)) (Request, Result) {
	t.Helper()
	q := Request{Pass: 95, Marginal: 75, Weights: map[string]float64{"g": 100},
		Pairs: []Pair{{Name: "m", Control: control, Experiment: experiment, Settings: DefaultSettings(false), Groups: []string{"g"}}}}
	if change != nil {
		change(&q)
	}
	r, err := Judge(q)
	require.NoError(t, err)
	return q, r
}

// repeat returns n values by repeating the given ones.
func repeat(n int, values ...float64) []float64 {
	a := make([]float64, n)
	for i := range a {
		a[i] = values[i%len(values)]
	}
	return a
}

func TestWarnings(t *testing.T) {
	some := repeat(20, 10, 11, 12, 9, 10.5)
	for _, c := range []struct {
		name                string
		control, experiment []float64
		change              func(*Request)
		warning             string
	}{
		{"errors that the baseline never has", repeat(30, 0), repeat(30, 0, 0, 2), nil, "errors that the baseline never has go unseen"},
		{"values too small for the root finder", repeat(20, 1e-6, 2e-6), repeat(20, 1.5e-6, 2.5e-6), nil, "scale the metric in its query"},
		{"tiny arms", []float64{1, 2}, []float64{3}, nil, "1 points against 2; below 8 an arm, chance alone makes verdicts"},
		{"one point against one", []float64{1}, []float64{2}, nil, "decided by noise and rounding"},
		{"an error of a metric that must have data", repeat(9, 0), []float64{3}, func(q *Request) { q.Pairs[0].Settings.MustHaveData = true }, "although it is critical or must have data"},
		{"an empty canary under replace", some, nil, func(q *Request) { q.Pairs[0].Settings.ReplaceNaN = true }, "passes without data"},
		{"a group without data", some, nil, nil, `group "g": has no data and counts as 100`},
		{"a spike in the baseline", append(repeat(40, 10, 11, 12), 1e6), repeat(40, 20, 21, 22), nil, "a spike in the baseline can hide this"},
		{"a spike in the canary", repeat(40, 20, 21, 22), append(repeat(40, 10, 11, 12), 1e6), nil, "a spike in the canary can hide this"},
		{"negative values", repeat(20, -7, -7.1), repeat(20, -5, -5.1), nil, "which reverses the ratio of means"},
		{"an infinite point", some, append(repeat(20, 10, 11), math.Inf(1)), nil, "infinite values"},
		{"a weight of a group that does not occur", some, some, func(q *Request) { q.Weights = map[string]float64{"G": 40} }, `group "G": has a weight of 40 and no scored metric`},
		{"weights above 100", some, some, func(q *Request) { q.Weights = map[string]float64{"G": 140} }, "have a negative weight"},
		{"weights of 100 for other groups", some, some, func(q *Request) { q.Weights = map[string]float64{"G": 100} }, "the groups without one count for nothing"},
		{"weights below 100", some, some, func(q *Request) { q.Weights["g"] = 80 }, "the weights sum to 80 instead of 100"},
		{"a pass threshold of 0", some, some, func(q *Request) { q.Pass = 0 }, "even that of a critical failure (0)"},
		{"marginal above pass", some, some, func(q *Request) { q.Marginal = 99 }, "no score is Marginal"},
		{"all muted", some, some, func(q *Request) { q.Pairs[0].Settings.Muted = true }, "no metric is scored"},
		{"what the decoder noticed", some, some, func(q *Request) { q.Notes = []string{"noticed"} }, "noticed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, r := judged(t, c.control, c.experiment, c.change)
			require.Contains(t, strings.Join(Warnings(q, r), "\n"), c.warning)
		})
	}
	q, r := judged(t, some, repeat(20, 10, 11, 12, 9, 10.4), nil)
	require.Empty(t, Warnings(q, r), "an ordinary comparison needs no warning")
}

func TestArmsWithDifferentLabelsAreNotReportedAsWithoutData(t *testing.T) {
	some := repeat(20, 10, 11, 12, 9, 10.5)
	gap := repeat(20, math.NaN())
	pair := func(tags map[string]string, control, experiment []float64, critical bool) Pair {
		s := DefaultSettings(false)
		s.Critical = critical
		return Pair{Name: "cpu", Tags: tags, Control: control, Experiment: experiment, Settings: s, Groups: []string{"g"}}
	}
	for _, critical := range []bool{false, true} {
		q := Request{Pass: 95, Marginal: 75, Weights: map[string]float64{"g": 100}, Pairs: []Pair{
			pair(map[string]string{"scope": "base", "zone": "a"}, some, gap, critical), pair(map[string]string{"scope": "slow", "zone": "a"}, gap, some, critical),
		}}
		r, err := Judge(q)
		require.NoError(t, err)
		text := strings.Join(Warnings(q, r), "\n")
		require.Contains(t, text, `metric "cpu": both arms have data, but under different labels (scope="base" on the baseline, "slow" on the canary), so nothing was compared`)
		require.Equal(t, 1, strings.Count(text, "both arms have data"), "once for all pairs of the metric")
		require.NotContains(t, text, `"cpu": has no data`)
	}
	q := Request{Pass: 95, Marginal: 75, Weights: map[string]float64{"g": 100}, Pairs: []Pair{
		pair(map[string]string{"pod": "a"}, some, gap, false), pair(map[string]string{"pod": "b"}, some, some, false), pair(map[string]string{"pod": "c"}, gap, some, false),
	}}
	r, err := Judge(q)
	require.NoError(t, err)
	text := strings.Join(Warnings(q, r), "\n")
	require.Contains(t, text, `"cpu": has no data`, "a pod that comes or goes does not distinguish the arms")
	require.NotContains(t, text, "different labels")
}

func TestJudgeRefusesWhatTheReferenceFailsOn(t *testing.T) {
	_, err := Judge(Request{Pairs: []Pair{{Name: "m", Settings: DefaultSettings(false)}}})
	require.ErrorIs(t, err, ErrNoGroups)
	for _, factor := range []float64{0, -1, math.NaN()} {
		s := DefaultSettings(false)
		s.RemoveOutliers, s.OutlierFactor = true, factor
		_, err = Judge(Request{Pairs: []Pair{{Name: "m", Settings: s, Groups: []string{}}}})
		require.ErrorIs(t, err, ErrOutlierFactor)
	}
}

func TestMannWhitneyRefusesEmptyArmsAndImpossibleLevels(t *testing.T) {
	one := []float64{1}
	for _, c := range []struct {
		x, y  []float64
		level float64
	}{{nil, one, 0.98}, {one, nil, 0.98}, {one, one, 0}, {one, one, 1}, {one, one, math.NaN()}} {
		_, err := MannWhitney(c.x, c.y, c.level)
		require.ErrorIs(t, err, ErrInput)
	}
	_, err := MannWhitney(one, []float64{1, 1}, 0.98)
	require.ErrorIs(t, err, ErrAllTied)
}

func TestExtremeDoublesAreJudged(t *testing.T) {
	for _, c := range []struct {
		name                string
		control, experiment []float64
		label               Label
	}{
		{"differences that overflow", repeat(20, -1e308, -1.1e308), repeat(20, 1e308, 1.1e308), Pass},
		// The means are NaN, and a NaN effect satisfies every threshold.
		{"sums that overflow", repeat(20, 1e308, 1.1e308), repeat(20, 1.5e308, 1.6e308), High},
		{"denormals", repeat(20, 5e-324, 1e-323), repeat(20, 1e-320, 2e-320), High},
		{"one ulp apart", repeat(20, 1, 2), repeat(20, math.Nextafter(1, 2), math.Nextafter(2, 3)), Pass},
		{"zeros of both signs", repeat(20, 0), repeat(20, math.Copysign(0, -1)), Pass},
		{"nothing but infinities", repeat(20, math.Inf(1)), repeat(20, math.Inf(1)), Pass},
		{"nothing but NaN", repeat(20, math.NaN()), repeat(20, math.NaN()), Nodata},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := judged(t, c.control, c.experiment, nil)
			require.Equal(t, c.label, r.Metrics[0].Label)
			_, err := json.Marshal(r)
			require.NoError(t, err)
		})
	}
}

// The reference's 32-bit integers overflow from 32,768 points on (section "Each metric", 7).
func TestLargeArmsDoNotOverflow(t *testing.T) {
	x, y := repeat(40_000, 2, 3), repeat(40_000, 0, 1)
	require.InDelta(t, 1, newRankSum(x, y).cles(), 0)
	require.InDelta(t, 0, newRankSum(y, x).cles(), 0)
	require.InDelta(t, 0.5, newRankSum(x, x).cles(), 0)
}

func TestTheRootFinderAllocatesNothingPerPoint(t *testing.T) {
	x, y := repeat(1000, 1, 2, 3, 4, 5.5), repeat(1000, 1.5, 2.5, 3, 4.5)
	w := newRankSum(x, y)
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() { w.interval(0.98) }), 5.0)
}

func TestNoiseIsNormalAndTheSameEachTime(t *testing.T) {
	x, y := noisy(repeat(10_000, 200), repeat(10, 0))
	again, _ := noisy(repeat(10_000, 200), repeat(10, 0))
	require.Equal(t, x, again)
	require.Equal(t, repeat(10, 0), y)
	s := describe(x)
	require.InDelta(t, 200, s.Mean, 4*200*noiseSize/100) // four standard errors
	require.InEpsilon(t, 200*noiseSize, s.Std, 0.03)
}
