package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// phaseOf is where a release stands, in a word or two.
func phaseOf(v record.View) cell {
	switch {
	case v.Release == nil:
		return cell{"no release", dim}
	case v.State.Ended():
		return cell{string(v.State.Outcome), outcomePaint(v.State.Outcome)}
	case v.State.Phase == rollout.RollingBack:
		return cell{"rolling back", red}
	case v.State.Pause != nil:
		return cell{"paused", yellow}
	case v.Gate != "":
		return cell{"at a gate", yellow}
	}
	return cell{"active", plain}
}

// weightOf is what share of the traffic the canary gets.
func weightOf(v record.View) string {
	out := v.Target.Weight.String()
	if c := v.Target.Cohort; c != nil {
		out += " + A/B " + c.Split.String()
	}
	return out
}

// verdictOf is the last verdict that counts for a release.
func verdictOf(v record.View) *judge.Verdict {
	if v.Verdict == nil || v.State.Phase != rollout.Active {
		return cmpPointer(v.State.LastVerdict, v.Verdict)
	}
	return v.Verdict
}

func cmpPointer[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}

func verdictCell(v *judge.Verdict) cell {
	if v == nil {
		return cell{"", plain}
	}
	return cell{verdictWords(*v), verdictPaint(v.Outcome)}
}

func verdictWords(v judge.Verdict) string {
	out := string(v.Outcome)
	if v.Outcome == judge.Inconclusive && v.Reason != "" {
		out = string(v.Reason)
	}
	if v.Decisive != "" {
		out += " (" + v.Decisive + ")"
	}
	return out
}

// oneLine is a rollout in a line.
func oneLine(v record.View) string {
	parts := []string{phaseOf(v).text}
	if v.Release != nil && !v.State.Ended() {
		if v.State.StepName != "" {
			parts = append(parts, "step "+v.State.StepName)
		}
		parts = append(parts, weightOf(v)+" on the canary")
		if verdict := verdictOf(v); verdict != nil {
			parts = append(parts, verdictWords(*verdict))
		}
	}
	return strings.Join(parts, ", ")
}

// describe is an event in words, without its time; paint tells what an eye should find.
func describe(e rollout.Event) (string, paint) {
	by := e.Head().By
	switch e := e.(type) {
	case rollout.Started:
		if e.Undoes != "" {
			return "started by " + by + " to undo release " + e.Undoes + parameters(e.Parameters) + because(e.Reason), bold
		}
		return "started by " + by + parameters(e.Parameters), bold
	case rollout.StepEntered:
		return entered(e), bold
	case rollout.InForce:
		return "in force (" + cmp.Or(map[string]string{"api": "the gateway says so", "metrics": "by the share seen in the metrics",
			"trusted": "nobody could be asked"}[e.How], e.How) + ")", plain
	case rollout.NotInForce:
		what := "not in force"
		if e.Unconfirmed {
			what = "written, but no replica of the gateway confirms it"
		}
		return what + because(strings.Join(e.Why, "; ")), yellow
	case rollout.Drifted:
		return "somebody else has changed the gateway's configuration; it is put right" + because(strings.Join(e.What, "; ")), yellow
	case rollout.LookTaken:
		return fmt.Sprintf("look %d: %s", e.Verdict.Look, verdictWords(e.Verdict)) + alarm(e.Verdict), verdictPaint(e.Verdict.Outcome)
	case rollout.WebhookAnswered:
		if e.OK {
			return "webhook: done" + because(e.Detail), plain
		}
		return "webhook: no" + because(e.Detail), red
	case rollout.JobSucceeded:
		return "the Job is complete", plain
	case rollout.JobFailed:
		return "the Job has failed" + because(e.Why), red
	case rollout.DeploymentReady:
		return "the Deployments are ready", plain
	case rollout.DeploymentFailed:
		return "the Deployments do not become ready" + because(strings.Join(e.Why, "; ")), red
	case rollout.DeadlinePassed:
		return fmt.Sprintf("time is over: %s; then: %s", e.Which, e.Then), yellow
	case rollout.Drained:
		return "the canary has drained", plain
	case rollout.CleanedUp:
		return "cleaned up", plain
	case rollout.Ended:
		return "ended, " + string(e.Outcome) + because(e.Why), outcomePaint(e.Outcome)
	case rollout.AlarmDismissed, rollout.GateAnswered, rollout.Paused, rollout.Resumed, rollout.WentOn, rollout.RollbackRequested,
		rollout.CancelRequested, rollout.Superseded, rollout.SuccessorCancelled:
		return describeAct(e), yellow
	}
	return rollout.Kind(e), plain
}

// describeAct is an event that a person has caused.
func describeAct(e rollout.Event) string {
	by := " by " + e.Head().By
	switch e := e.(type) {
	case rollout.AlarmDismissed:
		return "sample-ratio alarm dismissed" + by + because(e.Reason)
	case rollout.GateAnswered:
		return "gate " + e.Gate + " answered" + by + ": " + string(e.Answer) + because(e.Reason)
	case rollout.Paused:
		return "paused" + by + because(e.Reason)
	case rollout.WentOn:
		what := "told to go on without waiting"
		if e.Full {
			what += " at all steps but gates"
		}
		if e.EvenIfWorse {
			what += ", even if it is worse,"
		}
		return what + by + because(e.Reason)
	case rollout.Resumed:
		return "resumed" + by
	case rollout.RollbackRequested:
		return "rollback asked for" + by + because(e.Reason)
	case rollout.CancelRequested:
		return "cancel asked for" + by + because(e.Reason)
	case rollout.Superseded:
		return "superseded" + by + ": release " + e.Next.ID + " follows"
	case rollout.SuccessorCancelled:
		return "release " + e.ID + ", which was to follow, is cancelled" + by + because(e.Reason)
	default: // the others are describe's
		return rollout.Kind(e)
	}
}

func entered(e rollout.StepEntered) string {
	if e.Prepare {
		return "step " + e.Name + ": the canary gets its capacity first"
	}
	switch e.What {
	case rollout.StageGate:
		return "gate " + e.Name + ": a human is asked"
	case rollout.StageAB:
		return "step " + e.Name + ": the A/B route appears"
	case rollout.StageGray:
		return fmt.Sprintf("step %s, weight %d", e.Name, e.Stage+1)
	case rollout.StagePromote:
		if e.Stage > 0 {
			return "step " + e.Name + ": the canary becomes stable"
		}
		return "step " + e.Name + ": all traffic to the canary"
	case rollout.StageDeploy:
		return "step " + e.Name + ": a Deployment changes"
	case rollout.StagePatch:
		return "step " + e.Name + ": stable's Deployment becomes the canary's version"
	case rollout.StageAwait:
		return "step " + e.Name + ": somebody else brings stable's Deployment to the canary's version"
	case rollout.StageReturn:
		return "step " + e.Name + ": all traffic to stable, the new version"
	case rollout.StageLeave:
		return "step " + e.Name + ": the canary leaves the service"
	case rollout.StageStill:
	}
	return "step " + e.Name
}

func alarm(v judge.Verdict) string {
	if v.SampleRatio == nil || !v.SampleRatio.Alarm {
		return ""
	}
	return fmt.Sprintf("; sample-ratio alarm: %.3g%% of requests went to the canary, not %.3g%%", 100*v.SampleRatio.Share, 100*v.SampleRatio.Weight)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func parameters(p map[string]string) string {
	if len(p) == 0 {
		return ""
	}
	return " with " + strings.Join(pairs(p), ", ")
}
