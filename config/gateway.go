package config

import (
	"cmp"
	"slices"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// TrafficSpec is how requests arrive: exactly one of its fields.
type TrafficSpec struct {
	// TraefikFile is Traefik's file provider; no Kubernetes is needed.
	TraefikFile *TraefikFileSpec `json:"traefikFile,omitempty"`
	// Traefik is Traefik on Kubernetes, by its own custom resources.
	Traefik *TraefikSpec `json:"traefik,omitempty"`
	// GatewayAPI is routes of Gateway API, of Traefik or of another gateway.
	GatewayAPI *GatewayAPISpec `json:"gatewayAPI,omitempty"`
	// Replicas is for work that no gateway divides: weights become pods.
	Replicas *ReplicasSpec `json:"replicas,omitempty"`
}

// gateway is what a kind of gateway knows about its part of a document. Each kind has a file with its type and these
// methods, and a field in [TrafficSpec].
type gateway interface {
	// check finds what is wrong with the gateway's part, and with the arms as this gateway reaches them.
	check(c *checker, s *RolloutSpec, l Loader)
	// confine is [checker.confine] for the gateway's part.
	confine(c *checker, l Loader)
	// fill completes the plan with what the gateway's package needs to write routes.
	fill(m *planner)
	// confirmed says how to confirm that the gateway serves what is written; nil if the document does not.
	confirmed() *VerifySpec
	// claims returns what the rollout needs for itself alone: no other rollout may name it.
	claims(p *parsed) []claim
	// cluster returns the namespace of the arms, which are Deployments behind Services; ok is false where they are sets
	// of servers, without Kubernetes.
	cluster() (namespace string, ok bool)
}

// gateway returns the one that the document names; nil if it names none, which the schema does not allow.
func (t *TrafficSpec) gateway() gateway {
	switch {
	case t.TraefikFile != nil:
		return t.TraefikFile
	case t.Traefik != nil:
		return t.Traefik
	case t.GatewayAPI != nil:
		return t.GatewayAPI
	case t.Replicas != nil:
		return t.Replicas
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

// rules returns the rules of the main routes, or a single empty one if the routes exist already and the document does not
// have their rules.
func (t *TrafficSpec) rules() []string {
	switch {
	case t.TraefikFile != nil:
		out := []string{t.TraefikFile.Rule}
		for _, r := range t.TraefikFile.FurtherRoutes {
			out = append(out, r.Rule)
		}
		return out
	case t.Traefik != nil && t.Traefik.Route != nil:
		out := []string{t.Traefik.Route.toTraffic().Rule}
		for _, r := range t.Traefik.FurtherRoutes {
			out = append(out, r.toTraffic().Rule)
		}
		return out
	}
	return []string{""}
}

// uncounted says why no gateway counts the requests of a rollout; it is empty if one does.
func (t *TrafficSpec) uncounted() string {
	switch {
	case t.Replicas != nil:
		return "no Traefik divides the work here"
	case t.Traefik != nil && t.Traefik.tcp(), t.TraefikFile != nil && t.TraefikFile.RouteTCP != nil:
		return "Traefik sees no requests on a TCP route"
	}
	return ""
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
		p := at.in("api").item(i)
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

// routeNames checks the form of existing routes' names.
func (c *checker) routeNames(at place, names Texts) {
	for i, name := range names {
		if !routeNameForm.MatchString(name) {
			c.fail(at.item(i), "%s is not the name of a route", quote(name))
		}
	}
}

// adoptedRoutes checks the names of Traefik's existing routes: each is named once.
func (c *checker) adoptedRoutes(at place, names Texts) {
	c.routeNames(at, names)
	for i, name := range names {
		if slices.Index(names, name) < i {
			c.fail(at.in(i), "%s is named twice", name)
		}
	}
}

// confineVerify refuses addresses and files that an object must not make the daemon call or read.
func (c *checker) confineVerify(at place, verify *VerifySpec, l Loader) {
	v := or(verify, VerifySpec{})
	if v.BasicAuth != nil {
		c.fail(at.in("basicAuth").atKey(), "belongs to documents in files: passwordFile is a file of the daemon's")
	}
	for _, api := range v.API {
		c.calls(at.in("api"), api, l)
	}
}

// deployed checks what an arm on Kubernetes consists of: a Deployment or StatefulSet behind a Service.
func (c *checker) deployed(arm string, a *ArmSpec) {
	at := c.spec(arm)
	c.runs(at, a)
	if a.Service == nil {
		c.fail(at.in("service"), "is missing: expected a map with name and port")
	}
	for _, field := range ofServers[2:] {
		if p := at.in(field); !p.gone && field == "healthCheck" {
			c.fail(p.atKey(), "belongs to traefikFile: on Kubernetes readiness probes say whether a pod can take requests")
		} else if !p.gone {
			c.fail(p.atKey(), "belongs to the service: service: {name: …, port: …, %s: …}", field)
		}
	}
}

// base is the name that those of the rollout's objects in a cluster begin with.
func (p *parsed) base() string { return traffic.ObjectBase(string(p.rollout.Metadata.Name)) }

// arms are the claims of a rollout to its workloads.
func (p *parsed) arms(namespace string) (out []claim) {
	spec := p.rollout.Spec.complete()
	for _, arm := range []ArmSpec{spec.Stable, spec.Canary} {
		if n := workloadName(cmp.Or(string(arm.Namespace), namespace), arm.Deployment, arm.StatefulSet); n.Name != "" {
			out = append(out, claim{what: claimArm, of: n.KindOrDeployment() + " " + n.String()})
		}
	}
	return out
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

// absolute makes the paths of the gateway's part absolute. It comes after the revision, which is computed from the paths as
// they are written.
func (m *planner) absolute() {
	g := &m.plan.Gateway
	g.File = m.absolutePath(g.File)
	for i := range g.Replicas {
		g.Replicas[i].PasswordFile = m.absolutePath(g.Replicas[i].PasswordFile)
	}
}
