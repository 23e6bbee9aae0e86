package kayenta

import (
	"math"
	"slices"
)

// This package converts a product to float64 before adding it to anything. That keeps the compiler from fusing the two
// operations (Go specification, "Floating-point operators"), so that every platform rounds as the reference does.

// Stats describes an arm as the reference reports it. All fields are 0 for an empty arm.
type Stats struct {
	Min, Max, Mean float64
	// Std is the standard deviation with n-1, and 0 for one value.
	Std   float64
	Count int
}

// describe computes the statistics of a, which must not contain NaN.
func describe(a []float64) Stats {
	if len(a) == 0 {
		return Stats{}
	}
	s := Stats{Mean: mean(a), Count: len(a)}
	s.Min, s.Max = extremes(a)
	if len(a) > 1 {
		s.Std = math.Sqrt(variance(a, s.Mean))
	}
	return s
}

// extremes returns the least and the largest of a, which is not empty and contains no NaN. -0 is less than 0.
func extremes(a []float64) (least, largest float64) {
	least, largest = a[0], a[0]
	for _, v := range a { // much faster than min and max, which check the sign of zeros
		if v < least {
			least = v
		}
		if v > largest {
			largest = v
		}
	}
	if least == 0 || largest == 0 {
		return slices.Min(a), slices.Max(a)
	}
	return least, largest
}

// mean returns the mean of a, which is not empty. A second pass removes most of the rounding error of the first. Labels
// can depend on whether the mean is exactly 0 (see meanRatio), hence the same two passes as in the reference.
//
// Chan, Golub and LeVeque, Algorithms for computing the sample variance, Am. Stat. 37 (1983), 242–247.
func mean(a []float64) float64 {
	n := float64(len(a))
	var sum float64
	for _, v := range a {
		sum += v
	}
	first := sum / n
	var rest float64
	for _, v := range a {
		rest += v - first
	}
	return first + rest/n
}

// variance returns the variance of a, which has at least two values, with n-1 and the correction of Chan, Golub and
// LeVeque (1983, eq. 1.7) for the rounding of the mean.
func variance(a []float64, mean float64) float64 {
	n := float64(len(a))
	var squares, sum float64
	for _, v := range a {
		d := v - mean
		squares += float64(d * d)
		sum += d
	}
	return (squares - float64(sum*sum)/n) / (n - 1)
}

// percentile returns a percentile of sorted, which is not empty, by linear interpolation; 0 < p < 1.
//
// Hyndman and Fan, Sample quantiles in statistical packages, Am. Stat. 50 (1996), 361–365, definition 7.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 1 {
		return sorted[0]
	}
	h := 1 + float64(float64(len(sorted)-1)*p)
	if h >= float64(len(sorted)) {
		return sorted[len(sorted)-1]
	}
	below := math.Floor(h)
	v := sorted[int(below)-1]
	return v + float64((h-below)*(sorted[int(below)]-v))
}

// quartileFences are Tukey's: factor interquartile ranges below the first and above the third quartile.
func quartileFences(sorted []float64, factor float64) (lower, upper float64) {
	p25, p75 := percentile(sorted, 0.25), percentile(sorted, 0.75)
	iqr := p75 - p25
	return p25 - float64(factor*iqr), p75 + float64(factor*iqr)
}

// fences returns the quartile fences of a, moved out to the 1st and 99th percentile if those lie further out, so that at
// most about 1% of an arm is removed at each end. A NaN fence, which infinities can cause, excludes nothing.
func fences(a []float64, factor float64) (lower, upper float64) {
	sorted := slices.Sorted(slices.Values(a))
	lower, upper = quartileFences(sorted, factor)
	return min(percentile(sorted, 0.01), lower), max(percentile(sorted, 0.99), upper)
}
