package sequential_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// alike compares verdicts whose sums were added in another order.
func alike(t *rapid.T, want, got judge.Verdict) {
	require.Equal(t, want.Outcome, got.Outcome)
	require.Equal(t, want.Reason, got.Reason)
	require.Equal(t, want.Enough, got.Enough)
	for i, w := range want.Metrics {
		g := got.Metrics[i]
		require.Equal(t, w.Outcome, g.Outcome)
		require.Equal(t, w.Canary, g.Canary)
		require.Equal(t, w.Baseline, g.Baseline)
		for _, p := range [][2]float64{{w.Ratio, g.Ratio}, {w.Noise, g.Noise}, {w.Margin, g.Margin}, {w.LogEvidence.Worse, g.LogEvidence.Worse},
			{w.LogEvidence.NoWorse, g.LogEvidence.NoWorse}} {
			require.InDelta(t, p[0], p[1], 1e-7*max(1, math.Abs(p[0])))
		}
	}
	if want.SampleRatio != nil {
		require.InDelta(t, want.SampleRatio.Ratio, got.SampleRatio.Ratio, 1e-9)
		require.Equal(t, want.SampleRatio.Canary, got.SampleRatio.Canary)
	}
}

func TestMergedEvidenceIsThatOfTheStream(t *testing.T) {
	merged, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		s.FreshEvery, s.FreshLive = 0, 0
		j := newJudge(t, s)
		pasts := drawPasts(t, s)
		first := rapid.SampledFrom([]int{0, 1, 63, 64, 65, 128}).Draw(t, "first")
		second := rapid.SampledFrom([]int{0, 1, 5, 63, 64, 70}).Draw(t, "second")
		weights := [2]float64{0.05, rapid.SampledFrom([]float64{0.05, 0.5}).Draw(t, "then")}
		stream, a, b := j.Begin(pasts), j.Begin(pasts), j.Begin(pasts)
		for n := range first + second {
			l := drawLook(t, s, n+1, false)
			l.Weight, l.Excluded = weights[0], ""
			if n >= first {
				l.Weight = weights[1]
				b, _ = j.Look(b, l)
			} else {
				a, _ = j.Look(a, l)
			}
			stream, _ = j.Look(stream, l)
		}
		before := encode(t, a)
		got, err := j.Merge(a, b)
		require.Equal(t, before, encode(t, a), "Merge changes the evidence that it is given")
		if err != nil {
			require.ErrorIs(t, err, sequential.ErrUnaligned)
			require.Greater(t, second, 60)
			refused++
			return
		}
		merged++
		next := drawLook(t, s, first+second+1, false)
		next.Weight, next.Excluded = weights[1], ""
		_, want := j.Look(stream, next)
		_, v := j.Look(got, next)
		alike(t, want, v)
	})
	require.Positive(t, merged)
	t.Logf("%d merged, %d refused", merged, refused)
}

func TestEvidenceThatCannotBeMergedIsRefused(t *testing.T) {
	fresh := settings(nil, ratio("m"))
	fresh.FreshEvery, fresh.FreshLive = 1e9, 3
	j := newJudge(t, fresh)
	_, err := j.Merge(j.Begin(nil), j.Begin(nil))
	require.ErrorIs(t, err, sequential.ErrFresh)

	j = newJudge(t, settings(nil, ratio("m")))
	o := counts("m", 1, 100, 1, 100)
	a, _ := run(j, j.Begin(nil), 1, 3, 0.05, o)
	turned, _ := run(j, a, 4, 5, 0.5, o)
	_, err = j.Merge(a, turned)
	require.ErrorIs(t, err, sequential.ErrTurned)
	long, _ := run(j, j.Begin(nil), 1, 100, 0.05, o)
	_, err = j.Merge(a, long)
	require.ErrorIs(t, err, sequential.ErrUnaligned)
	require.Panics(t, func() { _, _ = newJudge(t, settings(nil, ratio("other"))).Merge(a, a) })
}
