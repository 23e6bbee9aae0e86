package tell

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
)

// Words is an event in words.
type Words struct {
	// Text says what happened, without the time and the author; it begins with a lower-case letter.
	Text string
	// Detail says why, how, or with what. Users may have written it.
	Detail string
	// Asked: a person or another program requested it, so the author should be named.
	Asked bool
	Tone  Tone
}

// Tone says how much an event should stand out.
type Tone string

// The tones.
const (
	Plain   Tone = ""
	Mark    Tone = "mark" // a landmark: the start, a step
	Good    Tone = "good"
	Bad     Tone = "bad"
	Warning Tone = "warning"
)

// Line is the event in one line; by is its author.
func (w Words) Line(by string) string {
	out := w.Text
	if w.Asked {
		out += " by " + by
	}
	if w.Detail != "" {
		out += ": " + w.Detail
	}
	return out
}

// Event puts an event into words, which are the same on the pages, on the command line, in messages and in Kubernetes.
// steps are those of the release; without them the words say less about a step.
func Event(e rollout.Event, steps rollout.Steps) Words {
	switch e := e.(type) {
	case rollout.Started:
		if e.Undoes != "" {
			return Words{"started to undo release " + e.Undoes, together([]string{e.Reason, Parameters(e.Parameters)}), true, Warning}
		}
		if e.Retries != "" {
			return Words{
				"started to retry release " + e.Retries,
				together([]string{e.Reason, Parameters(e.Parameters), notAgain(e.Done, e.Retries)}), true, Mark,
			}
		}
		if e.Returns != "" {
			return Words{
				"started on the shorter plan",
				together([]string{"the version was in service before, by release " + e.Returns, Parameters(e.Parameters)}), true, Mark,
			}
		}
		return Words{"started", Parameters(e.Parameters), true, Mark}
	case rollout.StepEntered:
		if e.What == rollout.StageGate {
			return Words{"gate " + e.Name, "a human is asked", false, Mark}
		}
		return Words{"step " + e.Name, stageWords(e, steps), false, Mark}
	case rollout.InForce:
		return Words{"in force", cmp.Or(map[string]string{
			"api": "every replica of the gateway serves it", "metrics": "by the share seen in the metrics",
			"trusted": "no replica could be asked; trusted",
		}[e.How], e.How), false, Plain}
	case rollout.NotInForce:
		if e.Unconfirmed {
			return Words{"written, but no replica of the gateway confirms it", together(e.Why), false, Warning}
		}
		return Words{"not in force", together(e.Why), false, Warning}
	case rollout.Drifted:
		return Words{"an external change of the gateway's configuration was reverted", together(e.What), false, Warning}
	case rollout.LookTaken:
		return look(e.Verdict)
	case rollout.DeadlinePassed:
		return Words{"time is up: " + Deadline(e.Which), Policy(e.Then), false, Warning}
	case rollout.WindowAwaited:
		return Words{"waits " + opening(e.Closed), "", false, Warning}
	case rollout.Drained:
		return Words{"the canary has drained", "", false, Plain}
	case rollout.CleanedUp:
		return Words{"cleaned up", "", false, Plain}
	case rollout.Ended:
		return Words{"ended: " + Outcome(e.Outcome), e.Why, false, outcomeTone(e.Outcome)}
	case rollout.WebhookAnswered, rollout.JobSucceeded, rollout.JobFailed, rollout.DeploymentReady, rollout.DeploymentFailed:
		return worked(e, steps)
	case rollout.AlarmDismissed, rollout.GateAnswered, rollout.Paused, rollout.Resumed, rollout.WentOn, rollout.RollbackRequested,
		rollout.CancelRequested, rollout.Superseded, rollout.SuccessorCancelled:
		return asked(e)
	}
	return Words{Text: rollout.Kind(e)}
}

// worked words the events for which a step waits.
func worked(e rollout.Event, steps rollout.Steps) Words {
	switch e := e.(type) {
	case rollout.WebhookAnswered:
		if e.OK {
			return Words{"webhook " + stepName(e.Step, steps) + " done", e.Detail, false, Good}
		}
		return Words{"webhook " + stepName(e.Step, steps) + " failed", e.Detail, false, Bad}
	case rollout.JobSucceeded:
		return Words{"job " + stepName(e.Step, steps) + " complete", strings.Join(e.Log, " "), false, Good}
	case rollout.JobFailed:
		return Words{"job " + stepName(e.Step, steps) + " failed", together(append([]string{e.Why}, e.Log...)), false, Bad}
	case rollout.DeploymentFailed:
		return Words{"the Deployments do not become ready", together(e.Why), false, Bad}
	default:
		return Words{"the Deployments are ready", "", false, Plain}
	}
}

// asked words the events that people, or programs on their behalf, cause.
func asked(e rollout.Event) Words {
	switch e := e.(type) {
	case rollout.AlarmDismissed:
		return Words{"alarm dismissed", e.Reason, true, Warning}
	case rollout.GateAnswered:
		what, tone := answerWords(e.Answer)
		return Words{"gate " + e.Gate + " " + what, e.Reason, true, tone}
	case rollout.Paused:
		return Words{"paused", e.Reason, true, Warning}
	case rollout.WentOn:
		what := "sent on without waiting"
		if e.Full {
			what += " at all steps but gates"
		}
		if e.EvenIfWorse {
			what += ", even if it is worse,"
		}
		return Words{what, e.Reason, true, Warning}
	case rollout.RollbackRequested:
		return Words{"rollback requested", e.Reason, true, Bad}
	case rollout.CancelRequested:
		return Words{"cancellation requested", e.Reason, true, Bad}
	case rollout.Superseded:
		return Words{"superseded", "release " + e.Next.ID + " follows", true, Warning}
	case rollout.SuccessorCancelled:
		return Words{"waiting release " + e.ID + " cancelled", e.Reason, true, Warning}
	default:
		return Words{"resumed", "", true, Plain}
	}
}

func answerWords(a rollout.Answer) (string, Tone) {
	switch a {
	case rollout.Approve:
		return "approved", Good
	case rollout.Reject:
		return "rejected", Bad
	case rollout.KeepWaiting:
	}
	return "wait extended", Warning
}

func look(v judge.Verdict) Words {
	w := Words{Text: fmt.Sprintf("look %d: %s", v.Look, Verdict(v.Outcome, v.Reason)), Detail: v.Decisive}
	switch v.Outcome {
	case judge.Pass:
		w.Tone = Good
	case judge.Fail:
		w.Tone = Bad
	case judge.Inconclusive:
	}
	if r := v.SampleRatio; r != nil && r.Alarm {
		alarm := fmt.Sprintf("sample-ratio alarm: %.3g%% of requests went to the canary, not %.3g%%", 100*r.Share, 100*r.Weight)
		w.Detail = together([]string{w.Detail, alarm})
		if w.Tone == Plain {
			w.Tone = Warning
		}
	}
	if dry := v.WouldFail(nil); len(dry) > 0 {
		w.Detail = together([]string{w.Detail, DryRun(dry)})
		if w.Tone == Plain {
			w.Tone = Warning
		}
	}
	for _, c := range v.Contradictions {
		w.Detail = together([]string{w.Detail, Contradiction(c)})
		if w.Tone == Plain {
			w.Tone = Warning
		}
	}
	return w
}

// DryRun says which metrics of a dry run would have sent a release back; there is at least one.
func DryRun(would []judge.MetricVerdict) string {
	var names []string
	for _, m := range would {
		names = append(names, m.Named())
	}
	what := "is a dry run"
	if len(names) > 1 {
		what = "are dry runs"
	}
	return strings.Join(names, ", ") + " would have sent it back, but " + what
}

// Verdict is pass, fail, or the reason for neither.
func Verdict(o judge.Outcome, r judge.Reason) string {
	if o != judge.Inconclusive || r == "" {
		return string(o)
	}
	return Reason(r)
}

// Outcome is how a release ended.
func Outcome(o rollout.Outcome) string {
	if o == rollout.RolledBack {
		return "rolled back"
	}
	return string(o)
}

func outcomeTone(o rollout.Outcome) Tone {
	switch o {
	case rollout.Released:
		return Good
	case rollout.RolledBack, rollout.Failed:
		return Bad
	case rollout.Cancelled, rollout.OutcomeSuperseded:
	}
	return Plain
}

// stepOf is the step that an event enters; nil if the definition is not known.
func stepOf(e rollout.StepEntered, steps rollout.Steps) rollout.Step {
	if e.Step < 0 || e.Step >= len(steps) {
		return nil
	}
	return steps[e.Step]
}

// stageWords says what entering a stage does to the traffic.
func stageWords(e rollout.StepEntered, steps rollout.Steps) string {
	if e.Prepare {
		return "the canary gets its capacity first"
	}
	if weight, ok := weightOf(e, steps); ok {
		return weight.String() + " of traffic on the canary"
	}
	switch e.What {
	case rollout.StageAB:
		return "the A/B route appears"
	case rollout.StageGray:
		return fmt.Sprintf("weight %d", e.Stage+1)
	case rollout.StagePromote:
		if e.Stage > 0 {
			return "the canary's servers become stable"
		}
		return "all traffic on the canary"
	case rollout.StageDeploy:
		return "a Deployment changes"
	case rollout.StagePatch:
		if p, ok := stepOf(e, steps).(rollout.Promote); ok && p.Previous != "" {
			return "stable's Deployment becomes the version that it had before"
		}
		return "stable's Deployment becomes the canary's version"
	case rollout.StageAwait:
		return "waits for an external change that brings stable's Deployment to the canary's version"
	case rollout.StageReturn:
		return "all traffic on stable, the new version"
	case rollout.StageLeave:
		return "the canary leaves the service"
	case rollout.StageWatch:
		return "everybody has it, and it is compared with the time before the release"
	case rollout.StageMirror:
		return "the canary gets copies of users' requests, and no user its answers"
	case rollout.StagePreview:
		return "the canary gets a route of its own"
	case rollout.StageGate, rollout.StageStill:
	}
	return ""
}

func weightOf(e rollout.StepEntered, steps rollout.Steps) (w share.Share, ok bool) {
	if e.Step < 0 || e.Step >= len(steps) {
		return 0, false
	}
	g, ok := steps[e.Step].(rollout.Gray)
	if !ok || e.Stage < 0 || e.Stage >= len(g.Weights) {
		return 0, false
	}
	return g.Weights[e.Stage], true
}

// stepName is a step's own name, or its number from 1.
func stepName(step int, steps rollout.Steps) string {
	if step < 0 || step >= len(steps) {
		return "of step " + strconv.Itoa(step+1)
	}
	return steps[step].StepName()
}

// together joins parts in one line; empty ones are left out.
func together(parts []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" }), "; ")
}

// Parameters are those of a release, or other names with values, in words: image=shop:2, region=eu, in the order of the
// names.
func Parameters(parameters map[string]string) string { return strings.Join(pairs(parameters), ", ") }

// pairs are names with their values, in the order of the names.
func pairs(values map[string]string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, name+"="+values[name])
	}
	return out
}
