package config

import (
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serindev/serin/record"
)

// LinkSpec leads people elsewhere.
type LinkSpec struct {
	// Name of what it leads to: dashboard, runbook, source.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=60"`
	// URL is an address with http or https. ${name} stands for a parameter of the release, behind the host only.
	URL string `json:"url" jsonschema:"minLength=1,maxLength=2000"`
}

// RolloutNotifySpec asks a receiver of the daemon's for messages about this rollout.
type RolloutNotifySpec struct {
	// To is the name of a receiver that the daemon offers (onRequest).
	To Name `json:"to"`
	// OccasionsSpec is what the receiver is configured for where it is left out.
	OccasionsSpec
}

// Receiver says which rollouts may ask for one of the daemon's receivers.
type Receiver struct {
	Rollouts, Namespaces []string
	Labels               map[string]string
}

// receivers are those that rollouts may ask for, by name.
func (s *DaemonSpec) receivers() map[string]Receiver {
	out := map[string]Receiver{}
	for i := range s.Notify {
		if n := &s.Notify[i]; n.OnRequest {
			out[n.Receiver()] = Receiver{n.Rollouts, n.Namespaces, n.Labels}
		}
	}
	return out
}

// mostLabel is how long a label and its value may be, in characters; Kubernetes has the same limit for values.
const mostLabel = 63

// about checks what is said about a rollout.
func (c *checker) about(s *RolloutSpec, params []string) {
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		at := c.spec("labels", k)
		switch {
		case k == "" || !isWord(k) || strings.Contains(k, "="):
			c.fail(at.atKey(), "expected a label such as team: at most %d characters, without spaces and =", mostLabel)
		case s.Labels[k] != "" && !isWord(s.Labels[k]):
			c.fail(at, "expected the value of a label: at most %d characters, without spaces", mostLabel)
		}
	}
	for i, l := range s.Links {
		if err := checkTemplateURL(l.URL); err != nil {
			c.fail(c.spec("links", i, "url"), "expected an address such as https://grafana.example.com/d/shop: %s", err)
			continue
		}
		c.known(c.spec("links", i, "url"), l.URL, params)
	}
	seen := map[Name]bool{}
	for i, n := range s.Notify {
		if seen[n.To] {
			c.fail(c.spec("notify", i, "to"), "%s is named twice", n.To)
		}
		seen[n.To] = true
	}
}

// isWord: a text of moderate length that has no spaces and nothing invisible.
func isWord(s string) bool {
	return utf8.RuneCountInString(s) <= mostLabel && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
}

// about puts what is said about the rollout into the plan, and refuses receivers that it may not ask for.
func (m *planner) about() {
	a := &m.plan.About
	a.Owner, a.Labels = m.spec.Owner, m.spec.Labels
	for _, l := range m.spec.Links {
		a.Links = append(a.Links, record.Link{Name: l.Name, URL: l.URL})
	}
	for i, n := range m.spec.Notify {
		a.Notify = append(a.Notify, record.Asked{To: string(n.To), On: n.On})
		m.receiver(m.at("spec").in("notify", i, "to"), string(n.To))
	}
}

// receiver refuses one that the daemon does not offer to this rollout, if the daemon's receivers are known. A rollout names
// no address: the daemon decides where messages may go.
func (m *planner) receiver(at place, name string) {
	if m.loader.Receivers == nil {
		return
	}
	r, ok := m.loader.Receivers[name]
	if !ok {
		m.fail(at, "the daemon has no receiver %s that a rollout may ask for (onRequest: true): %s", quote(name), meant(name, slices.Sorted(maps.Keys(m.loader.Receivers))))
		return
	}
	matches := func(patterns []string, name string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil })
	}
	switch {
	case !matches(r.Rollouts, m.plan.Rollout.Name):
		m.fail(at, "the receiver %s is for the rollouts %s", name, strings.Join(r.Rollouts, ", "))
	case !matches(r.Namespaces, m.plan.Namespace()):
		m.fail(at, "the receiver %s is for the namespaces %s", name, strings.Join(r.Namespaces, ", "))
	default:
		for _, k := range slices.Sorted(maps.Keys(r.Labels)) {
			if m.spec.Labels[k] != r.Labels[k] {
				m.fail(at, "the receiver %s is for rollouts with the label %s=%s", name, k, r.Labels[k])
			}
		}
	}
}
