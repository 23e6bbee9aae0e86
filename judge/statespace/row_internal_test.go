package statespace

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAJumpOfWhatIsKnownFarBetterThanItsComponentsLeavesMeansThatCanBeReadBack(t *testing.T) {
	m := Model{Clusters: 1, Incident: 60}
	s := m.Begin()
	b := &s.rows[null]
	with := [most]float64{0, 0, -2.4e-7, 1.9e-7} // seen with 2^52 requests a look
	for range 3 {
		b.learn(warm, &with, leastVariance, -1.6, 0)
	}
	m.Numbers(&s, func(n Number) {
		if n.Lo == -mostMean {
			require.True(t, n.Fits(*n.At), "%v", *n.At)
		}
	})
}
