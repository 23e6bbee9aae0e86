package simulation

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// dice draws random numbers. The same source gives the same numbers.
type dice struct{ *rand.Rand }

// poisson draws a count with the given mean, and returns 0 if the mean is not above 0.
func (d dice) poisson(mean float64) float64 {
	if !(mean > 0) {
		return 0
	}
	return distuv.Poisson{Lambda: mean, Src: d}.Rand()
}

// binomial draws how many of n events happen if each has the chance p.
func (d dice) binomial(n, p float64) float64 {
	switch {
	case !(n > 0) || !(p > 0):
		return 0
	case p >= 1:
		return n
	}
	return distuv.Binomial{N: n, P: p, Src: d}.Rand()
}

// gamma draws a positive number with mean 1 and the given standard deviation, which is at most 10. For a deviation of 0
// it returns 1.
func (d dice) gamma(sd float64) float64 {
	if !(sd > 0) {
		return 1
	}
	shape := 1 / (sd * sd)
	return distuv.Gamma{Alpha: shape, Beta: shape, Src: d}.Rand()
}

// values draws the sum of n values with the given mean and a standard deviation of 1.31 times the mean, like that of
// lognormal values whose logarithm has a standard deviation of 1.
func (d dice) values(n, mean float64) float64 {
	const squared = math.E - 1
	if !(n > 0) || !(mean > 0) {
		return 0
	}
	return distuv.Gamma{Alpha: n / squared, Beta: 1 / (squared * mean), Src: d}.Rand()
}

// cluster draws the size of a cluster, at least 1, from a geometric distribution with the given mean.
func (d dice) cluster(mean float64) float64 {
	if !(mean > 1) {
		return 1
	}
	return 1 + math.Floor(math.Log1p(-d.Float64())/math.Log1p(-1/mean))
}

// wandering is a factor that wanders around 1. Its logarithm is a first-order autoregressive process, stationary from the
// first step on.
type wandering struct {
	by  Wander
	log float64
	on  bool
}

// next returns the factor after the given time. Its mean is 1.
func (w *wandering) next(d dice, seconds float64) float64 {
	if !(w.by.Deviation > 0) {
		return 1
	}
	keep := math.Pow(w.by.Correlation, seconds/reference)
	if !w.on {
		keep, w.on = 0, true
	}
	w.log = keep*w.log + w.by.Deviation*math.Sqrt(1-keep*keep)*d.NormFloat64()
	return math.Exp(w.log - w.by.Deviation*w.by.Deviation/2)
}
