package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// spec/sequential-judge.md, Learned noise: the last sentence.
func TestReplicasThatDifferMakeTheFirstReleaseCareful(t *testing.T) {
	j := newJudge(t, settings(nil, ratio("m")))
	rng := rand.New(rand.NewPCG(1, 2))
	pair := func(looks int, wander float64) []judge.Look {
		var out []judge.Look
		var c, b float64
		for n := range looks {
			c, b = 0.95*c+0.31*wander*rng.NormFloat64(), 0.95*b+0.31*wander*rng.NormFloat64()
			out = append(out, at(n+1, 0.5, counts("m", math.Round(50*math.Exp(c)), 5000, math.Round(50*math.Exp(b)), 5000)))
		}
		return out
	}
	pasts := j.Replicas([][]judge.Look{pair(360, 0.3), pair(360, 0.3), pair(63, 0.3)})
	require.Len(t, pasts["m"], 2, "63 looks are too few")
	for _, p := range pasts["m"] {
		require.Greater(t, p.Noise, 5.0)
		require.Equal(t, 360, p.Looks)
	}
	_, first := run(j, j.Begin(nil), 1, 12, 0.5, counts("m", 75, 5000, 50, 5000))
	_, careful := run(j, j.Begin(pasts), 1, 12, 0.5, counts("m", 75, 5000, 50, 5000))
	require.True(t, careful.Learned)
	require.Greater(t, careful.Metrics[0].Noise, first.Metrics[0].Noise)
	require.Less(t, careful.Metrics[0].LogEvidence.Worse, first.Metrics[0].LogEvidence.Worse)
	require.Empty(t, j.Replicas(nil))
}
