package statespace

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// after is the standing after looks of ten seconds with 1,000 requests at each arm. One in a hundred fails at the
// baseline, and times as many at the canary.
func after(m *Model, looks int, times float64) Standing {
	s := m.Begin()
	for i := range looks {
		l := Look{Seconds: 10, Weight: 0.5, Margin: 1.25, Turned: i == 0, Heavy: times > 50}
		l.Counts(m, min(1000, 10*times), 1000, 10, 1000)
		m.Add(&s, &l)
	}
	return m.Stand(&s, 1.25)
}

func TestFewUsersMayDoubleTheErrorsOfAnArmAndDoNotMakeAllOfItFail(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 60}
	fails := math.Log(100)
	require.Greater(t, after(&m, 60, 2).Worse, fails)
	m.Few = 0.5
	double := after(&m, 60, 2)
	require.Less(t, double.Worse, fails, "a few users explain that as well")
	require.Greater(t, double.Few, 0.9)
	require.Greater(t, after(&m, 60, 100).Worse, fails)
	m.Few = 0.01
	require.Greater(t, after(&m, 60, 2).Worse, fails, "where earlier releases have shown that users are many")
}

func TestWhereTheArmsStayAlikeUsersAreMany(t *testing.T) {
	m := Model{Arm: 0.05, Clusters: 1, Incident: 60, Few: 0.5}
	require.InDelta(t, 0.5, after(&m, 1, 1).Few, 0.15, "one look tells little")
	alike := after(&m, 360, 1)
	require.Less(t, alike.Few, 0.2)
	require.Greater(t, alike.NoWorse, math.Log(20), "it passes")
}

func TestAChangeOfWeightKeepsTheUsersThatWereThere(t *testing.T) {
	at := 0.0
	stays, gains := divided(&at, 0.1, FewApart)
	require.Zero(t, stays, "nobody was there before the first")
	require.InDelta(t, FewApart(0.1), gains, 1e-12)
	stays, gains = divided(&at, 0.1, FewApart)
	require.Equal(t, [2]float64{1, 0}, [2]float64{stays, gains})
	stays, gains = divided(&at, 0.4, FewApart)
	require.InDelta(t, 0.25, stays, 1e-12)
	require.InDelta(t, FewApart(0.4), stays*stays*FewApart(0.1)+gains, 1e-12, "as much as if it had begun there")
	stays, _ = divided(&at, 0.2, FewApart)
	require.InDelta(t, 1, stays, 0, "those who stay were all there")
}

func TestHowManyUsersItTakes(t *testing.T) {
	n := UsersFor(2, 7, 0.5)
	require.InDelta(t, 7, math.Pow(math.Log(2), 2)/(2/(n*0.25)), 1e-9, "so many nats a ratio of 2 is worth")
	require.Greater(t, UsersFor(2, 7, 0.05), n)
	require.Greater(t, UsersFor(1.25, 7, 0.5), n)
	require.InDelta(t, 1e12, UsersFor(1, 7, 0.5), 0)
}

// For minutes the arms rise and fall by half in opposite directions, which shared noise cannot explain.
func TestNoiseThatWasCommonToBothArmsMayCeaseToBe(t *testing.T) {
	m := Model{Wander: [wandering]float64{0.03, 0.06, 0.01}, Arm: 0.05, Clusters: 1, Incident: 60, Calm: true}
	s := m.Begin()
	look := func(canary float64) {
		l := Look{Seconds: 10, Margin: 1.25}
		l.Counts(&m, canary, 5000, 100, 5000)
		m.Add(&s, &l)
	}
	for range 360 {
		look(100)
	}
	require.Greater(t, s.good[inCalm], 0.99, "an hour without any difference")
	require.Greater(t, s.good[null], 1e-5, "is no proof forever")
	for i := range s.good { // as after a year
		s.good[i] = 0
	}
	s.good[inCalm] = 1
	for i := range 60 {
		look(100 * math.Exp(0.5*math.Sin(float64(i)/4)))
	}
	require.Less(t, s.good[inCalm], 0.5)
	require.Less(t, m.Stand(&s, 1.25).Worse, math.Log(100), "and is no fault")
}
