package kayenta

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// scaled draws arms in any unit that overlap a lot, a little or not at all.
func scaled(t *rapid.T) (x, y []float64) {
	x, y = crowdedArm().Draw(t, "x"), crowdedArm().Draw(t, "y")
	by := rapid.SampledFrom([]float64{0, 0, 1e-4, 0.5, -0.5, 3, -3, 30}).Draw(t, "apart")
	unit := math.Pow(10, float64(rapid.IntRange(-6, 6).Draw(t, "unit")))
	for i := range x {
		x[i] = (x[i] + by) * unit
	}
	for i := range y {
		y[i] *= unit
	}
	return x, y
}

func normal(rng *rand.Rand, n int, mean, deviation float64) []float64 {
	a := make([]float64, n)
	for i := range a {
		a[i] = mean + deviation*rng.NormFloat64()
	}
	return a
}

// requireWhole compares the decisions about a shift with the whole interval, and counts how many a glance made.
func requireWhole(t require.TestingT, x, y []float64, tol, level float64) (glances int) {
	whole, err := MannWhitney(x, y, level)
	s := shift{x: x, y: y, apart: mean(x) - mean(y), tol: tol, level: level, ranks: new(rankSum)}
	require.Equal(t, err == nil, s.comparable())
	if err != nil {
		return 0
	}
	above, below := whole.Lower > tol*math.Abs(whole.Estimate), whole.Upper < -tol*math.Abs(whole.Estimate)
	if decided, got := s.glance(1); decided {
		require.Equal(t, above, got, "above, of %+v", whole)
		glances++
	}
	if decided, got := s.glance(-1); decided {
		require.Equal(t, below, got, "below, of %+v", whole)
		glances++
	}
	require.Equal(t, above, s.above())
	require.Equal(t, below, s.below())
	return glances
}

func TestAGlanceDecidesAsTheWholeIntervalWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := scaled(t)
		level := rapid.SampledFrom([]float64{0.5, 0.9, 0.98, 0.99}).Draw(t, "level")
		tol := rapid.SampledFrom([]float64{0, 0.25, 1, 2}).Draw(t, "tolerance")
		requireWhole(t, x, y, tol, level)
	})
}

// With values as small as its tolerance the root finder may end anywhere: here its bounds are near 0, on either side.
func TestAGlanceAllowsForTheErrorOfTheRootFinder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		n := 10 + rng.IntN(100)
		deviation := math.Pow(10, -5+3*rng.Float64())
		apart := deviation * math.Sqrt(2/float64(n)) * (quantile(confidence) + rng.NormFloat64())
		tol := []float64{0, 0.25, 1}[rng.IntN(3)]
		requireWhole(t, normal(rng, n, apart, deviation), normal(rng, n, 0, deviation), tol, confidence)
		requireWhole(t, normal(rng, n, -apart, deviation), normal(rng, n, 0, deviation), tol, confidence)
	}
}

// A spike draws the means together, so that the estimate may be many times their difference.
func TestAGlanceDoesNotTrustTheMeans(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		apart := 20 * rng.Float64()
		x := normal(rng, 60, apart, 10)
		x[0] -= 60 * apart * rng.Float64()
		requireWhole(t, x, normal(rng, 60, 0, 10), []float64{0.25, 1}[rng.IntN(2)], confidence)
	}
}

// The judge's speed depends on this: see BenchmarkKayenta.
func TestAGlanceDecidesIfArmsAreAlikeOrFarApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, apart := range []float64{0, 20, -20} {
		glances := 0
		for range 200 {
			glances += requireWhole(t, normal(rng, 60, 100+apart, 10), normal(rng, 60, 100, 10), tolerance, confidence)
		}
		require.GreaterOrEqual(t, glances, 2*190, "%v apart", apart)
	}
}
