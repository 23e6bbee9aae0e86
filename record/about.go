package record

import (
	"maps"
	"slices"
	"strings"

	"github.com/serindev/serin/workload"
)

// About is what people want to know about a rollout; messages are routed by it.
type About struct {
	// Owner is the person or team responsible for the service.
	Owner  string            `json:"owner,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Links  []Link            `json:"links,omitempty"`
	// Notify are the receivers that the rollout asks for.
	Notify []Asked `json:"notify,omitempty"`
}

// Link leads people elsewhere: to a dashboard, a runbook, the source. In a plan its address may have placeholders for the
// release's parameters.
type Link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Asked is a receiver that a rollout asks for.
type Asked struct {
	To string `json:"to"`
	// On are the kinds of messages; empty is what the receiver is configured for.
	On []string `json:"on,omitempty"`
}

// IsZero reports whether there is nothing to know; such an About is not stored.
func (a About) IsZero() bool {
	return a.Owner == "" && len(a.Labels) == 0 && len(a.Links) == 0 && len(a.Notify) == 0
}

// Of returns the same for a release with these parameters, filled into the links. A link is left out if a parameter of it is
// missing, or would lead out of its path.
func (a About) Of(parameters map[string]string) About {
	links := a.Links
	a.Links = nil
	for _, l := range links {
		if filled, err := workload.FillAddress(l.URL, parameters); err == nil {
			a.Links = append(a.Links, Link{l.Name, filled})
		}
	}
	return a
}

// Words returns the labels as people write them, in order: team=payments.
func (a About) Words() []string {
	out := make([]string, 0, len(a.Labels))
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		out = append(out, k+"="+a.Labels[k])
	}
	return out
}

// Namespace is the namespace that a rollout belongs to: its object's, or else its route's; empty without Kubernetes.
func (p *Plan) Namespace() string {
	if namespace, _, isObject := strings.Cut(p.Rollout.Name, "."); isObject { // other names have no dot
		return namespace
	}
	if p.Gateway.Cluster != nil {
		return p.Gateway.Cluster.Namespace
	}
	if c := p.Rollout.Cluster; c != nil {
		return c.Arms.Stable.Deployment.Namespace
	}
	return ""
}
