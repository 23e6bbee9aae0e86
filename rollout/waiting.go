package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
)

// Waiting says in a sentence what the release waits for at the given time, with the time that is left where there
// is any; empty for a release that has not started or has ended. Every case of [State.Next] that holds the release
// has its words here.
func (s State) Waiting(d *Definition, now time.Time) string {
	var clauses []string
	switch {
	case s.Phase == RollingBack:
		clauses = s.waitsBack(d, now)
	case s.Phase != Active:
		return ""
	case s.Pause != nil:
		clauses = []string{"paused by " + s.Pause.By + because(s.Pause.Reason) + ": it waits for somebody to resume it"}
	case s.Step < 0:
		clauses = []string{"about to begin"}
	default:
		clauses = s.waitsActive(d, now)
	}
	if s.Successor != nil && s.SuccessorCancelled == nil {
		clauses = append(clauses, "release "+s.Successor.ID+" starts then")
	}
	return strings.Join(clauses, "; ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func (s State) waitsBack(d *Definition, now time.Time) []string {
	var out []string
	t := s.Clock(now)
	switch {
	case s.Stage == backDone:
		return []string{"it is back, and about to end"}
	case s.Stage == backRestore:
		out = append(out, "going back: stable's Deployment gets its pod template back before the canary's traffic comes to it")
	case s.Stage == backTraffic:
		out = append(out, "going back: "+s.waitsForce(d, t, "all traffic on stable"))
	case s.Stage == backDrain && !s.InForce:
		out = append(out, "going back: "+s.waitsForce(d, t, "all traffic on stable")+", which it was before")
	case s.Stage == backDrain:
		out = append(out, "going back: traffic is on stable, the canary drains"+left(s.StageAt.Add(s.drain(d)), t))
	case s.Doing == StageLeave && (!s.Out || !s.InForce):
		out = append(out, "going back: "+s.waitsForce(d, t, "the weighted service without the canary"))
	case s.Doing == StageLeave && !s.putBack(d):
		out = append(out, "going back: traffic is on stable, the Deployments are put back"+because(strings.Join(s.WorkFailed, "; ")))
	default:
		names := make([]string, len(d.Rollback.Steps))
		for i, step := range d.Rollback.Steps {
			names[i] = step.StepName()
		}
		out = append(out, "going back: traffic is on stable, cleaning up ("+strings.Join(names, ", ")+")")
	}
	return append(out, "it counts as failed unless that is done"+within(s.BackAt.Add(d.Rollback.Deadline), t))
}

// waitsForce says why a target of traffic is not in force, and whether that can end by itself.
func (s State) waitsForce(d *Definition, t time.Time, what string) string {
	if s.UnconfirmedAt.IsZero() {
		return what + " is not in force yet" + because(strings.Join(s.NotInForceWhy, ", "))
	}
	out := what + " is written, but no replica of the gateway confirms it" + because(strings.Join(s.NotInForceWhy, ", "))
	if d.Verify.Trust {
		return out + "; it counts as in force" + within(s.UnconfirmedAt.Add(d.Verify.For), t)
	}
	return out
}

func (s State) waitsActive(d *Definition, now time.Time) []string {
	var out []string
	t := s.Clock(now)
	if q := s.Question; q != nil {
		out = append(out, fmt.Sprintf("question %s: %s; any operator may answer approve (go on), wait, or reject (go back)",
			q.Name, DeadlineWords(q.About)))
	}
	if s.Pending != nil {
		return append(append(out, "the canary's capacity, before its traffic"+within(s.StageAt.Add(d.Cluster.Deadline), t)+" at the latest"), s.waitsData(d, t)...)
	}
	switch step := d.Steps[s.Step].(type) {
	case AB:
		out = append(out, s.waitsAnalysed(d, now, "A/B step "+step.Name, step.Decide, step.Decide.Min, true)...)
	case Gray:
		what := fmt.Sprintf("%s of traffic on the canary", step.Weights[s.Stage])
		out = append(out, s.waitsAnalysed(d, now, what, step.Decide, step.Hold, step.NeedsPass(s.Stage))...)
	case Gate:
		out = append(out, s.waitsGate(step, t))
	case Wait:
		out = append(out, "step "+step.Name+left(s.StepAt.Add(step.For), t))
	case Webhook:
		out = append(out, "webhook "+step.Name+": its answer")
	case Job:
		out = append(out, "job "+step.Name+": its end"+within(s.StepAt.Add(step.Deadline), t)+" at the latest")
	case Deploy:
		out = append(out, "Deployment "+step.Deployment.String()+" to be ready"+within(s.StageAt.Add(step.Deadline), t)+" at the latest")
	case Promote:
		out = append(out, "promotion: "+s.waitsPromote(d, t, step))
	}
	return append(out, s.waitsData(d, t)...)
}

func (s State) waitsPromote(d *Definition, t time.Time, step Promote) string {
	switch s.Doing {
	case StagePatch:
		return "stable's Deployment to be ready with the canary's pod template" + within(s.StageAt.Add(step.Deadline), t) + " at the latest"
	case StageAwait:
		return "somebody else to bring stable's Deployment to the canary's images; if not, " +
			PolicyWords(step.Expired) + within(s.decideFrom().Add(step.Deadline), t)
	case StageReturn:
		if s.InForce {
			return "traffic is on stable, the canary drains" + left(s.forcedAt(s.drain(d)), t)
		}
		return s.waitsForce(d, t, "all traffic on stable, the new version,")
	case StageLeave:
		if s.Out && s.InForce {
			return "the canary to be scaled down"
		}
		return s.waitsForce(d, t, "the weighted service without the canary")
	default:
		if s.Stage == 1 {
			return s.waitsForce(d, t, "the exchange of roles (the canary's servers as stable)")
		}
		return s.waitsForce(d, t, "all traffic on the canary")
	}
}

// DeadlineWords say what time is up for.
func DeadlineWords(which Deadline) string {
	switch which {
	case DecideMax:
		return "the comparison is still undecided"
	case NoDataFor:
		return "there is no new data"
	case UnreachableFor:
		return "the source of the metrics does not answer"
	case BlindFor:
		return "not one metric can be asked"
	case GateExpired:
		return "the gate has expired"
	case PromoteMax:
		return "nobody has brought stable to the new version"
	}
	return string(which)
}

// waitsAnalysed lists all that an A/B step or a weight still needs.
func (s State) waitsAnalysed(d *Definition, now time.Time, what string, decide Decide, least time.Duration, pass bool) []string {
	t := s.Clock(now)
	if !s.InForce {
		return append([]string{s.waitsForce(d, t, what)}, s.waitsDecide(decide, t)...)
	}
	var needs []string
	for _, h := range s.held(&timer{now: t}, least, pass) {
		needs = append(needs, s.holdWords(h))
	}
	if len(needs) == 0 {
		return []string{what + ": the next step"}
	}
	return append([]string{what + ": it needs " + strings.Join(needs, ", ")}, s.waitsDecide(decide, t)...)
}

// holdWords say what would end a hold.
func (s State) holdWords(h Hold) string {
	switch h := h.(type) {
	case NeedsForce:
		return "to be in force"
	case NeedsTime:
		return "at least " + figures.Span(h.Left) + " more in force"
	case NeedsPass:
		return "a pass" + s.soFar()
	case NeedsData:
		return "enough data without a fail" + s.soFar()
	case Leans:
		return "evidence that does not lean towards worse" + s.leaning()
	case Alarmed:
		return "the sample-ratio alarm to clear or to be dismissed"
	case Contested:
		return fmt.Sprintf("somebody else to stop writing the gateway's configuration (calm for %s more)", figures.Span(h.Calm))
	}
	return ""
}

// leaning says how far the evidence leans, and how far that is from a fail.
func (s State) leaning() string {
	for _, m := range s.Look.Metrics {
		if m.Leaning {
			return fmt.Sprintf(" (%s looks %.2g times the baseline's, %.3g : 1 for that; to fail it needs %.3g : 1)",
				m.Metric, m.Leading, math.Exp(m.LogEvidence.Beyond), math.Exp(m.LogEvidence.FailsFrom))
		}
	}
	return ""
}

func (s State) soFar() string {
	if s.Look == nil {
		return " (no look yet)"
	}
	words := string(s.Look.Outcome)
	if s.Look.Outcome == judge.Inconclusive {
		words = ReasonWords(s.Look.Reason)
	}
	if s.Look.Decisive != "" {
		words += ": " + s.Look.Decisive
	}
	return " (now " + words + ")"
}

// ReasonWords are a reason in people's words.
func ReasonWords(r judge.Reason) string {
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

func (s State) waitsDecide(decide Decide, t time.Time) []string {
	if decide.Max == 0 || s.Decided {
		return nil
	}
	if slices.Contains(s.Told, DecideMax) {
		if s.Question != nil {
			return nil
		}
		return []string{"it has been undecided for longer than " + figures.Span(decide.Max) + " and holds"}
	}
	return []string{PolicyWords(decide.Inconclusive) + within(s.decideFrom().Add(decide.Max), t) + " if it is still undecided"}
}

func (s State) decideFrom() time.Time {
	if s.DecideFrom.IsZero() {
		return s.StepAt
	}
	return s.DecideFrom
}

// PolicyWords are what a policy does, as something that will happen.
func PolicyWords(p Policy) string {
	switch p {
	case PolicyHold:
		return "it says so and goes on holding"
	case PolicyGate:
		return "it asks a human"
	case PolicyRollback:
		return "it goes back"
	case PolicyCancel:
		return "it is cancelled"
	}
	return string(p)
}

func (s State) waitsGate(g Gate, t time.Time) string {
	if a, ok := s.Answered[g.Name]; ok && a.Answer == Approve {
		return "gate " + g.Name + " is approved by " + a.By
	}
	may := g.Approvers
	if len(may) == 0 {
		may = []string{"operator"}
	}
	out := "gate " + g.Name + ": an answer from " + strings.Join(may, ", ")
	if g.FourEyes {
		out += ", but not from " + s.StartedBy + ", who has started the release"
	}
	switch {
	case g.Expires == nil:
		return out
	case slices.Contains(s.Told, GateExpired):
		return out + "; it has expired and holds"
	}
	return out + "; unanswered, " + PolicyWords(g.Expires.Then) + within(s.StepAt.Add(g.Expires.After), t)
}

// lackSaid is how long data has to be missing before a person is told: a look without any, now and then, is nothing.
const lackSaid = 20 * time.Second

// waitsData says for how long data has been missing and what follows from that.
func (s State) waitsData(d *Definition, t time.Time) []string {
	scope, ok := d.Scope(s.Scope)
	if !ok {
		return nil
	}
	var out []string
	add := func(since time.Time, words string, which Deadline, p Patience) {
		switch {
		case since.IsZero(), t.Sub(since) < min(lackSaid, p.For/2):
		case slices.Contains(s.Told, which):
			out = append(out, words+" for "+figures.Span(t.Sub(since)))
		default:
			out = append(out, words+" for "+figures.Span(t.Sub(since))+": "+PolicyWords(p.Then)+within(since.Add(p.For), t))
		}
	}
	add(s.NoDataSince, "no new data", NoDataFor, scope.NoData)
	add(s.UnreachableSince, "the source of the metrics has not answered", UnreachableFor, scope.Unreachable)
	if b := scope.Unreachable.Blind; !s.BlindSince.IsZero() && b > 0 && !s.Decided {
		out = append(out, "nothing can be seen of the canary: it goes back"+within(s.BlindSince.Add(b), t))
	}
	return out
}

// left is ": 4m left", within " in 4m".
func left(at, now time.Time) string { return ": " + figures.Span(at.Sub(now)) + " left" }

func within(at, now time.Time) string {
	if !now.Before(at) {
		return " now"
	}
	return " in " + figures.Span(at.Sub(now))
}
