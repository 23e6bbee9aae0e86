package simulation_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/simulation"
)

// `make characteristics` runs TestCharacteristics with -characteristics, which writes docs/statistics.md and its
// plots; without it nothing is measured there, and the small tests below hold what a broken judge would not.
var (
	characteristics = flag.String("characteristics", "", "measure, and write the tables into this `folder` of documents")
	releases        = flag.Int("releases", 200, "how many releases are simulated for each cell")
	only            = flag.String("only", "", "measure the tables whose `name` begins so, show them, and write nothing")
	seed            = flag.Uint64("seed", 1, "the seed of all chance")
)

// hour is a release of the tables: an hour, a look every ten seconds.
const (
	hour     = time.Hour
	interval = 10 * time.Second
)

// cell is one kind of service and weight.
type cell struct {
	rate, base float64
	stretches  []simulation.Stretch
	name       string
}

func constant(rate, weight, base float64) cell {
	return cell{rate: rate, base: base, stretches: []simulation.Stretch{{Weight: weight, For: hour}},
		name: fmt.Sprintf("%g rps, %g%%, %g%%", rate, weight*100, base*100)}
}

// cells are those of spec/characteristics.md.
func cells() []cell {
	return []cell{constant(10, 0.05, 0.01), constant(100, 0.05, 0.01), constant(100, 0.5, 0.01), constant(1000, 0.05, 0.001), constant(1000, 0.5, 0.01)}
}

// rising raises the weight every quarter of an hour.
func rising() cell {
	c := cell{rate: 100, base: 0.01, name: "100 rps, steps of 1, 5, 20, 50%, 1%"}
	for _, w := range []float64{0.01, 0.05, 0.2, 0.5} {
		c.stretches = append(c.stretches, simulation.Stretch{Weight: w, For: hour / 4})
	}
	return c
}

func (c cell) world(s simulation.Scenario, effect float64, from time.Duration) simulation.World {
	return simulation.World{
		Rate: c.rate, Traffic: simulation.Wander{Correlation: 0.9, Deviation: 0.2}, Scenario: s, From: from,
		Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: c.base, Effect: effect}},
	}
}

// looks are those of one release, for the peers.
func (c cell) looks(w simulation.World, src rand.Source) []judge.Look {
	users := w.Users(src)
	var out []judge.Look
	for _, s := range c.stretches {
		for range int(s.For / interval) {
			n := len(out) + 1
			out = append(out, users.Look(n, time.Unix(0, 0).Add(time.Duration(n)*interval), interval, s.Weight))
		}
	}
	return out
}

// The judges that are compared.
func judgeOf(t testing.TB, noise float64, fresh bool) *sequential.Judge {
	m := errorsMetric()
	m.Noise = noise
	s := judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{m}}
	if fresh {
		s.FreshEvery, s.FreshLive = 10*time.Minute, 6
	}
	j, err := sequential.New(s)
	require.NoError(t, err)
	return j
}

// each runs f for 0 to n-1 on all processors.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// number is a seed made of words.
func number(words ...any) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range fmt.Sprint(words...) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// pasts is what earlier good releases of a cell taught: some of a pool, drawn for each release.
type pasts struct {
	pool []map[string][]judge.Past
	some int
}

// poolSize is how many earlier releases are simulated for a cell.
const poolSize = 24

func learn(t testing.TB, c cell, s simulation.Scenario) pasts {
	if p, ok := learned[c.name+s.Name]; ok {
		return p
	}
	j := judgeOf(t, 0.3, true)
	p := pasts{make([]map[string][]judge.Past, poolSize), 3}
	each(poolSize, func(i int) {
		for try := range 50 { // a release that was rolled back teaches nothing
			w := simulation.Watch(j, c.world(s, 1, 0), c.stretches, interval, nil, rand.NewPCG(*seed, number("past", c.name, s.Name, i, try)))
			if !w.Failed {
				p.pool[i] = w.Learned
				return
			}
		}
	})
	learned[c.name+s.Name] = p
	return p
}

// learned keeps the pools, which many tables ask for.
var learned = map[string]pasts{}

// rehearse is what two replicas of the version in service taught before the first release: two hours of all traffic,
// half of it for each. They wander as the scenario's arms do.
func rehearse(t testing.TB, c cell, s simulation.Scenario) pasts {
	j := judgeOf(t, 0.3, true)
	p := pasts{make([]map[string][]judge.Past, poolSize), 1}
	over := cell{stretches: []simulation.Stretch{{Weight: 0.5, For: analysis.ReplicasOver}}}
	each(poolSize, func(i int) {
		looks := over.looks(c.world(s, 1, 0), rand.NewPCG(*seed, number("replicas", c.name, s.Name, i)))
		p.pool[i] = j.Replicas([][]judge.Look{looks})
	})
	return p
}

// draw is what some of them taught.
func (p pasts) draw(src rand.Source) map[string][]judge.Past {
	out := map[string][]judge.Past{}
	if len(p.pool) == 0 {
		return nil
	}
	for _, i := range rand.New(src).Perm(len(p.pool))[:p.some] {
		for name, past := range p.pool[i] {
			out[name] = append(out[name], past...)
		}
	}
	return out
}

// times are what a number of releases came to.
type times struct {
	share simulation.Share
	// minutes and bad are of those that were found, the latter since the fault began.
	minutes, bad []float64
}

func (f *times) add(at time.Duration, bad float64, ok bool) {
	f.share.All++
	if ok {
		f.share.Of++
		f.minutes = append(f.minutes, at.Minutes())
		f.bad = append(f.bad, bad)
	}
}

// median writes "100%, 9.8, 468", as the tables have it.
func (f *times) median() string {
	text := fmt.Sprintf("%.0f%%", 100*f.share.Value())
	if f.share.Of == 0 {
		return text
	}
	return fmt.Sprintf("%s, %.1f, %.0f", text, simulation.Quantile(f.minutes, 0.5), simulation.Quantile(f.bad, 0.5))
}

// percent writes "0.2% (0.0–1.4)".
func percent(s simulation.Share) string {
	lower, upper := s.Interval()
	return fmt.Sprintf("%.1f%% (%.1f–%.1f)", 100*s.Value(), 100*lower, 100*upper)
}

// method is one way to judge a release.
type method struct {
	name  string
	judge *sequential.Judge // nil: a peer
	past  bool
	peer  func(looks []judge.Look, c cell, effect float64) found
}

func methods(t testing.TB) []method {
	return []method{
		{name: "the whole alone", judge: judgeOf(t, 0.3, false)},
		{name: "the whole, noise 1.0", judge: judgeOf(t, 1, false)},
		{name: "Serin, first release", judge: judgeOf(t, 0.3, true)},
		{name: "Serin, with a past", judge: judgeOf(t, 0.3, true), past: true},
		{name: "rank test every 10 min", peer: func(l []judge.Look, _ cell, _ float64) found { return rankTest(l, 10*time.Minute) }},
		{name: "5 failed checks", peer: func(l []judge.Look, c cell, _ float64) found { return failedChecks(l, 1.5*c.base, 5) }},
		{name: "failure limit 3", peer: func(l []judge.Look, c cell, _ float64) found { return failedChecks(l, 1.5*c.base, 4) }},
	}
}

// best is the test that knows the effect.
func best() method {
	return method{name: "best possible", peer: func(l []judge.Look, _ cell, effect float64) found { return knowing(l, effect, 0.01) }}
}

// run judges n releases of a cell by every method. Every method sees the same releases.
func run(c cell, s simulation.Scenario, effect float64, from time.Duration, p pasts, n int, all []method) []times {
	out := make([]times, len(all))
	results := make([][]found, n)
	w := c.world(s, effect, from)
	each(n, func(i int) {
		chance := func(of string) rand.Source { return rand.NewPCG(*seed, number(of, c.name, s.Name, effect, from, i)) }
		var looks []judge.Look
		for _, m := range all {
			var f found
			if m.judge == nil {
				if looks == nil {
					looks = c.looks(w, chance("users"))
				}
				f = m.peer(looks, c, effect)
			} else {
				var learned map[string][]judge.Past
				if m.past {
					learned = p.draw(chance("past"))
				}
				watched := simulation.Watch(m.judge, w, c.stretches, interval, learned, chance("users"))
				f = found{watched.FailAt, watched.Hurt, watched.Failed}
			}
			f.at -= from
			results[i] = append(results[i], f)
		}
	})
	for _, r := range results {
		for k, f := range r {
			out[k].add(f.at, f.bad, f.ok && f.at > 0)
		}
	}
	return out
}

// A broken judge shows here: small numbers of releases, with bounds that a right one keeps with these seeds and far
// beyond. spec/characteristics.md has the tables.
func TestTheBoundsHoldInASmallSimulation(t *testing.T) {
	all := methods(t)
	c := constant(100, 0.5, 0.01)
	for _, s := range simulation.Scenarios() {
		t.Run("no worse, "+s.Name, func(t *testing.T) {
			got := run(c, s, 1, 0, learn(t, c, s), 20, all[3:4])
			require.LessOrEqual(t, got[0].share.Of, 1, "false rollbacks of 20 releases, at most 1%% expected")
		})
	}
	for _, d := range []struct {
		effect  float64
		minutes float64 // twice the measured median
	}{{1.5, 20}, {2, 8}, {5, 2}} {
		t.Run(fmt.Sprintf("%g times as bad", d.effect), func(t *testing.T) {
			got := run(c, simulation.Scenarios()[0], d.effect, 0, pasts{}, 12, all[:1])
			require.Equal(t, 12, got[0].share.Of)
			require.Less(t, simulation.Quantile(got[0].minutes, 0.5), d.minutes)
		})
	}
	t.Run("five times as bad from minute 30", func(t *testing.T) {
		got := run(c, simulation.Scenarios()[0], 5, 30*time.Minute, learn(t, c, simulation.Scenarios()[0]), 12, all[3:4])
		require.Equal(t, 12, got[0].share.Of)
		require.Less(t, slices.Max(got[0].minutes), 5.0)
	})
	t.Run("worse by its margin, but never passed", func(t *testing.T) {
		j, passed := judgeOf(t, 0.3, true), 0
		for i := range 20 {
			w := simulation.Watch(j, c.world(simulation.Scenario{}, 1.25, 0), c.stretches, interval, nil, rand.NewPCG(1, uint64(i)))
			if w.Passed {
				passed++
			}
		}
		require.LessOrEqual(t, passed, 2)
	})
}

func TestPeersAreWhatTheyAreSaidToBe(t *testing.T) {
	c := constant(100, 0.5, 0.01)
	w := c.world(simulation.Scenario{}, 5, 0)
	looks := c.looks(w, rand.NewPCG(1, 1))
	require.Equal(t, 5*time.Minute, failedChecks(looks, 0.015, 5).at)
	require.Equal(t, 4*time.Minute, failedChecks(looks, 0.015, 4).at)
	require.Equal(t, 10*time.Minute, rankTest(looks, 10*time.Minute).at)
	require.Less(t, knowing(looks, 5, 0.01).at, time.Minute)
	good := c.looks(c.world(simulation.Scenario{}, 1, 0), rand.NewPCG(1, 1))
	require.False(t, knowing(good, 5, 0.01).ok)
}
