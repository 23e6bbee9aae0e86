package promsource_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
)

// BenchmarkFetch is one slot of releases with the built-in analysis, two asks an arm, against a real Prometheus with 16
// series an arm.
func BenchmarkFetch(b *testing.B) {
	const most = 1000
	e := newExporter(b)
	for i := range most {
		for _, arm := range []string{"canary", "stable"} {
			e.add(i, arm, "200", 1)
			e.add(i, arm, "500", 1)
			e.seconds.WithLabelValues(service(i, arm)).Observe(1)
		}
	}
	p := prometheusOf(b, e, 2*time.Second) // 16,000 series take their time
	await(b, e, p, "count(traefik_service_request_duration_seconds_bucket) >= 20000")
	for _, releases := range []int{1, 25, 250, most} {
		b.Run(fmt.Sprintf("asks=%d", 4*releases), func(b *testing.B) {
			s := source(b, promsource.Config{URL: p.URL, Timeout: time.Minute})
			at := time.Now()
			fs := make([]*follower, releases)
			slot := func() {
				var asks []analysis.Ask
				for _, f := range fs {
					asks = append(asks, f.plan.Asks(f.cursor, at)...)
				}
				for i, a := range s.Fetch(b.Context(), asks) {
					require.NoError(b, a.Err, i)
					require.NotEmpty(b, a.Series, i)
				}
			}
			for i := range fs {
				fs[i] = follow(b, s, plan(b, i, analysis.TraefikWeb().Metrics...))
				fs[i].cursor = analysis.NewCursor(at.Add(-20 * time.Second))
				asks := fs[i].plan.Asks(fs[i].cursor, at)
				fs[i].cursor, _ = fs[i].plan.Fold(fs[i].cursor, make([]analysis.Answer, len(asks)), analysis.FoldInput{At: at.Add(-10 * time.Second)})
			}
			b.ReportAllocs()
			for b.Loop() {
				slot()
			}
		})
	}
}
