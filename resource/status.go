// Package resource makes the status of a rollout that is a custom resource from the daemon's view.
//
// It is pure and decides nothing. Package tell has the words, package config reads the object's specification, and
// resource/kube writes the status to the cluster. Start reading at [Of].
package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

// Status is the status of an object of kind Rollout. Nothing in it changes with time alone: times are points in time,
// so that a status is only written when there is something new.
type Status struct {
	// ObservedGeneration is the generation of the object that was read last, right or wrong.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Phase is the state of the rollout in one word.
	Phase Phase `json:"phase"`
	// Message says what is going on, in a sentence.
	Message string `json:"message,omitempty"`
	// Release is the newest one.
	Release *Release `json:"release,omitempty"`
	// Step is the current step of the release: "3/6 gray".
	Step string `json:"step,omitempty"`
	// Weight is the canary's requested share of the traffic: "25%", or "50% of a cohort" in an A/B test.
	Weight string `json:"weight,omitempty"`
	// ServedWeight is what the gateway serves, as far as it says: "10%", or "10% to 25%" where replicas differ.
	ServedWeight string `json:"servedWeight,omitempty"`
	// Stable and Canary are the arms.
	Stable *Arm `json:"stable,omitempty"`
	Canary *Arm `json:"canary,omitempty"`
	// Verdict is the last one that was news.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Gate is the gate or question that waits for a person.
	Gate *Gate `json:"gate,omitempty"`
	// WaitingFor is what the release waits for, in a few words.
	WaitingFor string `json:"waitingFor,omitempty"`
	// NextAt is when something happens although nobody does anything: a hold ends, a gate expires.
	NextAt *time.Time `json:"nextAt,omitempty"`
	// Problems are the faults of the object, whose last good version is in use.
	Problems []Problem `json:"problems,omitempty"`
	// Trouble says what hinders Serin.
	Trouble []string `json:"trouble,omitempty"`
	// Releases are the last five that have ended, newest first.
	Releases []Past `json:"releases,omitempty"`
	// Conditions are those of [Conditions].
	Conditions []Condition `json:"conditions,omitempty"`
}

// Phase is where a rollout stands.
type Phase string

// The phases.
const (
	Invalid     Phase = "Invalid"     // no version of it has ever been valid
	Idle        Phase = "Idle"        // there has been no release
	Progressing Phase = "Progressing" // a release goes on by itself
	Waiting     Phase = "Waiting"     // a release waits for a person
	Paused      Phase = "Paused"
	Promoting   Phase = "Promoting"
	RollingBack Phase = "RollingBack"
	Released    Phase = "Released" // how the newest release ended, like the ones below
	RolledBack  Phase = "RolledBack"
	Cancelled   Phase = "Cancelled"
	Superseded  Phase = "Superseded"
	Failed      Phase = "Failed"
)

// Phases are all of them.
var Phases = []Phase{Invalid, Idle, Progressing, Waiting, Paused, Promoting, RollingBack, Released, RolledBack, Cancelled, Superseded, Failed}

// Release is the newest release.
type Release struct {
	ID         string            `json:"id"`
	Revision   string            `json:"revision"`
	StartedBy  string            `json:"startedBy"`
	StartedAt  time.Time         `json:"startedAt"`
	EndedAt    *time.Time        `json:"endedAt,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	// Why it goes back, or ended as it did.
	Why string `json:"why,omitempty"`
}

// Arm is one of the two versions.
type Arm struct {
	Deployment string `json:"deployment"`
	// Image of the first container; the others are in Images.
	Image string `json:"image,omitempty"`
	// Images by container, where there are several.
	Images map[string]string `json:"images,omitempty"`
}

// Verdict is a verdict of the judge.
type Verdict struct {
	Outcome string `json:"outcome"`
	// Text is the verdict in a sentence.
	Text string    `json:"text"`
	Look int       `json:"look"`
	At   time.Time `json:"at"`
}

// Gate is a gate, or a question that a policy has asked.
type Gate struct {
	Name     string `json:"name"`
	Question string `json:"question"`
	// Approvers are roles or people; in a cluster also everybody who has the verb approve, see docs/kubernetes.md.
	Approvers []string  `json:"approvers,omitempty"`
	Since     time.Time `json:"since"`
}

// Problem is one fault of the object.
type Problem struct {
	// Path leads to the field, from spec on.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// Past is a release that has ended.
type Past struct {
	ID        string    `json:"id"`
	Outcome   string    `json:"outcome"`
	StartedBy string    `json:"startedBy"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Why       string    `json:"why,omitempty"`
}

// In is the input of a status.
type In struct {
	// View of the rollout; nil if no version of the object has been valid.
	View *record.View
	// Generation of the object that was read last.
	Generation int64
	// Problems of that generation.
	Problems []Problem
	// Past are its releases, newest first.
	Past []record.Past
	// Stable and Canary are the images of the Deployments, by container; empty if unknown.
	Stable, Canary Images
	// Before is the object's current status; conditions that do not change keep their times from it.
	Before Status
	Now    time.Time
}

// Images are those of a pod template.
type Images struct {
	First string
	All   map[string]string
}

// Bounds of a status: an object in etcd is read by people, and by everything that watches.
const (
	maxPast     = 5
	maxProblems = 10
	maxTrouble  = 3
	maxText     = 400
)

// Of is the status of an object.
func Of(in In) Status {
	s := Status{ObservedGeneration: in.Generation, Phase: Invalid}
	for _, p := range in.Problems[:min(len(in.Problems), maxProblems)] {
		s.Problems = append(s.Problems, Problem{p.Path, short(p.Message)})
	}
	if v := in.View; v != nil {
		s.of(v, in)
	}
	s.Message = short(s.sentence(in.View))
	s.Conditions = conditions(&s, in)
	return s
}

// of fills in the fields that come from the view.
func (s *Status) of(v *record.View, in In) {
	s.Phase = phaseOf(v)
	if c := definition(v).Cluster; c != nil {
		s.Stable, s.Canary = arm(c.Arms.Stable.Deployment.Name, in.Stable), arm(c.Arms.Canary.Deployment.Name, in.Canary)
	}
	for _, t := range v.Trouble[:min(len(v.Trouble), maxTrouble)] {
		s.Trouble = append(s.Trouble, short(t))
	}
	for _, p := range in.Past {
		if p.Phase == rollout.PhaseEnded && len(s.Releases) < maxPast {
			s.Releases = append(s.Releases, Past{p.ID, tell.Outcome(p.Outcome), p.StartedBy, whole(p.StartedAt), whole(p.EndedAt), short(p.Why)})
		}
	}
	if v.Release == nil {
		return
	}
	r, state := v.Release, v.State
	s.Release = &Release{
		ID: r.ID, Revision: r.Revision, StartedBy: r.StartedBy, StartedAt: whole(r.StartedAt), Parameters: state.Parameters, Why: short(state.Why),
	}
	if last := state.LastVerdict; last != nil {
		s.Verdict = &Verdict{Outcome: string(last.Outcome), Text: short(verdict(v)), Look: last.Look, At: whole(last.At)}
	}
	if state.Ended() {
		at := whole(state.EndedAt)
		s.Release.EndedAt = &at
		return
	}
	if n := len(v.Steps); state.Step >= 0 && n > 0 {
		s.Step = fmt.Sprintf("%d/%d %s", state.Step+1, n, state.StepName)
	}
	s.Weight, s.ServedWeight = weights(v)
	s.WaitingFor = short(awaited(v, in.Now))
	if v.Gate != "" {
		s.Gate = &Gate{Name: v.Gate, Question: short(question(v)), Approvers: v.Approvers, Since: whole(v.GateSince)}
	}
	if v.Definition == nil {
		return
	}
	if at, ok := state.Deadline(v.Definition, in.Now); ok {
		at = whole(at)
		s.NextAt = &at
	}
}

func definition(v *record.View) *rollout.Definition {
	if v.Definition == nil {
		return &rollout.Definition{}
	}
	return v.Definition
}

func arm(deployment string, images Images) *Arm {
	a := &Arm{Deployment: deployment, Image: images.First}
	if len(images.All) > 1 {
		a.Images = images.All
	}
	return a
}

// phaseOf returns the phase of a rollout that has been valid at least once.
func phaseOf(v *record.View) Phase {
	s := v.State
	switch {
	case v.Release == nil:
		return Idle
	case s.Phase == rollout.RollingBack:
		return RollingBack
	case s.Ended():
		return map[rollout.Outcome]Phase{
			rollout.Released: Released, rollout.RolledBack: RolledBack, rollout.Cancelled: Cancelled,
			rollout.OutcomeSuperseded: Superseded, rollout.Failed: Failed,
		}[s.Outcome]
	case s.Pause != nil:
		return Paused
	case v.Gate != "":
		return Waiting
	case s.Promoting() && !s.Watching():
		return Promoting
	}
	return Progressing
}

// weights returns the weight asked for, and the one served as far as the gateway reports it.
func weights(v *record.View) (wanted, served string) {
	t := v.Target
	of := func(r traffic.Served) *traffic.RouteServed { return r.Main }
	suffix := ""
	w := t.Weight
	if t.Cohort != nil && t.Weight == 0 {
		w, suffix = t.Cohort.Split, " of a cohort"
		of = func(r traffic.Served) *traffic.RouteServed { return r.Cohort }
	}
	wanted = w.String() + suffix
	if v.State.InForce {
		return wanted, wanted
	}
	low, high, known := w, w, false
	for _, r := range v.Replicas {
		route := of(r.Served)
		if r.Err != "" || route == nil {
			continue
		}
		if !known {
			low, high, known = route.Weight, route.Weight, true
		}
		low, high = min(low, route.Weight), max(high, route.Weight)
	}
	switch {
	case !known:
		return wanted, ""
	case low == high:
		return wanted, low.String() + suffix
	}
	return wanted, low.String() + " to " + high.String() + suffix
}

// verdict is the last verdict in a sentence, with the numbers of the metric that decided it.
func verdict(v *record.View) string {
	last := v.State.LastVerdict
	words := tell.Verdict(last.Outcome, last.Reason)
	if last.Decisive == "" {
		return words
	}
	said := *v
	said.Verdict = last
	for _, m := range tell.Explain(said).Metrics {
		if m.Metric == last.Decisive && last.Outcome == judge.Fail {
			return words + ": " + m.Text
		}
	}
	return words + ": " + last.Decisive
}

func question(v *record.View) string {
	if q := v.State.Question; q != nil {
		return tell.Deadline(q.About) + ": approve (go on), wait, or reject (go back)?"
	}
	return "may the release go on?"
}

// awaited says what a release waits for, in a few words and without durations, which would change by themselves.
func awaited(v *record.View, now time.Time) string {
	var out []string
	for _, h := range v.State.Holds(definition(v), now) {
		if words := needed(h); words != "" && !slices.Contains(out, words) {
			out = append(out, words)
		}
	}
	if len(out) == 0 {
		return "the next step"
	}
	return strings.Join(out, ", ")
}

// needed is what ends a hold.
func needed(h rollout.Hold) string {
	switch h := h.(type) {
	case rollout.NeedsForce:
		return map[rollout.Wanted]string{
			"": "the weight in force", rollout.WantStable: "all traffic on stable", rollout.WantStableAgain: "all traffic on stable",
			rollout.WantNewStable: "all traffic on the new stable", rollout.WantAllOnCanary: "all traffic on the canary",
			rollout.WantExchange: "the exchange of roles", rollout.WantCanaryOut: "the canary out of service",
		}[h.Of]
	case rollout.NeedsTime:
		return "time at this weight"
	case rollout.NeedsPass:
		return "a pass"
	case rollout.NeedsData:
		return "data"
	case rollout.Leans:
		return "better evidence"
	case rollout.Alarmed:
		return "an answer to the sample-ratio alarm"
	case rollout.Contested:
		return "an end of foreign edits"
	case rollout.NeedsWindow:
		if h.Freeze != "" {
			return "the end of a freeze"
		}
		return "a window"
	case rollout.NeedsResume:
		return "somebody to resume it"
	case rollout.NeedsBeginning:
		return "its first step"
	case rollout.NeedsDecision:
		return "an answer to " + h.Name
	case rollout.NeedsAnswer:
		return "an answer to " + h.Gate.Name
	case rollout.NeedsCapacity:
		return "the canary's capacity"
	case rollout.Elapses:
		return "time"
	case rollout.Watches:
		return "the end of the watch"
	case rollout.NeedsReply:
		return "a webhook's answer"
	case rollout.NeedsEnd:
		return "the Job's end"
	case rollout.NeedsDeployment:
		return "Deployment " + h.Deployment.Name
	case rollout.NeedsPatch:
		return "stable's new pods"
	case rollout.NeedsOthers:
		return "an external change of stable"
	case rollout.Drains:
		return "the canary to drain"
	case rollout.NeedsScaleDown:
		return "the canary to be scaled down"
	case rollout.NeedsRestore, rollout.NeedsPutBack:
		return "the Deployments to be put back"
	case rollout.NeedsCleanup:
		return "cleaning up"
	case rollout.FailsAfter: // nextAt says when
	}
	return ""
}

// sentence is the status in a sentence.
func (s *Status) sentence(v *record.View) string {
	var out string
	switch s.Phase {
	case Invalid:
		return s.wrong("it cannot be used")
	case Idle:
		out = "no release yet"
	case Progressing, Promoting:
		out = "release under way"
		if s.WaitingFor != "" {
			out += ": waits for " + s.WaitingFor
		}
	case Waiting:
		out = "gate " + s.Gate.Name + ": " + s.Gate.Question
	case Paused:
		out = "paused by " + v.State.Pause.By
		if v.State.Pause.Reason != "" {
			out += ": " + v.State.Pause.Reason
		}
	case RollingBack:
		out = "goes back: " + v.State.Why
	case Released, RolledBack, Cancelled, Superseded, Failed:
		out = tell.Outcome(v.State.Outcome)
		if v.State.Why != "" {
			out += ": " + v.State.Why
		}
	}
	if c := definition(v).Cluster; c != nil && c.Leave && !Under(v) {
		out += "; " + leaving(v)
	}
	if len(s.Problems) > 0 {
		out += "; " + s.wrong("the last good version is in use")
	}
	return out
}

// leaving says how far the removal of a rollout has come.
func leaving(v *record.View) string {
	deployment := v.Definition.Cluster.Arms.Canary.Deployment.Name
	served := v.Confirmation == traffic.InForce || v.Confirmation == traffic.Unconfirmed && v.Definition.Verify.Trust
	if v.Target.Weight == 1 && served {
		return "all traffic goes to Deployment " + deployment + ": this rollout can be taken away"
	}
	return "its traffic is on the way back to Deployment " + deployment
}

// wrong returns what, followed by the problems of the object.
func (s *Status) wrong(what string) string {
	if len(s.Problems) == 0 {
		return "it has not been read yet"
	}
	out := what + ": " + s.Problems[0].String()
	if more := len(s.Problems) - 1; more > 0 {
		out += fmt.Sprintf(" (and %d more)", more)
	}
	return out
}

// short bounds a text.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len("…")], "") + "…"
}

// whole is a time in the form of Kubernetes: UTC, in whole seconds.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Deleted returns the event that ends a release whose object is deleted: the release is rolled back, or, if it is being
// watched after its promotion, finished. ok is false if it ends by itself, as a release does while it is being promoted,
// with all traffic on one version.
func Deleted(v *record.View) (e rollout.Event, ok bool) {
	const why = "its Rollout is deleted"
	switch s := v.State; {
	case !Under(v) || s.Phase != rollout.Active:
		return nil, false
	case s.Watching():
		return rollout.WentOn{Reason: why, Full: true}, s.Hurry == nil
	case s.Promoting():
		return nil, false
	}
	return rollout.RollbackRequested{Reason: why}, true
}

// Under reports whether a release is under way.
func Under(v *record.View) bool { return v.Release != nil && !v.State.Ended() }

// Same reports whether two statuses are equal.
func Same(a, b Status) bool { return encode(a) == encode(b) }
