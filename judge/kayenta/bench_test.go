package kayenta

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkInfinity is the worst case: with infinite points the root finder can use up all of its rounds.
func BenchmarkInfinity(b *testing.B) {
	for _, at := range []string{"canary", "baseline", "both", "opposite"} {
		b.Run(at, func(b *testing.B) {
			q, err := DecodeRequest(requestOf(1, 5000, 0))
			require.NoError(b, err)
			p := &q.Pairs[0]
			if at != "baseline" {
				p.Experiment[7] = math.Inf(1)
			}
			if at != "canary" {
				p.Control[7] = math.Inf(1)
			}
			if at == "opposite" {
				p.Control[7] = math.Inf(-1)
			}
			for b.Loop() {
				_, _ = Judge(q)
			}
		})
	}
}

// requestOf makes a JSON request with the given numbers of metrics and of points an arm, which are normal around 100 and
// higher by apart on the canary.
func requestOf(metrics, points int, apart float64) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var configs, pairs []any
	for i := range metrics {
		name := fmt.Sprintf("m%d", i)
		configs = append(configs, map[string]any{"name": name, "groups": []string{"g"},
			"analysisConfigurations": map[string]any{"canary": map[string]any{"direction": "increase"}}})
		pairs = append(pairs, map[string]any{"name": name, "id": name, "tags": map[string]string{}, "values": map[string]any{
			"control": normal(rng, points, 100, 10), "experiment": normal(rng, points, 100+apart, 10)}})
	}
	data, _ := json.Marshal(map[string]any{
		"canaryConfig":      map[string]any{"metrics": configs, "classifier": map[string]any{"groupWeights": map[string]any{"g": 100}}},
		"scoreThresholds":   map[string]any{"pass": 95, "marginal": 75},
		"metricSetPairList": pairs,
	})
	return data
}

// The four sizes for which the reference was measured: the time of NetflixACAJudge v1.0 (Kayenta v2.46.0), warm, on one
// thread of a machine with two cores. Its work does not depend on the arms.
var sizes = []struct {
	metrics, points int
	reference       float64 // ms; the middle if a range was measured
}{{1, 60, 0.7}, {30, 60, 26.5}, {1, 1000, 14}, {1, 5000, 85}}

// BenchmarkKayenta compares with the reference judge: ref-ms/op is its time, and times-ref how many judgements Serin makes
// in that time. Arms that are alike or far apart are decided by shift.glance. On the edge, where every other metric is
// close to High, most need the whole interval, which is the slowest case. Each benchmark cycles through 30 metrics.
func BenchmarkKayenta(b *testing.B) {
	for _, size := range sizes {
		name := fmt.Sprintf("%d metrics of %d points", size.metrics, size.points)
		edge := 10 * quantile(confidence) * math.Sqrt(2/float64(size.points))
		for _, arms := range []struct {
			what  string
			apart float64
		}{{"alike", 0}, {"far apart", 3 * edge}, {"on the edge", edge}} {
			b.Run("judge/"+name+"/"+arms.what, func(b *testing.B) {
				all, err := DecodeRequest(requestOf(30, size.points, arms.apart))
				require.NoError(b, err)
				b.ReportAllocs()
				for i := 0; b.Loop(); i += size.metrics {
					q := all
					q.Pairs = all.Pairs[i%30:][:size.metrics]
					_, _ = Judge(q)
				}
				b.ReportMetric(size.reference, "ref-ms/op")
				b.ReportMetric(size.reference*1e6*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "times-ref")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "judgements/s")
			})
		}
		data := requestOf(size.metrics, size.points, 0)
		q, err := DecodeRequest(data)
		require.NoError(b, err)
		r, err := Judge(q)
		require.NoError(b, err)
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, _ = DecodeRequest(data)
			}
		})
		b.Run("encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = json.Marshal(r)
			}
		})
	}
}
