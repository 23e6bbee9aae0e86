package statespace_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge/statespace"
)

// The numbers are worked out by hand from the formula: a = log(1.25) / (0.8416 + sqrt(0.8416² + 2 log 20)) = 0.0651, and
// 1/c ≤ a²/spread² - 1/stable.
func TestHowManyPodsTheCanaryNeeds(t *testing.T) {
	twenty := math.Log(20)
	for name, c := range map[string]struct {
		ratio, evidence, spread, stable float64
		want                            float64
	}{
		"pods that differ by a fifth, next to twenty": {1.25, twenty, 0.2, 20, 18},
		"next to a thousand":                          {1.25, twenty, 0.2, 1000, 10},
		"next to nine no number is enough":            {1.25, twenty, 0.2, 9, 0},
		"half as unlike, one fifth as many":           {1.25, twenty, 0.1, 20, 3},
		"pods that are alike":                         {1.25, twenty, 0.02, 20, 1},
		"pods that do not differ at all":              {1.25, twenty, 0, 20, 1},
		"a wider margin":                              {2, twenty, 0.2, 20, 2},
		"more evidence":                               {2, 12, 0.2, 20, 4},
		"a margin of nothing":                         {1, twenty, 0.2, 20, 0},
		"a margin without a bound":                    {math.Inf(1), twenty, 0.2, 20, 1},
		"more than there are within reason":           {1.25, twenty, 0.2, 9.53, 0},
	} {
		t.Run(name, func(t *testing.T) {
			require.InDelta(t, c.want, statespace.PodsFor(c.ratio, c.evidence, c.spread, c.stable), 0)
		})
	}
}

// Endless looks know the difference s between the pods, and both hypotheses are normal around 0 and log(ratio).
func TestFourOfFiveReleasesDecideWithWhatIsKnown(t *testing.T) {
	for _, ratio := range []float64{1.1, 1.25, 2} {
		a, l := statespace.Known(ratio, 3), math.Log(ratio)
		evidence := func(s float64) float64 { return ((s-l)*(s-l) - s*s) / (2 * a * a) }
		require.InDelta(t, 3, evidence(0.8416*a), 1e-9, "four of five are below: the quantile of the normal distribution is 0.8416")
	}
}
