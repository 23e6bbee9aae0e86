package config

import (
	"slices"

	"github.com/serindev/serin/record"
)

// TrafficSpec is how requests arrive: exactly one of its fields.
type TrafficSpec struct {
	// TraefikFile is Traefik's file provider; no Kubernetes is needed.
	TraefikFile *TraefikFileSpec `json:"traefikFile,omitempty"`
	// Traefik is Traefik on Kubernetes.
	Traefik *TraefikSpec `json:"traefik,omitempty"`
}

// gateway is what a kind of gateway knows about its part of a document. Each kind has a file with its type and these
// methods, and a field in [TrafficSpec].
type gateway interface {
	// check finds what is wrong with the gateway's part, and with the arms as this gateway reaches them.
	check(c *checker, s *RolloutSpec, l Loader)
	// confine is [checker.confine] of the gateway's part.
	confine(c *checker, l Loader)
	// fill completes the plan with what the gateway's package needs to write routes.
	fill(m *planner)
	// confirmed is how it is confirmed that the gateway serves what is written; nil where the document does not say.
	confirmed() *VerifySpec
	// claims returns what the rollout needs for itself alone: no other may name the same.
	claims(p *parsed) []claim
	// cluster returns the namespace of the arms, which are Deployments behind Services; ok is false where they are sets
	// of servers, without Kubernetes.
	cluster() (namespace string, ok bool)
}

// gateway returns the one that the document names; nil if it names none, which its form does not allow.
func (t *TrafficSpec) gateway() gateway {
	switch {
	case t.TraefikFile != nil:
		return t.TraefikFile
	case t.Traefik != nil:
		return t.Traefik
	}
	return nil
}

// cluster returns the namespace of the arms; ok is false without Kubernetes.
func (t *TrafficSpec) cluster() (namespace string, ok bool) {
	if g := t.gateway(); g != nil {
		return g.cluster()
	}
	return "", false
}

// VerifySpec is how Serin makes sure that Traefik serves what was written.
type VerifySpec struct {
	// API is the address of Traefik's API, or one for each replica.
	API Texts `json:"api,omitempty"`
	// BasicAuth signs in to the API.
	BasicAuth *BasicAuthFileSpec `json:"basicAuth,omitempty"`
	// For is how long to wait for a target that no replica confirms.
	For *Duration `json:"for,omitempty"`
	// Unconfirmed is what to do then: hold, or trust what was written. The default is hold where an API is named, trust
	// where none is.
	Unconfirmed string `json:"unconfirmed,omitempty" jsonschema:"enum=hold,enum=trust"`
}

// BasicAuthFileSpec is a user whose password is in a file, so that it is not stored with releases.
type BasicAuthFileSpec struct {
	// Username to sign in with.
	Username string `json:"username" jsonschema:"minLength=1"`
	// PasswordFile holds the password.
	PasswordFile string `json:"passwordFile" jsonschema:"minLength=1"`
}

func (c *checker) verify(at place, v *VerifySpec) {
	if v == nil {
		return
	}
	for i, api := range v.API {
		p := at.in("api")
		if p.node != nil && p.node.what == isList {
			p = p.in(i)
		}
		if err := checkURL(api); err != nil {
			c.fail(p, "expected %s: %s", expectedURL, err)
		} else if slices.Index(v.API, api) < i {
			c.fail(p, "%s is named twice", api)
		}
	}
	if v.For != nil && *v.For <= 0 {
		c.fail(at.in("for"), "expected more than 0")
	}
	if v.BasicAuth != nil && len(v.API) == 0 {
		c.fail(at.in("basicAuth").atKey(), "there is no api to sign in to")
	}
}

// rule checks a route's rule with the gateway's own parser.
func (c *checker) rule(at place, rule string, l Loader) {
	if l.Rule == nil {
		return
	}
	if err := l.Rule(rule); err != nil {
		c.fail(at, "%s", err)
	}
}

// gateway fills in the gateway's part of the plan.
func (m *planner) gateway() {
	g := m.spec.Traffic.gateway()
	if g == nil {
		return
	}
	g.fill(m)
	v := g.confirmed()
	if v == nil {
		return
	}
	auth := or(v.BasicAuth, BasicAuthFileSpec{})
	for _, api := range v.API {
		m.plan.Gateway.Replicas = append(m.plan.Gateway.Replicas, record.Replica{URL: api, User: auth.Username, PasswordFile: auth.PasswordFile})
	}
}

// absolute makes the paths of the gateway's part absolute. Until then they are as written, and so is the revision.
func (m *planner) absolute() {
	g := &m.plan.Gateway
	g.File = m.absolutePath(g.File)
	for i := range g.Replicas {
		g.Replicas[i].PasswordFile = m.absolutePath(g.Replicas[i].PasswordFile)
	}
}
