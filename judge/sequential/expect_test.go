package sequential_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// The medians are those of the exam (make exam).
func TestWhatIsPlannedIsNearWhatWasMeasured(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("errors")))
	for _, c := range []struct {
		name           string
		rate, weight   float64
		base, effect   float64
		measuredMedian time.Duration
	}{
		{"100 rps, 5%, 1%, twice", 100, 0.05, 0.01, 2, 7*time.Minute + 30*time.Second},
		{"100 rps, 5%, 1%, five times", 100, 0.05, 0.01, 5, 50 * time.Second},
		{"1000 rps, 50%, 1%, half again", 1000, 0.5, 0.01, 1.5, 2*time.Minute + 20*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			pace := pace(c.rate, c.weight, c.base)
			p, err := j.Fails("errors", pace, c.effect)
			require.NoError(t, err)
			got, ok := p.Time()
			require.True(t, ok)
			require.InEpsilon(t, c.measuredMedian.Seconds(), got.Seconds(), 0.6)
		})
	}
}

func TestADifferenceWithinTheMarginIsNeverFound(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("errors")))
	p, err := j.Fails("errors", pace(1000, 0.5, 0.01), 1.2)
	require.NoError(t, err)
	_, ok := p.Time()
	require.False(t, ok)
}

func TestAServiceWithoutErrorsPassesByItsAbsoluteMargin(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("errors")))
	p, err := j.Passes("errors", pace(100, 0.5, 0))
	require.NoError(t, err)
	got, ok := p.Time()
	require.True(t, ok)
	require.InDelta(t, 4, got.Minutes(), 3) // measured: 4 minutes
	require.Equal(t, 10*time.Minute, j.PassWait())
}

func TestWhatCannotBePlannedForIsSaid(t *testing.T) {
	gauge := judge.Metric{Name: "memory", Kind: judge.Gauge, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.2}}
	j := newJudge(t, settings(nil, ratio("errors"), gauge))
	_, err := j.Fails("memory", pace(1, 0.5, 0), 2)
	require.ErrorContains(t, err, "a gauge cannot be planned for")
	_, err = j.Passes("nothing", pace(1, 0.5, 0))
	require.ErrorContains(t, err, "there is none of this name")
}

func pace(rate, weight, base float64) sequential.Pace {
	return sequential.Pace{Canary: rate * weight, Baseline: rate * (1 - weight), Base: base, Learned: true}
}
