package analysis

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestQueriesThatPeopleCanRunThemselves(t *testing.T) {
	texts := func(m Metric) (out []string) {
		m.Name, m.From = "m", "elsewhere"
		for _, q := range Queries(Definition{Metrics: []Metric{m}}, arms) {
			require.Equal(t, "m", q.Metric)
			require.Equal(t, "elsewhere", q.Source)
			out = append(out, q.Arm+": "+q.Text)
		}
		return out
	}
	ratio := Ratio{Bad: `failed_total{arm="${arm}"}`, Total: `done_total{arm="${arm}"}`}
	const canary, baseline = `sum(increase(failed_total{arm="canary"}[5m])) / sum(increase(done_total{arm="canary"}[5m]))`,
		`sum(increase(failed_total{arm="baseline"}[5m])) / sum(increase(done_total{arm="baseline"}[5m]))`
	require.Equal(t, []string{"canary: " + canary, "baseline: " + baseline}, texts(Metric{Source: ratio}))
	require.Equal(t, []string{"canary: " + canary, "baseline: # as it was 168h0m0s before\n" + baseline}, texts(Metric{Source: ratio, Baseline: Offset{By: 7 * 24 * time.Hour}}))
	require.Equal(t, []string{"canary: " + canary}, texts(Metric{Source: ratio, Baseline: Fixed{}}), "a fixed baseline asks for nothing")
	require.Contains(t, texts(Metric{Source: Ratio{Good: `good_total{arm="${arm}"}`, Total: ratio.Total}})[0], "good_total")
	require.Contains(t, texts(Metric{Source: Slow{Histogram: `d{arm="${arm}"}`, SlowerThan: 300 * time.Millisecond}})[0], "1 - histogram_fraction(0, 0.3, sum(")
	require.Empty(t, texts(Metric{Source: Ratio{Bad: `failed_total{arm="${nobody}"}`, Total: ratio.Total}}), "what cannot be asked is not shown")
}

func TestAWholeDistributionsHistoryIsCountedAtTheNearestBound(t *testing.T) {
	bounds := []float64{0.1, 0.3, 0.5, 1, 2}
	for want, nearest := range map[int]float64{0: 0.05, 1: 0.39, 2: 0.45, 3: 1.49, 4: 7} {
		require.Equal(t, want, nearestBound(Distribution{Bounds: bounds, Nearest: nearest}), nearest)
	}
	require.Equal(t, 2, nearestBound(Distribution{Bounds: bounds}), "the middle one where there is no objective")
	require.Equal(t, 1, nearestBound(Distribution{Bounds: bounds[:2], Nearest: 0.2}), "of two that are as near the middle one")

	latency := Metric{Name: "latency", Replicas: "pod", Source: Distribution{Histogram: `d_bucket{version="${version}"}`, Bounds: []float64{0.1, 0.3, 1}, Nearest: 0.3}}
	grows := func(le string, step float64) made {
		m := pod("a", "", begin, 0, step)
		m.selector = `d_bucket{version="v1",pod="a",le="` + le + `"}`
		return m
	}
	h := remembered(t, world{series: []made{grows("0.1", 2), grows("0.3", 5), grows("1", 6), grows("+Inf", 10)}}, latency)["latency"]
	last := len(h.Baseline.Total) - 1
	require.Equal(t, 60.0, h.Baseline.Total[last])
	require.Equal(t, 30.0, h.Baseline.Bad[last], "those above 0.3")
}

func TestHistoriesOfGroupsOfUsersDistinguishMoreThanThoseOfReplicas(t *testing.T) {
	groups := podErrors()
	groups.Replicas, groups.Clusters = "", "bucket"
	h, err := NewHistory(Definition{Metrics: []Metric{groups, podErrors()}}, arms.Baseline)
	require.NoError(t, err)
	require.Len(t, h.parts, 2)
	require.Equal(t, [2]int{mostClusters, mostReplicas}, [2]int{h.parts[0].most, h.parts[1].most})
	require.Equal(t, [2]string{"bucket", "pod"}, [2]string{h.parts[0].label, h.parts[1].label})
	parts := h.Parts(epoch)
	for i := 1; i < len(parts); i++ {
		require.Equal(t, HistoryPart, parts[i].Sub(parts[i-1]), "each begins where the one before it ends")
	}
	require.Equal(t, HistoryOver-HistoryPart, epoch.Sub(parts[0]))
}

func TestWhichLabelsMakeOneProcess(t *testing.T) {
	l := func(pairs ...string) (out Labels) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, Label{pairs[i], pairs[i+1]})
		}
		return out
	}
	for name, c := range map[string]struct {
		a, b Labels
		want bool
	}{
		"two jobs at one address":                     {l("instance", "one", "job", "a"), l("instance", "one", "job", "b"), true},
		"the same scrape":                             {l("instance", "one", "job", "a"), l("instance", "one", "job", "a"), false},
		"two addresses":                               {l("instance", "one", "job", "a"), l("instance", "two", "job", "b"), false},
		"two jobs without an address":                 {l("job", "a"), l("job", "b"), false},
		"two Prometheus":                              {l("instance", "one", "job", "a", "prometheus", "p1"), l("instance", "one", "job", "a", "prometheus", "p2"), true},
		"one Prometheus adds its name":                {l("instance", "one", "job", "a", "prometheus", "p1"), l("instance", "one", "job", "a"), true},
		"the other one adds its name":                 {l("instance", "one", "job", "a"), l("instance", "one", "job", "a", "prometheus", "p1"), true},
		"a first label that only one has":             {l("__replica__", "x", "instance", "one", "job", "a"), l("instance", "one", "job", "a"), true},
		"a label of the job's own":                    {l("instance", "one", "job", "a", "pod", "shop-1"), l("instance", "one", "job", "b"), true},
		"such a label alone":                          {l("instance", "one", "job", "a", "pod", "shop-1"), l("instance", "one", "job", "a"), false},
		"two codes":                                   {l("code", "200", "instance", "one", "job", "a"), l("code", "500", "instance", "one", "job", "b"), false},
		"two paths of an application":                 {l("endpoint", "/a", "instance", "one", "job", "a"), l("endpoint", "/b", "instance", "one", "job", "a"), false},
		"two ports that two jobs scrape":              {l("endpoint", "web", "instance", "one", "job", "a"), l("endpoint", "metrics", "instance", "one", "job", "b"), true},
		"everything else alike, up to the last one":   {l("instance", "one", "job", "a", "zone", "1"), l("instance", "one", "job", "b", "zone", "1"), true},
		"everything else alike, but for the last one": {l("instance", "one", "job", "a", "zone", "1"), l("instance", "one", "job", "b", "zone", "2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, sameProcess(c.a, c.b))
			require.Equal(t, c.want, sameProcess(c.b, c.a))
		})
	}
}

func TestCountsOfOneProcessNeverFallFromOneScrapingToTheOther(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want bool
	}{
		"they rise together":                              {"10:5 30:7", "20:6 40:8", false},
		"lower ten seconds later":                         {"10:5 30:5", "20:6", true},
		"lower, but sooner than two scrapes may be apart": {"10:5 29:5", "20:6", false},
		"lower than an older one that it has passed":      {"10:5 60:7", "20:6 40:8", true},
		"it has begun again since":                        {"10:5 30:1 60:5", "20:6", false},
		"it had begun again before":                       {"10:5 15:1 40:4", "20:6", true},
		"the same":                                        {"30:6", "20:6", false},
		"no sample of the other one yet":                  {"10:1", "20:6", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(0)
			k.fallen = map[uint64]fall{}
			require.Equal(t, c.want, k.lower(seen(c.a), seen(c.b)))
		})
	}
	k := counterAt(0)
	x := seen("10:5 20:6 30:NaN 40:7")
	k.points[seriesID(k.ask.id, x.Labels)] = point{t: ms(20), v: 6}
	require.Equal(t, []point{{t: ms(20), v: 6}, {t: ms(40), v: 7}}, k.seen(x), "what was counted, and what is new of it")
}

func TestATargetThatBeganAgainIsKnownByAnyOfItsSeries(t *testing.T) {
	for name, c := range map[string]struct {
		known   string // the last sample that was counted; empty for none
		samples string
		want    fall
	}{
		"within one answer":                                    {"", "10:50 20:3", fall{ms(10), ms(20)}},
		"by little, within one answer":                         {"", "10:50 20:49", fall{ms(10), ms(20)}},
		"not while it stays":                                   {"", "10:50 20:50", fall{}},
		"far below what was counted":                           {"10:100", "20:49", fall{ms(10), ms(20)}},
		"not half of it, which may be another server's":        {"10:100", "20:50", fall{}},
		"of something large enough to be no other server's":    {"10:20", "20:9", fall{ms(10), ms(20)}},
		"not of little":                                        {"10:19", "20:9", fall{}},
		"after a first sample that was no proof":               {"10:100", "20:90 30:80", fall{ms(20), ms(30)}},
		"samples that were counted already do not count again": {"20:3", "10:50 20:3 30:4", fall{}},
		"an impossible value is skipped":                       {"", "10:50 15:NaN 20:3", fall{ms(10), ms(20)}},
		"the last of two":                                      {"", "10:50 20:3 30:9 40:1", fall{ms(30), ms(40)}},
	} {
		t.Run(name, func(t *testing.T) {
			k := counterAt(0)
			k.fallen = map[uint64]fall{}
			s := seen(c.samples)
			if c.known != "" {
				x := series("x", c.known).samples[0]
				k.points[seriesID(k.ask.id, s.Labels)] = point{t: x.T, v: x.V}
			}
			k.restarts([]Series{{Labels: Labels{{"code", "200"}}}, s})
			id, ok := targetID(k.ask.id, s.Labels)
			require.True(t, ok)
			require.Equal(t, c.want, k.fallen[id])
			later := fall{before: ms(90), at: ms(100)}
			k.fallen[id] = later
			k.points = map[uint64]point{}
			k.restarts([]Series{s})
			require.Equal(t, later, k.fallen[id], "an earlier one says nothing new")
		})
	}
	k := counterAt(0)
	id, _ := targetID(k.ask.id, seen("0:1").Labels)
	k.fallen = map[uint64]fall{id: {before: ms(10), at: ms(20)}}
	labels := seen("0:1").Labels
	require.True(t, k.beganWithItsTarget(labels, point{t: ms(10)}, ms(30)), "both were scraped at 10 s, and not at 20")
	require.False(t, k.beganWithItsTarget(labels, point{t: ms(10)}, ms(20)), "it was there when the other one fell")
	require.False(t, k.beganWithItsTarget(labels, point{t: ms(0)}, ms(30)), "it had gone before")
	require.False(t, k.beganWithItsTarget(Labels{{"instance", "two"}, {"job", "traefik"}}, point{t: ms(10)}, ms(30)), "another target")
	require.False(t, k.beganWithItsTarget(Labels{{"code", "200"}}, point{}, ms(30)), "of no target")
}

func TestHistogramsOfSeveralReplicasAddUp(t *testing.T) {
	d := Distribution{Histogram: TraefikLatency(time.Second).Histogram, Bounds: []float64{0.1, 0.3}}
	p := plan(t, Metric{Name: "latency", Source: d})
	var all []made
	for _, arm := range []string{"canary@file", "stable@file"} {
		for _, code := range []string{"200", "500"} {
			for le, samples := range map[string]string{"0.1": "-5:0 5:4", "0.3": "-5:0 5:7", "+Inf": "-5:0 5:9"} {
				b := bucket(arm, le, samples)
				b.selector = b.selector[:len(b.selector)-1] + `,code="` + code + `"}`
				all = append(all, b)
			}
		}
	}
	_, ls := looks(t, p, world{series: all}, 10)
	require.Equal(t, judge.Arm{Total: 18, Cumulative: []float64{8, 14}}, ls[0].Observations[0].Canary)

	p = plan(t, Metric{Name: "slow", Source: Slow{Histogram: `d{service="${service}"}`, SlowerThan: time.Second}})
	low, high := func(n float64) Bucket { return Bucket{0.5, 1, n} }, func(n float64) Bucket { return Bucket{1, 2, n} }
	all = nil
	for _, arm := range []string{"canary@file", "stable@file"} {
		for _, pod := range []string{"a", "b"} {
			n := native(arm, nativeAt(-5, low(1), high(1)), nativeAt(5, low(5), high(3)))
			n.selector = `d{service="` + arm + `",pod="` + pod + `"}`
			all = append(all, n)
		}
	}
	_, ls = looks(t, p, world{series: all}, 10)
	require.Equal(t, judge.Arm{Bad: 4, Total: 12}, ls[0].Observations[0].Canary)
}

func TestRequestsAreThoseOfBothArmsOrNone(t *testing.T) {
	p := plan(t, errorsMetric())
	require.NotEqual(t, none, p.canary)
	of := func(canary, baseline tally) *judge.Requests {
		tallies := make([]tally, len(p.inputs))
		tallies[p.canary], tallies[p.baseline] = canary, baseline
		return p.requestsOf(tallies)
	}
	some, failed := tally{alive: true, counts: []float64{3, 4}}, tally{err: errors.New("away"), alive: true}
	require.Equal(t, &judge.Requests{Canary: 7, Baseline: 7}, of(some, some))
	require.Equal(t, &judge.Requests{Canary: 7}, of(some, tally{}), "nobody is on an arm without a series")
	require.Equal(t, &judge.Requests{Baseline: 7}, of(tally{}, some))
	require.Nil(t, of(tally{}, tally{}))
	require.Nil(t, of(some, failed))
	require.Nil(t, of(failed, some))
	held := some
	held.held = true
	require.Nil(t, of(some, held), "it is counted once the other inputs of its group are answered")
	require.Nil(t, of(held, some))
	require.Nil(t, of(some, tally{alive: true, counts: []float64{math.Inf(1)}}))
	require.Nil(t, of(tally{alive: true, counts: []float64{math.Inf(1)}}, some))
}

func TestTargetsAndScrapingsAreForgottenWithTheirSeries(t *testing.T) {
	const now = 1e12
	keep := (Forget + MaxWindow).Milliseconds()
	c := Cursor{
		repeats: map[uint64]repeat{1: {seen: now - keep}, 2: {seen: now - keep - 1}, 3: {seen: now}},
		fallen:  map[uint64]fall{1: {at: now - keep}, 2: {at: now - keep - 1}, 3: {at: now}},
	}
	c.forget(now)
	require.Equal(t, map[uint64]repeat{1: {seen: now - keep}, 3: {seen: now}}, c.repeats)
	require.Equal(t, map[uint64]fall{1: {at: now - keep}, 3: {at: now}}, c.fallen)
}
