package tell_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/workload"
)

func TestWhoDescribesADeploymentSeesWhatMatters(t *testing.T) {
	d := &rollout.Definition{}
	d.Steps = []rollout.Step{rollout.Gate{Name: "qa-says-yes", Approvers: []string{"qa"}}, rollout.Gray{Name: "gray", Weights: []share.Share{0.05, 0.5}}}
	active := rollout.State{Phase: rollout.Active, GrayStep: 1, GrayStage: 1, Step: 1, StepName: "gray"}
	back := rollout.State{Phase: rollout.RollingBack, Why: "errors are worse"}
	dry := judge.Verdict{Metrics: []judge.MetricVerdict{{Metric: "slow", By: "route", Value: "/cart", DryRun: true, Outcome: judge.Fail}}}
	by := rollout.Meta{At: time.Unix(0, 0), By: "ann"}
	for name, c := range map[string]struct {
		before, after rollout.State
		event         rollout.Event
		want          workload.Notice
	}{
		"a start, with its parameters": {rollout.State{}, active, rollout.Started{Meta: by, Parameters: map[string]string{"image": "shop:2", "a": "b"}},
			workload.Notice{Reason: "ReleaseStarted", Text: "started by ann: a=b, image=shop:2"}},
		"a weight": {active, active, rollout.StepEntered{Meta: by, Name: "gray", Step: 1, Stage: 1, What: rollout.StageGray},
			workload.Notice{Reason: "StepEntered", Text: "step gray: 50% of traffic on the canary"}},
		"a gate, and whose it is": {active, active, rollout.StepEntered{Meta: by, Name: "qa-says-yes", What: rollout.StageGate},
			workload.Notice{Reason: "GateOpen", Text: "gate qa-says-yes waits for an answer from qa"}},
		"an answer": {active, active, rollout.GateAnswered{Meta: by, Gate: "qa-says-yes", Answer: rollout.Approve, Reason: "fine"},
			workload.Notice{Reason: "GateAnswered", Text: "gate qa-says-yes approved by ann: fine"}},
		"whatever makes it go back": {active, back, rollout.RollbackRequested{Meta: by, Reason: "errors are worse"},
			workload.Notice{Reason: "RollingBack", Text: "all traffic goes back to stable: errors are worse", Warning: true}},
		"pods that do not get ready": {active, active, rollout.DeploymentFailed{Meta: by, Why: []string{"shop-canary: ImagePullBackOff"}},
			workload.Notice{Reason: "NotReady", Text: "the Deployments do not become ready: shop-canary: ImagePullBackOff", Warning: true}},
		"a dry run that begins to fail": {active, active, rollout.LookTaken{Meta: by, Verdict: dry},
			workload.Notice{Reason: "DryRunFailed", Text: `slow of route "/cart" would have sent it back, but is a dry run`, Warning: true}},
		"a good end": {active, active, rollout.Ended{Meta: by, Outcome: rollout.Released, Why: "every step is done"},
			workload.Notice{Reason: "Released", Text: "ended: released: every step is done"}},
		"another end": {back, back, rollout.Ended{Meta: by, Outcome: rollout.RolledBack, Why: "errors are worse"},
			workload.Notice{Reason: "RolledBack", Text: "ended: rolled back: errors are worse", Warning: true}},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := tell.Notice(c.before, c.after, d, c.event)
			require.True(t, ok)
			require.Equal(t, c.want, n)
		})
	}
	for name, event := range map[string]rollout.Event{
		"a look": rollout.LookTaken{Meta: by}, "what is in force": rollout.InForce{Meta: by}, "a weight whose pods are not there yet": rollout.StepEntered{Meta: by, Prepare: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := tell.Notice(active, active, d, event)
			require.False(t, ok, "it comes too often, or too early")
		})
	}
	t.Run("a dry run that goes on failing", func(t *testing.T) {
		active.LastVerdict = &dry
		_, ok := tell.Notice(active, active, d, rollout.LookTaken{Meta: by, Verdict: dry})
		require.False(t, ok, "it was said")
	})
}
