package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/serindev/serin/record"
)

// LinkSpec leads people elsewhere.
type LinkSpec struct {
	// Name of what it leads to: dashboard, runbook, source.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=60"`
	// URL is an address with http or https. ${name} stands for a parameter of the release, only after the host.
	URL string `json:"url" jsonschema:"minLength=1,maxLength=2000"`
}

// RolloutNotifySpec asks a receiver of the daemon for messages about this rollout.
type RolloutNotifySpec struct {
	// To is the name of a receiver that the daemon offers (onRequest).
	To Name `json:"to"`
	// OccasionsSpec is by default what the receiver is configured for.
	OccasionsSpec
}

// Receiver says which rollouts may ask for one of the daemon's receivers.
type Receiver struct {
	Rollouts, Namespaces []string
	Labels               map[string]string
}

// receivers returns those that rollouts may ask for, by name.
func (s *DaemonSpec) receivers() map[string]Receiver {
	out := map[string]Receiver{}
	for i := range s.Notify {
		if n := &s.Notify[i]; n.OnRequest {
			out[n.Receiver()] = Receiver{n.Rollouts, n.Namespaces, n.Labels}
		}
	}
	return out
}

// matches reports whether a name fits one of the patterns; no patterns fit all names.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil })
}

// NamespaceNotify is the annotation of a Namespace that asks receivers of the daemon for messages about all its rollouts. It
// is written like a rollout's notify.
const NamespaceNotify = "serin.dev/notify"

const (
	// mostAnnotation is how long that annotation may be, in bytes: room for every receiver that may be asked for, with comments.
	mostAnnotation = 8 << 10
	// mostAsked is how many receivers one Namespace may ask for, as many as one rollout.
	mostAsked = 20
)

// occasions are the events that a receiver can ask for.
var occasions = []string{"started", "step", "gate", "hold", "alarm", "drift", "dryRun", "rollback", "finished"}

// AskedBy reads [NamespaceNotify] of a Namespace. The error names every wrong entry; the right ones are returned with it.
func (s *DaemonSpec) AskedBy(namespace, annotation string) (asked []record.Asked, err error) {
	const want = "expected a list such as [{to: payments, on: [gate, rollback]}]"
	if len(annotation) > mostAnnotation {
		return nil, fmt.Errorf("%s, of at most %d bytes", want, mostAnnotation)
	}
	list, err := askedIn(annotation)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", want, err)
	}
	if len(list) > mostAsked {
		return nil, fmt.Errorf("expected at most %d receivers, not %d", mostAsked, len(list))
	}
	offered, seen := s.receivers(), map[Name]bool{}
	var errs []error
	for i, n := range list {
		wrong := wrongAsked(n, namespace, offered)
		if wrong == "" && seen[n.To] {
			wrong = string(n.To) + " is named twice"
		}
		if wrong != "" {
			errs = append(errs, fmt.Errorf("entry %d: %s", i+1, wrong))
			continue
		}
		seen[n.To] = true
		asked = append(asked, record.Asked{To: string(n.To), On: n.On})
	}
	return asked, errors.Join(errs...)
}

// askedIn decodes the list in an annotation; an empty text is an empty list.
func askedIn(annotation string) (list []RolloutNotifySpec, err error) {
	if strings.TrimSpace(annotation) == "" {
		return nil, nil
	}
	for _, t := range lexer.Tokenize(annotation) {
		if t.Type == token.AnchorType || t.Type == token.AliasType { // a few of them can stand for billions of values
			return nil, errors.New("anchors and aliases are not allowed here")
		}
	}
	long, err := yaml.YAMLToJSON([]byte(annotation))
	if err != nil {
		return nil, errors.New("it is not YAML")
	}
	d := json.NewDecoder(bytes.NewReader(long))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		if shape, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("there is %s where it is not expected", shape.Value)
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return list, nil
}

// wrongAsked says what is wrong with one entry of a Namespace's list; empty if nothing is.
func wrongAsked(n RolloutNotifySpec, namespace string, offered map[string]Receiver) string {
	r, ok := offered[string(n.To)]
	if !ok {
		return notOffered(string(n.To), offered)
	}
	if !matches(r.Namespaces, namespace) {
		return fmt.Sprintf("the receiver %s is for the namespaces %s", n.To, strings.Join(r.Namespaces, ", "))
	}
	for _, on := range n.On {
		if !slices.Contains(occasions, on) {
			return fmt.Sprintf("on: expected some of %s, not %s", strings.Join(occasions, ", "), quote(on))
		}
	}
	return ""
}

// notOffered says that a receiver may not be asked for, with the names of those that may.
func notOffered(name string, offered map[string]Receiver) string {
	return fmt.Sprintf("the daemon has no receiver %s that a rollout may ask for (onRequest: true): %s", quote(name),
		meant(name, slices.Sorted(maps.Keys(offered))))
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

// isWord reports whether a text is of moderate length, without spaces and invisible characters.
func isWord(s string) bool {
	return utf8.RuneCountInString(s) <= mostLabel && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
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
		m.fail(at, "%s", notOffered(name, m.loader.Receivers))
		return
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
