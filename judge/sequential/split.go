package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// A split is tested at shares from leastShare to 1-leastShare. Beyond them, no release has enough requests to show
// anything.
const leastShare = 1e-6

// split is the sample-ratio test since the last change of weight: do the requests divide as the weight says?
//
// Lindon and Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022; here with the normal mixture of
// Robbins, Ann. Math. Statist. 41 (1970), 1397–1409, which can allow for a gateway whose split wanders.
type split struct {
	canary, baseline float64 // requests
	seconds          float64
	spread           spread // of the looks' standardised differences: 1 if requests are drawn independently
}

// add counts one look. Counts that are not numbers are left out.
func (s *split) add(r judge.Requests, weight, seconds float64) {
	n := r.Canary + r.Baseline
	if !isCount(r.Canary) || !isCount(r.Baseline) || n == 0 || weight < leastShare || weight > 1-leastShare {
		return
	}
	s.canary += r.Canary
	s.baseline += r.Baseline
	s.seconds += seconds
	s.spread.add((r.Canary - n*weight) / math.Sqrt(n*weight*(1-weight)))
}

const (
	// steadies is the time scale of a gateway's wandering, in seconds.
	steadies = 90
	// splitAround is how far off a wrong split is expected to be, as a standard deviation of the log odds.
	splitAround = 1.0
)

// verdict reports whether the gateway keeps to the weight; nil before the first request.
func (s *split) verdict(by judge.Split, weight float64) *judge.SampleRatio {
	n := s.canary + s.baseline
	if n == 0 {
		return nil
	}
	v := &judge.SampleRatio{
		Weight: weight, Share: s.canary / n, Canary: s.canary, Baseline: s.baseline, AlarmFrom: math.Log(2 / by.FalseAlarm),
	}
	odds := weight / (1 - weight)
	z := math.Log((s.canary+0.5)/(s.baseline+0.5)) - math.Log(odds)
	v.Ratio = math.Exp(z)
	dispersion := max(1, s.spread.estimate(1))
	variance := dispersion/(n*weight*(1-weight)) + by.Noise*by.Noise*steadies/max(s.seconds, steadies)
	wide := variance + splitAround*splitAround
	e := math.Log(variance/wide)/2 + z*z/2*(1/variance-1/wide)
	// The e-value is against "exactly the weight": evidence for more is none for fewer.
	if z >= 0 {
		v.More = e
	} else {
		v.Fewer = e
	}
	v.Alarm = e >= v.AlarmFrom && math.Abs(v.Ratio-1) >= by.Tolerance && (z >= 0 || !by.Lags)
	return v
}
