package simulation

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRatiosInBothDirectionsBecomeTimesAsBad(t *testing.T) {
	for ratio, want := range map[float64]float64{0: 0, 1: 1, 2.5: 2.5, 0.4: 2.5} {
		require.InDelta(t, want, timesAsBad(ratio), 1e-12)
	}
}
