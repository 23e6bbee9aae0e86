package notify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
)

// Kind is what a note is about.
type Kind string

// The kinds of notes.
const (
	Started  Kind = "started"
	Step     Kind = "step"     // a step, or the next weight of one, was entered
	Gate     Kind = "gate"     // a person is asked
	Hold     Kind = "hold"     // not advancing: a deadline has passed, a window is awaited, or a person has paused it
	Alarm    Kind = "alarm"    // the requests do not split as the weight in force says
	Drift    Kind = "drift"    // something other than Serin has changed the gateway's configuration
	DryRun   Kind = "dryRun"   // a metric of a dry run would have sent the release back
	Rollback Kind = "rollback" // traffic goes back to stable
	Finished Kind = "finished"
)

// Note is one piece of news for a receiver. Messages are made from it alone, and it is kept until it is delivered. Programs
// get it as JSON.
type Note struct {
	Kind    Kind      `json:"kind"`
	Rollout string    `json:"rollout"`
	Release string    `json:"release"`
	Seq     int       `json:"seq"` // number of the event in its release
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	// Event is the event's kind, as the API shows it.
	Event      string            `json:"event"`
	Revision   string            `json:"revision"`
	Parameters map[string]string `json:"parameters,omitempty"`
	StartedBy  string            `json:"startedBy"`
	Phase      rollout.Phase     `json:"phase"`
	Outcome    rollout.Outcome   `json:"outcome,omitempty"`
	Step       string            `json:"step,omitempty"`
	// Weight of the canary that is now requested on the main route.
	Weight share.Share `json:"weight"`
	// Gate that waits for an answer; nil for none.
	Gate        *GateNote        `json:"gate,omitempty"`
	Explanation tell.Explanation `json:"explanation"`
	// Owner, Labels, Links and Namespace come from the rollout's document.
	Owner     string            `json:"owner,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Links     []record.Link     `json:"links,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
	// Link to the release's page; empty for a daemon without an externalURL.
	Link string `json:"link,omitempty"`
	// Says is how the release is doing, what comes next, and what it means for users, in plain sentences.
	Says []string `json:"says,omitempty"`
	// Title and Text are the note in words, without markup. Users' texts are made safe first: they ping nobody and break no
	// line.
	Title string `json:"title"`
	Text  string `json:"text"`
}

// GateNote is what a person needs to know to answer a gate.
type GateNote struct {
	Name      string   `json:"name"`
	Approvers []string `json:"approvers"`
	// Question: a policy asks, and "wait" is an answer as well.
	Question bool `json:"question,omitempty"`
}

// turn is one event with the states around it.
type turn struct {
	release       record.Release
	plan          *record.Plan
	definition    *rollout.Definition // of the plan
	before, after rollout.State
	event         rollout.Event
}

// kinds returns the kinds of notes that an event causes; most cause none.
func (t turn) kinds() []Kind {
	var out []Kind
	switch e := t.event.(type) {
	case rollout.Started:
		out = append(out, Started)
	case rollout.StepEntered:
		if e.What != rollout.StageGate {
			out = append(out, Step)
		}
	case rollout.Drifted:
		out = append(out, Drift)
	case rollout.Paused, rollout.WindowAwaited:
		out = append(out, Hold)
	case rollout.DeadlinePassed:
		if e.Then == rollout.PolicyHold {
			out = append(out, Hold)
		}
	case rollout.Ended:
		out = append(out, Finished)
	case rollout.LookTaken:
		if len(e.Verdict.WouldFail(t.before.LastVerdict)) > 0 {
			out = append(out, DryRun)
		}
	case rollout.InForce, rollout.NotInForce, rollout.AlarmDismissed, rollout.GateAnswered, rollout.WebhookAnswered,
		rollout.Resumed, rollout.WentOn, rollout.RollbackRequested, rollout.CancelRequested, rollout.Superseded,
		rollout.SuccessorCancelled, rollout.Drained, rollout.CleanedUp,
		rollout.JobSucceeded, rollout.JobFailed, rollout.DeploymentReady, rollout.DeploymentFailed: // their consequences are reported
	}
	if gate := t.after.OpenGate(); gate != "" && gate != t.before.OpenGate() {
		out = append(out, Gate)
	}
	if t.after.Alarm && !t.before.Alarm {
		out = append(out, Alarm)
	}
	if t.before.Phase == rollout.Active && t.after.Phase == rollout.RollingBack {
		out = append(out, Rollback)
	}
	return out
}

// note makes a note of the given kind about what the event has changed.
func (t turn) note(kind Kind, link string) Note {
	head, s := t.event.Head(), t.after
	weight := s.Target(t.definition, t.release.ID).Traffic.Weight
	n := Note{
		Kind: kind, Rollout: t.release.Rollout, Release: t.release.ID, Seq: head.Seq, At: head.At, By: head.By,
		Event: rollout.Kind(t.event), Revision: s.Revision, Parameters: s.Parameters, StartedBy: s.StartedBy, Phase: s.Phase,
		Outcome: s.Outcome, Step: s.StepName, Weight: weight, Link: link,
	}
	view := record.View{
		Rollout: t.release.Rollout, Declared: true, Release: &t.release, State: s, Steps: t.definition.Steps, Definition: t.definition,
		Verdict: s.LastVerdict, Waiting: tell.Waiting(s, t.definition, head.At), Gate: s.OpenGate(),
		Target: s.Target(t.definition, t.release.ID).Traffic,
	}
	n.Explanation = tell.Explain(view)
	if about := t.plan.About.Of(s.Parameters); !about.IsZero() {
		n.Owner, n.Labels, n.Links = about.Owner, about.Labels, about.Links
	}
	n.Namespace = t.plan.Namespace()
	if name := s.OpenGate(); name != "" {
		n.Gate = &GateNote{Name: name, Approvers: t.definition.Approvers(name), Question: s.Question != nil && s.Question.About != rollout.FoundWorse}
	}
	n.Says = says(view, head.At)
	n.Title, n.Text = plain(n.title(t.event)), n.text()
	return n
}

// says puts the state of a release into sentences that a person understands who has just been woken up.
func says(v record.View, at time.Time) []string {
	h := tell.HeadlineOf(v, at)
	out := []string{h.Text, h.Next}
	if v.State.Ended() {
		out = append(out, tell.ForUsers(v))
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

func (n Note) title(event rollout.Event) string {
	var out string
	switch n.Kind {
	case Started:
		out = "release " + tell.Words{Text: tell.Event(event, nil).Text, Asked: true}.Line(n.By)
	case Step:
		out = fmt.Sprintf("step %s: %s of traffic on the canary", n.Step, n.Weight)
	case Gate:
		out = "gate " + n.Gate.Name + " waits for an answer from " + strings.Join(n.Gate.Approvers, ", ")
	case Hold:
		out = "the release holds at step " + n.Step
		switch e := event.(type) {
		case rollout.Paused:
			out = "paused by " + e.By
		case rollout.WindowAwaited:
			out = "the release " + tell.Event(e, nil).Text
		default:
		}
	case Alarm:
		out = "the split of the traffic is not the one asked for"
		if n.Explanation.Exposure != "" {
			out = "what a metric counts contradicts the traffic that was sent"
		}
	case Drift:
		out = tell.Event(event, nil).Text
	case DryRun:
		if e, ok := event.(rollout.LookTaken); ok {
			out = tell.DryRun(e.Verdict.WouldFail(nil))
		}
	case Rollback:
		out = "the release goes back to stable"
	case Finished:
		out = map[rollout.Outcome]string{
			rollout.Released: "released", rollout.RolledBack: "rolled back", rollout.Cancelled: "cancelled",
			rollout.OutcomeSuperseded: "superseded by a newer release", rollout.Failed: "failed; traffic is on stable",
		}[n.Outcome]
	}
	return n.Rollout + ": " + out
}

// mostParameters of a release are shown in a message; the JSON has all of them.
const mostParameters = 5

func (n Note) text() string {
	who := "Release " + n.Release
	names := slices.Sorted(maps.Keys(n.Parameters))
	var values []string
	for _, name := range names[:min(len(names), mostParameters)] {
		values = append(values, name+" "+n.Parameters[name])
	}
	if len(values) > 0 {
		who += " (" + strings.Join(values, ", ") + ")"
	}
	who += ", started by " + n.StartedBy
	if n.Phase == rollout.Active {
		who += fmt.Sprintf("; %s of traffic is to go to the canary", n.Weight)
	}
	lines := append(slices.Clone(n.Says), who)
	if len(n.Says) == 0 { // otherwise they say the same in plainer words
		lines = append(lines, n.Explanation.Headline)
	}
	lines = append(lines, explained(n.Explanation)...)
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	if n.Kind == Gate {
		lines = append(lines, n.answers()...)
	}
	if n.Owner != "" {
		lines = append(lines, plain("Owner: "+n.Owner))
	}
	for _, l := range n.Links { // package config has checked the address
		lines = append(lines, plain(l.Name)+": "+l.URL)
	}
	if n.Link != "" {
		lines = append(lines, n.Link)
	}
	return strings.Join(lines, "\n")
}

// explained renders an explanation as lines. It builds them itself instead of splitting a text, since a reason may contain
// line breaks.
func explained(e tell.Explanation) []string {
	var lines []string
	for _, m := range e.Metrics {
		lines = append(lines, fmt.Sprintf("- %s, %s: %s", m.Metric, m.Badge.Text, m.Brief))
	}
	for _, part := range []struct{ name, text string }{
		{"sample ratio", e.SampleRatio}, {"exposure", e.Exposure}, {"waiting", e.Waiting}, {"next", e.Next},
	} {
		if part.text != "" {
			lines = append(lines, part.name+": "+part.text)
		}
	}
	return lines
}

// answers says how to answer a gate. The names of releases and gates are Serin's own or the configuration's.
func (n Note) answers() []string {
	command := n.Release + " " + n.Gate.Name + ` --reason "…"`
	out := []string{
		"Who may answer: " + plain(strings.Join(n.Gate.Approvers, ", ")),
		"Go on: serin approve " + command,
		"Go back: serin reject " + command,
	}
	if n.Gate.Question {
		out = append(out, "Go on waiting: serin approve --wait "+command)
	}
	return out
}

// outgoing converts a note to the outbox's form.
func (n Note) outgoing(receiver string) (record.Outgoing, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return record.Outgoing{}, fmt.Errorf("encode note %d of %s: %w", n.Seq, n.Release, err)
	}
	return record.Outgoing{
		Key:      fmt.Sprintf("%s/%05d/%s/%s", n.Release, n.Seq, n.Kind, receiver),
		Receiver: receiver, At: n.At, Body: body, State: record.OutgoingWaiting, Due: time.Unix(0, 0).UTC(),
	}, nil
}
