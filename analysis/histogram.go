package analysis

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Histogram is one sample of a native histogram.
type Histogram struct {
	// Count is the number of all observations, those outside the buckets (NaN) included.
	Count float64
	// Buckets do not overlap and are ascending; empty ones may be left out.
	Buckets []Bucket
}

// Bucket holds observations above Lower and up to Upper.
type Bucket struct{ Lower, Upper, Count float64 }

// AtMost is how many observations are at most bound, a whole number. A bucket that contains the bound is divided as by
// Prometheus's histogram_fraction: evenly on a logarithmic scale, or on a linear one if the bucket touches or spans
// zero. The result is rounded down, so that the number above the bound is at most one too large and never too small.
func (h *Histogram) AtMost(bound float64) float64 {
	sum := 0.0
	for _, b := range h.Buckets {
		switch {
		case bound >= b.Upper:
			sum += b.Count
		case bound > b.Lower:
			sum += b.Count * part(b, bound)
		}
	}
	return math.Floor(min(sum, h.Count))
}

// part is the share of a bucket's observations up to bound, which is inside it.
func part(b Bucket, bound float64) float64 {
	switch {
	case math.IsInf(b.Upper, 1):
		return 0 // where above Lower they are is unknown: they count as above
	case math.IsInf(b.Lower, -1):
		return 1
	case b.Lower > 0:
		return math.Log(bound/b.Lower) / math.Log(b.Upper/b.Lower)
	case b.Upper < 0:
		return 1 - math.Log(bound/b.Upper)/math.Log(b.Lower/b.Upper)
	}
	return (bound - b.Lower) / (b.Upper - b.Lower)
}

// boundPattern matches the ways in which the label le may write a bound: 0.3 and 0.30, 1 and 1.0, 1e-05.
func boundPattern(bound float64) string {
	plain := strconv.FormatFloat(bound, 'f', -1, 64)
	pattern := regexp.QuoteMeta(plain)
	if strings.Contains(plain, ".") {
		pattern += "0*"
	} else {
		pattern += `(?:\.0*)?`
	}
	if short := strconv.FormatFloat(bound, 'g', -1, 64); short != plain {
		pattern += "|" + regexp.QuoteMeta(short)
	}
	return pattern
}

// lePattern matches the labels of the given bounds and of all observations.
func lePattern(bounds []float64) string {
	parts := make([]string, 0, len(bounds)+1)
	for _, b := range bounds {
		parts = append(parts, boundPattern(b))
	}
	return strings.Join(append(parts, `\+Inf`), "|")
}

// parseBound reads a label le; ok is false if it is no bound.
func parseBound(le string) (bound float64, ok bool) {
	bound, err := strconv.ParseFloat(le, 64)
	return bound, err == nil && !math.IsNaN(bound)
}
