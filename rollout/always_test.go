package rollout_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// randomEvent draws something that might happen to a release, sensible or not.
func (w *world) randomEvent(t *rapid.T) (rollout.Event, string) {
	turn := w.s.Turn - rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "staleness")
	gate := rapid.SampledFrom([]string{"start", "full", w.s.OpenGate(), w.s.OpenGate(), "gray"}).Draw(t, "gate")
	answer := rapid.SampledFrom([]rollout.Answer{rollout.Approve, rollout.Approve, rollout.Approve, rollout.Reject, rollout.KeepWaiting}).Draw(t, "answer")
	v := judge.Verdict{
		Outcome: rapid.SampledFrom([]judge.Outcome{judge.Pass, judge.Pass, judge.Pass, judge.Inconclusive, judge.Inconclusive, judge.Fail}).Draw(t, "outcome"),
		Enough:  rapid.Bool().Draw(t, "enough"),
	}
	if v.Outcome == judge.Inconclusive {
		v.Reason = rapid.SampledFrom([]judge.Reason{judge.NoData, judge.Unreachable, judge.Undecided, judge.TooFew}).Draw(t, "reason")
	}
	if rapid.IntRange(0, 9).Draw(t, "alarm") == 0 {
		v.SampleRatio = &judge.SampleRatio{Alarm: true}
	}
	back := rapid.SampledFrom([]rollout.Event{
		rollout.RollbackRequested{}, rollout.CancelRequested{}, rollout.Superseded{Next: rollout.StartRequest{ID: "R2"}},
		rollout.SuccessorCancelled{ID: "R2"},
	}).Draw(t, "back")
	return rapid.SampledFrom([]func() (rollout.Event, string){
		func() (rollout.Event, string) { return rollout.InForce{Turn: turn, How: "api"}, "gateway" },
		func() (rollout.Event, string) { return rollout.InForce{Turn: turn, How: "api"}, "gateway" },
		func() (rollout.Event, string) { return rollout.InForce{Turn: turn, How: "api"}, "gateway" },
		func() (rollout.Event, string) {
			return rollout.NotInForce{Turn: turn, Unconfirmed: v.Enough}, "gateway"
		},
		func() (rollout.Event, string) {
			return rollout.LookTaken{Scope: w.s.Scope, Turn: turn, Verdict: v}, "judge"
		},
		func() (rollout.Event, string) {
			return rollout.LookTaken{Scope: w.s.Scope, Turn: turn, Verdict: v}, "judge"
		},
		func() (rollout.Event, string) { return rollout.GateAnswered{Gate: gate, Answer: answer}, "ann" },
		func() (rollout.Event, string) { return rollout.GateAnswered{Gate: gate, Answer: answer}, "ann" },
		func() (rollout.Event, string) {
			return rollout.WebhookAnswered{Step: w.s.Step, OK: v.Enough}, "webhook"
		},
		func() (rollout.Event, string) { return w.clusterEvent(v.Enough) },
		func() (rollout.Event, string) { return w.clusterEvent(true) },
		func() (rollout.Event, string) { return w.clusterEvent(true) },
		func() (rollout.Event, string) { return rollout.Drifted{What: []string{"x"}}, "gateway" },
		func() (rollout.Event, string) { return rollout.AlarmDismissed{}, "ann" },
		func() (rollout.Event, string) { return rollout.WentOn{Full: v.Enough}, "ann" },
		func() (rollout.Event, string) { return rollout.Paused{}, "ann" },
		func() (rollout.Event, string) { return rollout.Resumed{}, "ann" },
		func() (rollout.Event, string) {
			return rollout.StepEntered{Step: 6, Name: "promote", What: rollout.StagePromote}, "eve"
		},
		func() (rollout.Event, string) { return rollout.Ended{Outcome: rollout.Released}, "eve" },
		func() (rollout.Event, string) { return rollout.Drained{}, "eve" },
		func() (rollout.Event, string) { return rollout.CleanedUp{}, "serin" },
		func() (rollout.Event, string) {
			// Going back is drawn less often, so that releases get far.
			if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
				return rollout.Drifted{}, "gateway"
			}
			return back, "ann"
		},
	}).Draw(t, "event")()
}

// clusterEvent is the cluster's report on the current target: ready or, rarely, broken.
func (w *world) clusterEvent(fine bool) (rollout.Event, string) {
	_, job := w.d.Steps[min(max(w.s.Step, 0), len(w.d.Steps)-1)].(rollout.Job)
	switch {
	case job && fine:
		return rollout.JobSucceeded{Step: w.s.Step}, "cluster"
	case job:
		return rollout.JobFailed{Step: w.s.Step, Why: "exit code 1"}, "cluster"
	case fine:
		return rollout.DeploymentReady{Work: w.s.Work}, "cluster"
	}
	return rollout.DeploymentFailed{Work: w.s.Work, Why: []string{"no such image"}}, "cluster"
}

// walk runs a random release and calls check after every event.
func walk(t *rapid.T, check func(before, after *world, e rollout.Event)) *world {
	d := rapid.SampledFrom([]func() *rollout.Definition{pipeline, clustered, awaiting, windowed, clusteredInHours, unjudged, watched, asking, watchedInCluster, copied, copiedInCluster, switchedInCluster, copiedTwiceInCluster}).Draw(t, "definition")()
	w := &world{d: d, now: epoch}
	swapped := d.Cluster == nil && rapid.Bool().Draw(t, "swapped")
	started := rollout.Started{Rollout: "shop", Revision: "a1", Swapped: swapped, Parameters: map[string]string{"image": "shop:2"}}
	if rapid.IntRange(0, 3).Draw(t, "retry") == 0 {
		started.Retries, started.Done = "R0", []string{"migrate"}
	}
	require.NoError(t, w.apply(started, "ann"))
	for range rapid.IntRange(1, 80).Draw(t, "events") {
		w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 60, 600, 601, 1800, 7200, 90000}).Draw(t, "seconds")) * time.Second)
		for {
			e, ok := w.s.Next(w.d, w.now)
			if !ok {
				break
			}
			before := *w
			require.NoError(t, w.apply(e, e.Head().By), "what Next says is always taken")
			check(&before, w, e)
		}
		e, by := w.randomEvent(t)
		before := *w
		err := w.apply(e, by)
		if err != nil {
			require.Equal(t, before.s, w.s, "a refused event leaves the state as it was")
			continue
		}
		check(&before, w, e)
	}
	return w
}

// TestAlwaysTrue holds the section "Always true" of the release's specification; the numbers are its own.
func TestAlwaysTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		allowed, moved := share.Share(0), false
		w := walk(t, func(before, after *world, e rollout.Event) {
			target := after.s.Target(after.d, "R1")
			if e, ok := e.(rollout.StepEntered); ok {
				checkCalendar(t, before, e)
				checkEvidence(t, before, e)
				if g, ok := after.d.Steps[e.Step].(rollout.Gray); ok {
					allowed = g.Weights[e.Stage]
				}
				if _, ok := after.d.Steps[e.Step].(rollout.Promote); ok {
					if after.d.Cluster == nil {
						allowed = 1
					}
					for _, gate := range []string{"start", "full"} {
						require.Equal(t, rollout.Approve, after.s.Answered[gate].Answer, "5: promote is reached through every gate")
					}
				}
			}
			require.LessOrEqual(t, target.Traffic.Weight, allowed, "1: never above a weight that was entered")
			moved = moved || target.Traffic.Weight > 0 || target.Traffic.Cohort != nil
			checkWayBack(t, after, target.Traffic)
			require.NoError(t, target.Traffic.ValidateLanes(), "10: copies are sent while no user is on the canary")
			require.True(t, after.s.Phase == rollout.Active || target.Traffic.Mirror == nil && target.Traffic.Preview == nil, "10: neither copies nor a preview on the way back")
			checkCapacity(t, before, after)
			checkNumbers(t, before, after)
			if _, ok := e.(rollout.Drained); ok {
				require.True(t, before.s.InForce, "3: nothing is taken from a canary that may still be served")
			}
			if after.s.Phase == rollout.Active {
				_, err := after.s.Apply(rollout.RollbackRequested{Meta: rollout.Meta{Seq: after.s.Seq + 1, At: after.now}})
				require.NoError(t, err, "2: every active state can go back")
			}
			if after.s.Ended() && after.s.Outcome == rollout.Cancelled {
				require.False(t, moved, "cancelled means that no traffic has moved")
			}
			require.True(t, after.s.Scope == "" || !after.s.Promoting() || after.s.Watching(), "both arms are one version: nothing is analysed")
		})
		replayed := rollout.State{}
		for _, e := range w.log {
			b, err := rollout.EncodeEvent(e)
			require.NoError(t, err)
			decoded, err := rollout.DecodeEvent(b)
			require.NoError(t, err)
			replayed, err = replayed.Apply(decoded)
			require.NoError(t, err)
		}
		require.Equal(t, w.s.Target(w.d, "R1"), replayed.Target(w.d, "R1"), "6: replaying gives the same target")
		require.Equal(t, w.s, replayed, "6: replaying gives the same state")
		if w.s.Ended() {
			_, err := w.s.Apply(rollout.RollbackRequested{Meta: rollout.Meta{Seq: w.s.Seq + 1, At: w.now}})
			require.ErrorIs(t, err, rollout.ErrNotAllowed, "6: events after the end change nothing")
		}
	})
}

// checkWayBack holds 2: going back, and after it, all traffic is on stable.
func checkWayBack(t *rapid.T, w *world, target traffic.Target) {
	if w.s.Phase != rollout.RollingBack && (!w.s.Ended() || w.s.Outcome == rollout.Released) {
		return
	}
	if !restoring(w) {
		require.Zero(t, target.Weight, "2: stable at 100%")
	}
	require.Nil(t, target.Cohort)
	idle := w.d.Idle(w.s.Swapped)
	idle.Out, idle.Weight = target.Out, target.Weight
	require.Equal(t, idle, target)
}

// checkCalendar holds 8: before its promotion nothing is entered while the calendar is closed, unless a person says so.
func checkCalendar(t *rapid.T, before *world, e rollout.StepEntered) {
	if !before.s.Promoting() && before.s.Hurry == nil && e.By == rollout.Serin {
		_, open := calendar.And{before.d.Calendar, before.d.House}.At(e.At)
		require.True(t, open, "8: nothing is entered while the calendar is closed")
	}
}

// checkEvidence holds 9: a step that compares is left on evidence, or because a person says so.
func checkEvidence(t *rapid.T, before *world, e rollout.StepEntered) {
	s := before.s
	if s.Step < 0 || s.Pending != nil || e.By != rollout.Serin {
		return
	}
	stages := rollout.Steps{before.d.Steps[s.Step]}.Stages()
	if len(stages) == 0 || stages[0].Earlier || s.Hurry != nil || s.Decided || stages[s.Stage].Unjudged {
		return
	}
	require.True(t, s.InForce && s.Look != nil && s.Look.Enough && !s.Look.Leaning, "9: nothing is left without evidence")
	if stages[s.Stage].Pass {
		require.Equal(t, judge.Pass, s.Look.Outcome, "9: and on a pass where that is asked for")
	}
}

// restoring: stable's Deployment is put back before the canary's traffic comes to it.
func restoring(w *world) bool {
	for _, d := range w.s.Target(w.d, "R1").Workloads.Deployments {
		if d.Before && d.Name == w.d.Cluster.Arms.Stable.Deployment {
			return w.s.Phase == rollout.RollingBack && w.s.StageAt.Equal(w.s.BackAt) && w.s.Promoting()
		}
	}
	return false
}

// checkNumbers: a number names one target of the traffic or of the Deployments, and none is used again.
func checkNumbers(t *rapid.T, before, after *world) {
	require.GreaterOrEqual(t, after.s.Turn, before.s.Turn)
	require.GreaterOrEqual(t, after.s.Work, before.s.Work)
	require.True(t, after.d.Cluster != nil || after.s.Work == 0, "servers have no Deployments")
	was, is := before.s.Target(before.d, "R1").Traffic, after.s.Target(after.d, "R1").Traffic
	if was.Weight != is.Weight || !after.s.Ended() && !reflect.DeepEqual(was, is) {
		require.Greater(t, after.s.Turn, before.s.Turn, "another traffic is another target")
	}
}

// checkCapacity holds 3 and 4: the canary's pods are removed only when no traffic can reach them, and get traffic only
// once they exist.
func checkCapacity(t *rapid.T, before, after *world) {
	if after.d.Cluster == nil {
		return
	}
	was, is := before.s.Target(before.d, "R1"), after.s.Target(after.d, "R1")
	for _, d := range is.Workloads.Deployments {
		if d.Name == after.d.Cluster.Arms.Canary.Deployment && (d.Before || d.Replicas != nil && *d.Replicas == workload.Replicas{}) {
			require.True(t, is.Traffic.Out && after.s.InForce, "3: the canary keeps its pods until it was seen to be out of service")
		}
	}
	if after.s.Phase == rollout.Active && was.Traffic.Out && !is.Traffic.Out {
		require.True(t, before.s.WorkReady, "4: the canary comes into service with its pods ready")
	}
	if is.Traffic.Weight > was.Traffic.Weight {
		require.True(t, before.s.WorkReady, "capacity first, weight after")
	}
	if after.s.Phase == rollout.PhaseEnded && after.s.Outcome != rollout.Released && before.s.Phase == rollout.Active {
		require.False(t, before.s.Moved, "it goes back before it ends")
	}
}

func TestEveryRollbackEndsOnStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := walk(t, func(_, _ *world, _ rollout.Event) {})
		if w.s.Phase == rollout.Active {
			require.NoError(t, w.apply(rollout.RollbackRequested{}, "ann"))
		}
		confirmed := rapid.Bool().Draw(t, "confirmed")
		w.settle()
		for confirmed && !w.s.Ended() && (!w.s.InForce || w.s.Doing == rollout.StageLeave && !w.s.WorkReady) {
			if w.s.InForce {
				require.NoError(t, w.apply(rollout.DeploymentReady{Work: w.s.Work}, "cluster"))
			} else if w.s.Work > 0 && w.s.Promoting() {
				require.NoError(t, w.apply(rollout.DeploymentReady{Work: w.s.Work}, "cluster"))
			} else {
				require.NoError(t, w.apply(rollout.InForce{Turn: w.s.Turn, How: "api"}, "gateway"))
			}
			w.pass(time.Minute)
		}
		w.pass(time.Hour)
		require.True(t, w.s.Ended(), "2: from rollingBack every path ends")
		if w.s.Outcome != rollout.Released {
			idle := w.d.Idle(w.s.Swapped)
			idle.Out = w.s.Target(w.d, "R1").Traffic.Out
			require.Equal(t, idle, w.s.Target(w.d, "R1").Traffic)
		}
	})
}

// TestAReleaseIsHeldExactlyWhileItDoesNotGoOn: the holds of a release are exactly the conditions on which it goes on.
func TestAReleaseIsHeldExactlyWhileItDoesNotGoOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := walk(t, func(_, after *world, _ rollout.Event) {
			held := len(after.s.Holds(after.d, after.now)) > 0
			if _, goes := after.s.Next(after.d, after.now); !goes && !after.s.Ended() {
				require.True(t, held, "%s", after)
			}
			require.Equal(t, after.s.Ended(), tell.Waiting(after.s, after.d, after.now) == "")
		})
		w.settle()
		for _, due := range w.s.Dues(w.d, w.now) {
			require.True(t, due.Acted(w.s) || due.Left(w.s, w.now) > 0 || w.s.Hurry != nil, "%s: %v", w, due)
		}
	})
}

func TestNothingHappensWhileTheClockStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := walk(t, func(_, _ *world, _ rollout.Event) {})
		w.settle()
		_, ok := w.s.Next(w.d, w.now)
		require.False(t, ok, "8")
		at, ok := w.s.Deadline(w.d, w.now)
		if !ok {
			_, far := w.s.Next(w.d, w.now.Add(10000*time.Hour))
			require.False(t, far, "without a deadline nothing ever happens by itself")
			return
		}
		require.True(t, at.After(w.now))
		_, early := w.s.Next(w.d, at.Add(-time.Nanosecond))
		require.False(t, early, "nothing happens before the deadline")
	})
}

func FuzzDecodeEvent(f *testing.F) {
	w := &world{d: pipeline(), now: epoch}
	require.NoError(f, w.apply(rollout.Started{Rollout: "shop", Parameters: map[string]string{"image": "x"}}, "ann"))
	w.settle()
	for _, e := range w.log {
		b, err := rollout.EncodeEvent(e)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"inForce","turn":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := rollout.DecodeEvent(b)
		if err != nil {
			require.Nil(t, e)
			return
		}
		once, err := rollout.EncodeEvent(e)
		require.NoError(t, err)
		again, err := rollout.DecodeEvent(once)
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}
