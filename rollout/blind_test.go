package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

func TestHowLongAReleaseMayStayBlind(t *testing.T) {
	const hour = time.Hour
	silent := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Unreachable}
	gone := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.NoData, Blind: true, SampleRatio: &judge.SampleRatio{Canary: 100}}
	for name, c := range map[string]struct {
		unreachable, noData time.Duration // Blind of each
		look                judge.Verdict
		want                time.Duration // 0: forever
	}{
		"a Prometheus that cannot be reached has its own time":            {hour, 8 * hour, silent, hour},
		"missing data has the time of its policy":                         {hour, 8 * hour, gone, 8 * hour},
		"but no less than the other":                                      {8 * hour, hour, gone, 8 * hour},
		"where going blind has no end, data that is gone has none either": {0, 8 * hour, gone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := pipeline()
			for i := range d.Scopes {
				d.Scopes[i].Unreachable.Blind, d.Scopes[i].NoData.Blind = c.unreachable, c.noData
			}
			w := begun(t, d, []string{"approve", "start"}, []string{"in-force"})
			require.NoError(t, w.apply(rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: c.look}, "judge"))
			require.False(t, w.s.BlindSince.IsZero())
			var got time.Duration
			for _, due := range w.s.Dues(w.d, w.now) {
				if due.Which == rollout.BlindFor {
					got = due.Left(w.s, w.now)
				}
			}
			require.Equal(t, c.want, got)
		})
	}
}
