package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// leastShare is the smallest share, and the largest but for this, at which a split is tested: beyond it there is
// nothing to be seen in any number of requests that a release has.
const leastShare = 1e-6

// split is the sample-ratio test since the last change of weight: do the requests divide as the weight says? It is
// a counts comparison whose bad events are the requests and whose exposures are the shares.
//
// Lindon and Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022.
type split struct {
	comparison
	canary, baseline float64 // requests
}

// add counts one look. Requests that are not numbers are left out.
func (s *split) add(r judge.Requests, weight, seconds float64) {
	if !isCount(r.Canary) || !isCount(r.Baseline) || weight < leastShare || weight > 1-leastShare {
		return
	}
	var gain [gridSize]float64
	o := row{r.Canary, weight, r.Baseline, 1 - weight}
	countsGain(o, &gain)
	s.comparison.add(judge.Counts, o, &gain, seconds)
	s.canary += r.Canary
	s.baseline += r.Baseline
}

// verdict says whether the gateway keeps to the weight; nil before it has been seen at all.
func (s *split) verdict(by judge.Split, weight float64) *judge.SampleRatio {
	n := s.canary + s.baseline
	if n == 0 {
		return nil
	}
	f := newProfile(judge.Counts, &s.tally, &s.logLik, supposition{noise: by.Noise})
	v := &judge.SampleRatio{
		Weight: weight, Share: s.canary / n, Canary: s.canary, Baseline: s.baseline,
		Ratio: s.ratio(judge.Counts), More: f.above(one), Fewer: f.below(one),
		AlarmFrom: math.Log(2 / by.FalseAlarm),
	}
	v.Alarm = max(v.More, v.Fewer) >= v.AlarmFrom && math.Abs(v.Ratio-1) >= by.Tolerance
	return v
}
