package traffic

import (
	"fmt"
	"math"

	"github.com/serindev/serin/share"
)

// Weights returns whole numbers with the smallest sum of 100, 1,000 or 10,000 that represent the canary's share exactly: 5%
// is 5 and 95, 0.5% is 5 and 995. It refuses shares outside of 0 to 100%, and those finer than 0.01%, because one rotation
// would take more than 10,000 requests.
func Weights(s share.Share) (canary, stable int, err error) {
	if !(s >= 0 && s <= 1) { // also NaN
		return 0, 0, fmt.Errorf("weight %s is not between 0%% and 100%%", s)
	}
	for _, total := range []int{100, 1000, 10000} {
		exact := float64(s) * float64(total)
		if whole := math.Round(exact); math.Abs(exact-whole) < 1e-6 {
			return int(whole), total - int(whole), nil
		}
	}
	return 0, 0, fmt.Errorf("weight %s is finer than 0.01%%", s)
}

// ShareOf returns the canary's share by weights, and zero if both are zero.
func ShareOf(canary, stable int) share.Share {
	if canary+stable == 0 {
		return 0
	}
	return share.Share(float64(canary) / float64(canary+stable))
}
