package statespace

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// A bet is fair only if the predictions of everything that can happen sum to 1: docs/statistics.md, State, says how
// closely the quadrature comes to that, for ordinary beliefs and for the widest one, that of an incident.
func TestThePredictionsOfAllThatCanHappenSumToOne(t *testing.T) {
	for _, variance := range []float64{0.01, 0.1, 1, size * size} {
		within := 1e-4
		if variance > 1 {
			within = 3e-3
		}
		for _, events := range []float64{1, 2, 5, 20, 200, 2000} {
			for _, offset := range []float64{-6, -3, -1, 0, 3} {
				require.InDelta(t, 1, allOf(events, offset, variance), within, "variance %v, %v events, offset %v", variance, events, offset)
			}
		}
	}
}

// allOf sums the predictions for 0 to all of the events at the canary.
func allOf(events, offset, variance float64) float64 {
	factorial := func(x float64) float64 { v, _ := math.Lgamma(x + 1); return v }
	sum := 0.0
	for x := 0.0; x <= events; x++ {
		d := datum{family: binomial, x: x, b: events, offset: offset}
		log, _, _ := d.predict(0, 0.3, variance)
		sum += math.Exp(log + factorial(events) - factorial(x) - factorial(events-x))
	}
	return sum
}
