package engine_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

const (
	canary = "shop-canary@file"
	stable = "shop-stable@file"
)

// under is a world in which a release of shop, started after a minute, is at its first weight.
func under(t *testing.T, plan record.Plan, test func(t *testing.T, w *world, id string)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.after(time.Minute)
		r := w.start("shop", "")
		w.after(time.Minute)
		require.True(t, w.view("shop").State.InForce)
		test(t, w, r.ID)
	})
}

// exact checks that the looks follow each other without a gap and count every request once.
func exact(t *testing.T, w *world, id string) []record.LookRecord {
	t.Helper()
	looks := w.looksOf(id)
	require.NotEmpty(t, looks)
	first, last := looks[0].Look, looks[len(looks)-1].Look
	var seen judge.Requests
	end := first.At.Add(-first.Length)
	for i, l := range looks {
		require.Equal(t, i+1, l.Look.Number)
		require.Equal(t, end, l.Look.At.Add(-l.Look.Length), "look %d begins where the last answer ended", i+1)
		if l.Look.Observations[0].Absent != judge.Unreachable {
			end = l.Look.At
		}
		if l.Look.Requests != nil {
			seen.Canary += l.Look.Requests.Canary
			seen.Baseline += l.Look.Requests.Baseline
		}
	}
	from := first.At.Add(-first.Length)
	require.Equal(t, w.metrics.counted(canary, from, last.At), seen.Canary)
	require.Equal(t, w.metrics.counted(stable, from, last.At), seen.Baseline)
	return looks
}

func TestAGoodReleaseReachesItsGateAndThenItsEnd(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		w.after(time.Hour)
		require.Equal(t, "full-release", w.view("shop").Gate)
		looks := exact(t, w, id)
		_, err := w.Act(t.Context(), id, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Approve}, "bob")
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, `1m0s started
1m0s stepEntered gray 0
1m0s inForce
2m0s lookTaken inconclusive: undecided
5m30s lookTaken inconclusive: waiting
6m0s stepEntered gray 1
6m0s inForce
7m0s lookTaken inconclusive: waiting
11m30s lookTaken pass
11m30s stepEntered full-release 0
1h2m0s gateAnswered
1h2m0s stepEntered promote 0
1h2m0s inForce
1h2m0s stepEntered promote 1
1h2m0s inForce
1h2m0s ended released`, joined(w.trace(id)))
		require.Equal(t, `0s 0%, stable http://blue
1m0s 10%, stable http://blue
6m0.1s 50%, stable http://blue
1h2m0s 100%, stable http://blue
1h2m0.1s 0%, stable http://green`, joined(w.gateway("shop").log()))
		require.Len(t, looks, int((time.Hour+time.Minute)/interval), "analysis continues at the gate")
		require.Len(t, exact(t, w, id), len(looks), "and ends with it")
	})
}

func TestABadReleaseGoesBackAndStableKeepsTheTraffic(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		w.metrics.breaks(canary, 0.2)
		w.after(15 * time.Minute)
		trace := w.trace(id)
		require.Equal(t, "ended rolledBack", trace[len(trace)-1][len("2m10s "):])
		require.Contains(t, joined(trace), "lookTaken fail")
		exact(t, w, id)
		g := w.gateway("shop")
		require.Zero(t, g.target().Weight)
		require.Equal(t, "http://blue", g.target().Stable.Servers[0])
	})
}

func TestASlotAsksOnceForAllReleases(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("shop"), gray("cart"), gray("feed"))
		for _, name := range []string{"shop", "cart", "feed"} {
			w.start(name, "")
		}
		w.after(3 * time.Second)
		w.metrics.change(func(u *users) { u.fetched = nil })
		w.after(10 * interval)
		w.metrics.change(func(u *users) {
			require.Len(t, u.fetched, 10)
			for _, asks := range u.fetched {
				require.Len(t, asks, 6, "two arms of three releases")
				for _, a := range asks {
					require.Equal(t, asks[0].Template, a.Template, "one query")
				}
			}
		})
		require.Equal(t, 30.0, w.value("serin_looks_total"))
	})
}

func TestALateDaemonSkipsSlotsAndCountsThem(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		before := len(w.looksOf(id))
		w.metrics.change(func(u *users) { u.late, u.fetched = 7*interval/2, nil })
		w.after(6 * interval)
		looks := exact(t, w, id)
		require.Equal(t, 3.0, w.value("serin_looks_missed_total"))
		require.Len(t, looks, before+3, "three of six slots")
		require.Equal(t, 4*interval, looks[before+1].Look.Length, "missed looks are not made up for in a burst")
		w.metrics.change(func(u *users) { require.Len(t, u.fetched, 3) })
	})
}

func TestAStoreThatHangsCostsNoSlot(t *testing.T) {
	const interval = 5 * time.Second // shorter than a request to the store may take
	plan := gray("shop")
	often := plan.Analyses["gray"]
	often.Interval = interval
	plan.Analyses = map[string]analysis.Definition{"gray": often}
	under(t, plan, func(t *testing.T, w *world, id string) {
		before := len(w.looksOf(id))
		w.metrics.change(func(u *users) { u.late = interval / 50 })
		w.store.change(func(m *moody) { m.hangs = true })
		w.after(6 * interval)
		w.store.change(works)
		w.after(2 * interval)
		require.Len(t, exact(t, w, id), before+8, "looks that could not be written are not lost")
		require.Zero(t, w.value("serin_looks_missed_total"))
	})
}

func TestARefusingStoreHoldsAReleaseWhichThenContinues(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		before := w.trace(id)
		w.store.change(func(m *moody) { m.refuses = errFull })
		w.after(15 * time.Minute)
		require.Equal(t, before, w.trace(id))
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		require.Contains(t, joined(w.view("shop").Trouble), errFull.Error())
		w.store.change(func(m *moody) { m.refuses = nil })
		w.after(time.Minute)
		require.Empty(t, w.view("shop").Trouble)
		require.Contains(t, joined(w.trace(id)), "stepEntered gray 1")
		w.after(time.Hour)
		require.Equal(t, "full-release", w.view("shop").Gate)
		exact(t, w, id)
	})
}

// faults of a store, with the time that they may add to a rollback.
var faults = map[string]func(*moody){
	"refuses": func(m *moody) { m.refuses = errFull },
	"hangs":   func(m *moody) { m.hangs = true },
}

func works(m *moody) { m.refuses, m.hangs = nil, false }

func TestNoWayBackWaitsForTheStore(t *testing.T) {
	for name, fault := range faults {
		for _, by := range []string{"a person", "a person, while the loop waits for the store", "the judge", "a policy"} {
			t.Run("the store "+name+", "+by, func(t *testing.T) {
				plan := gray("shop")
				plan.Rollout.Scopes[0].Unreachable.Then = rollout.PolicyRollback
				under(t, plan, func(t *testing.T, w *world, id string) {
					goesBackFirst(t, w, id, fault, by)
				})
			})
		}
	}
}

func goesBackFirst(t *testing.T, w *world, id string, fault func(*moody), by string) {
	within, kind := time.Second, "rollbackRequested"
	answered := make(chan error, 1)
	byHand := func() {
		go func() {
			_, err := w.Act(t.Context(), id, rollout.RollbackRequested{Reason: "by hand"}, "ann")
			answered <- err
		}()
	}
	w.store.change(fault)
	begun := time.Since(w.begun)
	switch by {
	case "a person":
		byHand()
	case "a person, while the loop waits for the store":
		w.after(hold + 5*time.Second) // the next weight has to be written
		byHand()
	case "the judge":
		// Nine of ten requests fail: the first look that sees them says so.
		kind, within = "lookTaken fail", 4*interval
		w.metrics.breaks(canary, 0.9)
	case "a policy":
		kind, within = "deadlinePassed", patience+3*interval
		w.store.change(works) // the missing answers have to be recorded first
		w.metrics.change(func(u *users) { u.instead = errors.New("nobody answers") })
		w.after(patience - interval)
		w.store.change(fault)
	}
	w.after(within)
	g := w.gateway("shop")
	require.Equal(t, "0%", g.target().Weight.String(), joined(g.log()))
	require.Equal(t, "http://blue", g.target().Stable.Servers[0])
	require.NotContains(t, joined(w.trace(id)), "rollbackRequested")
	if by == "the judge" {
		require.LessOrEqual(t, g.last()-begun, 2*interval+2*time.Second, "as soon as a slot has seen enough")
	}
	w.after(time.Minute)
	require.Equal(t, "0%", g.target().Weight.String(), "it stays: %s", joined(g.log()))

	w.store.change(works)
	w.after(2 * time.Minute)
	trace := w.trace(id)
	require.Equal(t, 1, count(trace, kind), joined(trace))
	require.Equal(t, 1, count(trace, "ended rolledBack"), joined(trace))
	require.Len(t, g.log(), 3, "there and back, and nothing else: %s", joined(g.log()))
	if kind == "rollbackRequested" {
		err := <-answered
		require.True(t, err == nil || errors.As(err, new(*record.NotWrittenError)), "%v", err)
	}
}

func count(trace []string, what string) (n int) {
	for _, line := range trace {
		if contains(line, what) {
			n++
		}
	}
	return n
}

func TestARefusedRequestLeavesTheTrafficAlone(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		w.store.change(func(m *moody) { m.hangs = true })
		w.after(hold)
		go func() {
			_, _ = w.Act(t.Context(), id, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Reject}, "ann")
		}()
		w.after(30 * time.Second)
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String(), "the gate is not open")
		w.store.change(works)
		w.after(time.Minute)
		require.Equal(t, "50%", w.gateway("shop").target().Weight.String())
	})
}

func TestAWriteWhoseAnswerIsLostIsNotDoneTwice(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		w.store.change(func(m *moody) { m.lost = true })
		w.after(time.Hour)
		trace := w.trace(id)
		require.Equal(t, 1, count(trace, "stepEntered gray 1"), joined(trace))
		require.Equal(t, "full-release", w.view("shop").Gate)
		w.store.change(func(m *moody) { m.lost = true })
		_, err := w.Act(t.Context(), id, rollout.RollbackRequested{}, "ann")
		require.ErrorAs(t, err, new(*record.NotWrittenError))
		w.after(time.Minute)
		trace = w.trace(id)
		require.Equal(t, 1, count(trace, "rollbackRequested"), joined(trace))
		require.Equal(t, 1, count(trace, "ended rolledBack"), joined(trace))
		exact(t, w, id)
	})
}

func TestARollbackIsNotLostToAnotherWrite(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		r, err := w.store.Store.Release(t.Context(), id)
		require.NoError(t, err)
		other := rollout.Paused{Meta: rollout.Meta{Seq: r.Version + 1, At: time.Now(), By: "another daemon"}}
		require.NoError(t, w.store.Store.Append(t.Context(), r, r.Version, other))
		_, err = w.Act(t.Context(), id, rollout.RollbackRequested{}, "ann")
		require.ErrorAs(t, err, new(*record.NotWrittenError))
		w.after(time.Minute)
		trace := w.trace(id)
		require.Equal(t, 1, count(trace, "paused"), joined(trace))
		require.Equal(t, 1, count(trace, "ended rolledBack"), joined(trace))
		require.Equal(t, "0%", w.gateway("shop").target().Weight.String())
	})
}

func TestARollbackIsNotLostIfTheStoreCannotBeReadAfterwards(t *testing.T) {
	for _, by := range []string{"a person", "the judge"} {
		t.Run(by, func(t *testing.T) {
			under(t, gray("shop"), func(t *testing.T, w *world, id string) {
				r, err := w.store.Store.Release(t.Context(), id)
				require.NoError(t, err)
				other := rollout.Drifted{Meta: rollout.Meta{Seq: r.Version + 1, At: time.Now(), By: "a write whose answer was lost"}}
				require.NoError(t, w.store.Store.Append(t.Context(), r, r.Version, other))
				w.store.change(func(m *moody) { m.blind = "events" })
				if by == "a person" {
					_, err = w.Act(t.Context(), id, rollout.RollbackRequested{}, "ann")
					require.ErrorAs(t, err, new(*record.NotWrittenError))
				} else {
					w.metrics.breaks(canary, 0.9)
				}
				w.after(4 * interval)
				require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), "traffic goes back first")
				require.NotContains(t, joined(w.trace(id)), "ended")
				w.store.change(func(m *moody) { m.blind = "" })
				w.after(time.Minute)
				require.Equal(t, 1, count(w.trace(id), "ended rolledBack"), joined(w.trace(id)))
				require.Equal(t, "0%", w.gateway("shop").target().Weight.String())
			})
		})
	}
}

func TestAReleaseWhoseStartWasWrittenWithoutAnAnswerIsResumed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("shop"))
		w.after(time.Minute)
		w.store.change(func(m *moody) { m.lost = true })
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{Key: "build-1", By: "ann"}, false)
		require.ErrorIs(t, err, errLost)
		w.after(time.Minute)
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		r := w.start("shop", "build-1")
		_, err = w.Act(t.Context(), r.ID, rollout.RollbackRequested{}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, 1, count(w.trace(r.ID), "ended rolledBack"), joined(w.trace(r.ID)))
	})
}

func TestNothingStartsBeforeItIsKnownWhichSetIsLive(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		plan := gray("shop")
		w.plan(plan)
		first := w.start("shop", "")
		w.after(2 * time.Hour)
		require.Equal(t, 1, count(w.trace(first.ID), "ended released"), joined(w.trace(first.ID)))
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])

		w.stop()
		w.store.change(func(m *moody) { m.blind = "roles" })
		w.begin(plan)
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
		require.ErrorIs(t, err, errLost)
		w.store.change(func(m *moody) { m.blind = "" })
		w.start("shop", "")
		w.after(time.Minute)
		require.True(t, w.view("shop").State.Swapped)
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0])
	})
}

func TestAnExternalEditIsRevertedAndARepeatedOneHoldsTheRelease(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		g := w.gateway("shop")
		for range 3 {
			g.change(func(g *gateway) {
				theirs := *g.serves
				theirs.Weight = 0.8
				g.serves = &theirs
			})
			w.after(6 * time.Second)
			require.Equal(t, "10%", g.target().Weight.String())
		}
		require.Equal(t, 3, count(w.trace(id), "drifted"))
		require.Equal(t, 3.0, w.value("serin_drift_total"))
		require.True(t, w.view("shop").State.Contested(time.Now()))
		w.after(2 * time.Minute)
		require.False(t, w.view("shop").State.Contested(time.Now()))
		w.after(hold)
		require.Contains(t, joined(w.trace(id)), "stepEntered gray 1")
	})
}

func TestARouteThatCannotBeServedIsNotAnExternalChange(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		g := w.gateway("shop")
		for n := range 4 {
			g.change(func(g *gateway) { g.broken = errors.New("no ready endpoints behind Service shop-canary") })
			w.after(10 * time.Second)
			require.False(t, w.view("shop").State.InForce)
			require.Contains(t, joined(w.view("shop").Trouble), "gateway: no ready endpoints")
			require.Equal(t, n+1, count(w.trace(id), "notInForce: configuration: main route is not enabled: no ready endpoints"), joined(w.trace(id)))
			g.change(func(g *gateway) { g.broken = nil })
			w.after(10 * time.Second)
			require.True(t, w.view("shop").State.InForce)
		}
		require.NotContains(t, joined(w.trace(id)), "drifted")
		require.Zero(t, w.value("serin_drift_total"))
		require.False(t, w.view("shop").State.Contested(time.Now()), "that does not hold it")
	})
}

func TestTimeThatIsNotInForceDoesNotCount(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		g := w.gateway("shop")
		g.change(func(g *gateway) { g.silent = true })
		w.after(15 * time.Minute)
		require.NotContains(t, joined(w.trace(id)), "stepEntered gray 1")
		require.Equal(t, traffic.Unconfirmed, w.view("shop").Confirmation)
		g.change(func(g *gateway) { g.silent = false })
		w.after(hold - 90*time.Second)
		require.NotContains(t, joined(w.trace(id)), "stepEntered gray 1")
		w.after(time.Minute)
		require.Contains(t, joined(w.trace(id)), "stepEntered gray 1")
	})
}

func TestAGatewayThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, _ string) {
		g := w.gateway("shop")
		g.change(func(g *gateway) { g.refuses = errors.New("read-only file system") })
		w.after(hold)
		require.Equal(t, "10%", g.target().Weight.String())
		require.Contains(t, joined(w.view("shop").Trouble), "read-only")
		require.Positive(t, w.value("serin_traffic_write_errors_total"))
		g.change(func(g *gateway) { g.refuses = nil })
		w.after(2 * time.Second)
		require.Equal(t, "50%", g.target().Weight.String())
		require.True(t, w.view("shop").State.InForce)
		require.Empty(t, w.view("shop").Trouble)
	})
}

func TestNoRequestWaitsForAGatewayThatHangs(t *testing.T) {
	for name, since := range map[string]time.Duration{
		"it has not been queried yet":        0,
		"the loop waits for what it serves":  12 * time.Second,
		"the loop waits for the next weight": hold + 10*time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			under(t, gray("shop"), func(t *testing.T, w *world, id string) {
				g := w.gateway("shop")
				g.change(func(g *gateway) { g.hangs = true })
				w.after(since)
				for _, event := range []rollout.Event{rollout.Paused{Reason: "look"}, rollout.Resumed{}, rollout.RollbackRequested{Reason: "by hand"}} {
					begun := time.Now()
					_, err := w.Act(t.Context(), id, event, "ann")
					require.NoError(t, err)
					require.LessOrEqual(t, time.Since(begun), 5*time.Second, "%T", event)
				}
				v := w.view("shop")
				require.Equal(t, rollout.RollingBack, v.State.Phase)
				require.Contains(t, joined(w.trace(id)), "rollbackRequested", "it is durable")
				require.Contains(t, joined(v.Trouble), "gateway: ")
				w.after(10 * time.Minute)
				require.Equal(t, 1, count(w.trace(id), "rollbackRequested"))
				require.Len(t, g.log(), 2, "nothing new is written")

				g.change(func(g *gateway) { g.hangs = false })
				w.after(time.Minute)
				require.Len(t, g.log(), 3, "stable has the traffic, and nothing was written before that: %s", joined(g.log()))
				require.Equal(t, "0%", g.target().Weight.String())
				require.Contains(t, joined(w.trace(id)), "ended rolledBack")
				require.Empty(t, w.view("shop").Trouble)
			})
		})
	}
}

func TestAVerdictDoesNotWaitForAGatewayThatHangs(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, id string) {
		g := w.gateway("shop")
		g.change(func(g *gateway) { g.hangs = true })
		w.metrics.breaks(canary, 0.9)
		w.after(4 * interval)
		require.Contains(t, joined(w.trace(id)), "lookTaken fail")
		require.Equal(t, rollout.RollingBack, w.view("shop").State.Phase)
		g.change(func(g *gateway) { g.hangs = false })
		w.after(time.Minute)
		require.Contains(t, joined(w.trace(id)), "ended rolledBack")
	})
}

func TestAPrometheusThatDoesNotAnswerIsNeitherAPassNorAFail(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		w.metrics.change(func(u *users) { u.instead = errors.New("connection refused") })
		w.after(15 * time.Minute)
		trace := w.trace(id)
		require.Equal(t, 1, count(trace, "deadlinePassed unreachable, hold"), joined(trace))
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		w.metrics.change(func(u *users) { u.instead = nil })
		w.after(time.Hour)
		require.Equal(t, "full-release", w.view("shop").Gate)
		exact(t, w, id)
	})
}

func TestARestartResumesWhereTheDaemonStopped(t *testing.T) {
	plan := gray("shop", rollout.Gate{Name: "full-release"})
	under(t, plan, func(t *testing.T, w *world, id string) {
		for range 6 {
			w.after(317 * time.Second)
			w.stop()
			w.after(7 * time.Second)
			w.begin(plan)
		}
		w.after(time.Minute)
		require.Equal(t, "full-release", w.view("shop").Gate)
		trace := w.trace(id)
		require.Equal(t, 1, count(trace, "stepEntered gray 1"), joined(trace))
		exact(t, w, id)
	})
}

func TestAReleaseKeepsThePlanItWasStartedWith(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, _ string) {
		other := gray("shop")
		other.Rollout.Revision = "b2"
		other.Rollout.Steps = other.Rollout.Steps[1:]
		w.plan(other)
		w.after(hold)
		require.Equal(t, "a1", w.view("shop").State.Revision)
		require.Equal(t, "50%", w.gateway("shop").target().Weight.String())
		w.plan() // its document is deleted
		w.after(time.Hour)
		v := w.view("shop")
		require.Equal(t, rollout.Released, v.State.Outcome)
		require.False(t, v.Declared)
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0], "its traffic stays where it was")
	})
}

func TestASupersededReleaseGoesBackBeforeTheNextOneStarts(t *testing.T) {
	plan := gray("shop")
	under(t, plan, func(t *testing.T, w *world, first string) {
		_, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
		var active *record.ActiveError
		require.ErrorAs(t, err, &active)
		require.Equal(t, first, active.ID)

		asked, err := w.Start(t.Context(), "shop", rollout.StartRequest{Key: "two", By: "ann"}, true)
		require.NoError(t, err)
		again, err := w.Start(t.Context(), "shop", rollout.StartRequest{Key: "two", By: "ann"}, true)
		require.NoError(t, err)
		require.Equal(t, asked.ID, again.ID)
		w.stop() // in the middle of it
		w.begin(plan)
		w.after(time.Minute)
		require.Equal(t, 1, count(w.trace(first), "ended superseded"))
		v := w.view("shop")
		require.Equal(t, asked.ID, v.Release.ID)
		require.Equal(t, "10%", v.Target.Weight.String())
	})
}

func TestAReleaseThatWaitsIsNotDisplacedWhileItCannotBeWritten(t *testing.T) {
	under(t, gray("shop"), func(t *testing.T, w *world, first string) {
		w.store.change(func(m *moody) { m.barren = true })
		second, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, true)
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, 1, count(w.trace(first), "ended superseded"))
		_, err = w.Start(t.Context(), "shop", rollout.StartRequest{By: "ben"}, true)
		require.ErrorIs(t, err, errFull)

		w.after(time.Minute) // the loop waits to try again
		w.store.change(func(m *moody) { m.barren = false })
		_, err = w.Start(t.Context(), "shop", rollout.StartRequest{By: "ben"}, false)
		var active *record.ActiveError
		require.ErrorAs(t, err, &active)
		require.Equal(t, second.ID, active.ID)
		w.after(time.Minute)
		require.Equal(t, second.ID, w.view("shop").Release.ID)
	})
}

func TestAReleaseThatWaitedUsesTheRolloutDeclaredWhenItBegins(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Parameters = []rollout.Parameter{{Name: "image"}}
	for name, c := range map[string]struct {
		now     []rollout.Parameter
		why     string
		outcome rollout.Outcome
		given   map[string]string
	}{
		"a new default is taken":                  {now: []rollout.Parameter{{Name: "image"}, {Name: "zone", Default: "a"}}, given: map[string]string{"image": "v2", "zone": "a"}},
		"its parameters may be refused meanwhile": {now: []rollout.Parameter{{Name: "image", Pattern: "v[3-9]"}}, outcome: rollout.Cancelled, why: "cancelled: the rollout has changed: parameter image: has to match v[3-9]"},
	} {
		t.Run(name, func(t *testing.T) {
			under(t, plan, func(t *testing.T, w *world, _ string) {
				next, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann", Parameters: map[string]string{"image": "v2"}}, true)
				require.NoError(t, err)
				changed := plan
				changed.Rollout.Parameters = c.now
				w.plan(changed)
				w.after(time.Minute)
				v, err := w.Release(t.Context(), next.ID)
				require.NoError(t, err)
				require.Equal(t, c.outcome, v.State.Outcome)
				require.Equal(t, c.why, v.State.Why)
				if c.given != nil {
					require.Equal(t, c.given, v.State.Parameters)
				}
			})
		})
	}
}

// endedBeforeItBegan checks the record of a release that was cancelled while it waited.
func endedBeforeItBegan(t *testing.T, w *world, first string, next record.Release) {
	t.Helper()
	require.Equal(t, 1, count(w.trace(first), "ended superseded"))
	trace := w.trace(next.ID)
	require.Len(t, trace, 3)
	for i, event := range []string{"started", "cancelRequested", "ended cancelled"} {
		require.Contains(t, trace[i], event)
	}
	v, err := w.Release(t.Context(), next.ID)
	require.NoError(t, err)
	require.Equal(t, "cancelled: not today", v.State.Why)
	require.Equal(t, "bob", v.State.WhyBy)
	require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), "it never had traffic")
	again, err := w.Start(t.Context(), "shop", rollout.StartRequest{Key: "two", By: "ann"}, false)
	require.NoError(t, err)
	require.Equal(t, next.ID, again.ID, "its key is taken")
	_, err = w.Start(t.Context(), "shop", rollout.StartRequest{Key: "three", By: "ann"}, false)
	require.NoError(t, err, "the rollout can be released again")
}

func TestAReleaseThatWaitsForTheOneBeforeCanBeCancelled(t *testing.T) {
	plan := gray("shop")
	cancel := func(t *testing.T, w *world, id string) {
		state, err := w.Act(t.Context(), id, rollout.CancelRequested{Reason: "not today"}, "bob")
		require.NoError(t, err)
		require.Equal(t, rollout.Cancelled, state.Outcome)
		_, err = w.Act(t.Context(), id, rollout.CancelRequested{}, "bob")
		require.ErrorIs(t, err, rollout.ErrNotAllowed)
	}
	for name, test := range map[string]func(t *testing.T, w *world, first string, next record.Release){
		"while the other one goes back": func(t *testing.T, w *world, first string, next record.Release) {
			_, err := w.Act(t.Context(), next.ID, rollout.Paused{}, "bob")
			require.ErrorIs(t, err, rollout.ErrNotAllowed, "it has not begun")
			cancel(t, w, next.ID)
			require.NotContains(t, w.view("shop").Waiting, "starts then")
			w.after(time.Minute)
			endedBeforeItBegan(t, w, first, next)
		},
		"and the daemon is killed meanwhile": func(t *testing.T, w *world, first string, next record.Release) {
			cancel(t, w, next.ID)
			w.stop()
			w.begin(plan)
			w.after(time.Minute)
			endedBeforeItBegan(t, w, first, next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			under(t, plan, func(t *testing.T, w *world, first string) {
				next, err := w.Start(t.Context(), "shop", rollout.StartRequest{Key: "two", By: "ann"}, true)
				require.NoError(t, err)
				test(t, w, first, next)
			})
		})
	}
}

func TestAReleaseLeavesNoJobRunningWhateverReplacesIt(t *testing.T) {
	for name, next := range map[string]func(w *world, id string) error{
		"nobody": func(w *world, id string) error {
			_, err := w.Act(w.t.Context(), id, rollout.CancelRequested{}, "ann")
			return err
		},
		"one that supersedes it": func(w *world, _ string) error {
			_, err := w.Start(w.t.Context(), "shop", rollout.StartRequest{By: "ann"}, true)
			return err
		},
		"one that is started at once": func(w *world, id string) error {
			_, err := w.Act(w.t.Context(), id, rollout.CancelRequested{}, "ann")
			if err == nil {
				_, err = w.Start(w.t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.stop()
				w.jobs = &jobs{}
				plan := gray("shop")
				plan.Rollout.Cluster = &rollout.Cluster{}
				plan.Rollout.Steps = append(rollout.Steps{rollout.Job{Name: "migrate", Namespace: "pro", Manifest: []byte("{}"), Deadline: time.Hour}}, plan.Rollout.Steps...)
				w.begin(plan)
				id := w.start("shop", "").ID
				w.after(10 * time.Second)
				w.jobs.change(func(j *jobs) {
					require.Equal(t, []string{id + "/migrate"}, j.made)
					require.Empty(t, j.stopped)
					j.refuses = errors.New("the API server does not answer")
				})
				require.NoError(t, next(w, id))
				w.after(time.Minute)
				w.jobs.change(func(j *jobs) { j.refuses = nil })
				w.after(time.Minute)
				w.jobs.change(func(j *jobs) { require.Equal(t, []string{id + "/migrate"}, slices.Compact(j.stopped)) })
				require.Contains(t, joined(w.trace(id)), "ended")
			})
		})
	}
}

func TestAWebhookIsCalledUnderOneKeyUntilItIsAnswered(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Steps = append(rollout.Steps{rollout.Webhook{Name: "announce", URL: "http://other", Deadline: time.Hour}}, plan.Rollout.Steps...)
	for name, test := range map[string]func(t *testing.T, w *world, id string){
		"a restart calls again": func(t *testing.T, w *world, id string) {
			w.stop()
			w.begin(plan)
			w.after(2 * time.Minute)
			keys, ended := w.calls.told()
			require.Equal(t, []string{id + "/announce", id + "/announce"}, keys)
			require.Equal(t, 1, ended)
			require.Equal(t, 1, count(w.trace(id), "webhookAnswered"))
			require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		},
		"an answer that cannot be written is asked for again": func(t *testing.T, w *world, id string) {
			w.store.change(func(m *moody) { m.refuses = errFull })
			w.after(time.Minute)
			w.store.change(works)
			w.after(2 * time.Minute)
			keys, _ := w.calls.told()
			require.Greater(t, len(keys), 1)
			require.Equal(t, 1, count(w.trace(id), "webhookAnswered"))
		},
		"a rollback gives it up": func(t *testing.T, w *world, id string) {
			_, err := w.Act(t.Context(), id, rollout.CancelRequested{}, "ann")
			require.NoError(t, err)
			synctest.Wait()
			_, ended := w.calls.told()
			require.Equal(t, 1, ended)
			w.after(2 * time.Minute)
			require.Zero(t, count(w.trace(id), "webhookAnswered"))
			require.Equal(t, 1, count(w.trace(id), "ended cancelled"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.calls.change(func(c *calls) { c.slow = 20 * time.Second })
				w.plan(plan)
				w.after(time.Minute)
				test(t, w, w.start("shop", "").ID)
			})
		})
	}
}

func TestAWebhookThatFailsRollsTheReleaseBack(t *testing.T) {
	plan := gray("shop")
	plan.Rollout.Steps = append(rollout.Steps{plan.Rollout.Steps[0], rollout.Webhook{Name: "announce", URL: "http://other", Deadline: time.Hour}}, plan.Rollout.Steps[1:]...)
	under(t, plan, func(t *testing.T, w *world, _ string) {
		w.calls.change(func(c *calls) { c.answer = errors.New("not today") })
		w.after(time.Hour)
		v := w.view("shop")
		require.Equal(t, rollout.RolledBack, v.State.Outcome)
		require.Contains(t, v.State.Why, "webhook announce: not today")
		require.Equal(t, "0%", w.gateway("shop").target().Weight.String())
	})
}

func TestAWarmUpHidesNoOutage(t *testing.T) {
	plan := gray("shop")
	def := plan.Analyses["gray"]
	def.WarmUp = new(10 * time.Minute)
	plan.Analyses["gray"] = def
	under(t, plan, func(t *testing.T, w *world, id string) {
		w.metrics.breaks(canary, 1)
		w.after(5 * time.Minute)
		trace := joined(w.trace(id))
		require.Contains(t, trace, "lookTaken fail")
		require.Contains(t, trace, "ended rolledBack")
	})
}

func TestNoDeadlineExpiresWhileACanaryWarmsUp(t *testing.T) {
	plan := gray("shop")
	def := plan.Analyses["gray"]
	def.WarmUp = new(10 * time.Minute)
	plan.Analyses["gray"] = def
	plan.Rollout.Scopes[0].NoData.Then = rollout.PolicyRollback
	under(t, plan, func(t *testing.T, w *world, id string) {
		w.metrics.change(func(u *users) { u.empty = map[string]bool{"traefik_service_requests_total": true} })
		w.after(2 * time.Minute)
		w.metrics.change(func(u *users) { u.empty = nil })
		w.after(7 * time.Minute)
		require.NotContains(t, joined(w.trace(id)), "no-data")
		require.NotContains(t, joined(w.trace(id)), "deadlinePassed")
	})
}
