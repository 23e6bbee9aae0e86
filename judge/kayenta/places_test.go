package kayenta

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// crowdedArm draws values that lie unevenly in their range: on a few points, in a heap with outliers, or anywhere.
func crowdedArm() *rapid.Generator[[]float64] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Map(rapid.IntRange(-5, 5), func(i int) float64 { return float64(i) / 4 }), 1, 120),
		rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 1e-3), rapid.Float64Range(-1e3, 1e3)), 1, 120),
		rapid.SliceOfN(rapid.Map(rapid.Float64Range(-20, 20), math.Exp), 1, 120),
		finiteArm(),
	)
}

func TestPlacesCountWhatLiesBelowAtAnyShiftAfterAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := crowdedArm().Draw(t, "x"), crowdedArm().Draw(t, "y")
		w := newRankSum(x, y)
		if !w.steady {
			return
		}
		lo, hi := w.bracket()
		from, to := lo, hi
		for range rapid.IntRange(1, 40).Draw(t, "shifts") {
			d := from + (to-from)*rapid.Float64Range(0, 1).Draw(t, "share")
			if rapid.IntRange(0, 9).Draw(t, "difference") == 0 {
				d = rapid.SampledFrom(x).Draw(t, "of x") - rapid.SampledFrom(y).Draw(t, "of y")
			}
			want, tied := int64(0), false
			for _, v := range x {
				for _, u := range y {
					tied = tied || v-d == u
					if u < v-d {
						want++
					}
				}
			}
			below, ok := w.places.ask(d)
			require.Equal(t, !tied, ok)
			if ok {
				require.Equal(t, want, below)
			}
			switch rapid.IntRange(0, 9).Draw(t, "next") { // mostly nested, as a root finder's
			case 0:
				from, to = lo, hi
			case 1, 2, 3, 4:
				from = max(from, min(d, to))
			default:
				to = min(to, max(d, from))
			}
		}
	})
}

func TestTheRankSumIsTheSameByPlacesAndByTheWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := crowdedArm().Draw(t, "x"), crowdedArm().Draw(t, "y")
		fast, careful := newRankSum(x, y), newRankSum(x, y)
		careful.steady = false
		level := rapid.SampledFrom([]float64{0.5, 0.9, 0.98}).Draw(t, "level")
		want, wantOK := careful.interval(level)
		got, ok := fast.interval(level)
		require.Equal(t, wantOK, ok)
		if ok {
			require.Equal(t, doubles(want), doubles(got))
		}
	})
}

// doubles are the bits of an interval, in which NaN is itself.
func doubles(i Interval) [3]uint64 {
	return [3]uint64{math.Float64bits(i.Lower), math.Float64bits(i.Upper), math.Float64bits(i.Estimate)}
}

func TestMemoryOfOtherArmsChangesNothing(t *testing.T) {
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

func TestJudgementsAtTheSameTimeDoNotDisturbEachOther(t *testing.T) {
	var requests []Request
	var want []Result
	for _, points := range []int{60, 7, 500, 61} {
		q, err := DecodeRequest(requestOf(5, points))
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

func TestAGridSortsAndKnowsThePlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := crowdedArm().Draw(t, "arm")
		g := grid{start: make([]int32, cells*len(a)+3)}
		sorted := make([]float64, len(a))
		if !g.sort(sorted, a) {
			require.True(t, slices.ContainsFunc(a, func(v float64) bool { return v == 0 && math.Signbit(v) }))
			return
		}
		require.Equal(t, slices.Sorted(slices.Values(a)), sorted)
		for i, v := range sorted {
			first := int(g.start[g.cell(v)])
			require.LessOrEqual(t, first, i)
			require.Less(t, i-first, 1<<g.rounds)
		}
	})
}
