package tell

import (
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

// Waiting says in a sentence what a release waits for at the given time, and for how long if that is bounded; empty for a
// release that has not started or has ended. It words [rollout.State.Holds] and [rollout.State.Dues].
func Waiting(s rollout.State, d *rollout.Definition, now time.Time) string {
	if s.Phase != rollout.Active && s.Phase != rollout.RollingBack {
		return ""
	}
	w := waiting{s, d, now}
	clauses := w.clauses(s.Holds(d, now))
	if s.Successor != nil && s.SuccessorCancelled == nil {
		clauses = append(clauses, "release "+s.Successor.ID+" starts then")
	}
	return strings.Join(clauses, "; ")
}

// waiting words the holds of a release at a time.
type waiting struct {
	s   rollout.State
	d   *rollout.Definition
	now time.Time
}

// clauses returns the parts of the sentence.
func (w waiting) clauses(holds []rollout.Hold) (out []string) {
	var needs []string // of an exposure, in one clause
	for _, h := range holds {
		if words, ok := w.need(h); ok {
			needs = append(needs, words)
		} else {
			out = append(out, w.clause(h))
		}
	}
	what := w.subject()
	switch {
	case len(needs) > 0:
		out = append(out, what+": it needs "+strings.Join(needs, ", "))
	case len(holds) == 0 && w.s.Phase == rollout.RollingBack:
		return []string{"it is back, and about to end"}
	case len(holds) == 0:
		return append(out, what+": the next step")
	}
	return append(out, w.dues()...)
}

// subject is the current step or weight.
func (w waiting) subject() string {
	if w.s.Step < 0 || w.s.Step >= len(w.d.Steps) {
		return "the end of the release"
	}
	return atStep(w.d.Steps[w.s.Step], w.s.Stage)
}

// need says what an exposure in force still needs; ok is false for all other holds.
func (w waiting) need(h rollout.Hold) (words string, ok bool) {
	switch h := h.(type) {
	case rollout.NeedsTime:
		return "at least " + figures.Span(h.Left) + " more in force", true
	case rollout.NeedsPass:
		return "a pass" + w.soFar(), true
	case rollout.NeedsData:
		return "enough data without a fail" + w.soFar(), true
	case rollout.Leans:
		return "evidence that does not lean towards worse" + w.leaning(), true
	case rollout.Alarmed:
		if !h.Split {
			return "the alarm about contradictory exposures to clear or to be dismissed", true
		}
		return "the sample-ratio alarm to clear or to be dismissed", true
	case rollout.Contested:
		return fmt.Sprintf("other writers to leave the gateway's configuration alone (for %s more)", figures.Span(h.Calm)), true
	default:
		return "", false
	}
}

// clause words a hold that is a clause of its own.
func (w waiting) clause(h rollout.Hold) string {
	switch h := h.(type) {
	case rollout.NeedsForce:
		return w.force(h.Of)
	case rollout.NeedsWindow:
		if w.s.Step < 0 {
			return "the first step waits " + opening(h.Closed)
		}
		return "what comes next waits " + opening(h.Closed)
	case rollout.NeedsResume:
		return "paused by " + h.By + because(h.Reason) + ": it waits to be resumed"
	case rollout.NeedsBeginning:
		return "about to begin"
	case rollout.NeedsDecision:
		if h.About == rollout.FoundWorse {
			return fmt.Sprintf("question %s: %s; any operator may answer approve (keep it) or reject (take it back)", h.Name, Deadline(h.About))
		}
		return fmt.Sprintf("question %s: %s; any operator may answer approve (go on), wait, or reject (go back)", h.Name, Deadline(h.About))
	case rollout.NeedsAnswer:
		return w.gate(h)
	case rollout.NeedsCapacity:
		return "the canary's capacity, before its traffic" + within(h.Left) + " at the latest"
	case rollout.Elapses:
		return w.subject() + left(h.Left)
	case rollout.Watches:
		return "everybody has the new version, which is compared with the time before the release" + left(h.Left)
	case rollout.NeedsReply:
		return w.subject() + ": its answer"
	case rollout.NeedsEnd:
		return w.subject() + ": its end" + within(h.Left) + " at the latest"
	case rollout.NeedsDeployment:
		return "Deployment " + h.Deployment.String() + " to be ready" + within(h.Left) + " at the latest"
	case rollout.NeedsPatch:
		if w.s.Undoes != "" {
			return w.subject() + ": stable's Deployment to be ready with the previous version" + within(h.Left) + " at the latest"
		}
		return w.subject() + ": stable's Deployment to be ready with the canary's pod template" + within(h.Left) + " at the latest"
	case rollout.NeedsOthers:
		return w.subject() + ": another system to bring stable's Deployment to the canary's images; if not, " +
			Policy(h.Then) + within(h.Due.Left(w.s, w.now))
	case rollout.Drains:
		return w.aim("traffic is on stable, the canary drains") + left(h.Left)
	case rollout.NeedsScaleDown:
		return w.subject() + ": the canary to be scaled down"
	case rollout.NeedsRestore, rollout.NeedsPutBack, rollout.NeedsCleanup, rollout.FailsAfter:
		return back(h)
	case rollout.NeedsTime, rollout.NeedsPass, rollout.NeedsData, rollout.Leans, rollout.Alarmed, rollout.Contested: // need words them
	}
	return ""
}

// back words the holds that only a release that goes back has.
func back(h rollout.Hold) string {
	switch h := h.(type) {
	case rollout.NeedsRestore:
		return "going back: stable's Deployment gets its pod template back before the canary's traffic comes to it"
	case rollout.NeedsPutBack:
		return "going back: traffic is on stable, the Deployments are put back" + because(strings.Join(h.Why, "; "))
	case rollout.NeedsCleanup:
		return "going back: traffic is on stable, cleaning up (" + strings.Join(h.Steps, ", ") + ")"
	case rollout.FailsAfter:
		return "it counts as failed unless that is done" + within(h.Left)
	default:
		return ""
	}
}

// aim prefixes a clause with its purpose: going back, or promotion.
func (w waiting) aim(what string) string {
	if w.s.Phase == rollout.RollingBack {
		return "going back: " + what
	}
	return w.subject() + ": " + what
}

// force says why a target of traffic is not in force, and whether it will count as in force after some time.
func (w waiting) force(of rollout.Wanted) string {
	switch of {
	case rollout.WantStable:
		return w.aim(w.notInForce("all traffic on stable"))
	case rollout.WantStableAgain:
		return w.aim(w.notInForce("all traffic on stable")) + ", which it was before"
	case rollout.WantNewStable:
		return w.aim(w.notInForce("all traffic on stable, the new version,"))
	case rollout.WantAllOnCanary:
		return w.aim(w.notInForce("all traffic on the canary"))
	case rollout.WantExchange:
		return w.aim(w.notInForce("the exchange of roles (the canary's servers as stable)"))
	case rollout.WantCanaryOut:
		return w.aim(w.notInForce("the weighted service without the canary"))
	}
	return w.notInForce(w.subject())
}

func (w waiting) notInForce(what string) string {
	why := because(strings.Join(w.s.NotInForceWhy, ", "))
	if w.s.UnconfirmedAt.IsZero() {
		return what + " is not in force yet" + why
	}
	out := what + " is written, but no replica of the gateway confirms it" + why
	if w.d.Verify.Trust {
		return out + "; it counts as in force" + within(w.s.UnconfirmedAt.Add(w.d.Verify.For).Sub(w.s.Clock(w.now)))
	}
	return out
}

func (w waiting) gate(h rollout.NeedsAnswer) string {
	out := "gate " + h.Gate.Name + w.ruledOut() + ": an answer from " + strings.Join(w.d.Approvers(h.Gate.Name), ", ")
	if h.Gate.FourEyes {
		out += ", but not from " + w.s.StartedBy + ", who has started the release"
	}
	switch {
	case h.Expires == nil:
		return out
	case h.Expires.Acted(w.s):
		return out + "; it has expired and holds"
	}
	return out + "; unanswered, " + Policy(h.Expires.Then) + within(h.Expires.Left(w.s, w.now))
}

// ruledOut says what was ruled out by passes that rest on a given time instead of a margin.
func (w waiting) ruledOut() string {
	if w.s.LastVerdict == nil {
		return ""
	}
	var parts []string
	for _, m := range w.s.LastVerdict.Metrics {
		if m.Rules > 0 && m.Outcome == judge.Pass {
			parts = append(parts, fmt.Sprintf("%s: %s is ruled out", m.Metric, howBad(m.Rules)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// leaning says how far the evidence leans towards worse, and how far that is from a fail.
func (w waiting) leaning() string {
	for _, m := range w.s.Look.Metrics {
		if m.Leaning && !m.DryRun {
			l := m.LogEvidence
			return fmt.Sprintf(" (%s looks %s times the baseline's; evidence %s that it is worse, %s that it is by "+
				"more than the margin; to fail it needs %s and %s)",
				m.Named(), figures.Number(m.Leading), figures.Odds(l.Worse), figures.Odds(l.Beyond),
				figures.Odds(l.FailsFrom), figures.Odds(judge.BeyondFrom)) + few(m)
		}
	}
	return ""
}

func (w waiting) soFar() string {
	look := w.s.Look
	if look == nil {
		return " (no look yet)"
	}
	words := string(look.Outcome)
	if look.Outcome == judge.Inconclusive {
		words = Reason(look.Reason)
	}
	if look.Decisive != "" {
		words += ": " + look.Decisive
	}
	return " (now " + words + ")"
}

// lackSaid is how long data has to be missing before it is mentioned: a single look without data means nothing.
const lackSaid = 20 * time.Second

// dues says what will happen unless something changes: first about an undecided comparison, then about missing data.
func (w waiting) dues() []string {
	var undecided, lacks []string
	for _, due := range w.s.Dues(w.d, w.now) {
		left, lasted := due.Left(w.s, w.now), w.s.Clock(w.now).Sub(due.Since)
		switch {
		case due.Which == rollout.DecideMax && !due.Acted(w.s):
			undecided = append(undecided, Policy(due.Then)+within(left)+" if it is still undecided")
		case due.Which == rollout.DecideMax && w.s.Question == nil:
			undecided = append(undecided, "it has been undecided for longer than "+figures.Span(due.For)+" and holds")
		case due.Which == rollout.DecideMax:
		case due.Which == rollout.BlindFor:
			lacks = append(lacks, "nothing can be seen of the canary: it goes back"+within(left))
		case lasted < min(lackSaid, due.For/2):
		case due.Acted(w.s):
			lacks = append(lacks, lack(due.Which)+" for "+figures.Span(lasted))
		default:
			lacks = append(lacks, lack(due.Which)+" for "+figures.Span(lasted)+": "+Policy(due.Then)+within(left))
		}
	}
	return append(undecided, lacks...)
}

func lack(which rollout.Deadline) string {
	if which == rollout.NoDataFor {
		return "no new data"
	}
	return "the source of the metrics has not answered"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// left is ": 4m left", within " in 4m".
func left(left time.Duration) string { return ": " + figures.Span(left) + " left" }

func within(left time.Duration) string {
	if left <= 0 {
		return " now"
	}
	return " in " + figures.Span(left)
}

// Deadline says which condition has lasted too long.
func Deadline(which rollout.Deadline) string {
	switch which {
	case rollout.DecideMax:
		return "the comparison is still undecided"
	case rollout.NoDataFor:
		return "there is no new data"
	case rollout.UnreachableFor:
		return "the source of the metrics does not answer"
	case rollout.BlindFor:
		return "nothing can be seen of the canary"
	case rollout.GateExpired:
		return "the gate has expired"
	case rollout.PromoteMax:
		return "no other system has brought stable to the new version"
	case rollout.FoundWorse:
		return "the version that everybody has is worse than before the release"
	}
	return string(which)
}

// Reason says why a verdict is inconclusive.
func Reason(r judge.Reason) string {
	switch r {
	case judge.Unreachable:
		return "the source does not answer"
	case judge.NoData:
		return "no new data"
	case judge.TooFew:
		return "too few requests yet"
	case judge.Undecided:
		return "undecided"
	case judge.Waiting:
		return "no worse by the evidence, but too early for a pass"
	case judge.WarmingUp:
		return "not judged yet: warming up"
	case judge.NotPositive:
		return "the baseline is not positive"
	}
	return string(r)
}

// Policy says what a policy will do.
func Policy(p rollout.Policy) string {
	switch p {
	case rollout.PolicyHold:
		return "it says so and goes on holding"
	case rollout.PolicyGate:
		return "it asks a human"
	case rollout.PolicyRollback:
		return "it goes back"
	case rollout.PolicyCancel:
		return "it is cancelled"
	}
	return string(p)
}
