package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// ahead is an id from a clock that was an hour ahead.
func ahead() string {
	return ulid.MustNew(ulid.Timestamp(time.Now().Add(time.Hour)), ulid.DefaultEntropy()).String()
}

func TestTheReleaseUnderWayIsResumedWhateverEarlierClocksShowed(t *testing.T) {
	plan := gray("shop", rollout.Gate{Name: "full-release"})
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(plan)
		w.after(time.Minute)
		first, err := w.Start(t.Context(), "shop", rollout.StartRequest{ID: ahead(), By: "ann"}, false)
		require.NoError(t, err)
		w.after(time.Minute)
		_, err = w.Act(t.Context(), first.ID, rollout.RollbackRequested{}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.True(t, w.view("shop").State.Ended())
		second := w.start("shop", "")
		require.Less(t, second.ID, first.ID)
		w.after(2 * time.Minute)
		w.stop()
		w.begin(plan)
		w.after(2 * time.Minute)
		require.Equal(t, second.ID, w.view("shop").Release.ID)
		require.Equal(t, "10%", w.gateway("shop").target().Weight.String())
		_, err = w.Act(t.Context(), second.ID, rollout.RollbackRequested{}, "ann")
		require.NoError(t, err)
		w.after(time.Minute)
		require.Equal(t, "0%", w.gateway("shop").target().Weight.String())
	})
}

func TestASuccessorIsResumedWhateverEarlierClocksShowed(t *testing.T) {
	plan := gray("shop", rollout.Gate{Name: "full-release"})
	for name, over := range map[string]bool{"under way": false, "over": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.plan(plan)
				w.after(time.Minute)
				_, err := w.Start(t.Context(), "shop", rollout.StartRequest{ID: ahead(), By: "ann"}, false)
				require.NoError(t, err)
				w.after(time.Minute)
				second, err := w.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, true)
				require.NoError(t, err)
				w.after(2 * time.Minute)
				if over {
					_, err = w.Act(t.Context(), second.ID, rollout.RollbackRequested{}, "ann")
					require.NoError(t, err)
					w.after(time.Minute)
				}
				w.stop()
				w.begin()
				w.store.change(func(m *moody) { m.reads = 0 })
				w.SetPlans(map[string]record.Plan{"shop": plan})
				w.after(30 * time.Second)
				require.Equal(t, second.ID, w.view("shop").Release.ID)
				w.store.change(func(m *moody) { require.Less(t, m.reads, 10, "and the loop does nothing") })
			})
		})
	}
}

// A database that failed over to a standby that was behind has lost the last writes.
func TestARollbackThatTheStoreHasLostContinues(t *testing.T) {
	for name, since := range map[string]time.Duration{"while it goes back": 2 * time.Second, "after it has ended": time.Minute} {
		t.Run(name, func(t *testing.T) {
			under(t, gray("shop"), func(t *testing.T, w *world, id string) {
				w.after(time.Minute)
				_, err := w.Act(t.Context(), id, rollout.RollbackRequested{Reason: "it is bad"}, "ann")
				require.NoError(t, err)
				w.after(since)
				trace := w.trace(id)
				lost := 0
				for i, line := range trace {
					if contains(line, "rollbackRequested") {
						lost = len(trace) - i
					}
				}
				w.store.change(func(m *moody) { m.forgets = lost })
				w.after(10 * time.Minute)
				require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), joined(w.gateway("shop").log()))
				require.Len(t, w.gateway("shop").log(), 3, "there and back, and no more")
			})
		})
	}
}

// The rollout's document is deleted during the release, the end is written slowly, and just then a rollback is
// requested.
func TestARollbackAfterTheEndLeavesTheTrafficOfADeletedRollout(t *testing.T) {
	under(t, gray("shop", rollout.Gate{Name: "full-release"}), func(t *testing.T, w *world, id string) {
		w.after(2 * time.Hour)
		require.Equal(t, "full-release", w.view("shop").Gate)
		w.plan()
		w.store.change(func(m *moody) { m.slowEnd = 3 * time.Second })
		_, err := w.Act(t.Context(), id, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Approve}, "ann")
		require.NoError(t, err)
		w.after(500 * time.Millisecond)
		_, err = w.Act(t.Context(), id, rollout.RollbackRequested{}, "ann")
		require.Error(t, err)
		w.after(time.Minute)
		require.Contains(t, joined(w.trace(id)), "ended released")
		require.Equal(t, "http://green", w.gateway("shop").target().Stable.Servers[0], joined(w.gateway("shop").log()))
		require.Zero(t, w.gateway("shop").target().Weight)
	})
}

func TestLooksWhoseContentsCannotBeStoredCountAsUnanswered(t *testing.T) {
	plan := gray("shop", rollout.Gate{Name: "full-release"})
	plan.Rollout.Scopes[0].Unreachable = rollout.Patience{For: patience, Then: rollout.PolicyHold, Blind: 30 * time.Minute}
	unfit := errors.New("not a number")
	under(t, plan, func(t *testing.T, w *world, id string) {
		w.after(2 * time.Minute)
		w.store.change(func(m *moody) { m.unfit = unfit })
		w.after(time.Minute)
		v := w.view("shop")
		require.Contains(t, v.Waiting, "nothing can be seen of the canary: it goes back in ")
		require.Contains(t, joined(v.Trouble), unfit.Error())
		require.Contains(t, v.State.LastVerdict.Metrics[0].Detail, unfit.Error())
		w.after(30 * time.Minute)
		require.Equal(t, "0%", w.gateway("shop").target().Weight.String(), joined(w.trace(id)))
	})
	t.Run("until they can be written again", func(t *testing.T) {
		under(t, plan, func(t *testing.T, w *world, id string) {
			w.after(2 * time.Minute)
			w.store.change(func(m *moody) { m.unfit = unfit })
			w.after(2 * time.Minute)
			w.store.change(func(m *moody) { m.unfit = nil })
			w.after(2 * time.Hour)
			require.Equal(t, "full-release", w.view("shop").Gate, joined(w.trace(id)))
		})
	})
}

func TestGarbageInOneRolloutHoldsNoOtherRollout(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.plan(gray("shop", rollout.Gate{Name: "full-release"}), gray("pay", rollout.Gate{Name: "full-release"}))
		w.after(time.Minute)
		w.start("shop", "")
		pay := w.start("pay", "")
		w.after(2 * time.Minute)
		w.metrics.change(func(u *users) { u.garbage = map[string]bool{"pay-canary@file": true} })
		w.after(time.Hour)
		require.Equal(t, "full-release", w.view("shop").Gate)
		require.Contains(t, joined(w.trace(pay.ID)), "no-data", "and it says what is wrong")
	})
}
