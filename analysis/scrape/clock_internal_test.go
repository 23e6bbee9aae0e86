package scrape

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
)

// The clock was an hour ahead and is corrected: all later samples are counted, and each of them once.
func TestNothingIsLostWhileAClockThatWasSetBackCatchesUp(t *testing.T) {
	var requests atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, arm := range []string{"canary", "stable"} {
			fmt.Fprintf(w, "requests_total{arm=%q} %d\nbad_total{arm=%q} %d\n", arm, 10*requests.Load(), arm, requests.Load())
		}
	}))
	t.Cleanup(exporter.Close)
	s, err := New(Config{Targets: []string{exporter.URL + "/metrics"}, Interval: 2 * time.Second}, prometheus.NewRegistry())
	require.NoError(t, err)
	names := func(arm string) analysis.Names { return analysis.Names{Vars: map[string][]string{"arm": {arm}}} }
	plan, err := analysis.NewPlan(analysis.Definition{Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{{
		Name: "errors", Source: analysis.Ratio{Bad: `bad_total{arm="${arm}"}`, Total: `requests_total{arm="${arm}"}`},
	}}}, analysis.Arms{Canary: names("canary"), Baseline: names("stable")})
	require.NoError(t, err)

	now := time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC)
	s.clock = func() time.Time { return now }
	cursor, bad, total, looks := analysis.NewCursor(now.Add(time.Minute)), 0.0, 0.0, 0
	second := func() {
		now = now.Add(2 * time.Second)
		requests.Add(2)
		s.read(t.Context(), s.targets[0])
		if now.Second()%10 > 0 {
			return
		}
		if back, by := cursor.Until(now); by > time.Minute {
			cursor = back // as the engine does
		}
		looks++
		next, look := plan.Fold(cursor, s.Fetch(t.Context(), plan.Asks(cursor, now)), analysis.FoldInput{Number: looks, At: now, Weight: 0.5})
		cursor, bad, total = next, bad+look.Observations[0].Canary.Bad, total+look.Observations[0].Canary.Total
	}
	for range 300 {
		second()
	}
	base := float64(requests.Load()) - bad
	require.NotZero(t, bad)
	now = now.Add(-time.Hour)
	for range 300 {
		second()
	}
	require.InDelta(t, float64(requests.Load())-base, bad, 12, "all but what has not been looked at")
	require.InDelta(t, 10*bad, total, 0)
}
