package tell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Headline says in one sentence how a release is doing, since when, and what comes next.
type Headline struct {
	// Class is ok, bad, wait, go or rest.
	Class, Text string
	// Since is zero if it does not matter. Lasts means that it is a state that still lasts, not an event.
	Since time.Time
	Lasts bool
	// Next is what comes next and when; empty if nothing does.
	Next string
}

// Subject is what a release brings into service: its version, if a parameter has it.
func Subject(v record.View) string {
	if version := rollout.Version(v.State.Parameters); version != "" {
		return version
	}
	return "the new version"
}

// HeadlineOf makes the headline of a release. It uses only the view, so that the overview says the same as the
// release's own page.
func HeadlineOf(v record.View, now time.Time) Headline {
	s := v.State
	switch {
	case v.Release == nil:
		return Headline{Class: "rest", Text: "It has had no release"}
	case s.Ended():
		return endedHeadline(v)
	case s.Phase == rollout.RollingBack:
		return Headline{Class: "bad", Text: "Going back to stable: " + s.Why + byWhom(s), Since: wall(s, s.BackAt), Next: Sentence(v.Waiting)}
	case s.Pause != nil:
		h := Headline{
			Class: "wait", Text: "Paused by " + s.Pause.By + Colon(s.Pause.Reason), Since: s.Pause.At, Next: "It waits until somebody resumes it.",
		}
		if v.Steps.Judges() {
			h.Next += " A version that turns out worse still goes back by itself."
		}
		return h
	case v.Gate != "":
		return Headline{Class: "wait", Text: question(v), Since: v.GateSince}
	case s.StepName == "" && s.Awaited != nil:
		return Headline{Class: "wait", Text: "It has not begun: " + Opening(s.Awaited.Closed), Since: wall(s, s.AwaitedAt), Next: Sentence(v.Waiting)}
	case s.StepName == "":
		return Headline{Class: "go", Text: "It is about to begin"}
	}
	return activeHeadline(v, now)
}

// wall converts a time on the release's own clock to wall time; zero stays zero.
func wall(s rollout.State, t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(s.PausedFor)
}

// Colon appends a reason after a colon; nothing for an empty one.
func Colon(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// byWhom names the person who caused the state of a release; Serin itself is not named.
func byWhom(s rollout.State) string {
	if s.WhyBy == "" || slices.Contains([]string{rollout.Serin, "judge", "gateway", "webhook"}, s.WhyBy) {
		return ""
	}
	return " (by " + s.WhyBy + ")"
}

// Sentence makes a sentence of a text; empty for an empty text.
func Sentence(text string) string {
	if text == "" {
		return ""
	}
	return Capital(strings.TrimSuffix(text, ".")) + "."
}

func endedHeadline(v record.View) Headline {
	s := v.State
	h := Headline{Class: OutcomeBadge(s.Outcome).Class, Since: s.EndedAt}
	if s.Outcome == rollout.Released {
		h.Text = "Released: " + Subject(v) + " serves everybody"
		if s.Undoes != "" {
			h.Text = "Undone: " + cmp.Or(rollout.Version(s.Parameters), "the previous version") + " serves everybody again"
		}
		return h
	}
	h.Text = Capital(OutcomeBadge(s.Outcome).Text) + byWhom(s) + Colon(WhyWords(s.Why))
	return h
}

// WhyWords is a reason without the part that the outcome already says.
func WhyWords(why string) string {
	for _, said := range []string{"rolled back: ", "cancelled: "} {
		why = strings.TrimPrefix(why, said)
	}
	if why == "no reason given" {
		return ""
	}
	return why
}

// question is what a person is asked at a gate, or by a policy.
func question(v record.View) string {
	what := Subject(v)
	if q := v.State.Question; q != nil {
		if q.About == rollout.FoundWorse {
			return Capital(aboutWords(q.About)) + ": shall " + what + " stay?"
		}
		return Capital(aboutWords(q.About)) + ": shall " + what + " go on?"
	}
	if next := nextStep(v); next != nil {
		return Step(next, what).Question
	}
	return "May the release of " + what + " go on?"
}

func aboutWords(d rollout.Deadline) string {
	switch d {
	case rollout.DecideMax:
		return "it is still not decided whether it is worse"
	case rollout.NoDataFor, rollout.UnreachableFor, rollout.BlindFor, rollout.FoundWorse:
		return Deadline(d)
	case rollout.PromoteMax:
		return "stable has not been brought to the new version"
	case rollout.GateExpired:
	}
	return "time is over"
}

// nextStep is the step after the current one; nil after the last.
func nextStep(v record.View) rollout.Step {
	if i := v.State.Step + 1; i >= 0 && i < len(v.Steps) {
		return v.Steps[i]
	}
	return nil
}

func stepAt(v record.View) rollout.Step {
	if i := v.State.Step; i >= 0 && i < len(v.Steps) {
		return v.Steps[i]
	}
	return nil
}

// activeHeadline is the headline of a release that continues by itself, or holds for a reason of its own.
func activeHeadline(v record.View, now time.Time) Headline {
	s, what := v.State, Subject(v)
	holds := s.Holds(cmp.Or(v.Definition, &rollout.Definition{Steps: v.Steps}), now)
	h := Headline{Class: "go", Since: wall(s, s.StageAt), Lasts: true, Next: comesNext(v, holds)}
	switch step := stepAt(v).(type) {
	case rollout.Gray:
		h.Text = fmt.Sprintf("%s of the traffic is on %s", v.Target.Weight, what)
		if !s.InForce {
			h.Text = fmt.Sprintf("%s of the traffic is on its way to %s", v.Target.Weight, what)
		}
	case nil:
		h.Text = "At step " + s.StepName
	default:
		h.Text = Step(step, what).Now
	}
	if held := holding(v, holds, now); held != "" {
		h.Class, h.Text, h.Next = "wait", h.Text+", held: "+held, Sentence(v.Waiting)
		if lack := lacking(v); lack != "" {
			h.Next = lack + " " + h.Next
		}
	}
	return h
}

// lacking names the first metric without data for which the source has an explanation, such as a wrong name or bound,
// so that waiting does not help; empty if there is none.
func lacking(v record.View) string {
	verdict := v.LastVerdict()
	if verdict == nil || v.State.NoDataSince.IsZero() {
		return ""
	}
	for _, m := range verdict.Metrics {
		if m.Reason == judge.NoData && m.Detail != "" && !m.Optional && !m.DryRun {
			return m.Metric + " cannot be measured: " + strings.TrimSuffix(m.Detail, ".") + "."
		}
	}
	return ""
}

// holding says what keeps a release from going on although its time may be over; empty if nothing does.
func holding(v record.View, holds []rollout.Hold, now time.Time) string {
	s := v.State
	switch {
	case !s.UnreachableSince.IsZero() && s.Clock(now).Sub(s.UnreachableSince) >= worthSaying:
		return "the source of the metrics does not answer"
	case !s.NoDataSince.IsZero() && s.Clock(now).Sub(s.NoDataSince) >= worthSaying:
		return "there is no new data"
	}
	if a := s.Awaited; a != nil && (a.Until.IsZero() || now.Before(a.Until)) {
		return Opening(a.Closed)
	}
	for _, h := range holds {
		switch h := h.(type) {
		case rollout.Leans:
			return "the evidence leans towards worse" + named(decisive(v))
		case rollout.Alarmed:
			if h.Exposures && !h.Split {
				return "what a metric counts contradicts the traffic that was sent"
			}
			return "the gateway does not split the traffic as it was asked to"
		case rollout.Contested:
			return "another program keeps changing the gateway's configuration"
		default:
		}
	}
	return ""
}

func decisive(v record.View) string {
	if verdict := v.LastVerdict(); verdict != nil {
		return verdict.Decisive
	}
	return ""
}

// worthSaying is how long data has to be missing before a person needs to know: one look without data means nothing.
const worthSaying = 30 * time.Second

// comesNext is what comes after this weight or step, and when if nothing gets worse.
func comesNext(v record.View, holds []rollout.Hold) string {
	next := Capital(nextWords(v))
	left, until := time.Duration(0), ""
	for _, h := range holds {
		switch h := h.(type) {
		case rollout.NeedsTime:
			left = h.Left
		case rollout.Elapses:
			return next + " in " + figures.Ahead(h.Left) + "."
		case rollout.Watches:
			return next + " in " + figures.Ahead(h.Left) + " if it is not found worse."
		case rollout.NeedsPass:
			until = "once it is shown to be no worse" + named(decisive(v))
		case rollout.NeedsData:
			until = "as soon as there is enough data"
		case rollout.Leans, rollout.Alarmed, rollout.Contested: // the words before say that it is held
		default:
			return Sentence(v.Waiting)
		}
	}
	switch {
	case left > 0 && until == "" && comparesNothing(v):
		return fmt.Sprintf("%s in %s; nothing is compared.", next, figures.Ahead(left))
	case left > 0 && until == "":
		return fmt.Sprintf("%s in %s if nothing gets worse.", next, figures.Ahead(left))
	case left > 0:
		return fmt.Sprintf("%s in %s at the earliest, %s.", next, figures.Ahead(left), until)
	case until != "":
		return next + " " + until + "."
	}
	return next + " now."
}

// comparesNothing reports whether, by the definition, this step compares nothing.
func comparesNothing(v record.View) bool {
	switch step := stepAt(v).(type) {
	case rollout.Gray:
		return step.Unjudged
	case rollout.AB:
		return step.Unjudged
	case rollout.Mirror:
		return step.Unjudged
	default:
		return false
	}
}

func named(metric string) string {
	if metric == "" {
		return ""
	}
	return " (" + metric + ")"
}

// nextWords are what follows this weight or step.
func nextWords(v record.View) string {
	if step, ok := stepAt(v).(rollout.Gray); ok && v.State.Stage+1 < len(step.Weights) {
		return step.Weights[v.State.Stage+1].String() + " of the traffic"
	}
	if next := nextStep(v); next != nil {
		return Step(next, Subject(v)).Next
	}
	return "the end of the release"
}

// Consequences says what the answers at a gate do, in the words of their buttons.
func Consequences(v record.View) (approve, reject string) {
	what := Subject(v)
	reject = "Reject: end the release"
	if v.State.Moved {
		reject = "Reject: all users back to stable"
	}
	if q := v.State.Question; q != nil && q.About == rollout.FoundWorse {
		return "Approve: keep it", "Reject: all users back to the previous version"
	}
	if v.State.Question != nil {
		return "Approve: go on without a decision", reject
	}
	if next := nextStep(v); next != nil {
		return "Approve: " + Step(next, what).Approve, reject
	}
	return "Approve: end the release", reject
}
