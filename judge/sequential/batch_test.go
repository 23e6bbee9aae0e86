package sequential_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// evidenceAfter is the evidence for worse after looks of so many seconds, in each of which stable has 50 bad of 5,000
// requests in ten seconds, and the canary as many times as bad.
func evidenceAfter(t *testing.T, seconds, total, times float64) judge.LogEvidence {
	t.Helper()
	j := newJudge(t, settings(nil, ratio("m")))
	e := j.Begin(nil)
	var v judge.Verdict
	part := seconds / 10
	long := time.Duration(seconds * float64(time.Second))
	for n := 1; float64(n)*seconds <= total; n++ {
		l := at(n, 0.5, counts("m", 50*times*part, 5000*part, 50*part, 5000*part))
		l.At, l.Length = begin.Add(time.Duration(n)*long), long
		e, v = j.Look(e, l)
	}
	return v.Metrics[0].LogEvidence
}

// While nothing speaks for worse, most of the stake is still unspent, and what is not moves by less than a hundredth. Beyond
// the margin nothing speaks for no worse, but by how much is not in order: an incident explains a large difference whatever
// the version.
func TestMoreBadRequestsOfTheCanaryAreMoreEvidence(t *testing.T) {
	last := evidenceAfter(t, 10, 300, 0.8)
	for _, times := range []float64{0.9, 1, 1.1, 1.2, 1.4, 1.8, 2.4, 4, 10} {
		next := evidenceAfter(t, 10, 300, times)
		require.GreaterOrEqual(t, next.Worse, last.Worse-0.01, "×%v: for worse", times)
		switch {
		case times > 1.25:
			require.Negative(t, next.NoWorse, "×%v: for no worse", times)
		case times > 1: // one that is a little better is the surest of all
			require.LessOrEqual(t, next.NoWorse, last.NoWorse+0.01, "×%v: for no worse", times)
		}
		last = next
	}
}

// A look may be of any length: the same requests in looks of 5, 10, 20 and 30 seconds say nearly the same. In longer ones
// there are fewer places where a fault may have begun, and an incident has more room.
func TestTheSameRequestsInLongerLooksSayMuchTheSame(t *testing.T) {
	for _, times := range []float64{1, 1.6, 2.5} {
		short := evidenceAfter(t, 5, 300, times)
		for _, seconds := range []float64{10, 20, 30} {
			long := evidenceAfter(t, seconds, 300, times)
			require.InDelta(t, short.Worse, long.Worse, max(0.5, 0.25*math.Abs(short.Worse)), "×%v in looks of %v s", times, seconds)
			require.InDelta(t, short.NoWorse, long.NoWorse, max(0.5, 0.25*math.Abs(short.NoWorse)), "×%v in looks of %v s", times, seconds)
		}
	}
}

// Stable's replicas that have just started and are slow (an autoscaler brought them, a node was drained) make the canary look
// better for a while. When they are warm, the canary is no worse than before.
func TestReplicasOfStableMayBeColdAtFirst(t *testing.T) {
	m := judge.Metric{Name: "m", Kind: judge.Counts, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, Cold: true}
	for name, c := range map[string]struct {
		later float64 // how many times as bad the canary is from then on
		want  judge.Outcome
	}{
		"a good version is not rolled back once stable is warm":         {1, judge.Inconclusive},
		"a fault that begins at the same time is found once it is warm": {2, judge.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			j, rng := newJudge(t, settings(nil, m)), rand.New(rand.NewPCG(3, 1))
			bad := func(requests int, share float64) (n float64) {
				for range requests {
					if rng.Float64() < share {
						n++
					}
				}
				return n
			}
			e := j.Begin(nil)
			var v judge.Verdict
			for n := 1; n <= 240; n++ {
				canary, stable := 0.05, 0.05
				if n > 60 {
					canary *= c.later
				}
				if n > 60 && n <= 72 { // half of stable is new for two minutes, and three times as slow
					stable = 0.5*0.05 + 0.5*0.15
				}
				if e, v = j.Look(e, at(n, 0.5, counts("m", bad(500, canary), 500, bad(500, stable), 500))); v.Outcome == judge.Fail {
					break
				}
			}
			require.Equal(t, c.want == judge.Fail, v.Outcome == judge.Fail, text(t, v))
		})
	}
}
