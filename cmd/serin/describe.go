package main

import (
	"fmt"
	"strings"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// phaseOf is the phase of a release in a word or two.
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

// weightOf is the canary's share of the traffic.
func weightOf(v record.View) string {
	out := v.Target.Weight.String()
	if c := v.Target.Cohort; c != nil {
		out += " + A/B " + c.Split.String()
	}
	if m := v.Target.Mirror; m != nil {
		out += " + copies of " + m.Share.String()
	}
	return out
}

func verdictCell(v *judge.Verdict) cell {
	if v == nil {
		return cell{"", plain}
	}
	return cell{verdictWords(*v), verdictPaint(v.Outcome)}
}

func verdictWords(v judge.Verdict) string {
	out := tell.Verdict(v.Outcome, v.Reason)
	if v.Decisive != "" {
		out += " (" + v.Decisive + ")"
	}
	return out
}

// oneLine describes a rollout in one line.
func oneLine(v record.View) string {
	parts := []string{phaseOf(v).text}
	if v.Release != nil && !v.State.Ended() {
		if v.State.StepName != "" {
			parts = append(parts, "step "+v.State.StepName)
		}
		parts = append(parts, weightOf(v)+" on the canary")
		if verdict := v.LastVerdict(); verdict != nil {
			parts = append(parts, verdictWords(*verdict))
		}
	}
	return strings.Join(parts, ", ")
}

// describe puts an event into words, without its time; paint marks what should catch the eye. steps are those of the
// release, or nil.
func describe(e rollout.Event, steps rollout.Steps) (string, paint) {
	w := tell.Event(e, steps)
	return w.Line(e.Head().By), map[tell.Tone]paint{
		tell.Plain: plain, tell.Mark: bold, tell.Good: green, tell.Bad: red, tell.Warning: yellow,
	}[w.Tone]
}

func alarm(v judge.Verdict) string {
	if len(v.Contradictions) > 0 {
		return "; " + tell.Contradiction(v.Contradictions[0])
	}
	if v.SampleRatio == nil || !v.SampleRatio.Alarm {
		return ""
	}
	return fmt.Sprintf("; sample-ratio alarm: %.3g%% of requests went to the canary, not %.3g%%", 100*v.SampleRatio.Share, 100*v.SampleRatio.Weight)
}

func parameters(p map[string]string) string {
	if len(p) == 0 {
		return ""
	}
	return " with " + tell.Parameters(p)
}
