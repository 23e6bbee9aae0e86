package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// If the clocks of Serin and its source of metrics differ, looks follow the source's: a bad canary loses its traffic
// just as fast, a good one passes just as fast, and the problem is shown.
func TestLooksFollowTheClockOfTheirSource(t *testing.T) {
	run := func(off time.Duration, failing float64) (took time.Duration, outcome string) {
		inWorld(t, func(t *testing.T, w *world) {
			w.metrics.change(func(u *users) { u.off = off })
			plan := matrixPlan(places()[2].steps) // 10%, and 50% after four minutes
			w.plan(plan)
			w.metrics.breaks(canary, failing)
			w.metrics.breaks(stable, 0.005)
			w.after(time.Minute)
			r := w.start("shop", "")
			begin := time.Now()
			w.after(2 * time.Minute)
			if off != 0 && failing < 1 {
				require.Contains(t, joined(w.view("shop").Trouble), "and looks follow it: set the clocks right (NTP)")
			}
			for w.view("shop").Gate != "full" && w.gateway("shop").target().Weight > 0 {
				require.Less(t, time.Since(begin), time.Hour, joined(w.trace(r.ID)))
				w.after(time.Second)
			}
			took, outcome = time.Since(begin), w.view("shop").Gate
		})
		return took, outcome
	}
	for _, failing := range []float64{0.005, 1} {
		right, outcome := run(0, failing)
		require.Equal(t, failing < 1, outcome == "full")
		for _, off := range []time.Duration{time.Hour, -time.Hour} {
			took, same := run(off, failing)
			require.Equal(t, outcome, same)
			require.InDelta(t, right.Seconds(), took.Seconds(), 10, "a look")
		}
	}
}
