package sequential

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestASplitThatLagsIsWrongOnlyIfTheCanaryHasMore(t *testing.T) {
	for name, c := range map[string]struct {
		canary float64 // of 1,000 a look, for a weight of 20%
		lags   bool
		alarm  bool
	}{
		"less, where every request is drawn":               {100, false, true},
		"less, where users came at a lower weight":         {100, true, false},
		"more, where every request is drawn":               {300, false, true},
		"more, although users came at a lower weight":      {300, true, true},
		"as much as the weight, with users of this weight": {200, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := New(judge.Settings{
				FalseRollback: 0.01, FalseAdvance: 0.05, Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.25, Lags: c.lags},
				Metrics: []judge.Metric{{Name: "errors", Kind: judge.Counts, Weight: 1}},
			})
			require.NoError(t, err)
			e := j.Begin(nil)
			var v judge.Verdict
			for range 30 {
				e, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.2, Requests: &judge.Requests{Canary: c.canary, Baseline: 1000 - c.canary}})
			}
			require.Equal(t, c.alarm, v.SampleRatio.Alarm)
		})
	}
}

func TestASplitBeginsAgainWhenTheWeightChanges(t *testing.T) {
	j, err := New(judge.Settings{
		FalseRollback: 0.01, FalseAdvance: 0.05, Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1},
		Metrics: []judge.Metric{{Name: "errors", Kind: judge.Counts, Weight: 1}},
	})
	require.NoError(t, err)
	e := j.Begin(nil)
	var v judge.Verdict
	for range 30 {
		e, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.05, Requests: &judge.Requests{Canary: 100, Baseline: 900}})
	}
	require.True(t, v.SampleRatio.Alarm, "10%% for 5%%")
	require.Equal(t, 0.1, v.SampleRatio.Share)

	e, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.05})
	require.True(t, v.SampleRatio.Alarm, "a look without requests leaves the test as it was")

	_, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.2, Requests: &judge.Requests{Canary: 200, Baseline: 800}})
	require.False(t, v.SampleRatio.Alarm)
	require.Equal(t, 1000.0, v.SampleRatio.Canary+v.SampleRatio.Baseline)

	_, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.2, Excluded: judge.WarmingUp})
	require.Nil(t, v.SampleRatio, "the old weight's test says nothing of the new one's")
}
