package kayenta

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// crowdedArm draws values that are unevenly distributed: a few distinct ones, a cluster with outliers, or anything.
func crowdedArm() *rapid.Generator[[]float64] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Map(rapid.IntRange(-5, 5), func(i int) float64 { return float64(i) / 4 }), 1, 120),
		rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 1e-3), rapid.Float64Range(-1e3, 1e3)), 1, 120),
		rapid.SliceOfN(rapid.Map(rapid.Float64Range(-20, 20), math.Exp), 1, 120),
		finiteArm(),
	)
}

// doubles returns the bits of an interval, so that NaN equals NaN.
func doubles(i Interval) [3]uint64 {
	return [3]uint64{math.Float64bits(i.Lower), math.Float64bits(i.Upper), math.Float64bits(i.Estimate)}
}

func TestReusedMemoryDoesNotChangeResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var used rankSum
		for range rapid.IntRange(1, 5).Draw(t, "pairs") {
			x, y := rapid.OneOf(crowdedArm(), arm()).Draw(t, "x"), rapid.OneOf(crowdedArm(), arm()).Draw(t, "y")
			used.reset(x, y)
			want, wantOK := newRankSum(x, y).interval(0.98)
			got, ok := used.interval(0.98)
			require.Equal(t, wantOK, ok)
			if ok {
				require.Equal(t, doubles(want), doubles(got))
			}
		}
	})
}

func TestConcurrentJudgementsAreIndependent(t *testing.T) {
	var requests []Request
	var want []Result
	for _, points := range []int{60, 7, 500, 61} {
		q, err := DecodeRequest(requestOf(5, points, 0))
		require.NoError(t, err)
		r, err := Judge(q)
		require.NoError(t, err)
		requests, want = append(requests, q), append(want, r)
	}
	var all sync.WaitGroup
	got := make([]Result, 8*len(requests))
	for i := range got {
		all.Go(func() { got[i], _ = Judge(requests[i%len(requests)]) })
	}
	all.Wait()
	for i, r := range got {
		require.Equal(t, want[i%len(requests)], r)
	}
}

func TestPlainArmsAreSortedByCells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := crowdedArm().Draw(t, "arm")
		sorted := make([]float64, len(a))
		if !sortPlain(sorted, a, make([]int32, entries(len(a)))) {
			require.True(t, slices.ContainsFunc(a, func(v float64) bool { return v == 0 && math.Signbit(v) }))
			return
		}
		require.Equal(t, slices.Sorted(slices.Values(a)), sorted)
	})
}
