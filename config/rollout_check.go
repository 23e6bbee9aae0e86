package config

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// rollout checks the meaning of a rollout by itself; the analyses it names are checked by [resolver].
func (c *checker) rollout(s *RolloutSpec, l Loader) {
	params := c.parameters(s)
	if f := s.Traffic.TraefikFile; f != nil {
		c.traefikFile(f, l)
		c.servers(s)
		c.balancing(c.spec("stable"), &s.Stable)
		c.balancing(c.spec("canary"), &s.Canary)
		c.alike(s)
		var route traffic.Route
		for _, m := range f.Middlewares {
			route.Middlewares = append(route.Middlewares, traffic.Middleware{Name: m})
		}
		route.TLS = f.TLS.toTraffic()
		c.route(c.spec("traffic", "traefikFile"), route)
	}
	if t := s.Traffic.Traefik; t != nil {
		c.traefik(t, l)
		c.service("stable", &s.Stable, s)
		c.service("canary", &s.Canary, s)
		c.alike(s)
	}
	if s.Stable.Replicas != "" {
		c.fail(c.spec("stable", "replicas").atKey(), "belongs to the canary: stable keeps its replicas")
	}
	c.guards(s.Guards, l)
	c.steps(s, params)
	c.rollback(s.Rollback, params)
	c.analysisNames(c.spec("analysis"), s.Analysis)
	c.sourceName(c.spec("prometheus"), s.Prometheus)
}

// parameters returns the names that are declared.
func (c *checker) parameters(s *RolloutSpec) []string {
	var names []string
	for i := range s.Parameters {
		p, at := &s.Parameters[i], c.spec("parameters", i)
		switch name := string(p.Name); {
		case slices.Contains(names, name):
			c.fail(at.in("name"), "%q is declared twice", name)
		case slices.Contains(armNames, name):
			c.fail(at.in("name"), "%q is the name of something that every arm has: take another", name)
		default:
			names = append(names, name)
		}
		if p.Required && p.Default != "" {
			c.fail(at.in("default"), "a required parameter has no use for a default")
		}
		if re, err := regexp.Compile(`^(?:` + string(p.Pattern) + `)$`); err == nil && p.Pattern != "" && !p.Required && !re.MatchString(p.Default) {
			what := quote(p.Default) + " does not match the pattern"
			if p.Default == "" {
				what = "without a default it would be empty, which the pattern does not match: set a default, or required: true"
			}
			c.fail(at.in("default"), "%s", what)
		}
	}
	return names
}

func (c *checker) traefikFile(f *TraefikFileSpec, l Loader) {
	at := c.spec("traffic", "traefikFile")
	if ext := filepath.Ext(f.Path); ext != ".yaml" && ext != ".yml" {
		c.fail(at.in("path"), "expected a file that ends in .yaml or .yml: Traefik reads no other of this form")
	}
	c.rule(at.in("rule"), f.Rule, l)
	c.verify(at.in("verify"), f.Verify)
}

// rule checks a route's rule by the gateway's own parser.
func (c *checker) rule(at place, rule string, l Loader) {
	if l.Rule == nil {
		return
	}
	if err := l.Rule(rule); err != nil {
		c.fail(at, "%s", err)
	}
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

// ofServers are the fields of an arm without Kubernetes.
var ofServers = []string{"servers", "replicas", "healthCheck", "serversTransport", "passHostHeader", "sticky", "responseForwarding"}

// servers checks both sets of servers of the file provider.
func (c *checker) servers(s *RolloutSpec) {
	where := map[string]string{}
	for _, arm := range []struct {
		name string
		spec *ArmSpec
	}{{"stable", &s.Stable}, {"canary", &s.Canary}} {
		at := c.spec(arm.name)
		if len(arm.spec.Servers) == 0 {
			c.fail(at.in("servers"), "is missing: expected a list of addresses such as http://127.0.0.1:8081")
		}
		for _, e := range at.node.entries {
			if !slices.Contains(ofServers, e.key) {
				c.fail(at.in(e.key).atKey(), "belongs to Traefik on Kubernetes; traffic is traefikFile")
			}
		}
		for i, server := range arm.spec.Servers {
			p := at.in("servers", i)
			u, err := url.Parse(string(server))
			if err != nil {
				continue // told already
			}
			key := u.Scheme + "://" + u.Host
			if other, twice := where[key]; twice {
				c.fail(p, "%s is in %s already", server, other)
				continue
			}
			where[key] = fmt.Sprintf("%s.servers[%d]", arm.name, i)
		}
	}
}

func (c *checker) traefik(t *TraefikSpec, l Loader) {
	at := c.spec("traffic", "traefik")
	switch {
	case (t.Route == nil) == (t.IngressRoute == ""):
		c.fail(at, "expected one of route (Serin's own) or ingressRoute (one that is already there)")
	case t.Route == nil:
	case (t.Route.Host == "") == (t.Route.Rule == ""):
		c.fail(at.in("route"), "expected one of host or rule")
	case t.Route.Host != "":
		if strings.ContainsAny(t.Route.Host, "`\"\\/: \t\r\n") {
			c.fail(at.in("route", "host"), "%s is not a host", quote(t.Route.Host))
		}
	default:
		c.rule(at.in("route", "rule"), t.Route.Rule, l)
	}
	if r := t.Route; r != nil {
		c.route(at.in("route"), traffic.Route{Middlewares: middlewares(r.Middlewares), TLS: r.TLS.toTraffic()})
	}
	c.verify(at.in("verify"), t.Verify)
}

func (c *checker) service(arm string, a *ArmSpec, s *RolloutSpec) {
	at := c.spec(arm)
	if len(a.Servers) > 0 {
		c.fail(at.in("servers").atKey(), "belongs to traefikFile; on Kubernetes name a deployment and a service")
	}
	if a.Deployment == "" {
		c.fail(at.in("deployment"), "is missing: expected the name of a Deployment")
	}
	if a.Service == nil {
		c.fail(at.in("service"), "is missing: expected a map with name and port")
	}
	for _, field := range ofServers[2:] {
		if p := at.in(field); !p.gone && field == "healthCheck" {
			c.fail(p.atKey(), "belongs to traefikFile: on Kubernetes readiness probes say whether a pod can take requests")
		} else if !p.gone {
			c.fail(p.atKey(), "is said of the service: service: {name: …, port: …, %s: …}", field)
		}
	}
	if t := s.Traffic.Traefik; a.Namespace != "" && a.Namespace != Namespace(cmp.Or(string(t.Namespace), defaultNamespace)) {
		c.fail(at.in("namespace"), "%s is not the route's namespace: Traefik's objects of a rollout and the Services that they lead to are in one. An IngressRoute can stand in the Services' namespace, whatever namespace Traefik is in", a.Namespace)
	}
	if t := s.Traffic.Traefik; t.Route == nil && a.Service != nil && a.balancing() != (traffic.Balancing{}) {
		c.fail(at.in("service"), "how the Service is talked to is said in the IngressRoute that is adopted, in its reference to stable's Service: both arms get it")
	}
	if a.Service != nil {
		c.balancing(at.in("service"), a)
	}
}

func (c *checker) guards(g *GuardsSpec, l Loader) {
	if g == nil {
		return
	}
	at := c.spec("guards")
	if g.CircuitBreaker != nil {
		for _, d := range []struct {
			name  string
			value *Duration
		}{{"checkPeriod", g.CircuitBreaker.CheckPeriod}, {"fallback", g.CircuitBreaker.Fallback}, {"recovery", g.CircuitBreaker.Recovery}} {
			if d.value != nil && *d.value <= 0 {
				c.fail(at.in("circuitBreaker", d.name), "expected more than 0")
			}
		}
	}
	if g.RateLimit != nil && g.RateLimit.Period != nil && *g.RateLimit.Period <= 0 {
		c.fail(at.in("rateLimit", "period"), "expected more than 0")
	}
	if l.Guards == nil {
		return
	}
	for name, one := range map[string]*GuardsSpec{"circuitBreaker": {CircuitBreaker: g.CircuitBreaker}, "rateLimit": {RateLimit: g.RateLimit}} {
		if err := l.Guards(one.toTraffic()); err != nil {
			c.fail(at.in(name), "%s", err)
		}
	}
}

func (c *checker) analysisNames(at place, names Texts) {
	for i, n := range names {
		if slices.Index(names, n) < i {
			c.fail(at.in(i), "%s is named twice", n)
		}
	}
}

func (c *checker) rollback(r *RollbackSpec, params []string) {
	if r == nil {
		return
	}
	at := c.spec("rollback")
	if drain, deadline := long(r.Drain, defaultDrain), long(r.Deadline, defaultRollbackDeadline); drain >= deadline {
		p := at.in("drain")
		if r.Drain == nil {
			p = at.in("deadline")
		}
		c.fail(p, "draining takes %s, and the deadline of the whole rollback is %s", show(drain), show(deadline))
	}
	for i := range r.Steps {
		if w := r.Steps[i].Webhook; w != nil {
			c.webhook(at.in("steps", i, "webhook"), w, params)
			if w.OnFailure == "fail" {
				c.fail(at.in("steps", i, "webhook", "onFailure"), "nothing stops a rollback: whatever it answers, it goes on")
			}
		}
	}
}

// known refuses placeholders that are not declared.
func (c *checker) known(at place, text string, params []string) {
	names, err := placeholders(text)
	if err != nil {
		c.fail(at, "%s", err)
		return
	}
	for _, n := range names {
		if slices.Contains(params, n) {
			continue
		}
		if !identifier.MatchString(n) { // it may be a part of a secret
			c.fail(at, "what stands between ${ and } is not a parameter's name: expected %s", expectedIdentifier)
			continue
		}
		if len(params) == 0 {
			c.fail(at, "${%s}: the rollout declares no parameters. parameters: [{name: %s}] declares this one", n, n)
			continue
		}
		c.fail(at, "${%s} is not a declared parameter: %s", n, meant(n, params))
	}
}

func (c *checker) webhook(at place, w *WebhookSpec, params []string) {
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
			c.fail(p, "placeholders stand in url and body only")
		}
	}
	if w.Deadline != nil && *w.Deadline <= 0 {
		c.fail(at.in("deadline"), "expected more than 0")
	}
}

// identifier is the name of a parameter.
var identifier = regexp.MustCompile(identifierPattern)

// cohort checks a matcher with package traffic's own rules, each problem at its field.
func (c *checker) cohort(at place, m MatcherSpec) {
	for _, p := range m.toTraffic().Problems() {
		where := at
		for _, field := range strings.FieldsFunc(p.Path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
			where = where.in(field)
		}
		c.fail(where, "%s", p.Text)
	}
}

func (m MatcherSpec) toTraffic() traffic.Matcher {
	out := traffic.Matcher{ClientIP: m.ClientIP}
	if h := m.Header; h != nil {
		out.Header = &traffic.Header{Name: h.Name, Value: h.Value, Regexp: h.Regexp}
	}
	if p := m.Cookie; p != nil {
		out.Cookie = &traffic.Cookie{Name: p.Name, Value: p.Value}
	}
	if p := m.Query; p != nil {
		out.Query = &traffic.Query{Name: p.Name, Value: p.Value}
	}
	for i := range m.All {
		out.All = append(out.All, m.All[i].toTraffic())
	}
	for i := range m.Any {
		out.Any = append(out.Any, m.Any[i].toTraffic())
	}
	if m.Not != nil {
		not := m.Not.toTraffic()
		out.Not = &not
	}
	return out
}

func (g *GuardsSpec) toTraffic() traffic.Guards {
	var out traffic.Guards
	if g == nil {
		return out
	}
	if b := g.CircuitBreaker; b != nil {
		out.CircuitBreaker = &traffic.CircuitBreaker{Expression: b.Expression, CheckPeriod: long(b.CheckPeriod, 0),
			Fallback: long(b.Fallback, 0), Recovery: long(b.Recovery, 0), ResponseCode: b.ResponseCode}
	}
	if r := g.RateLimit; r != nil {
		out.RateLimit = &traffic.RateLimit{Average: r.Average, Period: long(r.Period, 0), Burst: r.Burst, By: r.By}
	}
	return out
}

// weight checks a share that Traefik has to serve.
func (c *checker) weight(at place, w Share) bool {
	if _, _, err := traffic.Weights(share.Share(w)); err != nil {
		c.fail(at, "%s", strings.TrimPrefix(err.Error(), "weight "))
		return false
	}
	return true
}

// show prints a duration as a user writes it.
func show(d time.Duration) string {
	b, err := Duration(d).MarshalJSON()
	if err != nil {
		return d.String()
	}
	return strings.Trim(string(b), `"`)
}
