package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// quantiles are those that a histogram's verdict describes.
var quantiles = [...]float64{0.5, 0.99}

// Bands of quantiles: the chance that an end is ever wrong, as the log evidence that it takes, and the weight of the
// prior as a number of requests. The bands are narrowest at some ten times as many.
const (
	quantileSure = 2.995732273553991 // log(1/0.05)
	quantileMind = 100
)

// quantilesOf returns the quantiles of both arms of a histogram, each with a band that holds at all looks at once.
//
// A quantile is above a bound if the share of requests within the bound is below the quantile's. For independent
// requests that share is tested by a mixture of binomial likelihoods, which is an e-process. Since counts grow with the
// bound, the test at the true quantile is the worst of all bounds, so that looking at many of them costs nothing.
//
// Howard and Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm identification,
// Bernoulli 28 (2022), 1704–1728.
func (m *metric) quantilesOf(r *record) []judge.Quantile {
	n := len(m.Bounds)
	canary, baseline := make([]float64, n), make([]float64, n)
	var c, b judge.Totals
	for i := range n {
		c, b = r.comparisons[i].sums(m.questions[i])
		canary[i], baseline[i] = c.Total-c.Bad, b.Total-b.Bad
	}
	if !(c.Total > 0) || !(b.Total > 0) {
		return nil
	}
	out := make([]judge.Quantile, 0, len(quantiles))
	for _, of := range quantiles {
		out = append(out, judge.Quantile{Of: of, Canary: m.band(canary, c.Total, of), Baseline: m.band(baseline, b.Total, of)})
	}
	return out
}

// band is a quantile of one arm, from its number of requests and the cumulative counts at the bounds.
func (m *metric) band(atMost []float64, all, of float64) judge.QuantileBand {
	out := judge.QuantileBand{Value: m.Bounds[len(m.Bounds)-1], Beyond: true}
	before, from := 0.0, min(m.Bounds[0], 0)
	for i, k := range atMost {
		if k >= of*all {
			out.Value, out.Beyond = from+(m.Bounds[i]-from)*(of*all-before)/(k-before), false
			break
		}
		before, from = k, m.Bounds[i]
	}
	for i, k := range atMost {
		if surelyNot(k, all, of) {
			if k < of*all {
				out.Lower = m.Bounds[i]
			} else {
				out.Upper = m.Bounds[i]
				break
			}
		}
	}
	return out
}

// surelyNot reports whether k of n is enough evidence against a share that was tested at every look.
func surelyNot(k, n, share float64) bool {
	a, b := quantileMind*share, quantileMind*(1-share)
	e := logBeta(k+a, n-k+b) - logBeta(a, b) - k*math.Log(share) - (n-k)*math.Log1p(-share)
	return e >= quantileSure
}

func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}
