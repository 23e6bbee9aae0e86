package analysis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// two hours of looks every ten seconds, which end at second 0.
const pastLooks = 720

// pod is a series of one replica: a sample every ten seconds, five seconds before each look's end, between two seconds; its value
// grows by a step.
func pod(name, more string, from, to int, step float64) made {
	m := made{selector: fmt.Sprintf(`requests_total{version="v1",pod=%q%s}`, name, more)}
	for s := from; s <= to; s += 10 {
		m.samples = append(m.samples, Sample{T: at(float64(s)).UnixMilli(), V: step * float64((s-from)/10+1)})
	}
	return m
}

const begin = -7205 // the last sample before the hours begin

// bound are the replicas of the version in service for some metrics.
func bound(t *testing.T, metrics ...Metric) Replicas {
	t.Helper()
	def := Definition{Metrics: metrics}
	require.NoError(t, def.Validate())
	r, err := NewReplicas(def, arms.Baseline, func(string) bool { return true })
	require.NoError(t, err)
	return r
}

func podErrors() Metric {
	return Metric{Name: "errors", Replicas: "pod",
		Source: Ratio{Bad: `requests_total{version="${version}",code="500"}`, Total: `requests_total{version="${version}"}`}}
}

// sides adds up what both sides of a division have counted.
func sides(looks []judge.Look) (canary, baseline judge.Arm) {
	for _, l := range looks {
		o := l.Observations[0]
		canary.Bad, canary.Total = canary.Bad+o.Canary.Bad, canary.Total+o.Canary.Total
		baseline.Bad, baseline.Total = baseline.Bad+o.Baseline.Bad, baseline.Total+o.Baseline.Total
	}
	return canary, baseline
}

func TestTwoReplicasAreComparedLookByLook(t *testing.T) {
	r := bound(t, podErrors())
	w := world{series: []made{
		pod("a", `,code="200"`, begin, 0, 20),
		pod("b", `,code="200"`, begin, 0, 30),
		pod("b", `,code="500"`, -3595, 0, 2), // the first errors: the target was scraped before without them
		pod("old", `,code="500"`, begin, -3600, 50),
	}, scrapes: "-3605"}
	looks, err := r.Looks(w.answer(t, r.Asks(epoch)), epoch)
	require.NoError(t, err)
	require.Len(t, looks, 1, "b against a would say the same; old is gone, and may have been another version")
	require.Len(t, looks[0], pastLooks)
	require.Equal(t, at(0), looks[0][pastLooks-1].At)
	canary, baseline := sides(looks[0])
	require.Equal(t, judge.Arm{Total: 20 * pastLooks}, canary)
	require.Equal(t, judge.Arm{Bad: 2 * 360, Total: 30*pastLooks + 2*360}, baseline)
	require.Equal(t, 10*time.Second, looks[0][0].Length)
}

func TestManyReplicasAreDividedOneAgainstAllAndHalfAgainstHalf(t *testing.T) {
	r := bound(t, podErrors())
	var w world
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		w.series = append(w.series, pod(name, `,code="200"`, begin, 0, float64(int(1)<<i)))
	}
	looks, err := r.Looks(w.answer(t, r.Asks(epoch)), epoch)
	require.NoError(t, err)
	var got []float64
	for _, division := range looks {
		canary, baseline := sides(division)
		require.Equal(t, 31.0*pastLooks, canary.Total+baseline.Total)
		got = append(got, canary.Total/pastLooks)
	}
	require.Equal(t, []float64{1, 2, 4, 0b10011, 0b10101, 0b11001}, got)
	require.Len(t, divisions(3), 3)
}

func TestAnObjectiveIsHeldAgainstSomeOfTheReplicas(t *testing.T) {
	m := podErrors()
	m.Baseline = Fixed{Rate: 0.01}
	r := bound(t, m)
	w := world{series: []made{pod("a", `,code="500"`, begin, 0, 1), pod("b", `,code="200"`, begin, 0, 5)}}
	looks, err := r.Looks(w.answer(t, r.Asks(epoch)), epoch)
	require.NoError(t, err)
	canary, baseline := sides(looks[0])
	require.Equal(t, judge.Arm{Bad: pastLooks, Total: pastLooks}, canary)
	require.Zero(t, baseline)
}

func TestAGaugesReplicasHaveTheirLastValueInEachLook(t *testing.T) {
	r := bound(t, Metric{Name: "memory", Replicas: "pod", Source: Gauge{Query: `requests_total{version="${version}"}`}})
	w := world{series: []made{pod("a", "", begin, 0, 1), pod("b", "", begin, 0, 2)}}
	asks := r.Asks(epoch)
	require.False(t, asks[0].Template.Instant)
	looks, err := r.Looks(w.answer(t, asks), epoch)
	require.NoError(t, err)
	last := looks[0][pastLooks-1].Observations[0]
	require.Equal(t, judge.Arm{Value: 721}, last.Canary)
	require.Equal(t, judge.Arm{Value: 2 * 721}, last.Baseline)
	require.False(t, looks[0][0].Observations[0].Canary.Missing)
}

func TestReplicasThatSayNothingSayWhy(t *testing.T) {
	plain := podErrors()
	plain.Name, plain.Replicas = "plain", ""
	r := bound(t, podErrors(), plain)
	require.Len(t, r.Asks(epoch), 1, "a metric without a label is left out")
	for name, c := range map[string]struct {
		w    world
		says string
	}{
		"one replica alone": {world{series: []made{pod("a", "", begin, 0, 1)}}, "1 of them"},
		"nothing":           {world{}, "0 of them"},
		"an unreachable source": {world{err: func(Ask) (error, bool) { return errors.New("connection refused"), false }},
			"connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			looks, err := r.Looks(c.w.answer(t, r.Asks(epoch)), epoch)
			require.Empty(t, looks)
			require.ErrorContains(t, err, c.says)
		})
	}
	looks, err := Replicas{}.Looks(nil, epoch)
	require.NoError(t, err)
	require.Empty(t, looks)
	require.Empty(t, Replicas{}.Asks(epoch))

	none, err := NewReplicas(Definition{Metrics: []Metric{podErrors()}}, arms.Baseline, func(string) bool { return false })
	require.NoError(t, err)
	require.Empty(t, none.Asks(epoch), "a release has taught it already")
}
