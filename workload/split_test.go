package workload_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

func TestAWeightBecomesWholePods(t *testing.T) {
	for name, c := range map[string]struct {
		split          workload.Split
		total          int64
		weight         share.Share
		stable, canary int64
		err            string
	}{
		"an exact part":                      {total: 10, weight: 0.2, stable: 8, canary: 2},
		"the nearest whole pod":              {total: 10, weight: 0.26, stable: 7, canary: 3},
		"at least one of the canary":         {total: 4, weight: 0.01, stable: 3, canary: 1},
		"at least one of stable":             {total: 4, weight: 0.99, stable: 1, canary: 3},
		"a single pod gets a second one":     {total: 1, weight: 0.1, stable: 1, canary: 1},
		"nothing":                            {total: 4, weight: 0, stable: 4, canary: 0},
		"everything":                         {total: 4, weight: 1, stable: 0, canary: 4},
		"there is nothing to divide":         {total: 0, weight: 0.5, err: "there are no pods to divide"},
		"too far off":                        {split: workload.Split{Tolerance: 0.05}, total: 4, weight: 0.1, stable: 3, canary: 1, err: "4 pods cannot take 10%: 1 of 4 is 25%, and the tolerance is 5%"},
		"as far off as the tolerance allows": {split: workload.Split{Tolerance: 0.15}, total: 4, weight: 0.1, stable: 3, canary: 1},
		"a tolerance does not matter at 0%":  {split: workload.Split{Tolerance: 0.05}, total: 4, weight: 0, stable: 4, canary: 0},
	} {
		t.Run(name, func(t *testing.T) {
			stable, canary, err := c.split.Divide(c.total, c.weight)
			require.Equal(t, []int64{c.stable, c.canary}, []int64{stable, canary})
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, c.err)
			}
		})
	}
}

func TestNextToAutoscaledPodsTheCanaryGetsItsPart(t *testing.T) {
	for name, c := range map[string]struct {
		stable int64
		weight share.Share
		canary int64
		err    bool
	}{
		"a tenth of all":             {9, 0.1, 1, false},
		"half of all":                {7, 0.5, 7, false},
		"at least one":               {1, 0.01, 1, false},
		"nothing":                    {5, 0, 0, false},
		"stable has none":            {0, 0.5, 0, true},
		"everything cannot be taken": {5, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			canary, err := workload.Split{}.Alongside(c.stable, c.weight)
			require.Equal(t, c.canary, canary)
			require.Equal(t, c.err, err != nil)
		})
	}
}

func TestPodsAreTheNearestToTheirWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(2, 2000).Draw(t, "total")
		weight := share.Share(rapid.Float64Range(0.0001, 0.9999).Draw(t, "weight"))
		stable, canary, err := workload.Split{}.Divide(total, weight)
		require.NoError(t, err)
		require.Equal(t, total, stable+canary)
		require.Positive(t, stable)
		require.Positive(t, canary)
		off := math.Abs(float64(workload.Served(stable, canary) - weight))
		for _, other := range []int64{canary - 1, canary + 1} {
			if other > 0 && other < total {
				require.LessOrEqual(t, off, math.Abs(float64(workload.Served(total-other, other)-weight))+1e-9)
			}
		}
	})
}
