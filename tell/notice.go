package tell

import (
	"strings"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// Notice is the notice, for `kubectl describe` on the rollout's Deployments, of an event that changed before into
// after; ok is false for the many events that do not matter there.
func Notice(before, after rollout.State, d *rollout.Definition, e rollout.Event) (n workload.Notice, ok bool) {
	if before.Phase == rollout.Active && after.Phase == rollout.RollingBack {
		return workload.Notice{Reason: "RollingBack", Text: "all traffic goes back to stable: " + after.Why, Warning: true}, true
	}
	n = workload.Notice{Text: Event(e, d.Steps).Line(e.Head().By)}
	switch e := e.(type) {
	case rollout.Started:
		n.Reason = "ReleaseStarted"
	case rollout.StepEntered:
		return stepNotice(n, d, e)
	case rollout.GateAnswered:
		n.Reason = "GateAnswered"
	case rollout.Paused:
		n.Reason = "ReleasePaused"
	case rollout.Resumed:
		n.Reason = "ReleaseResumed"
	case rollout.WentOn:
		n.Reason, n.Warning = "WentOn", true
	case rollout.WindowAwaited:
		n.Reason = "WindowAwaited"
	case rollout.Drifted:
		n.Reason, n.Warning = "ForeignEdit", true
	case rollout.JobFailed:
		n.Reason, n.Warning = "JobFailed", true
	case rollout.DeploymentFailed:
		n.Reason, n.Warning = "NotReady", true
	case rollout.Ended:
		n.Reason, n.Warning = strings.ToUpper(string(e.Outcome[:1]))+string(e.Outcome[1:]), e.Outcome != rollout.Released
	case rollout.LookTaken:
		would := e.Verdict.WouldFail(before.LastVerdict)
		if len(would) == 0 {
			return workload.Notice{}, false // what follows from it has a notice
		}
		n.Reason, n.Text, n.Warning = "DryRunFailed", DryRun(would), true
	case rollout.InForce, rollout.NotInForce, rollout.AlarmDismissed, rollout.WebhookAnswered, rollout.JobSucceeded,
		rollout.DeploymentReady, rollout.DeadlinePassed, rollout.RollbackRequested, rollout.CancelRequested, rollout.Superseded,
		rollout.SuccessorCancelled, rollout.Drained, rollout.CleanedUp: // their consequences have a notice, or are visible anyway
		return workload.Notice{}, false
	}
	return n, true
}

func stepNotice(n workload.Notice, d *rollout.Definition, e rollout.StepEntered) (workload.Notice, bool) {
	switch {
	case e.Prepare:
		return workload.Notice{}, false // the notice comes when the traffic moves
	case e.What == rollout.StageGate:
		who := "an operator"
		if g, ok := d.Gate(e.Name); ok && len(g.Approvers) > 0 {
			who = strings.Join(g.Approvers, ", ")
		}
		return workload.Notice{Reason: "GateOpen", Text: "gate " + e.Name + " waits for an answer from " + who}, true
	}
	n.Reason = "StepEntered"
	return n, true
}
