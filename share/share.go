// Package share has the one unit that all packages share: a part of a whole, written as 25%.
//
// A bare 0.25 does not say whether it means a quarter or a quarter of a percent; a [Share] does. The package knows nothing
// else of Serin.
package share

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is a part of a whole: 0 is nothing, 1 is all of it. Relative margins use it beyond 1 (150%).
type Share float64

// Parse reads "25%" or "0.25". It refuses negative values, NaN and infinities; an upper limit is the caller's.
func Parse(text string) (Share, error) {
	t, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || strings.ContainsAny(t, "xXpP_") {
		return 0, fmt.Errorf("%q is not a share: write 25%% or 0.25", text)
	}
	if percent {
		v /= 100
	}
	return Share(v), nil
}

// String prints the share in percent, with as many digits as it has and at most six decimals.
func (s Share) String() string {
	p := math.Round(float64(s)*100*1e6) / 1e6
	return strconv.FormatFloat(p, 'f', -1, 64) + "%"
}
