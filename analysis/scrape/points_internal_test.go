package scrape

import (
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

func TestOldSamplesAreThinnedOutWithoutLosingCounts(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	var samples []analysis.Sample
	for at := now - (Kept + time.Hour).Milliseconds(); at <= now; at += 2000 {
		samples = append(samples, analysis.Sample{T: at, V: float64(len(samples))})
	}
	got := thin(samples, now)
	require.Equal(t, samples[len(samples)-1], got[len(got)-1])
	require.LessOrEqual(t, now-got[0].T, Kept.Milliseconds())
	require.Len(t, got, int(raw/(2*time.Second))+1+int((Kept-raw)/time.Minute))
	for i := 1; i < len(got); i++ {
		require.Less(t, got[i-1].V, got[i].V)
		require.LessOrEqual(t, got[i].T-got[i-1].T, time.Minute.Milliseconds())
	}
	require.Equal(t, got, thin(got, now))
}

func TestSeriesAreNamedAsPrometheusNamesThem(t *testing.T) {
	const text = `# TYPE a counter
a{instance="x",empty=""} 1
# TYPE h histogram
h_bucket{le="0.3"} 1
h_bucket{le="5"} 2
h_bucket{le="+Inf"} 3
h_sum 9.5
h_count 3
# TYPE s summary
s{quantile="0.5"} 4
s_sum 5
s_count 6
plain NaN 1
`
	families, err := parse([]byte(text), expfmt.FmtText)
	require.NoError(t, err)
	got := map[string]float64{}
	for _, p := range points(families, 77, analysis.Labels{{Name: "instance", Value: "i"}, {Name: "job", Value: "j"}}) {
		require.Equal(t, int64(77), p.sample.T)
		name := p.name
		for _, l := range p.labels {
			name += "|" + l.Name + "=" + l.Value
		}
		got[name] = p.sample.V
	}
	require.True(t, math.IsNaN(got["plain|instance=i|job=j"]))
	delete(got, "plain|instance=i|job=j")
	require.Equal(t, map[string]float64{
		"a|exported_instance=x|instance=i|job=j": 1,
		"h_bucket|instance=i|job=j|le=0.3":       1,
		"h_bucket|instance=i|job=j|le=5.0":       2,
		"h_bucket|instance=i|job=j|le=+Inf":      3,
		"h_sum|instance=i|job=j":                 9.5,
		"h_count|instance=i|job=j":               3,
		"s|instance=i|job=j|quantile=0.5":        4,
		"s_sum|instance=i|job=j":                 5,
		"s_count|instance=i|job=j":               6,
	}, got)
}

func TestNativeBucketsHaveTheBoundsOfTheirSchema(t *testing.T) {
	h := &dto.Histogram{
		Schema: new(int32(0)), ZeroThreshold: new(0.001), ZeroCount: new(uint64(2)), SampleCount: new(uint64(12)),
		PositiveSpan:  []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(2))}, {Offset: new(int32(1)), Length: new(uint32(1))}},
		PositiveDelta: []int64{1, 2, -1}, // counts 1, 3, 2
		NegativeSpan:  []*dto.BucketSpan{{Offset: new(int32(1)), Length: new(uint32(2))}},
		NegativeDelta: []int64{1, 2}, // counts 1, 3
	}
	require.Equal(t, &analysis.Histogram{Count: 12, Buckets: []analysis.Bucket{
		{Lower: -4, Upper: -2, Count: 3}, {Lower: -2, Upper: -1, Count: 1}, {Lower: -0.001, Upper: 0.001, Count: 2},
		{Lower: 0.5, Upper: 1, Count: 1}, {Lower: 1, Upper: 2, Count: 3}, {Lower: 4, Upper: 8, Count: 2},
	}}, native(h, 12))
	require.Equal(t, 2.0, bound(3, 8))
	require.InDelta(t, math.Pow(2, -13.0/8), bound(3, -13), 1e-15)
	require.Equal(t, 65536.0, bound(-4, 1))
	require.Nil(t, native(&dto.Histogram{SampleCount: new(uint64(3))}, 3), "a classic one")
	require.Nil(t, native(&dto.Histogram{Schema: new(int32(-53)), ZeroThreshold: new(1.0)}, 3), "buckets of one's own")
}

func TestSeriesThatComeAndGoAreBounded(t *testing.T) {
	s := &Source{}
	a := &target{series: map[string]*series{}, named: map[string][]*series{}}
	s.targets = []*target{a}
	old := time.Hour.Milliseconds()
	for i := range maxSeries {
		a.add(&point{name: "m", key: string(rune(i)), sample: analysis.Sample{T: old}})
	}
	more := []point{{name: "m", key: "new"}}
	require.ErrorContains(t, s.room(a, old+1000, more), "a label has a new value each time")
	require.NoError(t, s.room(a, old+1000, []point{{name: "m", key: "a"}}), "none is new")
	require.NoError(t, s.room(a, old+raw.Milliseconds()+1, more))
	require.Empty(t, a.series)
	require.Empty(t, a.named)
}

// FuzzScrape: any answer of a target is either read or refused.
func FuzzScrape(f *testing.F) {
	f.Add([]byte("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\nh_sum 1\n"), false)
	f.Add([]byte("m{a=\"\\n\"} 1e309 5\n"), false)
	f.Add([]byte{0x10, 0x0a, 0x01, 'h', 0x18, 0x04, 0x22, 0x09, 0x3a, 0x07, 0x28, 0x02, 0x62, 0x03, 0x08, 0x01, 0x10}, true)
	f.Fuzz(func(t *testing.T, body []byte, proto bool) {
		format := expfmt.FmtText
		if proto {
			format = expfmt.FmtProtoDelim
		}
		families, err := parse(body, format)
		if err != nil {
			return
		}
		for _, p := range points(families, 1, nil) {
			require.NotEmpty(t, p.key)
			require.Positive(t, p.values)
		}
	})
}
