package analysis

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/judge"
)

// users is a stream of requests that a gateway divides, and the part of it that a custom metric counts.
type users struct {
	rng    *rand.Rand
	weight float64
	rate   float64 // requests in a look
	part   float64 // of them that are counted
	burst  float64 // how many events come together in the mean
	ratio  float64 // the canary's exposure relative to what it should be
	wander float64 // of the logarithm of the ratio
	off    float64
}

// poisson draws a number of events, by the normal approximation if it is large.
func poisson(rng *rand.Rand, mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean > 30:
		return max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64()))
	}
	n, p := -1.0, 1.0
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= rng.Float64()
	}
	return n
}

// look draws ten seconds of requests.
func (u *users) look() (mine, theirs judge.Requests) {
	keep := math.Exp(-10.0 / 90)
	u.off = u.off*keep + u.wander*math.Sqrt(1-keep*keep)*u.rng.NormFloat64()
	theirs = judge.Requests{Canary: poisson(u.rng, u.rate*u.weight), Baseline: poisson(u.rng, u.rate*(1-u.weight))}
	count := func(requests float64) float64 {
		bursts := poisson(u.rng, requests*u.part/u.burst)
		return bursts + poisson(u.rng, bursts*(u.burst-1))
	}
	mine = judge.Requests{Canary: count(theirs.Canary * u.ratio * math.Exp(u.off)), Baseline: count(theirs.Baseline)}
	return mine, theirs
}

// alarms returns after how many looks there is a contradiction; -1 if there is none within the given looks.
func (u *users) alarms(alpha float64, looks int) int {
	var e exposure
	for i := range looks {
		mine, theirs := u.look()
		o := judge.Observation{Canary: judge.Arm{Total: mine.Canary}, Baseline: judge.Arm{Total: mine.Baseline}}
		if e = e.plus(&o, &theirs, 10*time.Second); e.Mine.Looks > 0 && e.contradiction(u.weight, alpha) != nil {
			return i
		}
	}
	return -1
}

// The chance of an alarm over half an hour of a release is at most alpha, for any weight, rate and burst size, and any
// effect of the versions on the exposure up to the bound.
func TestExposuresThatAgreeAreSeldomCalledAContradiction(t *testing.T) {
	const alpha, releases, looks = 0.05, 150, 180
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) //nolint:gosec // a test
		u := users{
			rng: rng, weight: rapid.SampledFrom([]float64{0.01, 0.05, 0.2, 0.5, 0.9}).Draw(t, "weight"),
			rate: rapid.SampledFrom([]float64{5, 50, 1000}).Draw(t, "rate"), part: rapid.SampledFrom([]float64{0.02, 0.3, 1, 3}).Draw(t, "part"),
			burst: rapid.SampledFrom([]float64{1, 3, 10}).Draw(t, "burst"), wander: rapid.SampledFrom([]float64{0, wander}).Draw(t, "wander"),
			ratio: math.Exp(rapid.Float64Range(-math.Log(unlike), math.Log(unlike)).Draw(t, "ratio")),
		}
		alarms := 0
		for range releases {
			u.off = 0
			if u.alarms(alpha, looks) >= 0 {
				alarms++
			}
		}
		mean := alpha * releases
		require.LessOrEqual(t, float64(alarms), mean+4*math.Sqrt(mean))
	})
}

func TestExposuresOfOtherRequestsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		weight, rate, ratio float64
		within              int // looks of ten seconds
	}{
		"swapped labels at 5%":                         {0.05, 200, 361, 6},
		"swapped labels at 20%":                        {0.2, 200, 16, 6},
		"swapped labels at 20% of little traffic":      {0.2, 5, 16, 120},
		"a canary that is counted twice":               {0.1, 1000, 2, 120},
		"a baseline that is counted twice":             {0.1, 1000, 0.5, 120},
		"the canary's label is another version's, too": {0.1, 500, 4, 20},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				u := users{rng: rand.New(rand.NewPCG(seed, 2)), weight: c.weight, rate: c.rate, part: 0.5, burst: 1, ratio: c.ratio} //nolint:gosec // a test
				at := u.alarms(DefaultSplitFalseAlarm, c.within)
				require.GreaterOrEqual(t, at, 0)
			}
		})
	}
}

// newcomer.md, 1: after a promotion the labels of a VM's servers named the arms the wrong way round, and a version that
// sold only a quarter passed.
func TestALookSaysWhichExposureContradictsTheRequests(t *testing.T) {
	orders := Metric{Name: "orders", Source: Ratio{Good: `orders_total{arm="${arm}"}`, Total: `visits_total{arm="${arm}"}`}}
	uneven, dry := orders, orders
	uneven.Uneven, dry.DryRun = true, true
	more := func(name, samples string) []made {
		return []made{series(`orders_total{arm="`+name+`"}`, samples), series(`visits_total{arm="`+name+`"}`, samples)}
	}
	few, many := "-5:0 5:50 15:100 25:150 35:200 45:250 55:300 65:350", "-5:0 5:950 15:1900 25:2850 35:3800 45:4750 55:5700 65:6650"
	swapped := append(more("canary", many), more("baseline", few)...)
	right := append(more("canary", few), more("baseline", many)...)
	requests := []made{series(ok200, few), series(stable, many)}
	unseen := Metric{Name: "unseen", Source: Ratio{Good: `unseen_total{arm="${arm}"}`, Total: `seen_total{arm="${arm}"}`}}
	for name, c := range map[string]struct {
		metric  Metric
		series  []made
		split   Split
		against string
	}{
		"an arm without series contradicts nothing":                         {orders, append(more("baseline", many), requests...), Split{}, ""},
		"neither if it is the other arm":                                    {orders, append(more("canary", many), requests...), Split{}, ""},
		"a metric without data contradicts nothing":                         {orders, swapped, Split{Off: true}, ""},
		"swapped labels contradict the requests":                            {orders, append(swapped, requests...), Split{}, judge.AgainstRequests},
		"and the weight if the requests are unknown":                        {orders, swapped, Split{}, judge.AgainstWeight},
		"and another metric if the weight cannot be trusted":                {orders, append(swapped, requests...), Split{Off: true}, "errors"},
		"right ones contradict nothing":                                     {orders, append(right, requests...), Split{}, ""},
		"a dry run holds nothing back":                                      {dry, append(swapped, requests...), Split{}, ""},
		"an exposure marked as uneven need not be divided as the users are": {uneven, append(swapped, requests...), Split{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.split.Requests = TraefikRequests
			p, err := NewPlan(Definition{Metrics: []Metric{errorsMetric(), unseen, c.metric}, Split: c.split}, arms)
			require.NoError(t, err)
			cursor, l := looks(t, p, world{series: c.series}, 10, 20, 30, 40, 50, 60, 70)
			last := l[len(l)-1].Contradictions
			if c.against == "" {
				require.Empty(t, last)
				for _, weight := range []float64{0, 1} {
					_, after := p.Fold(cursor, nil, FoldInput{At: at(80), Weight: weight})
					require.Empty(t, after.Contradictions, "where one arm has everybody nothing divides")
				}
				return
			}
			require.Len(t, last, 1)
			require.Equal(t, "orders", last[0].Metric)
			require.Equal(t, c.against, last[0].Against)
			require.Greater(t, last[0].Ratio, 100.0)
			b, err := json.Marshal(cursor)
			require.NoError(t, err)
			var back Cursor
			require.NoError(t, json.Unmarshal(b, &back))
			require.Equal(t, cursor, back, "what was summed up survives a restart")
			_, unsettled := p.Fold(cursor, nil, FoldInput{At: at(80), Weight: 0.05, Standing: Standing{Unsettled: true}})
			require.Empty(t, unsettled.Contradictions, "no weight was in force")
			_, after := p.Fold(cursor, nil, FoldInput{At: at(80), Weight: 0.5})
			require.Empty(t, after.Contradictions, "another weight begins again")
		})
	}
}

func TestNothingContradictsWhereOneArmHasEverybody(t *testing.T) {
	few, many := "-5:0 5:50 15:100 25:150 35:200 45:250 55:300 65:350", "-5:0 5:950 15:1900 25:2850 35:3800 45:4750 55:5700 65:6650"
	w := world{series: []made{
		series(`orders_total{arm="canary"}`, many), series(`orders_total{arm="baseline"}`, few), series(ok200, few), series(stable, many),
	}}
	orders := Metric{Name: "orders", Source: Ratio{Good: `orders_total{arm="${arm}",code="200"}`, Total: `orders_total{arm="${arm}"}`}}
	p, err := NewPlan(Definition{Metrics: []Metric{orders}, Split: Split{Requests: TraefikRequests}}, arms)
	require.NoError(t, err)
	for _, weight := range []float64{0, 1} {
		c := NewCursor(epoch)
		for _, end := range []float64{10, 20, 30, 40, 50, 60, 70} {
			var l judge.Look
			c, l = p.Fold(c, w.answer(t, p.Asks(c, at(end))), FoldInput{At: at(end), Weight: weight})
			require.Empty(t, l.Contradictions)
		}
	}
}
