package web

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// EventLine is one event in words.
type EventLine struct {
	Seq    int
	At     time.Time
	By     string
	Text   string
	Detail string
	// Class tells what an eye should find: ok, bad, wait or nothing.
	Class string
}

// newEventLines are events in words, the newest first.
func newEventLines(v record.View, events []rollout.Event) []EventLine {
	out := make([]EventLine, len(events))
	for i, e := range events {
		out[len(events)-1-i] = newEventLine(v, e)
	}
	return out
}

func newEventLine(v record.View, e rollout.Event) EventLine {
	head := e.Head()
	line := EventLine{Seq: head.Seq, At: head.At, By: head.By}
	line.Text, line.Detail, line.Class = told(v, e)
	return line
}

// told are the words of an event: what, more of it, and its class.
func told(v record.View, e rollout.Event) (text, detail, class string) {
	switch e := e.(type) {
	case rollout.Started:
		if e.Undoes != "" {
			return "Started to undo release " + e.Undoes, joined(e.Reason, parametersOf(e.Parameters)), "wait"
		}
		return "Started", parametersOf(e.Parameters), ""
	case rollout.StepEntered:
		return "Step " + e.Name, stageOf(v, e), ""
	case rollout.InForce:
		how := map[string]string{"api": "every replica of the gateway serves it", "metrics": "by the share that is seen in the metrics",
			"trusted": "no replica could be asked; trusted"}
		return "In force", cmp.Or(how[e.How], e.How), ""
	case rollout.NotInForce:
		if e.Unconfirmed {
			return "Written, but not confirmed", strings.Join(e.Why, "; "), "wait"
		}
		return "Not in force", strings.Join(e.Why, "; "), "wait"
	case rollout.Drifted:
		return "Somebody else changed the gateway; put right", strings.Join(e.What, "; "), "wait"
	case rollout.LookTaken:
		return toldLook(e)
	case rollout.DeadlinePassed:
		return "Time is over: " + string(e.Which), "then: " + string(e.Then), "wait"
	case rollout.WebhookAnswered:
		if e.OK {
			return "Webhook: done", e.Detail, "ok"
		}
		return "Webhook: no", e.Detail, "bad"
	case rollout.JobSucceeded:
		return "Job of step " + stepName(v, e.Step) + ": done", strings.Join(e.Log, " "), "ok"
	case rollout.JobFailed:
		return "Job of step " + stepName(v, e.Step) + ": failed", joined(append([]string{e.Why}, e.Log...)...), "bad"
	case rollout.DeploymentReady:
		return "Deployments are ready", "", ""
	case rollout.DeploymentFailed:
		return "Deployments do not become ready", strings.Join(e.Why, "; "), "bad"
	case rollout.Ended:
		return "Ended: " + outcomePill(e.Outcome).Text, e.Why, outcomePill(e.Outcome).Class
	default:
		return toldByPeople(e)
	}
}

// toldByPeople are the events that people cause, and the plain ones.
func toldByPeople(e rollout.Event) (text, detail, class string) {
	switch e := e.(type) {
	case rollout.AlarmDismissed:
		return "Sample-ratio alarm dismissed", e.Reason, "wait"
	case rollout.GateAnswered:
		p := answerPill(e.Answer)
		return "Gate " + e.Gate + ": " + p.Text, e.Reason, p.Class
	case rollout.Paused:
		return "Paused", e.Reason, "wait"
	case rollout.WentOn:
		return "Told to go on without waiting" + wentOnWords(e), e.Reason, "wait"
	case rollout.Resumed:
		return "Resumed", "", ""
	case rollout.RollbackRequested:
		return "Rollback asked for", e.Reason, "bad"
	case rollout.CancelRequested:
		return "Cancel asked for", e.Reason, "bad"
	case rollout.Superseded:
		return "Superseded", "by release " + e.Next.ID, "wait"
	case rollout.SuccessorCancelled:
		return "The release that waits is cancelled", joined(e.ID, e.Reason), "wait"
	case rollout.Drained:
		return "The canary has drained", "", ""
	case rollout.CleanedUp:
		return "Cleaned up", "", ""
	default:
		// A kind that this page has no words for is shown by its own name rather than left out.
		return rollout.Kind(e), "", ""
	}
}

// wentOnWords say how far, and how much of the judge's word counts.
func wentOnWords(e rollout.WentOn) string {
	out := ""
	if e.Full {
		out = " at all steps but gates"
	}
	if e.EvenIfWorse {
		out += ", even if it is worse"
	}
	return out
}

func toldLook(e rollout.LookTaken) (text, detail, class string) {
	p := verdictPill(e.Verdict.Outcome, e.Verdict.Reason)
	if e.Verdict.Decisive != "" {
		detail = e.Verdict.Decisive
	}
	if r := e.Verdict.SampleRatio; r != nil && r.Alarm {
		detail = joined(detail, "sample-ratio alarm")
		if p.Class == "rest" {
			p.Class = "wait"
		}
	}
	if p.Class == "rest" {
		p.Class = ""
	}
	return fmt.Sprintf("Look %d: %s", e.Verdict.Look, p.Text), detail, p.Class
}

func stageOf(v record.View, e rollout.StepEntered) string {
	if e.Step >= 0 && e.Step < len(v.Steps) {
		if g, ok := v.Steps[e.Step].(rollout.Gray); ok && e.Stage >= 0 && e.Stage < len(g.Weights) {
			return g.Weights[e.Stage].String() + " of the traffic on the canary"
		}
	}
	if e.What == rollout.StagePromote {
		if e.Stage == 0 {
			return "all traffic on the canary"
		}
		return "its servers become stable"
	}
	return ""
}

func stepName(v record.View, step int) string {
	if step < 0 || step >= len(v.Steps) {
		return strconv.Itoa(step + 1)
	}
	return v.Steps[step].StepName()
}

func parametersOf(p map[string]string) string {
	var out []string
	for _, name := range sortedKeys(p) {
		out = append(out, name+"="+p[name])
	}
	return strings.Join(out, ", ")
}
