package kayenta

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The golden data comes from Kayenta. testdata/kayenta-judge/README.md describes its form and what has to agree.

func readGolden[T any](t testing.TB, name string) (data T) {
	t.Helper()
	f, err := os.Open("../../testdata/kayenta-judge/" + name + ".json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&data))
	return data
}

type goldenCase struct {
	Name      string          `json:"name"`
	Request   json.RawMessage `json:"request"`
	Result    json.RawMessage `json:"result"`
	Exception string          `json:"exception"`
	Noise     []string        `json:"noise"`
}

// float is a number in the golden data, in which "NaN" and the infinities are strings.
type float float64

func (f *float) UnmarshalJSON(data []byte) error {
	v, err := double(value(data))
	*f = float(v)
	return err
}

// requireClose compares numbers by their relative difference. Non-finite ones have to be the same.
func requireClose(t *testing.T, want, got, relative float64, what string) {
	t.Helper()
	if math.IsNaN(want) || math.IsInf(want, 0) {
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%s: want %v, got %v", what, want, got)
		return
	}
	require.LessOrEqual(t, math.Abs(want-got), relative*math.Abs(want), "%s: want %v, got %v", what, want, got)
}

// bitCount counts the numbers that agree to the last bit.
type bitCount struct{ equal, all int }

func (b *bitCount) compare(want, got float64) {
	b.all++
	if want == got || math.IsNaN(want) && math.IsNaN(got) {
		b.equal++
	}
}

// requireTree compares JSON: keys and values have to be the same, and numbers as close as relative says for their path.
func requireTree(t *testing.T, b *bitCount, want, got any, path string, relative func(path string) float64) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		require.True(t, ok, path)
		for name := range g {
			require.Contains(t, w, name, path)
		}
		for name, v := range w {
			require.Contains(t, g, name, path)
			requireTree(t, b, v, g[name], path+"."+name, relative)
		}
	case []any:
		g, ok := got.([]any)
		require.True(t, ok, path)
		require.Len(t, g, len(w), path)
		if path == "groupScores" || path == ".groupScores" {
			byName := func(a, b any) int {
				x, y := a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string)
				switch {
				case x < y:
					return -1
				case x > y:
					return 1
				}
				return 0
			}
			slices.SortFunc(w, byName)
			slices.SortFunc(g, byName)
		}
		for i := range w {
			requireTree(t, b, w[i], g[i], path+"[]", relative)
		}
	case float64:
		g, ok := got.(float64)
		require.True(t, ok, "%s: %v is not a number", path, got)
		b.compare(w, g)
		requireClose(t, w, g, relative(path), path)
	default:
		require.Equal(t, want, got, path)
	}
}

// noisyPair reports whether the reference adds noise: after NaNs and outliers the arms are constant and differ.
func noisyPair(m MetricResult) bool {
	x, y := m.Experiment, m.Control
	return x.Count > 0 && y.Count > 0 && x.Min == x.Max && y.Min == y.Max && x.Min != y.Min
}

func TestCasesOfTheReferenceAgree(t *testing.T) {
	var b bitCount
	cases, metrics, failed := 0, 0, 0
	for _, file := range []string{"cases-01", "cases-02", "cases-edges", "cases-small", "cases-typical", "cases-large"} {
		for _, c := range readGolden[[]goldenCase](t, file) {
			cases++
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				q, err := DecodeRequest(c.Request)
				var r Result
				if err == nil {
					r, err = Judge(q)
				}
				if c.Exception != "" {
					failed++
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				metrics += len(r.Metrics)
				requireResult(t, &b, c, r)
			})
		}
	}
	t.Logf("%d cases, %d of them failing as a whole, %d metrics; %d of %d numbers equal to the bit", cases, failed, metrics, b.equal, b.all)
}

func requireResult(t *testing.T, b *bitCount, c goldenCase, r Result) {
	t.Helper()
	data, err := json.Marshal(r)
	require.NoError(t, err)
	var want, got map[string]any
	require.NoError(t, json.Unmarshal(c.Result, &want))
	require.NoError(t, json.Unmarshal(data, &got))
	exactly := func(string) float64 { return 0 }
	requireTree(t, b, want["score"], got["score"], "score", exactly)
	requireTree(t, b, want["groupScores"], got["groupScores"], "groupScores", func(string) float64 { return 1e-9 })
	require.Equal(t, want["judgeName"], got["judgeName"])
	require.Len(t, got, len(want))
	results := got["results"].([]any)
	require.Len(t, results, len(want["results"].([]any)))
	for i, w := range want["results"].([]any) {
		requireTree(t, b, w, results[i], r.Metrics[i].Name, func(path string) float64 {
			if path == r.Metrics[i].Name+".resultMetadata.ratio" && noisyPair(r.Metrics[i]) {
				return 2e-4
			}
			return 1e-9
		})
	}
}

type mannWhitneyCase struct {
	Name      string  `json:"name"`
	X         []float `json:"x"`
	Y         []float `json:"y"`
	Level     float64 `json:"confidenceLevel"`
	Lower     float   `json:"lower"`
	Upper     float   `json:"upper"`
	Estimate  float   `json:"estimate"`
	Exception string  `json:"exception"`
}

func floats(a []float) []float64 {
	b := make([]float64, len(a))
	for i, v := range a {
		b[i] = float64(v)
	}
	return b
}

func TestBoundsAndEstimatesOfTheReferenceAgreeToTheBit(t *testing.T) {
	var b bitCount
	for _, c := range readGolden[[]mannWhitneyCase](t, "mannwhitney") {
		t.Run(c.Name, func(t *testing.T) {
			i, err := MannWhitney(floats(c.X), floats(c.Y), c.Level)
			if c.Exception != "" {
				require.ErrorIs(t, err, ErrAllTied)
				return
			}
			require.NoError(t, err)
			relative := 0.0
			if c.Level == 0.5 { // its quantile is computed here, not the reference's double
				relative = 1e-9
			}
			for _, n := range []struct {
				what      string
				want, got float64
			}{{"lower", float64(c.Lower), i.Lower}, {"upper", float64(c.Upper), i.Upper}, {"estimate", float64(c.Estimate), i.Estimate}} {
				b.compare(n.want, n.got)
				requireClose(t, n.want, n.got, relative, n.what)
			}
		})
	}
	t.Logf("%d of %d bounds and estimates equal to the bit", b.equal, b.all)
}
