package migrate

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	portForm  = regexp.MustCompile(`^([1-9][0-9]{0,4}|[a-z]([-a-z0-9]{0,13}[a-z0-9])?)$`)
	hostForm  = regexp.MustCompile("^\\s*Host\\(`([a-z0-9]([-a-z0-9.]*[a-z0-9])?)`\\)\\s*$")
	entryForm = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_]{0,62}$`)
	variable  = regexp.MustCompile(`\{\{[^{}]*\}\}`)
)

// findRoute takes the rule from the IngressRoute that names the old controller's TraefikService.
func (r *release) findRoute(in *input, service, namespace string) {
	for _, o := range in.of(routeKind) {
		if _, ns := o.identity(); ns != "" && namespace != "" && ns != namespace {
			continue
		}
		spec, _ := o.fields["spec"].(map[string]any)
		routes, _ := spec["routes"].([]any)
		for i := range routes {
			if leadsTo(routes[i], service) && service != "" {
				r.takeRoute(o, i)
				if r.route.host != "" || strings.TrimSpace(r.route.rule) != "" {
					return
				}
				r.route.rule = ""
			}
		}
	}
	r.route.host = "shop.example.com"
	r.missing = append(r.missing, "the rule of your IngressRoute (route): "+r.route.host+
		" is an example. Give the IngressRoute to serin migrate as well, and it is taken from there")
}

func leadsTo(route any, service string) bool {
	fields, _ := route.(map[string]any)
	services, _ := fields["services"].([]any)
	for _, s := range services {
		f, _ := s.(map[string]any)
		if f["kind"] == "TraefikService" && f["name"] == service {
			return true
		}
	}
	return false
}

// takeRoute reads an IngressRoute's i-th route.
func (r *release) takeRoute(o *object, i int) {
	spec := o.object("spec")
	routes := spec.list("routes")
	if i >= len(routes) {
		return
	}
	route := routes[i]
	r.route.entryPoints, r.route.middlewares = nil, nil
	r.route.rule = route.text("match")
	if h := hostForm.FindStringSubmatch(r.route.rule); h != nil {
		r.route.host, r.route.rule = h[1], ""
	}
	for _, e := range spec.texts("entryPoints") {
		if entryForm.MatchString(e) {
			r.route.entryPoints = append(r.route.entryPoints, e)
		}
	}
	if tls := spec.object("tls"); tls != nil {
		r.route.tls, r.route.secret, r.route.resolver = true, tls.text("secretName"), tls.text("certResolver")
		r.takeOptions(tls)
		tls.drop("write it to tls of the route", "domains", "store")
	}
	route.skip("kind", "services", "syntax")
	for _, m := range route.list("middlewares") {
		r.takeMiddleware(m)
	}
	route.drop("write it to the route, if it is above what Traefik computes", "priority", "observability")
	o.skip("metadata")
	if len(routes) > 1 {
		r.missing = append(r.missing,
			fmt.Sprintf("IngressRoute %s has %d routes: keep the others, without the one that leads to the TraefikService", o.id(), len(routes)))
	}
	for _, other := range routes {
		if other != route {
			other.skipAll()
		}
	}
	for _, l := range o.left() {
		r.left = appendOnce(r.left, "IngressRoute "+l)
	}
}

// middlewareForm is the name of a Middleware, or of another provider's: NAME@PROVIDER.
var middlewareForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(@[a-z]{1,30})?$`)

// takeMiddleware adds one. Sign-in, lists of addresses and rate limits are middlewares: a route without them is open.
func (r *release) takeMiddleware(o *object) {
	m := named{o.text("name"), o.text("namespace")}
	if !middlewareForm.MatchString(m.name) || m.namespace != "" && !nameForm.MatchString(m.namespace) {
		r.missing = append(r.missing, fmt.Sprintf("a middleware of your IngressRoute (%q), without which its "+
			"requests may come unchecked: write it to middlewares of the route", short(m.name)))
		return
	}
	r.route.middlewares = append(r.route.middlewares, m)
}

// takeOptions takes over the TLS options, which may require a client certificate.
func (r *release) takeOptions(tls *object) {
	options := tls.object("options")
	if options == nil {
		return
	}
	n := named{options.text("name"), options.text("namespace")}
	if !nameForm.MatchString(n.name) || n.namespace != "" && !nameForm.MatchString(n.namespace) {
		r.missing = append(r.missing, fmt.Sprintf("the TLS options of your IngressRoute (%q): write them to tls of the route", short(n.name)))
		return
	}
	r.route.options = n
}

// findContainer takes the name of the container from the Deployment.
func (r *release) findContainer(in *input, deployment, namespace string) {
	r.container = deployment
	if d := in.find(workloadKind, namespace, deployment); d != nil {
		spec, _ := d.fields["spec"].(map[string]any)
		template, _ := spec["template"].(map[string]any)
		pod, _ := template["spec"].(map[string]any)
		containers, _ := pod["containers"].([]any)
		if len(containers) > 0 {
			c, _ := containers[0].(map[string]any)
			if name, ok := c["name"].(string); ok && nameForm.MatchString(name) {
				r.container = name
				return
			}
		}
	}
	r.missing = append(r.missing, "the name of the container (image): "+r.container+
		" is the Deployment's. Give the Deployment to serin migrate as well, and it is taken from there")
}

// checkContainer refuses a container name that is not one.
func (r *release) checkContainer(o *object) error {
	return checkName(o.source+": the container's name", r.container)
}

// isAddress reports whether a text can be a webhook's address.
func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		u.Fragment == "" && !strings.Contains(text, "${")
}

func appendOnce(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}
