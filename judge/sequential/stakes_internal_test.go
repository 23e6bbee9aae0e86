package sequential

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

func TestWhatABetOfOneWins(t *testing.T) {
	for name, c := range map[string]struct {
		o                row
		ratio            float64
		canary, baseline float64
	}{
		"as much as its part":               {row{10, 10, 90, 90}, 1, 0, 0},
		"twice as much":                     {row{20, 10, 80, 90}, 1, 1, 80.0/90 - 1},
		"where it may be twice as large":    {row{30, 10, 70, 90}, 2, 30.0/170/0.1 - 1, 140.0/170/0.9 - 1},
		"nothing":                           {row{0, 10, 90, 90}, 1, -1, 1/0.9 - 1},
		"much more counts as three times":   {row{90, 10, 10, 90}, 1, 2, 10.0/90 - 1},
		"so does much more of the baseline": {row{10, 90, 90, 10}, 1, 10.0/90 - 1, 2},
	} {
		canary, baseline := excess(c.o, c.ratio)
		require.InDelta(t, c.canary, canary, 1e-12, name)
		require.InDelta(t, c.baseline, baseline, 1e-12, name)
	}
}

// The sizes are worked out by hand: 0.9 at most, and what wins half of the stake in ten seconds by the largest share.
func TestHowMuchIsBetOnALook(t *testing.T) {
	for name, c := range map[string]struct {
		o           row
		s           seen
		size, small float64
	}{
		"ten seconds, a tenth of the values":  {row{12, 10, 90, 90}, seen{seconds: 10}, 0.25, 0.9},
		"ten seconds, half of the values":     {row{60, 50, 50, 50}, seen{seconds: 10}, 0.5, 0.9},
		"most of the values":                  {row{90, 80, 20, 20}, seen{seconds: 10}, 0.9, 0.9},
		"a second":                            {row{12, 10, 90, 90}, seen{seconds: 1}, (math.Pow(1.5, 0.1) - 1) / 2, 0.9},
		"a minute wins three times at most":   {row{12, 10, 90, 90}, seen{seconds: 60}, 0.9, 0.9},
		"half of the canary has just started": {row{12, 10, 90, 90}, seen{seconds: 10, starts: 0.5}, 0.25 / 4, 0.9 / 4},
		"all of the canary has just started":  {row{12, 10, 90, 90}, seen{seconds: 10, starts: 1}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBets().add(c.o, c.s, 1.1, 1.3)
			above, _ := excess(c.o, 1.1)
			_, below := excess(c.o, 1.3)
			for i, part := range [...]float64{1, 0.5, 0.25, 0.125, 0.0625} {
				require.InDelta(t, math.Log(0.1)+math.Log1p(part*c.size*above), b.worse[i], 1e-12, "half of the stake, in five bets")
			}
			for i, part := range [...]float64{1, 0.5, 0.25} {
				require.InDelta(t, math.Log1p(part*c.small*below), b.noWorse[i], 1e-12)
			}
			for k, r := range betRatios {
				above, below := excess(c.o, r)
				for i, part := range [...]float64{1, 0.5, 0.25} {
					require.InDelta(t, math.Log1p(part*part*c.size*above), b.above[k][i], 1e-12)
					require.InDelta(t, math.Log1p(part*c.small*below), b.below[k][i], 1e-12)
				}
			}
		})
	}
	o := row{12, 10, 90, 90}
	one := newBets().add(o, seen{seconds: 10}, 1.1, 1.3)
	two := one.add(o, seen{seconds: 10}, 1.1, 1.3)
	require.InDelta(t, 2*one.noWorse[0], two.noWorse[0], 1e-12)
	for k := range betRatios {
		require.InDelta(t, 2*one.above[k][0], two.above[k][0], 1e-12)
		require.InDelta(t, 2*one.below[k][0], two.below[k][0], 1e-12)
	}
	for _, nothing := range []row{{}, {0, 0, 5, 5}, {5, 5, 0, 0}, {0, 5, 0, 5}} {
		b := newBets().add(nothing, seen{seconds: 10}, 1.1, 1.3)
		require.Zero(t, b.noWorse, nothing)
		require.Equal(t, 10.0, b.at)
		require.InDelta(t, math.Log(0.1), b.worse[0], 1e-12)
	}
	for _, some := range []row{{0, 5, 5, 5}, {5, 5, 0, 5}} {
		require.NotZero(t, newBets().add(some, seen{seconds: 10}, 1.1, 1.3).noWorse, some)
	}
}

func TestWhenBetsAreBegun(t *testing.T) {
	later := func(at, seconds float64) float64 { return 0.25 * (3600/(3600+at) - 3600/(3600+at+seconds)) }
	b := newBets()
	spent := 0.0
	for i, c := range []struct {
		turned bool
		stake  float64
		turns  int
	}{
		{true, 0.5, 0}, // the beginning is no turn
		{false, later(10, 10), 0},
		{true, 1.0 / 16, 1},
		{true, 1.0 / 16, 2},
		{true, 1.0 / 16, 3},
		{false, later(50, 10), 3},
		{true, 1.0 / 16 / 2, 4},
		{true, 1.0 / 16 / 6, 5},
	} {
		b = b.add(row{}, seen{seconds: 10, turned: c.turned}, 1.1, 1.1)
		spent += c.stake
		require.InDelta(t, spent, b.spent, 1e-12, i)
		require.Equal(t, c.turns, b.turns, i)
		require.InDelta(t, math.Log(spent/betSizes), b.worse[0], 1e-9, i)
		require.Equal(t, float64(10*(i+1)), b.at, i)
	}
}

func TestWhatHasStartedWarmsUp(t *testing.T) {
	b := newBets().add(row{}, seen{seconds: 10, starts: 0.5}, 1.1, 1.1)
	require.InDelta(t, 0.5, b.cold, 1e-12)
	b = b.wait(120)
	require.InDelta(t, 0.5*math.Exp(-0.5), b.cold, 1e-12)
	require.Equal(t, 130.0, b.at)
	cold := 0.5 * math.Exp(-0.75)
	b = b.add(row{}, seen{seconds: 60, starts: 0.2}, 1.1, 1.1)
	require.InDelta(t, 1-(1-cold)*0.8, b.cold, 1e-12)

	r := record{looks: 1, comparisons: []comparison{{bets: b, begun: true}}}
	(&metric{comparing: judge.Mean}).wait(&r, 30)
	require.Equal(t, 220.0, r.comparisons[0].bets.at, "time passes without data, too")
}

func TestWhatBetsSay(t *testing.T) {
	m := metric{Metric: judge.Metric{Kind: judge.Mean, Margin: judge.Margin{Relative: 0.25}}, comparing: judge.Mean, failsFrom: 4, passFrom: 3}
	for total, want := range map[row]float64{
		{30, 10, 20, 10}: 1.5, {30, 20, 20, 10}: 0.75, {5000, 1, 1, 1}: 1000, {0, 1, 5, 1}: 0.001, {5, 1, 0, 1}: 1000,
		{}: 1, {0, 5, 0, 5}: 1, {5, 0, 5, 5}: 1, {5, 5, 5, 0}: 1,
	} {
		f := newBets().find(&m, &total)
		require.InDelta(t, want, f.Ratio, 1e-12, total)
		require.Equal(t, f.Ratio, f.Leading)
		require.Equal(t, 1.25, f.margin)
	}
	b := newBets()
	f := b.find(&m, &row{})
	require.InDelta(t, 0, f.Worse, 1e-12, "what is not bet is kept")
	require.Equal(t, []float64{leastDrawn, mostDrawn}, []float64{f.lower, f.upper})
	b.spent = 0.75
	for i := range b.worse {
		b.worse[i] = math.Log(0.05 * float64(i+1)) // 0.75 together
	}
	b.noWorse = [passSizes]float64{0, math.Log(2), math.Log(6)}
	for k, r := range betRatios {
		if r <= 1.2 {
			b.above[k] = [passSizes]float64{5, 5, 5}
		}
		if r >= 3 {
			b.below[k] = [passSizes]float64{3.5, 3.5, 3.5}
		}
	}
	f = b.find(&m, &row{})
	require.InDelta(t, 0, f.Worse, 1e-12)
	require.Equal(t, f.Worse, f.Beyond)
	require.InDelta(t, math.Log(3), f.NoWorse, 1e-12)
	require.Equal(t, []float64{1.2, 3}, []float64{f.lower, f.upper})
	m.failsFrom, m.passFrom = mean(b.above[0][:]), mean(b.below[len(betRatios)-1][:])
	f = b.find(&m, &row{})
	require.Equal(t, []float64{1.2, 3}, []float64{f.lower, f.upper}, "with just enough evidence")
	b.spent = 1.0000001
	require.False(t, math.IsNaN(b.find(&m, &row{}).Worse), "all is bet")
}

func TestAMeanPassesByItsMarginAndAGoalByNoDifference(t *testing.T) {
	look := row{20, 10, 80, 80}
	for goal, passes := range map[bool]float64{false: 1.25, true: 1} {
		m := metric{Metric: judge.Metric{Kind: judge.Mean, Goal: goal, Margin: judge.Margin{Relative: 0.25}}, comparing: judge.Mean}
		var c comparison
		c.add(&m, question{share: 1}, statespace.Model{}, false, row{20, 10, 0, 0}, seen{seconds: 10})
		require.Zero(t, c.bets.noWorse, "the baseline has no values yet")
		c.add(&m, question{share: 1}, statespace.Model{}, false, row{0, 0, 80, 80}, seen{seconds: 10})
		require.Equal(t, look, c.total)
		_, below := excess(look, passes)
		require.InDelta(t, math.Log1p(0.9*below), c.bets.noWorse[0], 1e-12)
		same := newBets().add(row{}, seen{seconds: 10}, 1.25, passes).add(look, seen{seconds: 10}, 1.25, passes)
		require.Equal(t, same, c.bets, "it fails by its margin")
		require.True(t, c.begun)
	}
}
