package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// onCluster brings the clustered rollout into the first weight, in force.
const onCluster = "job ok\nready\napprove start\nready\nready\nin-force\nlook pass\nafter 30m\nready\nin-force\nin-force\n"

// onlyPromote has no step before its promotion, which patches stable.
func onlyPromote() *rollout.Definition {
	d := clustered()
	for _, step := range d.Steps {
		if p, ok := step.(rollout.Promote); ok {
			d.Steps = rollout.Steps{p}
		}
	}
	return d
}

// grayThenPromote begins with its one weight.
func grayThenPromote() *rollout.Definition {
	d := onlyPromote()
	d.Steps = append(rollout.Steps{rollout.Gray{Name: "gray", Weights: []share.Share{0.5}, Hold: time.Minute, Scope: "gray"}}, d.Steps...)
	return d
}

func TestTheWarmUpBeginsWithTheCanarysFirstUserAndNeverAgain(t *testing.T) {
	w := begun(t, pipeline(), []string{"after", "1m"}, []string{"in-force"})
	require.Zero(t, w.s.ExposedAt, "stable is in force, and nobody is on the canary")
	w.lines(t, []string{"approve", "start"}, []string{"after", "1m"}, []string{"in-force"})
	first := w.now
	require.Equal(t, first, w.s.ExposedAt)
	w.lines(t, []string{"look", "pass"}, []string{"after", "30m"}, []string{"in-force"})
	require.Equal(t, "gray", w.s.StepName)
	require.Equal(t, first, w.s.ExposedAt, "the next weight begins no warm-up")
}

func TestAMetricWithoutDataIsOneLack(t *testing.T) {
	lacks := func(v judge.Verdict) (out []string) {
		w := &world{d: short(), now: epoch}
		w.run(t, "in-force")
		v.Outcome = judge.Inconclusive
		require.NoError(t, w.apply(rollout.LookTaken{Scope: "gray", Turn: w.s.Turn, Verdict: v}, "judge"))
		for _, l := range w.s.Lacks {
			out = append(out, l.Metric)
		}
		return out
	}
	metric := func(name string, optional bool) judge.MetricVerdict {
		return judge.MetricVerdict{Metric: name, Reason: judge.NoData, Optional: optional}
	}
	require.Equal(t, []string{"errors"}, lacks(judge.Verdict{Reason: judge.NoData, Decisive: "errors", Metrics: []judge.MetricVerdict{metric("errors", false)}}))
	require.Equal(t, []string{"tips", "requests"}, lacks(judge.Verdict{Reason: judge.NoData, Decisive: "requests", Metrics: []judge.MetricVerdict{metric("tips", true)}}),
		"what an optional metric lacks is not what the verdict waits for")
	require.Equal(t, []string{"errors", "requests"}, lacks(judge.Verdict{Reason: judge.Unreachable, Decisive: "requests", Metrics: []judge.MetricVerdict{metric("errors", false)}}),
		"another reason is another lack")
}

func TestACanaryThatHasLeftStaysOutWhenTheReleaseGoesBack(t *testing.T) {
	w := &world{d: grayThenPromote(), now: epoch}
	w.run(t, "ready\nin-force\nlook pass\nafter 1m\nready\nin-force\nafter 30s\nin-force")
	require.Equal(t, rollout.StageLeave, w.s.Doing)
	require.True(t, w.s.Out)
	w.goOn(t, "rollback")
	require.True(t, w.s.Target(w.d, "R1").Traffic.Out)

	w = &world{d: clustered(), now: epoch}
	w.run(t, onCluster)
	before := w.s.Work
	w.goOn(t, "rollback")
	require.False(t, w.s.Target(w.d, "R1").Traffic.Out, "one that serves users is drained first")
	require.Greater(t, w.s.Work, before, "how far the Deployments are is said of the way back from here on")
	require.False(t, w.s.WorkReady)
}

// Earlier versions ended a release as cancelled if stable's Deployment had been changed but no traffic had moved.
func TestTheStoredEndOfEarlierVersionsIsAccepted(t *testing.T) {
	w := &world{d: onlyPromote(), now: epoch}
	w.run(t, "")
	require.NoError(t, w.apply(rollout.RollbackRequested{}, "ann"))
	require.NoError(t, w.apply(rollout.InForce{Turn: w.s.Turn, How: "api"}, "gateway"))
	require.NoError(t, w.apply(rollout.Drained{}, "serin"))
	require.NoError(t, w.apply(rollout.CleanedUp{}, "serin"))
	require.Equal(t, rollout.RolledBack, w.s.Outcome)
	for _, outcome := range []rollout.Outcome{rollout.OutcomeSuperseded, rollout.Released} {
		require.ErrorIs(t, w.apply(rollout.Ended{Outcome: outcome}, "eve"), rollout.ErrNotAllowed, outcome)
	}
	require.NoError(t, w.apply(rollout.Ended{Outcome: rollout.Cancelled}, "serin"))

	moved := begun(t, pipeline(), []string{"approve", "start"}, []string{"in-force"}, []string{"rollback"})
	require.NoError(t, moved.apply(rollout.InForce{Turn: moved.s.Turn, How: "api"}, "gateway"))
	require.NoError(t, moved.apply(rollout.Drained{}, "serin"))
	require.NoError(t, moved.apply(rollout.CleanedUp{}, "serin"))
	require.ErrorIs(t, moved.apply(rollout.Ended{Outcome: rollout.Cancelled}, "eve"), rollout.ErrNotAllowed, "users were on the canary")
}

func TestPausesAddUp(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	w.run(t, toGray+"pause\nafter 7m\nresume\nafter 4m\npause\nafter 5m\nresume")
	require.Equal(t, 12*time.Minute, w.s.PausedFor)
	require.Equal(t, 4*time.Minute, w.s.ForcedFor(w.now))
	at, ok := w.s.Settled(time.Minute)
	require.True(t, ok)
	require.Equal(t, w.s.InForceSince.Add(13*time.Minute), at, "what comes later shows this weight only")
	w.goOn(t, "not-in-force\nafter 9m")
	require.Equal(t, 4*time.Minute, w.s.ForcedFor(w.now))
	w.goOn(t, "in-force\nafter 2m")
	require.Equal(t, 6*time.Minute, w.s.ForcedFor(w.now))
}

func TestACanaryThatTheFirstStepDeploysIsTheReleasesOwn(t *testing.T) {
	d := clustered()
	d.Steps = d.Steps[3:] // from its Deployment on
	w := &world{d: d, now: epoch}
	w.run(t, "ready")
	deployments := w.s.Target(d, "R1").Workloads.Deployments
	require.Len(t, deployments, 1)
	require.Equal(t, map[string]string{"web": "shop:2"}, deployments[0].Images, "its template stays the release's while its capacity changes")
}

func TestADeploymentIsPutBackWhereTheReleaseTurnsWhileItRollsOut(t *testing.T) {
	w := &world{d: awaiting(), now: epoch}
	w.run(t, "job ok")
	require.Equal(t, "pre-release", w.s.StepName)
	w.goOn(t, "rollback\nin-force\nafter 30s\nin-force")
	require.Contains(t, w.s.Target(w.d, "R1").Workloads.Deployments, workload.Deployment{Name: workload.Name{Namespace: "dev", Name: "shop"}, Before: true})
}

func TestTheCapacityOfTheLastWeightStaysUntilTheCanaryHasLeft(t *testing.T) {
	w := &world{d: grayThenPromote(), now: epoch}
	w.run(t, "ready\nin-force\nlook pass\nafter 1m")
	require.Equal(t, rollout.StagePatch, w.s.Doing)
	capacity := func() share.Share { return w.s.Target(w.d, "R1").Workloads.Deployments[0].Replicas.Share }
	require.Equal(t, share.Share(0.5), capacity())
	require.Equal(t, share.Share(0.5), w.s.Target(w.d, "R1").Traffic.Weight)
	w.goOn(t, "ready")
	require.Equal(t, rollout.StageReturn, w.s.Doing)
	require.Zero(t, w.s.Target(w.d, "R1").Traffic.Weight)
	require.Equal(t, share.Share(0.5), capacity(), "requests that are under way still need it")
}

func TestNothingIsPutBackWhileTheCanaryMayStillServe(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	w.d.Rollback.Steps = rollout.Steps{rollout.Webhook{Name: "undo", URL: "http://chat"}}
	w.run(t, onCluster+"rollback")
	require.Empty(t, w.s.Target(w.d, "R1").Tasks, "first the traffic")
	w.goOn(t, "in-force")
	require.Empty(t, w.s.Target(w.d, "R1").Tasks, "then the drain")
	w.goOn(t, "after 30s")
	require.Equal(t, rollout.BackCleanup, w.s.Back)
	require.Equal(t, rollout.NeedsForce{Of: rollout.WantCanaryOut}, w.s.Holds(w.d, w.now)[0])
	w.goOn(t, "in-force\nready\nnot-in-force")
	require.Equal(t, rollout.NeedsForce{Of: rollout.WantCanaryOut}, w.s.Holds(w.d, w.now)[0], "another writer has brought it back")
	require.Empty(t, w.s.Target(w.d, "R1").Tasks)
	w.goOn(t, "in-force")
	require.Equal(t, rollout.NeedsCleanup{Steps: []string{"undo"}}, w.s.Holds(w.d, w.now)[0])
	require.Len(t, w.s.Target(w.d, "R1").Tasks, 1)
	w.goOn(t, "cleaned-up")
	require.Equal(t, rollout.RolledBack, w.s.Outcome)
}

func TestTheEndNamesDeploymentsThatCannotBeRestored(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	w.run(t, onCluster+"rollback\nin-force\nafter 30s\nin-force\nbroken")
	require.Equal(t, rollout.NeedsPutBack{Why: []string{"pod shop-1: ImagePullBackOff"}}, w.s.Holds(w.d, w.now)[0])

	servers := begun(t, pipeline(), []string{"approve", "start"}, []string{"in-force"})
	servers.d.Rollback.Steps = rollout.Steps{rollout.Webhook{Name: "undo", URL: "http://chat"}}
	servers.lines(t, []string{"rollback"}, []string{"in-force"})
	require.Empty(t, servers.s.Target(servers.d, "R1").Tasks, "its steps come after the drain")
	servers.lines(t, []string{"after", "30s"})
	require.Equal(t, rollout.NeedsCleanup{Steps: []string{"undo"}}, servers.s.Holds(servers.d, servers.now)[0])
	require.Len(t, servers.s.Target(servers.d, "R1").Tasks, 1)
}

func TestARollbackThatTakesTooLongReportsItsProgress(t *testing.T) {
	const failed = "rolled back: I do not like it; going back was not finished in time, "
	for name, c := range map[string]struct{ lines, want string }{
		"no replica confirms that stable has all traffic": {onCluster + "rollback", failed + "stable at 100% is written but no replica of the gateway confirms it"},
		"nor any longer": {onCluster + "rollback\nin-force\nnot-in-force", failed + "stable at 100% is written but no replica of the gateway confirms it"},
		"stable has all, and the rest is not as it was": {onCluster + "rollback\nin-force\nafter 30s\nin-force", failed + "traffic is on stable, cleaning up is not done"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{d: clustered(), now: epoch}
			w.run(t, c.lines+"\nafter 15m")
			require.Equal(t, rollout.Failed, w.s.Outcome)
			require.Equal(t, c.want, w.s.Why)
		})
	}
	t.Run("stable's own Deployment is not put back", func(t *testing.T) {
		d := onlyPromote()
		d.Cluster.Deadline = time.Hour
		w := &world{d: d, now: epoch}
		w.run(t, "broken\nafter 15m")
		require.Equal(t, rollout.Failed, w.s.Outcome)
		require.Contains(t, w.s.Why, "stable's Deployment is not what it was, and traffic waited for that")
	})
}

func TestAStepWithoutATimeToDecideWaitsForever(t *testing.T) {
	d := short()
	gray := d.Steps[0].(rollout.Gray)
	gray.Decide = rollout.Decide{}
	d.Steps[0] = gray
	w := &world{d: d, now: epoch}
	w.run(t, "in-force\nafter 2m")
	require.Empty(t, w.s.Dues(d, w.now))
	w.goOn(t, "after 1000h")
	require.Equal(t, "gray", w.s.StepName)
	require.Empty(t, w.s.OpenGate())
}

func TestAWeightThatAPersonLetsGoOnIsNoLongerUndecided(t *testing.T) {
	w := &world{d: short(), now: epoch}
	w.run(t, "in-force\nafter 2h\nnot-in-force\napprove gray.decide.1")
	require.Equal(t, []rollout.Hold{rollout.NeedsForce{}}, w.s.Holds(w.d, w.now))
	require.Empty(t, w.s.Dues(w.d, w.now))
}

func TestAFinishedStepHoldsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		d     *rollout.Definition
		lines string
	}{"servers": {pipeline(), ""}, "cluster": {clustered(), "job ok\nready\n"}} {
		t.Run(name, func(t *testing.T) {
			for i, step := range c.d.Steps {
				if _, ok := step.(rollout.AB); ok {
					c.d.Steps[i] = rollout.Wait{Name: "tea", For: time.Minute}
				}
			}
			w := &world{d: c.d, now: epoch}
			w.run(t, c.lines+"approve start")
			if w.d.Cluster != nil {
				w.goOn(t, "ready")
			}
			require.Equal(t, []rollout.Hold{rollout.Elapses{Left: time.Minute}}, w.s.Holds(w.d, w.now))
			require.Empty(t, w.s.Holds(w.d, w.now.Add(time.Minute)), "that nothing of it is in force is of no interest here")
		})
	}
}

func TestTheCanarysCapacityHasADeadline(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	w.run(t, "job ok\nready\napprove start\nready\nafter 1m")
	require.Equal(t, []rollout.Hold{rollout.NeedsCapacity{Left: 9 * time.Minute}}, w.s.Holds(w.d, w.now))
}

func TestEventsOfNextHaveNumberTimeAndAuthor(t *testing.T) {
	w := begun(t, pipeline())
	require.NoError(t, w.apply(rollout.GateAnswered{Gate: "start", Answer: rollout.Approve}, "ann"))
	e, ok := w.s.Next(w.d, w.now)
	require.True(t, ok)
	require.Equal(t, rollout.Meta{Seq: w.s.Seq + 1, At: w.now, By: rollout.Serin}, e.Head())
}

// The canary's pods fail or do not end; they serve nobody, and stable has the new version.
func TestACanaryOutOfServiceCannotSendTheReleaseBack(t *testing.T) {
	w := &world{d: onlyPromote(), now: epoch}
	w.d.Steps = append(w.d.Steps, rollout.Webhook{Name: "announce", URL: "http://chat"})
	w.run(t, "ready\nin-force\nafter 30s\nin-force\nbroken")
	require.Equal(t, rollout.Active, w.s.Phase)
	require.Equal(t, []rollout.Hold{rollout.NeedsScaleDown{}}, w.s.Holds(w.d, w.now))
	w.goOn(t, "not-in-force")
	require.Equal(t, []rollout.Hold{rollout.NeedsForce{Of: rollout.WantCanaryOut}}, w.s.Holds(w.d, w.now))
	w.goOn(t, "ready\nafter 1h")
	require.Equal(t, "promote", w.s.StepName, "another writer has brought it back into service")
	w.goOn(t, "in-force\nwebhook ok")
	require.Equal(t, rollout.Released, w.s.Outcome)
}

func TestADeploymentAfterThePromotionIsNotLateWhereOnlyTheCanaryIsLeft(t *testing.T) {
	w := &world{d: onlyPromote(), now: epoch}
	w.d.Steps = append(w.d.Steps, rollout.Deploy{Name: "last", Deployment: workload.Name{Namespace: "dev", Name: "shop"}, Deadline: time.Minute})
	w.run(t, "ready\nin-force\nafter 30s\nin-force\nready")
	require.Equal(t, "last", w.s.StepName)
	w.goOn(t, "after 1h")
	require.Empty(t, w.s.WorkFailed)
	require.Equal(t, rollout.Active, w.s.Phase)
}

func TestAnotherWriterHoldsAReleaseWhileItEditsOften(t *testing.T) {
	held := func(lines string) (calm time.Duration) {
		t.Helper()
		w := &world{d: pipeline(), now: epoch}
		w.run(t, toGray+lines)
		for _, hold := range w.s.Holds(w.d, w.now) {
			if c, ok := hold.(rollout.Contested); ok {
				calm = c.Calm
			}
		}
		require.Equal(t, calm > 0, w.s.Contested(w.now))
		return calm
	}
	const enough = "look enough\nafter 8m\n"
	require.Zero(t, held(enough+"drift\ndrift"), "twice may happen")
	require.Equal(t, time.Minute, held(enough+"drift\nafter 30s\ndrift\nafter 30s\ndrift"), "three times in a minute is somebody at work")
	require.Zero(t, held(enough+"drift\nafter 30s\ndrift\nafter 25s\nafter 6s\ndrift"), "in more than a minute it is not")
	require.Equal(t, 40*time.Second, held(enough+"drift\ndrift\ndrift\nafter 20s"))
	require.Equal(t, 50*time.Second, held("pause\nafter 10m\nresume\n"+enough+"drift\ndrift\ndrift\nafter 10s"), "a pause before is none of the calm")
}

func TestAJobWithoutAReportFailsAMinuteAfterItsDeadline(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	w.run(t, "after 15m\nafter 59s")
	require.Equal(t, rollout.Active, w.s.Phase)
	w.goOn(t, "after 1s")
	require.Equal(t, "rolled back: job migrate: its end was not seen within 16m", w.s.Why)
}

func TestOnlyAReleaseThatTurnsBackLeavesAJobBehind(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	require.NoError(t, w.apply(rollout.Started{Rollout: "shop"}, "ann"))
	before := *w
	require.NoError(t, w.apply(rollout.CancelRequested{}, "ann"))
	require.Empty(t, w.s.LeftBehind(w.d), "no step was entered")
	before.settle()
	require.Equal(t, "migrate", before.s.StepName)
	require.Empty(t, before.s.LeftBehind(before.d), "it runs on, and the release does")
}

func TestUsersOfAnABTestAreComparedUntilTheFirstWeight(t *testing.T) {
	d := pipeline()
	d.Steps = d.Steps[1:] // the A/B test first
	d.KeepCohort = true
	w := begun(t, d)
	compared := func() (string, share.Share, traffic.Lane) {
		target := w.s.Target(d, "R1")
		return target.Analyse, target.Exposure, target.Lane
	}
	scope, exposure, lane := compared()
	require.Equal(t, "ab/ab", scope)
	require.Equal(t, share.Share(0.5), exposure)
	require.Equal(t, traffic.CohortLane, lane)
	w.lines(t, passed()...)
	w.lines(t, []string{"in-force"})
	require.NotNil(t, w.s.Target(d, "R1").Traffic.Cohort, "it keeps its route")
	scope, exposure, lane = compared()
	require.Equal(t, "gray", scope)
	require.Equal(t, share.Share(0.05), exposure)
	require.Equal(t, traffic.MainLane, lane)
}

func TestTheFirstStepMayBeAWeight(t *testing.T) {
	w := &world{d: short(), now: epoch}
	w.run(t, "in-force")
	require.Equal(t, share.Share(0.1), w.s.Target(w.d, "R1").Traffic.Weight)
}

func TestAGateIsFoundByItsName(t *testing.T) {
	d := pipeline()
	full, ok := d.Gate("full")
	require.True(t, ok)
	require.Equal(t, []string{"release-managers"}, full.Approvers)
	_, ok = d.Gate("lunch")
	require.False(t, ok, "it is a wait")
}
