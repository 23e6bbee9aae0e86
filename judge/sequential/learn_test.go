package sequential

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// spec/sequential-judge.md, Learned noise.
func TestOfManyPastsThoseNearestToTodayCount(t *testing.T) {
	m := newMetric(judge.Metric{Kind: judge.Counts, Weight: 1, Noise: 0.3}, 0.01, 0.05)
	past := func(noise, information float64) judge.Past {
		return judge.Past{Noise: noise, Information: information, Looks: 100}
	}
	for _, c := range []struct {
		name  string
		pasts []judge.Past
		today float64
		want  float64
	}{
		{"three releases at two weights: the three of today's weight", []judge.Past{past(2, 1), past(9, 3), past(3, 1), past(9, 3), past(4, 1), past(9, 3)}, 1, 3},
		{"within a factor of 2 they are used as they are", []judge.Past{past(5, 1)}, 1.9, 5},
		{"beyond it they are carried", []judge.Past{past(5, 1)}, 10, 41},
		{"but not to less information, where arms differ by less than chance shows", []judge.Past{past(5, 10)}, 1, 5},
		{"of several that are carried the largest counts", []judge.Past{past(2, 1), past(5, 1), past(3, 1)}, 10, 41},
		{"of equally near ones the newer count", []judge.Past{past(90, 1), past(2, 1), past(3, 1), past(4, 1)}, 1, 3},
		{"before there is any information they are as far as can be", []judge.Past{past(2, 1), past(5, 3)}, 0, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := suppose(&m, c.pasts, c.today)
			require.True(t, got.learned)
			require.InDelta(t, c.want, got.phi, 1e-9)
		})
	}
	require.Equal(t, supposition{noise: 0.3}, suppose(&m, nil, 1))
}

// The variance of the sum of an AR(1) process over ever longer times is that of independent errors times
// (1+ρ)/(1−ρ); groups of 16 looks see 32% of what is beyond 1 at ρ = 0.95, groups of 64 looks 71%.
func TestALessonSeesASlowDriftThatItsGroupsAreTooShortFor(t *testing.T) {
	const rho, sd, information, n = 0.95, 0.3, 25.0, 10000.0
	truth := 1 + information*2*sd*sd*(1+rho)/(1-rho)
	rng := rand.New(rand.NewPCG(1, 2))
	sum, releases := 0.0, 200
	for range releases {
		var ta tally
		c, b := sd*rng.NormFloat64(), sd*rng.NormFloat64()
		for range 360 {
			c = rho*c + sd*math.Sqrt(1-rho*rho)*rng.NormFloat64()
			b = rho*b + sd*math.Sqrt(1-rho*rho)*rng.NormFloat64()
			ta.add(judge.Counts, row{math.Round(50 * math.Exp(c)), n / 2, math.Round(50 * math.Exp(b)), n / 2}, 10)
		}
		p, ok := ta.lesson(judge.Counts)
		require.True(t, ok)
		sum += p.Noise
	}
	require.InEpsilon(t, truth, sum/float64(releases), 0.35)
}

func TestAWeightThatIsHeldBrieflyLearnsFromTheWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var tr trial
	add := func(wander float64) {
		tr.add(judge.Counts, row{math.Round(50 * math.Exp(wander*rng.NormFloat64())), 5000, math.Round(50 * math.Exp(wander*rng.NormFloat64())), 5000}, 0, 10)
	}
	for range 200 {
		add(1)
	}
	tr.since = tally{}
	for range 64 {
		add(0)
	}
	alone, _ := tr.since.lesson(judge.Counts)
	got, ok := tr.lesson(judge.Counts)
	require.True(t, ok)
	require.Less(t, alone.Noise, 2.0)
	require.Greater(t, got.Noise, 5.0)
	require.Equal(t, 64, got.Looks)
}
