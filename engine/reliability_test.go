package engine_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

var reliability = flag.String("reliability", "", "try the whole matrix, and write its page to this file")

// fault is one thing that is broken, from a minute before the canary is.
type fault struct {
	name string
	does string // what Serin does
	on   func(w *world, plan record.Plan)
	off  func(w *world) // after offAfter; nil: it stays broken
	// blind: nothing can be seen of the canary, so that the policy acts.
	blind bool
	// bound is what may come on top of the time that it takes without a fault.
	bound time.Duration
}

const (
	offAfter = 5 * time.Minute
	// blindFor is the policy of these rollouts, and the default.
	blindFor = time.Hour
	// lookBound is what every fault may cost: a look.
	lookBound = 10 * time.Second
)

var matrix = []fault{
	{
		name: "nothing", does: "goes back when the evidence is there", on: func(*world, record.Plan) {},
	}, {
		name: "one of two metrics cannot be asked", does: "judges the other one; says which, at once",
		on: func(w *world, _ record.Plan) { w.metrics.change(timesOut) },
	}, {
		name: "one of two metrics is refused by Prometheus", does: "judges the other one; says why",
		on: func(w *world, _ record.Plan) {
			w.metrics.change(timesOut)
			w.metrics.change(func(u *users) { u.refused = true })
		},
	}, {
		name: "one of two metrics has no series", does: "judges the other one; says which",
		on: func(w *world, _ record.Plan) {
			w.metrics.change(func(u *users) { u.empty = map[string]bool{"other_requests_total": true, "other_bad_total": true} })
		},
	}, {
		name: "Prometheus answers nothing", does: "says so at once, holds, and goes back after an hour (`unreachable`)", blind: true,
		on: func(w *world, _ record.Plan) {
			w.metrics.change(func(u *users) { u.instead = errors.New("connection refused") })
		},
	}, {
		name: "Prometheus takes nine seconds for an answer", does: "looks as often", bound: 10 * time.Second,
		on: func(w *world, _ record.Plan) { w.metrics.change(func(u *users) { u.slow = 9 * time.Second }) },
	}, {
		name: "either of two Prometheus behind one address answers", does: "counts no restart where there was none", bound: time.Minute,
		on: func(w *world, _ record.Plan) { w.metrics.change(func(u *users) { u.pair = true }) },
	}, {
		name: "Traefik's API is silent", does: "judges what is written, and advances nothing",
		on: func(w *world, _ record.Plan) { w.gateway("shop").change(func(g *gateway) { g.silent = true }) },
	}, {
		name: "the gateway takes no writes for six minutes", does: "judges what is served, and writes nothing but the way back, as soon as it can",
		on:    func(w *world, _ record.Plan) { w.gateway("shop").change(func(g *gateway) { g.refuses = errFull }) },
		off:   func(w *world) { w.gateway("shop").change(func(g *gateway) { g.refuses = nil }) },
		bound: offAfter,
	}, {
		name: "the store takes no writes", does: "brings the traffic back first, and writes that when it can",
		on: func(w *world, _ record.Plan) { w.store.change(faults["refuses"]) },
	}, {
		name: "the store hangs", does: "brings the traffic back first, and writes that when it can", bound: 10 * time.Second,
		on: func(w *world, _ record.Plan) { w.store.change(faults["hangs"]) },
	}, {
		name: "the daemon is stopped for 20 s", does: "goes on where it was", bound: time.Minute,
		on: func(w *world, plan record.Plan) {
			w.stop()
			w.after(20 * time.Second)
			w.begin(plan)
		},
	}, {
		name: "the rollout's document is deleted", does: "keeps the plan that the release was started with",
		on: func(w *world, _ record.Plan) { w.plan() },
	}, {
		name: "another rollout's counters are garbage", does: "says so of that one; nobody else notices",
		on: func(w *world, plan record.Plan) {
			w.plan(plan, gray("pay"))
			w.start("pay", "")
			w.metrics.change(func(u *users) { u.garbage = map[string]bool{"pay-canary@file": true} })
		},
	},
}

// place is where a release stands.
type place struct {
	name     string
	steps    rollout.Steps
	pause    bool
	advances bool // after a weight of 10%, a minute after the fault began
}

func places() []place {
	long := 10 * time.Hour
	decide := rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate, On: rollout.OnNoFail}
	at := func(hold time.Duration, weights ...share.Share) rollout.Gray {
		return rollout.Gray{Name: "gray", Weights: weights, Scope: "gray", Hold: hold, Decide: decide}
	}
	beta := traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5}
	return []place{
		{name: "10%", steps: rollout.Steps{at(long, 0.1)}},
		{name: "50%", steps: rollout.Steps{at(long, 0.5)}},
		{name: "between 10 and 50%", steps: rollout.Steps{at(4*time.Minute, 0.1, 0.5), rollout.Gate{Name: "full"}}, advances: true},
		{name: "A/B", steps: rollout.Steps{rollout.AB{
			Name: "ab", Scope: "gray", Cohort: beta, Decide: rollout.Decide{Min: long, Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate},
		}}},
		{name: "paused at 10%", steps: rollout.Steps{at(long, 0.1)}, pause: true},
		{name: "at a gate", steps: rollout.Steps{at(2*time.Minute, 0.5), rollout.Gate{Name: "full"}}},
	}
}

// matrixPlan has two metrics that are asked apart.
func matrixPlan(steps rollout.Steps) record.Plan {
	plan := withSlow(gray("shop"))
	plan.Rollout.Steps = append(steps, rollout.Promote{Name: "promote"})
	plan.Rollout.Scopes[0].Unreachable.Blind = blindFor
	def := plan.Analyses["gray"]
	def.Interval, def.Settle, def.WarmUp = analysis.DefaultInterval, analysis.DefaultSettle, new(analysis.DefaultWarmUp)
	plan.Analyses["gray"] = def
	return plan
}

// offTraffic waits until no user is served by the canary, for at most d.
func offTraffic(w *world, d time.Duration) (took time.Duration, back bool) {
	for ; took <= d; took += time.Second {
		if t := w.gateway("shop").target(); t.Weight == 0 && t.Cohort == nil {
			return took, true
		}
		w.after(time.Second)
	}
	return d, false
}

// brave lets a part of the canary's requests fail while something is broken: after how long it is off the traffic, and
// whether it is at all within a limit.
func brave(t *testing.T, f fault, p place, failing float64, limit time.Duration) (took time.Duration, back bool) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		plan := matrixPlan(p.steps)
		w.plan(plan)
		w.metrics.breaks(canary, 0.005)
		w.metrics.breaks(stable, 0.005)
		w.after(time.Minute)
		r := w.start("shop", "")
		w.after(175 * time.Second)
		if p.pause {
			_, err := w.Act(t.Context(), r.ID, rollout.Paused{}, "ann")
			require.NoError(t, err)
		}
		f.on(w, plan)
		w.after(time.Minute)
		w.metrics.breaks(canary, failing)
		if f.off != nil {
			took, back = offTraffic(w, offAfter)
			f.off(w)
		}
		if !back {
			var more time.Duration
			more, back = offTraffic(w, limit)
			took += more
		}
		w.store.change(works)
		w.gateway("shop").change(func(g *gateway) { g.silent = false })
		w.after(time.Minute)
		if back {
			require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
			require.Contains(t, joined(w.trace(r.ID)), "ended rolledBack", "and it is written")
		}
	})
	return took, back
}

// kinds of canaries, by the share of their requests that fail. The baseline's is half a percent.
var canaries = []struct {
	name    string
	failing float64
}{{"fails every request", 1}, {"has five times the errors", 0.025}, {"is good", 0.005}}

// Whatever else is broken, a canary that fails its users is off the traffic within the time that it takes without that and
// a stated bound, and a good one stays. Without -reliability the first kind is tried only, at every other place.
func TestABadVersionNeverStaysWhateverElseIsBroken(t *testing.T) {
	kinds, every := canaries, 1
	if *reliability == "" {
		kinds, every = kinds[:1], 2
	}
	longest := make([][]time.Duration, len(matrix))
	alone := map[string]time.Duration{}
	for i, f := range matrix {
		longest[i] = make([]time.Duration, len(canaries))
		for k, c := range kinds {
			for n, p := range places() {
				if n%every > 0 {
					continue
				}
				t.Run(f.name+", "+p.name+": it "+c.name, func(t *testing.T) {
					limit := 40 * time.Minute
					if f.blind {
						limit = blindFor
					}
					took, back := brave(t, f, p, c.failing, limit)
					longest[i][k] = max(longest[i][k], took)
					switch cell := c.name + p.name; {
					case f.blind && !p.pause:
						require.True(t, back, "the policy acts")
						require.InDelta(t, (blindFor - time.Minute).Seconds(), took.Seconds(), 30)
					case f.blind || c.failing < 0.01:
						require.False(t, back)
					case i == 0:
						require.True(t, back)
						alone[cell] = took
						if p.advances { // with a fault it may stay where it was
							alone[cell] = max(took, alone[c.name+"10%"])
						}
					default:
						require.True(t, back)
						require.LessOrEqual(t, took, alone[cell]+f.bound+lookBound)
					}
				})
			}
		}
	}
	if *reliability != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(*reliability, []byte(reliabilityPage(longest)), 0o600))
	}
}

func reliabilityPage(longest [][]time.Duration) string {
	var names []string
	for _, p := range places() {
		names = append(names, p.name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# A bad version never stays

What Serin does while something else is broken. `+"`make reliability`"+` runs each row at every place (%s) and writes this page: the real engine, judge, state machine and store, with a gateway and a Prometheus that follow a script, so that hours pass at once. The fault begins a minute before the canary does. There are 200 requests a second, and half a percent of the baseline's fail; scrapes and looks are every 10 s, all else is the default.

The times are the longest of all places, from the first request that fails until no user is served by the canary. The test holds each to what it takes without the fault, a look of 10 s, and the bound of the last column. A good version was rolled back nowhere but where nothing could be seen of it.

| what is broken | what Serin does | every request fails | five times the errors | bound |
|---|---|---|---|---|
`, strings.Join(names, ", "))
	for i, f := range matrix {
		bound := f.bound.String()
		if f.blind {
			bound = "an hour; never while paused"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.name, f.does, longest[i][0], longest[i][1], bound)
	}
	b.WriteString(`
## What is not in the table

- **The gateway takes no writes**: nobody can send the traffic anywhere else. Serin goes back as soon as it takes one, and writes nothing else.
- **A Prometheus whose clock is behind**: every answer has a date. From ten seconds on it counts as no answer, since the newest samples would be missed; that is said, and ` + "`unreachable`" + ` acts. One that is ahead costs nothing but the time until its samples are due.
- **The daemon's wall clock**: where it is set back, looks go on from what it says, and timers that had begun wait until it has caught up, which holds a release and never advances it. Where it is set ahead timers end early; a pass needs its data all the same.
- **While a release is paused** timers stand still, and so do policies: who pauses a release that cannot be seen has to look after it.
- What only real servers can show, such as connections, files, leases and API servers, is tried in the tests of their rooms and in e2e.
`)
	return b.String()
}
