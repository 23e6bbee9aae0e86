package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

// newcomer.md, 1: the labels of a custom metric name the arms the wrong way round.
func TestLabelsThatNameTheOtherArmHoldAReleaseButNoRollback(t *testing.T) {
	swapped := func(t *testing.T, test func(w *world, id string)) {
		inWorld(t, func(t *testing.T, w *world) {
			w.metrics.breaks(canary, 0.005)
			w.metrics.breaks(stable, 0.005)
			w.metrics.change(func(u *users) { u.swapped = map[string]bool{"other_requests_total": true, "other_bad_total": true} })
			w.plan(withSlow(gray("shop", rollout.Gate{Name: "full"})))
			w.after(time.Minute)
			r := w.start("shop", "")
			w.after(hold + 10*time.Minute)
			v := w.view("shop")
			require.True(t, v.State.Alarm, joined(w.trace(r.ID)))
			require.Equal(t, "10%", w.gateway("shop").target().Weight.String(), "it does not continue")
			require.Equal(t, 1.0, w.value("serin_exposure_alarm"))
			require.Zero(t, w.value("serin_sample_ratio_alarm"))
			require.Len(t, v.State.Look.Contradictions, 1)
			c := v.State.Look.Contradictions[0]
			require.Equal(t, "slow", c.Metric)
			require.Equal(t, judge.AgainstRequests, c.Against)
			require.InDelta(t, 81, c.Ratio, 5, "nine times nine")
			test(w, r.ID)
		})
	}
	t.Run("until the alarm is dismissed", func(t *testing.T) {
		swapped(t, func(w *world, id string) {
			_, err := w.Act(w.t.Context(), id, rollout.AlarmDismissed{Reason: "known"}, "ann")
			require.NoError(w.t, err)
			w.after(time.Minute)
			require.Equal(w.t, "50%", w.gateway("shop").target().Weight.String())
		})
	})
	t.Run("and a worse version still goes back", func(t *testing.T) {
		swapped(t, func(w *world, id string) {
			w.metrics.breaks(canary, 0.9)
			w.after(3 * time.Minute)
			require.Contains(w.t, joined(w.trace(id)), "ended rolledBack")
		})
	})
}
