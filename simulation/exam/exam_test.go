package main

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func die(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 1))} }

func every(n int, x float64) []float64 { return slices.Repeat([]float64{x}, n) }

func TestCellsHaveDistinctNamesSoThatResultsAreNotMixedUp(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		require.False(t, seen[c.id()], c.id())
		seen[c.id()] = true
	}
	require.Greater(t, len(seen), 200)
}

// Every kind of traffic draws possible counts, and the same ones from the same seed.
func TestEveryKindDrawsPossibleCounts(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		if seen[c.kind.name] {
			continue
		}
		seen[c.kind.name] = true
		t.Run(c.kind.name, func(t *testing.T) {
			d, one := c.chance(3, 1)
			one.rps = 100
			looks := one.draw(d)
			again, same := c.chance(3, 1)
			same.rps = 100
			require.Equal(t, looks, same.draw(again))
			w, _ := one.weights()
			require.Len(t, looks, len(w))
			for i, l := range looks {
				require.InDelta(t, w[i], l.weight, 0)
				for _, arm := range [][2]float64{{l.xc, l.nc}, {l.xb, l.nb}} {
					if one.kind.values != (tail{}) { // a sum of values and their number
						require.True(t, arm[0] >= 0 && !math.IsInf(arm[0], 0) && arm[1] == math.Trunc(arm[1]), "look %d: %v of %v", i, arm[0], arm[1])
						continue
					}
					require.True(t, arm[0] >= 0 && arm[0] <= arm[1] && arm[0] == math.Trunc(arm[0]), "look %d: %v of %v", i, arm[0], arm[1])
				}
			}
			m := one.kind.past(d, 100, 2)
			require.Len(t, m.bad, 120)
			require.Len(t, m.total, 120)
			for _, r := range slices.Concat(m.replicas, m.routes) {
				require.Len(t, r.bad, 120)
			}
		})
	}
	require.Greater(t, len(seen), 30)
}

func TestKindsHaveTheRightRateAndEffect(t *testing.T) {
	const n = 4000
	for _, k := range []kind{iid, bursts, slow, sessions, clients, neighbour, deploys} {
		t.Run(k.name, func(t *testing.T) {
			rate := func(effect float64) (canary, baseline float64) {
				var l look
				for _, o := range k.release(die(5), 1000, 10, every(n, 0.5), every(n, effect)) {
					l.add(o)
				}
				return l.xc / l.nc, l.xb / l.nb
			}
			c, b := rate(1)
			require.InEpsilon(t, b, c, 0.2, "no worse")
			require.InDelta(t, 0.01, b, 0.006)
			if k.name != deploys.name { // most of the errors are the backend's
				worse, _ := rate(2)
				require.InEpsilon(t, 2*c, worse, 0.2)
			}
		})
	}
}

func TestAFactorWandersWithTheGivenDeviationAndTime(t *testing.T) {
	const n, sd, tau = 200000, 0.3, 100.0
	x := die(7).wander(n, 10, sd, tau)
	mean, square, product := 0.0, 0.0, 0.0
	for i := range x {
		mean += x[i] / n
		x[i] = math.Log(x[i]) + sd*sd/2
		square += x[i] * x[i] / n
		if i > 0 {
			product += x[i] * x[i-1] / n
		}
	}
	require.InDelta(t, 1, mean, 0.02)
	require.InEpsilon(t, sd*sd, square, 0.1)
	require.InDelta(t, math.Exp(-0.1), product/square, 0.01)
}

func TestEpisodesTakeTheGivenTime(t *testing.T) {
	for _, exact := range []bool{true, false} {
		share := make([]float64, 360000) // a thousand hours
		die(9).episodes(share, 10, 0.5, 60, exact)
		sum := 0.0
		for _, s := range share {
			require.True(t, s >= 0 && s <= 1)
			sum += s * 10
		}
		require.InEpsilon(t, 0.5*1000*60, sum, 0.15)
	}
}

func TestOneRestartHappensOnce(t *testing.T) {
	failed := 0
	for _, l := range restart1.release(die(11), 100, 10, every(360, 0.5), every(360, 1)) {
		if l.xc == l.nc {
			failed++
		}
	}
	require.Equal(t, 1, failed)
}

func TestAColdStartPassesAndReturnsWithEachStep(t *testing.T) {
	k := coldStart(10, 120, "cold")
	pc, pb := make([]float64, 360), make([]float64, 360)
	weights := slices.Concat(every(180, 0.1), every(180, 0.5))
	k.rates(die(13), 10, k.baseRate(), weights, every(360, 1), pc, pb)
	require.InDelta(t, 10*pb[0], pc[0], 1e-9)
	require.InEpsilon(t, pb[170], pc[170], 0.01)
	require.InDelta(t, pb[180]*(1+9*0.8), pc[180], 1e-9, "four fifths of the canary are new")
}

func TestUsersKeepTheirArmWhileTheWeightStays(t *testing.T) {
	k := heavySticky
	k.people = die(15).people()
	sum, bad := 0.0, 0
	for _, p := range k.people {
		sum += p.share
		if p.bad {
			bad++
		}
	}
	require.InDelta(t, 1, sum, 1e-9)
	require.InDelta(t, 60, float64(bad), 30)
	looks := k.release(die(17), 10000, 10, every(200, 0.5), every(200, 1))
	half := func(looks []look) float64 {
		var l look
		for _, o := range looks {
			l.add(o)
		}
		return l.xc / l.nc / (l.xb / l.nb)
	}
	require.InEpsilon(t, half(looks[:100]), half(looks[100:]), 0.1)
	require.Greater(t, math.Abs(math.Log(half(looks))), 0.02, "the arms differ")
}

func TestAnInterruptedExamContinues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept.jsonl")
	require.Empty(t, kept(file))
	m := measured{ID: "a", Seed: 2, Results: []result{{Fail: 10, Pass: -1}}}
	require.NoError(t, m.keep(file))
	m.ID = "b"
	require.NoError(t, m.keep(file))
	known := kept(file)
	require.Len(t, known, 2)
	require.Equal(t, m, known["b2"])
	require.Error(t, m.keep(filepath.Join(file, "no", "folder")))
	require.NoError(t, m.keep(""), "keeping results is optional")
}

func TestSharesHaveWilsonIntervals(t *testing.T) {
	for _, c := range []struct {
		k, n int
		want string
	}{{0, 400, "0.0% (0.0–1.0)"}, {4, 400, "1.0% (0.4–2.5)"}, {200, 200, "100.0% (98.1–100.0)"}, {1, 10, "10.0% (1.8–40.4)"}} {
		require.Equal(t, c.want, percent(c.k, c.n))
	}
}

func TestALineSummarisesTheReleases(t *testing.T) {
	c := cell{group: "find", kind: iid, rps: 1, ramp: constant(0.5), says: "x2", from: 600}
	line := c.line([]result{
		{Fail: 660, Pass: -1, Failed: 3}, {Fail: 720, Pass: -1, Failed: 5}, {Fail: -1, Pass: 1200, Failed: 9}, {Fail: 300, Pass: -1, Learned: true},
	})
	require.Contains(t, line, "n=4 back 75.0%")
	require.Contains(t, line, "found 50% median", "a fail before the fault does not count as found")
	require.Contains(t, line, "passes 25.0%")
	require.Contains(t, line, "learned 1")
}

func TestACellRunsTheRealJudge(t *testing.T) {
	good := cell{group: "good", kind: iid, rps: 1000, ramp: []stretch{{0.5, 1200}}, hours: 2}
	r := good.run(0, 1)
	require.Negative(t, r.Fail)
	require.Positive(t, r.Pass)
	require.True(t, r.Learned)
	bad := good
	bad.effect, bad.says = times(5), "x5"
	require.Positive(t, bad.run(0, 1).Fail)
	again := bad.run(1, 1)
	require.Equal(t, again, bad.run(1, 1), "the same seed gives the same release")
	bad.from = 600
	require.Greater(t, bad.run(0, 1).Fail, 600.0)
}

func TestEachRivalFindsAnOutageAndPassesAQuietService(t *testing.T) {
	quiet := iid
	quiet.base = 0.001
	for _, r := range rivals() {
		t.Run(r.name, func(t *testing.T) {
			c := cell{group: "good", kind: quiet, rps: 1000, ramp: []stretch{{0.5, 1800}}}
			require.Contains(t, c.race(r, 5, 1), "back 0.0%")
			c.effect, c.says = times(500), "outage"
			require.Contains(t, c.race(r, 5, 1), "back 100.0%")
		})
	}
}

func TestAThresholdCountsFailedChecks(t *testing.T) {
	ask := checks(10, 10, 20, 0.9, 2)
	require.False(t, ask(look{xc: 5, nc: 100}))
	require.False(t, ask(look{xc: 20, nc: 100}), "12.5% of the window is bad, which is the first failed check")
	require.False(t, ask(look{xc: 0, nc: 100}), "10% bad is allowed")
	require.True(t, ask(look{xc: 30, nc: 100}))
	idle := checks(10, 10, 10, 0.9, 1)
	require.False(t, idle(look{}), "without requests nothing fails")
}
