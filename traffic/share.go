package traffic

import (
	"math"

	"github.com/serindev/serin/share"
)

// The observed share stands in for the answer of a gateway that cannot be asked. It has to lie within three standard
// deviations of a random split, plus some slack for gateways whose rotation starts over at each reload. Below minSeen
// requests it proves nothing.
const (
	minSeen   = 50
	seenSlack = 0.005
)

// Agrees reports whether the observed requests fit the canary's share. It is false while there are too few to tell.
func Agrees(weight share.Share, canary, stable float64) bool {
	n, w := canary+stable, float64(weight)
	if n < minSeen {
		return false
	}
	return math.Abs(canary/n-w) <= 3*math.Sqrt(w*(1-w)/n)+seenSlack
}
