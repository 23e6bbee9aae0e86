package engine_test

import (
	"cmp"
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

// fault is one thing that breaks, a minute before the canary does.
type fault struct {
	name string
	does string // what Serin does
	on   func(w *world, plan record.Plan)
	off  func(w *world) // ends the fault after lasts; nil: it stays
	// lasts is how long the canary has been bad when the fault ends; 0 is offAfter.
	lasts time.Duration
	// blind: there is no data of the canary, so that the policy acts.
	blind bool
	// bound is the additional time that the fault may cost.
	bound time.Duration
}

const (
	offAfter = 5 * time.Minute
	// blindFor is the policy of these rollouts, and the default.
	blindFor = time.Hour
	// lookBound is the time that every fault may cost: a look.
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
		name: "Prometheus is restarted, for two minutes", does: "judges what came in between as soon as it answers, as one look",
		on: func(w *world, _ record.Plan) {
			w.metrics.change(func(u *users) { u.instead = errors.New("connection refused") })
		},
		off:   func(w *world) { w.metrics.change(func(u *users) { u.instead = nil }) },
		lasts: time.Minute, bound: 210 * time.Second,
	}, {
		name: "no metric has series any more", does: "says so at once, holds, and goes back after an hour (`unreachable`)", blind: true,
		on: func(w *world, _ record.Plan) {
			w.metrics.change(func(u *users) {
				u.empty = map[string]bool{"other_requests_total": true, "other_bad_total": true, "traefik_service_requests_total": true}
			})
		},
	}, {
		name: "samples come a minute late", does: "sees none of them, says so, and goes back after an hour (`unreachable`); `settle` waits for them", blind: true,
		on: func(w *world, _ record.Plan) { w.metrics.change(func(u *users) { u.behind = time.Minute }) },
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
		name: "half of Traefik's replicas are silent", does: "judges what is served, and advances nothing",
		on: func(w *world, _ record.Plan) { w.gateway("shop").change(func(g *gateway) { g.half = true }) },
	}, {
		name: "a foreign file is in the place of Serin's for six minutes", does: "leaves it alone, says so, and goes back as soon as it is gone",
		on: func(w *world, _ record.Plan) {
			w.gateway("shop").change(func(g *gateway) { g.refuses = errors.New("not only Serin's") })
		},
		off:   func(w *world) { w.gateway("shop").change(func(g *gateway) { g.refuses = nil }) },
		bound: offAfter,
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
		name: "the daemon is stopped for a minute", does: "goes on where it was", bound: time.Minute,
		on: func(w *world, plan record.Plan) {
			w.stop()
			w.after(time.Minute)
			w.begin(plan)
		},
	}, {
		name: "the rollout's document is deleted", does: "keeps the plan that the release was started with",
		on: func(w *world, _ record.Plan) { w.plan() },
	}, {
		name: "another rollout's counters are garbage", does: "says so of that one; no other release is affected",
		on: func(w *world, plan record.Plan) {
			w.plan(plan, gray("pay"))
			w.start("pay", "")
			w.metrics.change(func(u *users) { u.garbage = map[string]bool{"pay-canary@file": true} })
		},
	},
}

// place is a position of a release.
type place struct {
	name     string
	steps    rollout.Steps
	pause    bool
	advances bool // after a weight of 5%, a minute after the fault began
}

func places() []place {
	long := 10 * time.Hour
	decide := rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate, On: rollout.OnNoFail}
	at := func(hold time.Duration, weights ...share.Share) rollout.Gray {
		return rollout.Gray{Name: "gray", Weights: weights, Scope: "gray", Hold: hold, Decide: decide}
	}
	beta := traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5}
	return []place{
		{name: "5%", steps: rollout.Steps{at(long, 0.05)}},
		{name: "50%", steps: rollout.Steps{at(long, 0.5)}},
		{name: "between 5 and 50%", steps: rollout.Steps{at(4*time.Minute, 0.05, 0.5), rollout.Gate{Name: "full"}}, advances: true},
		{name: "A/B", steps: rollout.Steps{rollout.AB{
			Name: "ab", Scope: "gray", Cohort: beta, Decide: rollout.Decide{Min: long, Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate},
		}}},
		{name: "paused at 5%", steps: rollout.Steps{at(long, 0.05)}, pause: true},
		{name: "at a gate", steps: rollout.Steps{at(2*time.Minute, 0.5), rollout.Gate{Name: "full"}}},
	}
}

// matrixPlan has two metrics with separate queries.
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

// brave lets a part of the canary's requests fail during a fault, and returns how long the canary kept traffic, and
// whether it lost it within a limit.
func brave(t *testing.T, f fault, p place, c kind, limit time.Duration) (took time.Duration, back bool) {
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
		w.metrics.breaks(canary, c.failing)
		if c.hangs {
			w.metrics.change(func(u *users) { u.hanging = map[string]int{canary: int(givesUp / scrape)} })
		}
		if f.off != nil {
			took, back = offTraffic(w, cmp.Or(f.lasts, offAfter))
			f.off(w)
		}
		if !back {
			var more time.Duration
			more, back = offTraffic(w, limit)
			took += more
		}
		w.store.change(works)
		w.gateway("shop").change(func(g *gateway) { g.silent, g.half = false, false })
		w.after(time.Minute)
		if back {
			require.Equal(t, "http://blue", w.gateway("shop").target().Stable.Servers[0])
			require.Contains(t, joined(w.trace(r.ID)), "ended rolledBack", "and it is written")
		}
	})
	return took, back
}

// kind of a canary, by the share of its requests that fail. The baseline's is half a percent.
type kind struct {
	name    string
	failing float64
	hangs   bool // failing requests only end when their user gives up
}

// givesUp is after how long a user gives up.
const givesUp = 30 * time.Second

var canaries = []kind{{"fails every request", 1, false}, {"has five times the errors", 0.025, false}, {"hangs", 1, true}, {"is good", 0.005, false}}

// During any fault, a canary that fails its users loses its traffic within the time that it takes without the fault
// plus a stated bound, and a good one stays. Without -reliability only the first kind is tried, at every other place.
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
						limit = blindFor + analysis.Stale
					}
					took, back := brave(t, f, p, c, limit)
					if back { // policies do not act while paused
						longest[i][k] = max(longest[i][k], took)
					}
					switch cell := c.name + p.name; {
					case f.blind && !p.pause:
						require.True(t, back, "the policy acts")
						require.Greater(t, took, blindFor-2*time.Minute)
					case f.blind || c.failing < 0.01:
						require.False(t, back)
					case i == 0:
						require.True(t, back)
						alone[cell] = took
						if p.advances { // with a fault it may stay where it was
							alone[cell] = max(took, alone[c.name+"5%"])
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
		before, err := os.ReadFile(*reliability)
		require.NoError(t, err)
		_, kept, _ := strings.Cut(string(before), onRealServers)
		kept, _, _ = strings.Cut(kept, "\n## What ")
		require.NoError(t, os.WriteFile(*reliability, []byte(reliabilityPage(longest, kept)), 0o600))
	}
}

// onRealServers begins the section of the page that e2e and e2e/cluster write.
const onRealServers = "## On the real servers\n"

func reliabilityPage(longest [][]time.Duration, onReal string) string {
	var names []string
	for _, p := range places() {
		names = append(names, p.name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# A bad version never stays

What Serin does while something else is broken. `+"`make reliability`"+` runs each row at every place (%s) and writes this page: the real engine, judge, state machine and store, with a gateway and a Prometheus that follow a script, so that hours pass at once. The fault begins a minute before the canary does. A canary that hangs answers nothing; its users give up after 30 s, and the analysis counts these as errors (`+"`codes: [5xx, 499]`"+`). There are 200 requests a second, and half a percent of the baseline's fail; scrapes and looks are every 10 s, all else is the default.

The times are the longest of all places, from the first request that fails until no user is served by the canary. The test holds each to what it takes without the fault, a look of 10 s, and the bound of the last column. A good version was rolled back nowhere but where nothing could be seen of it.

| what is broken | what Serin does | every request fails | five times the errors | it hangs | bound |
|---|---|---|---|---|---|
`, strings.Join(names, ", "))
	for i, f := range matrix {
		bound := f.bound.String()
		if f.blind {
			bound = "an hour after the last sample could be had; never while paused"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.name, f.does, longest[i][0], longest[i][1], longest[i][2], bound)
	}
	b.WriteString("\n" + onRealServers + onReal)
	b.WriteString(`
## What cannot be met

| what is broken | why the canary is not off sooner | what happens, and when |
|---|---|---|
| the gateway takes no writes: a full or read-only disk, a foreign file, an API server that is down, silent, or refuses | there is no other way to move the traffic | it goes back with the first write that is taken, and writes nothing else; why it waits is said at once, and ` + "`rollback.deadline`" + ` (15 min) ends a release that is on its way back as failed |
| nothing of the canary can be seen: no Prometheus, no series, samples later than ` + "`settle`" + ` | to fail needs evidence | it is said at once what will happen when; ` + "`unreachable`" + ` and ` + "`noData`" + ` act, and without them it goes back after an hour |
| the same, and the release is paused | timers stand still for a person who has stopped them | it stays: pausing a release that cannot be seen means watching it yourself |
| Prometheus's clock, or its samples', goes back | Prometheus refuses samples that are older than what it has | what comes in the meantime is seen when it takes samples again |
| the daemon is stopped, or the machine is | nobody looks | weights stay as they are; it goes on where it was |
| a circuit breaker on the route opens | Traefik answers in place of both versions, and counts such answers for neither; a breaker on one arm alone would hide that arm's failures from the comparison, and one that Serin lifted would protect nobody | what reached the canary before counts, and so does what the breaker lets through, about one request each time it tries to close. Where it opens with the canary's first requests, most users of both versions get its 503 until some ten of the canary's have failed: a minute and a half with Traefik's ` + "`fallback`" + ` of 10s, seconds with ` + "`fallback: 1s`" + ` |
| PostgreSQL loses commits, and the daemon is restarted before it has noticed | what was lost is known to nobody | the release is where the standby has it; what its looks find sends it back again, and a person's rollback has to be repeated: [use synchronous replication](high-availability.md) |

## What is not in the table

- **Going back and promoting**: what a person has asked for is done whatever breaks in that moment. Each fault of the first table was tried in the moment of a rollback and of the answer to the last gate. A rollback is off the traffic within 10 s unless the gateway takes no writes; a promotion ends as a whole once the fault is over. While all users are on the canary there is no baseline, so nothing is compared; ` + "`serin undo`" + ` brings the old version back.
- **A Prometheus whose clock differs from the daemon's**: every answer has a date. From ten seconds on looks follow Prometheus's clock, which costs a look; it is logged, and shown as trouble of the rollout. Where ` + "`sources`" + ` has targets that Serin reads itself they stay with the daemon's, by which those are read. One of several sources that is further behind than the daemon's own Prometheus counts as giving no answer, since the newest samples would be missed; that is said, and ` + "`unreachable`" + ` acts.
- **Samples that come later than ` + "`settle`" + `** cannot be seen: the window that they belong to is over. ` + "`settle`" + ` has to be as long as they take.
- **The daemon's wall clock**: where it is set back, timers that had begun wait until it has caught up, which holds a release and never advances it. Where it is set ahead timers end early, that of ` + "`rollback.deadline`" + ` included; a pass needs its data all the same. On the real servers the clock of the daemon alone is set, and that of Prometheus alone, through the function by which the process reads the time.
- **An older Serin in the place of a newer one, in the middle of a release**: a database whose schema it does not know is refused when it starts; where the schema is the same and a step or an event of the release is not known, the rollout says so, and nothing is touched. A newer one goes on where the release was.
- **Stable's history that comes after the first look that was judged** is not used: the release goes on with what its analysis assumes.
- **Users who give up after the rollback** count for the next release of the same canary, if it starts before they do: its first look may then have errors of the version before. The default drain (30 s) and warm-up make that rare.
- **Counts after a restart**: a status code that was missing in between counts as a whole when another code of the same target shows the restart. Alone it cannot be told from one that an exporter left out of a scrape. Then the difference to its last value counts: too little by at most that value, and never too much.
- **Data that contradicts itself** holds a release and says so: [what an analysis holds against each other](analysis.md#what-tells-the-arms-apart).
- **Serin itself fails**: a panic at one rollout is contained, logged and shown, and touches no other one. At the third within ten minutes its release goes back; where looks cannot be taken because of it, nothing is seen of the canary, and ` + "`unreachable`" + ` acts.
`)
	return b.String()
}
