package server

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Event is an event of a release as JSON: its kind, its head, and the fields of its kind.
type Event struct{ rollout.Event }

// MarshalJSON writes the event with its kind.
func (e Event) MarshalJSON() ([]byte, error) { return rollout.EncodeEvent(e.Event) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Event) UnmarshalJSON(b []byte) (err error) {
	e.Event, err = rollout.DecodeEvent(b)
	return err
}

// Schema describes an event in the OpenAPI document.
func (Event) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Required: []string{"kind", "seq", "at", "by"},
		Description: "What happened; further fields belong to the kind.",
		Properties: map[string]*huma.Schema{
			"kind": {Type: huma.TypeString, Examples: []any{"stepEntered"}},
			"seq":  {Type: huma.TypeInteger, Description: "Counts the events of a release from 1."},
			"at":   {Type: huma.TypeString, Format: "date-time"},
			"by":   {Type: huma.TypeString, Description: "A person's name, or serin, judge, gateway, webhook."},
		},
	}
}

// ConfigProblem is one thing that is wrong with the configuration.
type ConfigProblem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty" example:"steps[0].gray.weights[2]"`
	// Text says what is wrong and what was expected, Source shows the line with a mark under the place.
	Text    string `json:"text"`
	Source  string `json:"source,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	// Rollouts are those of which an older version is in use because of this.
	Rollouts []string `json:"rollouts,omitempty"`
}

// String is a problem in one line, as compilers write it: "shop.yaml:7: steps: expected a list".
func (p ConfigProblem) String() string {
	place := p.File
	if p.Line > 0 {
		place += ":" + strconv.Itoa(p.Line)
	}
	out := p.Text
	for _, part := range []string{p.Path, place} {
		if part != "" {
			out = part + ": " + out
		}
	}
	return out
}

// StartBody starts a release.
type StartBody struct {
	Parameters map[string]string `json:"parameters,omitempty" nullable:"true" doc:"Values of the rollout's parameters."`
	Key        string            `json:"key,omitempty" nullable:"true" maxLength:"200" doc:"With the same key nothing is started twice: the answer is the release that it has started."`
	Anyway     bool              `json:"anyway,omitempty" nullable:"true" doc:"Start even though the rollout's document has an error now, on its last good version, or a metric names a bucket that its histogram does not have."`
	Supersede  bool              `json:"supersede,omitempty" nullable:"true" doc:"An active release goes back to stable first, then this one starts."`
	AllSteps   bool              `json:"allSteps,omitempty" nullable:"true" doc:"Take the whole plan even if the version was in service not long ago and the rollout has a shorter plan for that."`
	Urgent     *UrgentBody       `json:"urgent,omitempty" doc:"Begin without waiting for anything but gates, on the caller's responsibility: as promoteRelease with full, from the start on, in freezes too."`
}

// UrgentBody says why a release does not wait.
type UrgentBody struct {
	Reason      string `json:"reason" minLength:"1" maxLength:"1000" doc:"Shown in the release's events and in the audit log."`
	EvenIfWorse bool   `json:"evenIfWorse,omitempty" nullable:"true" doc:"No verdict rolls the release back."`
}

// ReasonBody says why.
type ReasonBody struct {
	Reason string `json:"reason,omitempty" nullable:"true" maxLength:"1000" doc:"Shown in the release's events and in the audit log."`
}

// UndoBody takes the last release's version out of service again.
type UndoBody struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"Shown in the release's events and in the audit log."`
	Key    string `json:"key,omitempty" nullable:"true" maxLength:"200" doc:"With the same key nothing is undone twice: the answer is the release that it has started."`
}

// RetryBody tries the version of the last release again.
type RetryBody struct {
	Reason string `json:"reason,omitempty" nullable:"true" maxLength:"1000" doc:"Shown in the release's events and in the audit log; needed if the version was found worse."`
	Key    string `json:"key,omitempty" nullable:"true" maxLength:"200" doc:"With the same key nothing is retried twice: the answer is the release that it has started."`
	Anyway bool   `json:"anyway,omitempty" nullable:"true" doc:"Even though the rollout's document has an error now, on its last good version, or a metric names a bucket that its histogram does not have."`
}

// PromoteBody lets a release go on without waiting.
type PromoteBody struct {
	Reason      string `json:"reason" minLength:"1" maxLength:"1000" doc:"Shown in the release's events and in the audit log."`
	Full        bool   `json:"full,omitempty" nullable:"true" doc:"Skip everything up to the next gate, not just this weight or step."`
	EvenIfWorse bool   `json:"evenIfWorse,omitempty" nullable:"true" doc:"From here on no verdict rolls the release back."`
}

// AnswerBody answers a gate.
type AnswerBody struct {
	Answer rollout.Answer `json:"answer" enum:"approve,reject,wait" doc:"wait is for questions that a policy has asked."`
	Reason string         `json:"reason,omitempty" nullable:"true" maxLength:"1000"`
}

// ActionResult is what became of an action.
type ActionResult struct {
	Release string        `json:"release"`
	State   rollout.State `json:"state"`
	// Warning is set where the action is carried out although it could not be written yet.
	Warning string `json:"warning,omitempty"`
}

// Look is one look, with what a chart needs.
type Look struct {
	Number   int           `json:"number"`
	At       time.Time     `json:"at"`
	Length   time.Duration `json:"length"`
	Turn     int           `json:"turn"`
	Weight   float64       `json:"weight"`
	Excluded judge.Reason  `json:"excluded,omitempty"`
	// Requests is the gateway's split in this look; Observations are the new data of each metric.
	Requests     *judge.Requests     `json:"requests,omitempty"`
	Observations []judge.Observation `json:"observations"`
	Verdict      judge.Verdict       `json:"verdict"`
}

// NewLook converts a stored look to its JSON form.
func NewLook(r record.LookRecord) Look {
	return Look{
		Number: r.Look.Number, At: r.Look.At, Length: r.Look.Length, Turn: r.Turn, Weight: r.Look.Weight,
		Excluded: r.Look.Excluded, Requests: r.Look.Requests, Observations: r.Look.Observations, Verdict: r.Verdict,
	}
}

// LookPage is a page of the looks of a scope, in order. Next is the number to continue after; 0 at the end.
type LookPage struct {
	Scope string `json:"scope"`
	Looks []Look `json:"looks"`
	Next  int    `json:"next,omitempty"`
}

// Version of the daemon.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

// Update is what event streams send for an event.
type Update struct {
	Rollout string `json:"rollout"`
	Release string `json:"release"`
	Event   Event  `json:"event"`
}

// public is a view without the secrets that webhooks carry: of their addresses the host stays, of headers the names.
func public(v record.View) record.View {
	v.Steps = slices.Clone(v.Steps)
	for i, step := range v.Steps {
		if w, ok := step.(rollout.Webhook); ok {
			v.Steps[i] = hide(w)
		}
	}
	return v
}

const hidden = "***"

func hide(w rollout.Webhook) rollout.Webhook {
	w.URL, w.Status = hostOf(w.URL), hostOf(w.Status)
	if w.Body != "" {
		w.Body = hidden
	}
	headers := make(map[string]string, len(w.Headers))
	for name := range w.Headers {
		headers[name] = hidden
	}
	if w.Headers = headers; len(headers) == 0 {
		w.Headers = nil
	}
	return w
}

// hostOf keeps scheme and host of an address.
func hostOf(address string) string {
	if address == "" {
		return ""
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return hidden
	}
	return u.Scheme + "://" + u.Host + "/" + hidden
}
