package sequential

import (
	"math"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
)

// everyDivision calls visit with each way to divide values between a canary that gets so many of them and a baseline that gets
// the rest; the canary's are ratio times as large.
func everyDivision(values []float64, canary int, ratio float64, visit func(o row)) (n float64) {
	for set := range uint(1) << len(values) {
		if bits.OnesCount(set) != canary {
			continue
		}
		var o row
		for i, v := range values {
			if set&(1<<i) != 0 {
				o.add(row{ratio * v, 1})
			} else {
				o.add(row{0, 0, v, 1})
			}
		}
		visit(o)
		n++
	}
	return n
}

// The proof of the method, for all values that can be drawn: whichever of the values are the canary's, in the mean over all
// divisions no bet wins anything, neither where they are ratio times as large as the baseline's nor in the next look.
func TestNoBetWinsInTheMeanWhereTheValuesAreAtTheRatioThatItIsAgainst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 2, 8).Draw(t, "values")
		values = append(values, math.Exp(rapid.Float64Range(-5, 20).Draw(t, "one that is large")))
		canary := rapid.IntRange(1, len(values)-1).Draw(t, "canary's")
		margin := rapid.SampledFrom([]float64{1, 1.2, 2}).Draw(t, "margin")
		s := seen{seconds: rapid.SampledFrom([]float64{1, 10, 60, 600}).Draw(t, "seconds"), starts: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "starts")}
		before := *newBets().add(row{1, 2, 3, 4}, s, margin, margin)
		staked := before
		staked.stake(false, s)
		var worse [betSizes]float64
		var noWorse [passSizes]float64
		n := everyDivision(values, canary, margin, func(o row) {
			after := before.add(o, s, margin, margin)
			for i := range worse {
				worse[i] += math.Exp(after.worse[i] - staked.worse[i])
			}
			for i := range noWorse {
				noWorse[i] += math.Exp(after.noWorse[i] - before.noWorse[i])
			}
		})
		for _, won := range append(worse[:], noWorse[:]...) {
			require.LessOrEqual(t, won/n, 1+1e-9)
		}
	})
}

func TestALookOfABadMinuteWinsNoMoreThanItsTimeAllows(t *testing.T) {
	for name, o := range map[string]row{
		"half of the values, a hundred times as large": {1e4, 100, 100, 100},
		"few values, a thousand times as large":        {1e4, 10, 1000, 1000},
		"most of the values":                           {1e6, 990, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBets()
			b.at = 1
			for range 6 {
				b = b.add(o, seen{seconds: 10}, 1.2, 1.2)
			}
			won := math.Inf(-1)
			for _, w := range b.worse {
				won = max(won, w)
			}
			require.LessOrEqual(t, won, 6*math.Log1p(mostGain)+1e-9, "in a minute")
			require.Less(t, b.find(&metric{Metric: judge.Metric{Margin: judge.Margin{Relative: 0.2}}, failsFrom: 4.6}, &o).Worse, 2.5)
		})
	}
}

func TestBetsDoNotDependOnTheUnitOfTheValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := math.Exp(rapid.Float64Range(-10, 10).Draw(t, "unit"))
		one, other := newBets(), newBets()
		for range rapid.IntRange(1, 5).Draw(t, "looks") {
			o := row{rapid.Float64Range(0.01, 1e6).Draw(t, "sum"), float64(rapid.IntRange(1, 50).Draw(t, "n")), rapid.Float64Range(0.01, 1e6).Draw(t, "of the baseline"), float64(rapid.IntRange(1, 50).Draw(t, "its n"))}
			one = one.add(o, seen{seconds: 10}, 1.2, 1.2)
			other = other.add(row{o[0] * unit, o[1], o[2] * unit, o[3]}, seen{seconds: 10}, 1.2, 1.2)
		}
		require.InDelta(t, mean(one.worse[:]), mean(other.worse[:]), 1e-9)
		require.InDelta(t, mean(one.noWorse[:]), mean(other.noWorse[:]), 1e-9)
	})
}

func TestMoreOfTheSumIsMoreEvidenceForWorseAndLessForNoWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := row{rapid.Float64Range(0, 1e3).Draw(t, "sum"), float64(rapid.IntRange(1, 50).Draw(t, "n")), rapid.Float64Range(0.01, 1e3).Draw(t, "of the baseline"), float64(rapid.IntRange(1, 50).Draw(t, "its n"))}
		more := o
		more[0] += rapid.Float64Range(0, 1e3).Draw(t, "more")
		less, most := newBets().add(o, seen{seconds: 10}, 1.2, 1.2), newBets().add(more, seen{seconds: 10}, 1.2, 1.2)
		const rounding = 1e-9
		require.GreaterOrEqual(t, mean(most.worse[:]), mean(less.worse[:])-rounding)
		require.LessOrEqual(t, mean(most.noWorse[:]), mean(less.noWorse[:])+rounding)
		for k := 1; k < len(betRatios); k++ { // so that what is excluded is below, or above, something
			require.LessOrEqual(t, mean(most.above[k][:]), mean(most.above[k-1][:])+rounding)
			require.GreaterOrEqual(t, mean(most.below[k][:]), mean(most.below[k-1][:])-rounding)
		}
	})
}
