package promsource_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/analysis/sourcetest"
	"github.com/serindev/serin/traffic/traefik"
)

// BenchmarkFetch measures one slot of releases with the built-in analysis, two asks an arm, against a real Prometheus
// with 16 series an arm.
func BenchmarkFetch(b *testing.B) {
	const most = 1000
	e := sourcetest.NewExporter(b)
	for i := range most {
		for _, arm := range []string{"canary", "stable"} {
			e.Add(i, arm, "200", 1)
			e.Add(i, arm, "500", 1)
			e.Observe(i, arm, 1)
		}
	}
	p := prometheusOf(b, 2*time.Second, e) // 16,000 series take a while
	answers(b, e, p, "count(traefik_service_request_duration_seconds_bucket) >= 10000")
	for _, releases := range []int{1, 25, 250, most} {
		b.Run(fmt.Sprintf("asks=%d", 4*releases), func(b *testing.B) {
			s := source(b, promsource.Config{URL: p.URL, Timeout: time.Minute})
			at := time.Now()
			fs := make([]*sourcetest.Follower, releases)
			slot := func() {
				var asks []analysis.Ask
				for _, f := range fs {
					asks = append(asks, f.Plan.Asks(f.Cursor, at)...)
				}
				for i, a := range s.Fetch(b.Context(), asks) {
					require.NoError(b, a.Err, i)
					require.NotEmpty(b, a.Series, i)
				}
			}
			for i := range fs {
				fs[i] = sourcetest.Follow(b, s, sourcetest.Plan(b, i, traefik.Series{}.Web().Metrics...))
				fs[i].Cursor = analysis.NewCursor(at.Add(-20 * time.Second))
				asks := fs[i].Plan.Asks(fs[i].Cursor, at)
				fs[i].Cursor, _ = fs[i].Plan.Fold(fs[i].Cursor, make([]analysis.Answer, len(asks)), analysis.FoldInput{At: at.Add(-10 * time.Second)})
			}
			b.ReportAllocs()
			for b.Loop() {
				slot()
			}
		})
	}
}
