package analysis

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// app are the requests of one replica of both arms, by the label instance.
func app(arm, instance, samples string) made {
	return series(fmt.Sprintf(`app_requests_total{arm="%s",code="200",instance="%s"}`, arm, instance), samples)
}

func appErrors() Metric {
	return Metric{Name: "errors", Source: Ratio{Bad: `app_requests_total{arm="${arm}",code=~"5.."}`, Total: `app_requests_total{arm="${arm}"}`}}
}

func TestAReplicaIsAsOldAsItHasServed(t *testing.T) {
	const every = "-5 5 15 25 35 45"
	stays := app("canary", "a:1", "-5:0 5:10 15:20 25:30 35:40 45:50")
	stable := app("baseline", "s:1", "-5:0 5:10 15:20 25:30 35:40 45:50")
	for name, c := range map[string]struct {
		metric Metric
		series []made
		want   []string // in each look of ten seconds: ages and requests
	}{
		"one that comes later is young in the first look that counts its requests": {appErrors(), []made{stays, app("canary", "b:1", "25:4 35:9 45:15")},
			[]string{"[{10 10}]", "[]", "[]", "[{40 10} {10 5}]", "[{50 10} {20 6}]"}},
		"one alone that goes on may be a collector, and it says nothing": {appErrors(), []made{stays},
			[]string{"[{10 10}]", "[]", "[]", "[]", "[]"}},
		"one that is there and serves nothing is none": {appErrors(), []made{stays, app("canary", "b:1", "-5:0 5:0 15:0 25:0 35:6 45:12")},
			[]string{"[{10 10}]", "[]", "[]", "[{40 10} {10 6}]", "[{50 10} {20 6}]"}},
		"one that serves nothing for a while is no younger for that": {appErrors(), []made{stays, app("canary", "b:1", "-5:0 5:3 15:3 25:3 35:6 45:6")},
			[]string{"[{10 10} {10 3}]", "[]", "[]", "[{40 10} {40 3}]", "[]"}},
		"one that restarts under its name is young again": {appErrors(), []made{stays, app("canary", "b:1", "-5:0 5:30 15:60 25:4 35:9 45:15")},
			[]string{"[{10 30} {10 10}]", "[{20 30} {20 10}]", "[{30 10} {10 4}]", "[{40 10} {20 5}]", "[{50 10} {30 6}]"}},
		"one alone that restarts": {appErrors(), []made{app("canary", "a:1", "-5:0 5:30 15:60 25:4 35:9 45:15")},
			[]string{"[{10 30}]", "[]", "[{10 4}]", "[]", "[]"}},
		"one that restarts and serves only later": {appErrors(), []made{stays, app("canary", "b:1", "-5:0 5:30 15:60 25:0 35:9 45:15")},
			[]string{"[{10 30} {10 10}]", "[{20 30} {20 10}]", "[]", "[{40 10} {10 9}]", "[{50 10} {20 6}]"}},
		"the gateway's own replicas are not the service's": {errorsMetric(), []made{series(ok200, "-5:0 5:10 15:20 25:30 35:40 45:50")},
			[]string{"[]", "[]", "[]", "[]", "[]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, ls := looks(t, plan(t, c.metric), world{series: append(c.series, stable), scrapes: every}, 10, 20, 30, 40, 50)
			var got []string
			for _, l := range ls {
				got = append(got, fmt.Sprint(l.Replicas))
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestAReplicaThatComesBackAfterItHadVanishedIsYoungAgain(t *testing.T) {
	stays, back := "-5:0", ""
	var ends []float64
	for second := 5; second <= 905; second += 10 {
		ends = append(ends, float64(second+5))
		stays += fmt.Sprintf(" %d:%d", second, second)
		if second < 100 || second > 600 {
			back += fmt.Sprintf(" %d:%d", second, second)
		}
	}
	w := world{series: []made{app("canary", "a:1", stays), app("canary", "b:1", back), app("baseline", "s:1", stays)}, scrapes: "-5"}
	cursor, ls := looks(t, plan(t, appErrors()), w, ends...)
	var young []string
	for _, l := range ls[1:] {
		for _, r := range l.Replicas {
			if r.Age <= 10 {
				young = append(young, fmt.Sprint(l.At.Sub(epoch)))
			}
		}
	}
	require.Equal(t, []string{"20s", "10m10s"}, young)
	require.Len(t, cursor.served, 2)
	require.Equal(t, judge.Replica{Age: 910, Total: 10}, ls[len(ls)-1].Replicas[0])
}

func TestAReplicaThatVanishedWithinALongLookIsNone(t *testing.T) {
	w := world{series: []made{
		app("canary", "a:1", "-5:0 5:10 305:310 695:700"), app("canary", "b:1", "-5:0 5:10 105:110"), app("canary", "c:1", "305:10 695:40"),
		app("baseline", "s:1", "-5:0 5:10 695:700"),
	}, scrapes: "-5 5 105 305 695"}
	_, ls := looks(t, plan(t, appErrors()), w, 10, 700)
	require.Equal(t, []judge.Replica{{Age: 700, Total: 690}, {Age: 690, Total: 30}}, ls[1].Replicas)
}

func TestAReplicaOfSeveralSeriesRestartsOnce(t *testing.T) {
	ok := app("canary", "a:1", "-5:0 5:30 15:60 25:0 35:10")
	bad := series(`app_requests_total{arm="canary",code="500",instance="a:1"}`, "-5:0 5:30 15:60 22:65")
	_, ls := looks(t, plan(t, appErrors()), world{series: []made{bad, ok, app("baseline", "s:1", "-5:0 35:10")}, scrapes: "-5"}, 10, 20, 30, 40)
	var got []string
	for _, l := range ls {
		got = append(got, fmt.Sprint(l.Replicas))
	}
	require.Equal(t, []string{"[{10 60}]", "[]", "[{10 5}]", "[]"}, got)
}

// The source's clock was eleven minutes ahead, and is corrected.
func TestReplicasKeepTheirAgeWhenTheClockIsCorrected(t *testing.T) {
	p := plan(t, appErrors())
	c, _ := looks(t, p, world{series: []made{app("canary", "a:1", "-5:0 5:10 15:20 675:800 685:600 695:700"), app("baseline", "s:1", "-5:0 5:10 695:700")}, scrapes: "-5"}, 10, 700)
	c, _ = c.Until(at(40))
	var got []string
	for i, end := range []float64{50, 60, 70} {
		w := world{series: []made{
			app("canary", "a:1", "45:700 55:710 65:720"), app("canary", "b:1", "45:4 55:9 65:15"), app("baseline", "s:1", "45:10 55:20 65:30"),
		}}
		var l judge.Look
		c, l = p.Fold(c, w.answer(t, p.Asks(c, at(end))), FoldInput{Number: i + 3, At: at(end), Weight: 0.05})
		got = append(got, fmt.Sprint(l.Replicas))
	}
	require.Equal(t, []string{"[]", "[{10 5}]", "[]"}, got)
	require.Equal(t, served{from: at(-650).UnixMilli(), last: at(65).UnixMilli()}, c.served[hash(seed, "a:1")])
	require.Equal(t, served{from: at(50).UnixMilli(), last: at(65).UnixMilli()}, c.served[hash(seed, "b:1")])
}
