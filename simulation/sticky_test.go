package simulation_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/simulation"
)

func TestTheShareLagsIfUsersKeepTheirVersion(t *testing.T) {
	lag := simulation.Lag{From: 0.05, Weight: 0.5, Stay: 20 * time.Minute}
	require.InDelta(t, 0.05, float64(lag.At(0)), 1e-9)
	require.InDelta(t, 0.05, float64(lag.Mean(0)), 1e-9)
	require.InDelta(t, 0.455, float64(lag.At(lag.Most())), 1e-9, "nine tenths of the way")
	require.InDelta(t, 0.5, float64(lag.At(24*time.Hour)), 1e-9)
	require.InDelta(t, 46.05, lag.Most().Minutes(), 0.01)
}

// The formula is compared with a crowd in which each user who leaves is replaced by a new one.
func TestTheLagMatchesASimulatedCrowd(t *testing.T) {
	const users, hold = 20_000, 10 * time.Minute
	lag := simulation.Lag{From: 0.05, Weight: 0.5, Stay: 20 * time.Minute}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's dice
	onCanary := make([]bool, users)
	for i := range onCanary {
		onCanary[i] = random.Float64() < float64(lag.From)
	}
	count := func() (n int) {
		for _, on := range onCanary {
			if on {
				n++
			}
		}
		return n
	}
	var sum float64
	const ticks = 600
	for range ticks {
		sum += float64(count()) / users
		for i := range onCanary {
			if random.Float64() < (hold/ticks).Seconds()/lag.Stay.Seconds() { // this user is replaced by a new one
				onCanary[i] = random.Float64() < float64(lag.Weight)
			}
		}
	}
	require.InDelta(t, float64(lag.Mean(hold)), sum/ticks, 0.01)
	require.InDelta(t, float64(lag.At(hold)), float64(share.Share(count())/users), 0.01)
}
