package simulation

import (
	"math"
	"slices"
)

// Share is a number of cases out of a total, with a confidence interval.
type Share struct{ Of, All int }

// Value returns the share itself, and 0 if there are no cases.
func (s Share) Value() float64 {
	if s.All == 0 {
		return 0
	}
	return float64(s.Of) / float64(s.All)
}

// Interval returns the 95% confidence interval of the share, from 0 to 1 if there are no cases.
//
// Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22 (1927),
// 209–212.
func (s Share) Interval() (lower, upper float64) {
	if s.All == 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	n, p := float64(s.All), s.Value()
	middle, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return max(0, (middle-half)/scale), min(1, (middle+half)/scale)
}

// Quantile returns the q-quantile (0 to 1) of values by linear interpolation, and NaN if there are none. It does not
// modify values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	h := q * float64(len(sorted)-1)
	i := int(math.Floor(h))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (h-float64(i))*(sorted[i+1]-sorted[i])
}
