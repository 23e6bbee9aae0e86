package tell

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// Notice is what somebody who describes one of the rollout's Deployments is to see of an event that made before into
// after; ok is false for the many that say nothing to them.
func Notice(before, after rollout.State, d *rollout.Definition, e rollout.Event) (n workload.Notice, ok bool) {
	if before.Phase == rollout.Active && after.Phase == rollout.RollingBack {
		return workload.Notice{Reason: "RollingBack", Text: "all traffic goes back to stable: " + after.Why, Warning: true}, true
	}
	by := e.Head().By
	switch e := e.(type) {
	case rollout.Started:
		return workload.Notice{Reason: "ReleaseStarted", Text: "started by " + by + given(e.Parameters)}, true
	case rollout.StepEntered:
		return stepNotice(after, d, e)
	case rollout.GateAnswered:
		return workload.Notice{Reason: "GateAnswered", Text: sentence(fmt.Sprintf("gate %s answered by %s: %s", e.Gate, by, e.Answer), e.Reason)}, true
	case rollout.Paused:
		return workload.Notice{Reason: "ReleasePaused", Text: sentence("paused by "+by, e.Reason)}, true
	case rollout.WentOn:
		return workload.Notice{Reason: "WentOn", Text: sentence("goes on without waiting, by "+by, e.Reason), Warning: true}, true
	case rollout.Resumed:
		return workload.Notice{Reason: "ReleaseResumed", Text: "resumed by " + by}, true
	case rollout.Drifted:
		return workload.Notice{Reason: "ForeignEdit", Text: "put right: " + strings.Join(e.What, "; "), Warning: true}, true
	case rollout.JobFailed:
		return workload.Notice{Reason: "JobFailed", Text: sentence("step "+after.StepName, e.Why), Warning: true}, true
	case rollout.DeploymentFailed:
		return workload.Notice{Reason: "NotReady", Text: sentence("step "+after.StepName, strings.Join(e.Why, "; ")), Warning: true}, true
	case rollout.Ended:
		reason := strings.ToUpper(string(e.Outcome[:1])) + string(e.Outcome[1:])
		return workload.Notice{Reason: reason, Text: sentence("the release has ended, "+string(e.Outcome), e.Why), Warning: e.Outcome != rollout.Released}, true
	case rollout.InForce, rollout.NotInForce, rollout.LookTaken, rollout.AlarmDismissed, rollout.WebhookAnswered, rollout.JobSucceeded,
		rollout.DeploymentReady, rollout.DeadlinePassed, rollout.RollbackRequested, rollout.CancelRequested, rollout.Superseded,
		rollout.SuccessorCancelled, rollout.Drained, rollout.CleanedUp: // what follows from them is told, or seen
	}
	return workload.Notice{}, false
}

func stepNotice(after rollout.State, d *rollout.Definition, e rollout.StepEntered) (workload.Notice, bool) {
	switch {
	case e.Prepare:
		return workload.Notice{}, false // it is told once the traffic moves
	case e.What == rollout.StageGate:
		who := "an operator"
		if g, ok := d.Gate(e.Name); ok && len(g.Approvers) > 0 {
			who = strings.Join(g.Approvers, ", ")
		}
		return workload.Notice{Reason: "GateOpen", Text: "gate " + e.Name + " waits for an answer from " + who}, true
	}
	return workload.Notice{Reason: "StepEntered", Text: fmt.Sprintf("step %s, %s of traffic on the canary", e.Name, after.Weight(d))}, true
}

func sentence(what, why string) string { return strings.TrimSuffix(what+": "+why, ": ") }

// given are parameters in words.
func given(parameters map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		out = append(out, name+"="+parameters[name])
	}
	if len(out) == 0 {
		return ""
	}
	return " with " + strings.Join(out, ", ")
}
