package config

import (
	"slices"
	"strings"

	"github.com/serindev/serin/rollout"
)

// WebhookSpec notifies another system, and may wait for its answer.
type WebhookSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// URL to send to; ${parameters}, ${rollout}, ${release}, ${revision} and ${step} are substituted, escaped for an
	// address.
	URL string `json:"url" jsonschema:"minLength=1"`
	// Body is JSON; the same names are substituted inside its quotes. Without it Serin's own description is sent.
	Body string `json:"body,omitempty"`
	// Headers to send along.
	Headers map[string]string `json:"headers,omitempty"`
	// OnFailure: fail sends the release back, ignore lets it go on.
	OnFailure string `json:"onFailure,omitempty" jsonschema:"enum=fail,enum=ignore"`
	// Deadline of all tries together.
	Deadline *Duration `json:"deadline,omitempty"`
	// Status is an address that is polled until it reports the outcome.
	Status string `json:"status,omitempty"`
}

func (w *WebhookSpec) named() Name { return w.Name }

func (w *WebhookSpec) check(c *checker, at place, _ *RolloutSpec, params []string) {
	for _, u := range []struct{ field, text string }{{"url", w.URL}, {"status", w.Status}} {
		if u.text == "" {
			continue
		}
		if err := checkTemplateURL(u.text); err != nil {
			c.fail(at.in(u.field), "expected an address such as https://chat.example.com/hooks/releases: %s", err)
			continue
		}
		c.known(at.in(u.field), u.text, slices.Concat(params, releaseNames))
	}
	if w.Body != "" {
		if err := checkTemplateJSON(w.Body); err != nil {
			c.fail(at.in("body"), "expected JSON with placeholders inside quotes: %s", err)
		}
		c.known(at.in("body"), w.Body, slices.Concat(params, releaseNames))
	}
	for name, value := range w.Headers {
		p := at.in("headers", name)
		if !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			c.fail(p.atKey(), "is not a header that can be sent")
		}
		if strings.Contains(value, "${") {
			c.fail(p, "placeholders are allowed in url and body only")
		}
	}
	c.positive(at, "deadline", w.Deadline)
}

func (w *WebhookSpec) step(_ *planner, _ place, name string) rollout.Step {
	return rollout.Webhook{Name: name, URL: w.URL, Body: w.Body, Headers: w.Headers, Ignore: w.OnFailure == "ignore",
		Deadline: long(w.Deadline, defaultWebhook), Status: w.Status}
}
