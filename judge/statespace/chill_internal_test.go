package statespace

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// slow is the standing after looks of ten seconds with 1,000 requests at each arm, 20 of which are slow at the baseline, and at
// the canary so many times as many, and whether it has failed by then.
func slow(m *Model, looks int, times func(seconds float64) float64) (s Standing, failed bool) {
	state := m.Begin()
	for i := range looks {
		l := Look{Seconds: 10, Weight: 0.5, Margin: 1.5}
		if i == 0 {
			l.Starts = 1
		}
		l.Counts(m, 20*times(float64(i)*10), 1000, 20, 1000)
		m.Add(&state, &l)
		s = m.Stand(&state, 1.5)
		failed = failed || s.Worse >= math.Log(100)
	}
	return s, failed
}

func TestASlowVersionIsFoundSoonerWhereStartsWereWarm(t *testing.T) {
	ever := Model{Arm: 0.05, Clusters: 1, Incident: 45, Cold: true, Strains: true}
	warmly := ever
	warmly.Chill = 0.5
	for _, times := range []float64{2, 5, 11} {
		always := func(float64) float64 { return times }
		for _, looks := range []int{6, 12, 30} {
			w, _ := slow(&warmly, looks, always)
			a, _ := slow(&ever, looks, always)
			require.Greater(t, w.Worse, a.Worse, "×%g, %d looks", times, looks)
		}
	}
}

func TestAColdStartAfterWarmOnesIsNoFault(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 45, Cold: true, Strains: true, Chill: 0.5}
	for _, times := range []float64{1, 3, 5, 10} {
		s, failed := slow(&m, 120, func(t float64) float64 { return 1 + (times-1)*math.Exp(-t/120) })
		require.False(t, failed, "×%g", times)
		require.Greater(t, s.NoWorse, math.Log(20), "×%g: it passes in the end", times)
	}
}

func TestArmsWithoutBadEventsTellNothingOfTheirStart(t *testing.T) {
	m := Model{Clusters: 1}
	for _, c := range [][4]float64{{}, {0, 1000, 0, 1000}, {5, 0, 20, 1000}, {5, 1000, 20, 0}} {
		require.Zero(t, m.Began(c[0], c[1], c[2], c[3], 0.1, 0.01), "%v", c)
	}
}

func TestTheWorldOfColdStartsIsCopiedWithItsStateAndChecked(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 45, Cold: true, Strains: true, Chill: 0.5}
	add := func(s *State) {
		l := Look{Seconds: 10, Starts: 1, Margin: 1.5}
		l.Counts(&m, 40, 1000, 20, 1000)
		m.Add(s, &l)
	}
	state := m.Begin()
	add(&state)
	before := *state.chill
	another, waits := state, state
	add(&another)
	m.Wait(&waits, 60)
	require.Equal(t, before, *state.chill)
	require.NotEqual(t, before, *another.chill)
	require.NotEqual(t, before, *waits.chill)

	require.True(t, m.Sound(&state))
	state.chill.rows[chillMargin].cov[at(cold, cold)] = -1
	require.False(t, m.Sound(&state), "a negative variance")
}

// A canary whose weight goes up and down and up, or that restarts all the time, and a source that is silent in between.
func TestTheWorthOfAllWorldsStaysOne(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 45, Cold: true, Strains: true, Calm: true, Few: 0.5, Lumps: 10, Chill: 0.5, Wander: [wandering]float64{0.03, 0.06, 0.01}}
	rapid.Check(t, func(t *rapid.T) {
		s := m.Begin()
		counts := rapid.SampledFrom([]float64{0, 0.001, 1, 20, 1e4, 1e6})
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			l := Look{
				Seconds: rapid.SampledFrom([]float64{0.001, 1, 10, 3600, 86400}).Draw(t, "seconds"),
				Starts:  rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "starts"),
				Weight:  rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "weight"),
				Margin:  1.5, Turned: rapid.Bool().Draw(t, "turned"),
			}
			canary, baseline := counts.Draw(t, "canary"), counts.Draw(t, "baseline")
			l.Counts(&m, min(canary, counts.Draw(t, "bad")), canary, min(baseline, counts.Draw(t, "bad")), baseline)
			m.Add(&s, &l)
			m.Wait(&s, counts.Draw(t, "waits"))
			sum := 0.0
			for _, g := range s.good {
				sum += g
			}
			require.InDelta(t, 1, sum, 1e-6)
			m.Numbers(&s, func(n Number) { require.True(t, n.Fits(*n.At)) })
			require.True(t, m.Sound(&s))
		}
	})
}
