package analysis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestUncertaintyWithholdsNoMoreThanItHasTo(t *testing.T) {
	// A look from second 60 to 70 at two metrics; the second one could not be asked for a while.
	for name, c := range map[string]struct {
		standing  Standing
		absent    [2]judge.Reason
		from      float64
		unsettled bool
		excluded  judge.Reason
		marked    [2]judge.Reason
	}{
		"all is certain":                  {Standing{}, [2]judge.Reason{}, 60, false, "", [2]judge.Reason{}},
		"no weight is in force":           {Standing{Unsettled: true}, [2]judge.Reason{}, 60, true, "", [2]judge.Reason{}},
		"one came into force meanwhile":   {Standing{Settled: at(61)}, [2]judge.Reason{}, 60, true, "", [2]judge.Reason{}},
		"one came into force just before": {Standing{Settled: at(60)}, [2]judge.Reason{}, 60, false, "", [2]judge.Reason{}},
		"the canary warms up":             {Standing{Warm: at(61)}, [2]judge.Reason{}, 60, false, judge.WarmingUp, [2]judge.Reason{}},
		"the warm-up ended just before":   {Standing{Warm: at(60)}, [2]judge.Reason{}, 60, false, "", [2]judge.Reason{}},
		"a window that reaches back into the warm-up is shown, and takes nothing from the other": {
			Standing{Warm: at(60)}, [2]judge.Reason{}, 20, false, "", [2]judge.Reason{"", judge.WarmingUp}},
		"missing data stays missing": {
			Standing{Warm: at(60)}, [2]judge.Reason{"", judge.NoData}, 20, false, "", [2]judge.Reason{"", judge.NoData}},
		"an unreachable source is reported in a warm-up too": {
			Standing{Warm: at(90)}, [2]judge.Reason{judge.Unreachable, judge.Unreachable}, 20, false, "", [2]judge.Reason{judge.Unreachable, judge.Unreachable}},
		"a single unreachable metric is reported when it is over": {
			Standing{Warm: at(90)}, [2]judge.Reason{"", judge.Unreachable}, 20, false, judge.WarmingUp, [2]judge.Reason{"", judge.Unreachable}},
	} {
		t.Run(name, func(t *testing.T) {
			l := judge.Look{At: at(70), Length: 10 * time.Second, Observations: []judge.Observation{{Absent: c.absent[0]}, {Absent: c.absent[1]}}}
			c.standing.Mark(&l, []time.Time{at(60), at(c.from)})
			require.Equal(t, c.unsettled, l.Unsettled)
			require.Equal(t, c.excluded, l.Excluded)
			got := [2]judge.Reason{l.Observations[0].Absent, l.Observations[1].Absent}
			require.Equal(t, c.marked, got)
		})
	}
}

func TestRequestsFromBeforeTheWeightSayNothingOfTheSplit(t *testing.T) {
	m := Metric{Name: "orders", Source: Ratio{Bad: `errors_total{arm="${arm}"}`, Total: `requests_total{arm="${arm}"}`}}
	p := plan(t, m)
	w := world{series: []made{
		series(`errors_total{arm="canary"}`, "-5:0 5:1 15:2 25:3"), series(`errors_total{arm="baseline"}`, "-5:0 5:1 15:2 25:3"),
		series(`requests_total{arm="canary"}`, "-5:0 5:10 15:20 25:30"), series(`requests_total{arm="baseline"}`, "-5:0 5:10 15:20 25:30"),
		series(ok200, "-5:0 5:10 15:20 25:30"), series(stable, "-5:0 5:10 15:20 25:30"),
	}}
	split := func(a Ask) bool { return a.Template.Name == "traefik_service_requests_total" }
	c, one := p.Fold(NewCursor(epoch), w.unanswered(false, split).answer(t, p.Asks(NewCursor(epoch), at(10))), FoldInput{Number: 1, At: at(10)})
	require.Nil(t, one.Requests)
	standing := Standing{Settled: at(5)}
	c, two := p.Fold(c, w.answer(t, p.Asks(c, at(20))), FoldInput{Number: 2, At: at(20), Standing: standing})
	require.Equal(t, &judge.Requests{Canary: 20, Baseline: 20}, two.Requests)
	require.True(t, two.Unsettled, "they are of both windows")
	_, three := p.Fold(c, w.answer(t, p.Asks(c, at(30))), FoldInput{Number: 3, At: at(30), Standing: standing})
	require.False(t, three.Unsettled)
}
