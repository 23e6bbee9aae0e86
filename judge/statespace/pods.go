package statespace

import "math"

// mostly is how many standard deviations a good version's pods may be worse than stable's for it to pass all the same: four
// in five are no worse than that.
const mostly = 0.8416

// Known is how much two good versions may differ for life, as a standard deviation of the log ratio, for a ratio to be told
// from no difference with the given evidence (a natural logarithm) in four of five releases, however long they take. With
// the ratio's logarithm l and the difference s between the pods of a good version, normal around 0 with that deviation a,
// the evidence of endless looks is (l²/2 - l s) / a². It reaches e for s = z a where a = l / (z + sqrt(z² + 2e)).
func Known(ratio, evidence float64) float64 {
	return math.Log(ratio) / (mostly + math.Sqrt(mostly*mostly+2*evidence))
}

// PodsFor is how many pods the canary needs for that next to those of stable: the least c for which pods whose rates differ
// by spread, a standard deviation relative to their mean, make arms that differ by spread sqrt(1/c + 1/stable) ≤
// [Known]. It is 0 if no number of pods suffices, because stable has too few itself or the ratio is too close to 1.
func PodsFor(ratio, evidence, spread, stable float64) float64 {
	known := Known(ratio, evidence)
	if spread == 0 && known > 0 {
		return 1
	}
	rest := known*known/(spread*spread) - 1/stable
	if !(known > 0) || rest < 1/mostPods {
		return 0
	}
	return max(1, math.Ceil(1/rest-1e-9))
}

// mostPods is how many pods a canary can have within reason.
const mostPods = 1000.0
