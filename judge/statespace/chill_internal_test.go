package statespace

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
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
