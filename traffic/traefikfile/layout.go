package traefikfile

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	ptypes "github.com/traefik/paerser/types"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/types"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/traffic/traefikapi"
)

// The endings of names in Traefik, after the rollout's name.
const (
	cohortSuffix  = "-ab"
	mirrorSuffix  = "-mirrored"
	previewSuffix = "-previewed"
	stableSuffix  = "-stable"
	canarySuffix  = "-canary"
	breakerSuffix = "-circuit-breaker"
	limitSuffix   = "-rate-limit"
	// The entries of the second port and of the second route end in a suffix and 2, and so on.
	portSuffix  = "-port-"
	routeSuffix = "-route-"

	// provider is what Traefik appends to names from the file provider.
	provider = "@file"
)

// inFront are the lanes with a router in front of the main one.
var inFront = []traffic.Lane{traffic.CohortLane, traffic.MirrorLane, traffic.PreviewLane}

// routeName is the name of a lane's router for the i-th main route.
func routeName(rollout string, lane traffic.Lane, i int) string {
	name := laneName(rollout, lane)
	switch {
	case i == 0:
		return name
	case lane == traffic.MainLane:
		return fmt.Sprintf("%s%s%d", name, routeSuffix, i+1)
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

// serviceName is the name of a lane's service at a port.
func serviceName(rollout string, lane traffic.Lane, port int) string {
	if port == 0 {
		return laneName(rollout, lane)
	}
	return fmt.Sprintf("%s%s%d", laneName(rollout, lane), portSuffix, port+1)
}

// laneName is the name of a lane's first router, and of the service behind it.
func laneName(rollout string, lane traffic.Lane) string {
	switch lane {
	case traffic.CohortLane:
		return rollout + cohortSuffix
	case traffic.MirrorLane:
		return rollout + mirrorSuffix
	case traffic.PreviewLane:
		return rollout + previewSuffix
	case traffic.MainLane:
	}
	return rollout
}

// layout is the part of the file that changes during a release. Every target has a layout, and one can be inferred from any
// file or answer of Traefik; rendering the inferred one shows what everything else should be.
type layout struct {
	main   arms
	sticky string                 // the word that keeps users on their arm of the main route
	lanes  map[traffic.Lane]*side // those of [inFront] that are in use
	guards traffic.Guards
}

// arms are the two children of a weighted service. On the mirror's lane, the canary's weight is the percentage of requests
// that are copied. The preview's lane has no stable child.
type arms struct {
	canaryWeight, stableWeight int
	canary, stable             []string // servers at the first port, sorted
}

// at returns the arms at a port.
func (a arms) at(c *Config, port int) arms {
	a.canary, a.stable = c.serversAt(a.canary, port), c.serversAt(a.stable, port)
	return a
}

// side is a route in front of the main one.
type side struct {
	arms
	rule    string // that in front of the first main route
	match   string // the part of rule that the lane adds to the main route's; empty if rule is not Serin's
	sticky  string // the word that keeps users on their arm
	maxBody int64  // the mirror's bound on bodies
}

// ruleAt returns the lane's rule in front of the i-th main route.
func (s *side) ruleAt(c *Config, i int) string {
	if i == 0 || s.hosted() {
		return s.rule
	}
	whole, err := traefik.LaneRule(c.routes()[i].Rule, s.match)
	if err != nil {
		return unknown(c.routes()[i].Rule)
	}
	return whole
}

// hosted reports whether the lane is a preview with its own host.
func (s *side) hosted() bool { return s.rule == s.match }

// skips reports whether the lane has no router for the i-th main route: a preview's host needs only one router at the same
// entry points.
func (s *side) skips(c *Config, i int) bool {
	all := c.routes()
	return s.hosted() && slices.ContainsFunc(all[:i], func(r traffic.PortRoute) bool { return slices.Equal(r.EntryPoints, all[i].EntryPoints) })
}

// unknown stands in for a lane's rule that is not Serin's, so that the actual one shows up as a difference.
func unknown(main string) string { return "(" + strings.TrimSpace(main) + ") && …" }

// layoutOf checks a target completely and returns its layout.
func layoutOf(conf *Config, t traffic.Target) (layout, error) {
	l, route := layout{lanes: map[traffic.Lane]*side{}}, conf.Route
	errs := append(conf.checkServers("stable", t.Stable.Servers), conf.checkServers("canary", t.Canary.Servers)...)
	if conf.TCP {
		errs = append(errs, t.ValidateConnections())
	}
	errs = append(errs, traefikapi.ValidateGuards(t.Guards), t.ValidateLanes())
	l.guards = t.Guards
	both := arms{stable: slices.Sorted(slices.Values(t.Stable.Servers)), canary: slices.Sorted(slices.Values(t.Canary.Servers))}
	l.main = both
	var err error
	l.main.canaryWeight, l.main.stableWeight, err = traffic.Weights(t.Weight)
	l.sticky = t.Sticky
	errs = append(errs, err)
	put := func(lane traffic.Lane, s side, rule string, err error) {
		if err == nil {
			err = traefikapi.ParseRule(rule)
		}
		errs = append(errs, err)
		s.rule, s.match = rule, laneMatch(route.Rule, rule)
		l.lanes[lane] = &s
	}
	if c := t.Cohort; c != nil {
		split := side{arms: both, sticky: c.Sticky}
		split.canaryWeight, split.stableWeight, err = traffic.Weights(c.Split)
		errs = append(errs, err)
		rule, err := traefik.CohortRule(route.Rule, c.Match)
		put(traffic.CohortLane, split, rule, err)
	}
	if m := t.Mirror; m != nil {
		copied := side{arms: both, maxBody: m.MaxBody()}
		copied.canaryWeight, _ = m.Percent() //nolint:errcheck // ValidateLanes has its error
		rule, err := traefik.LaneRule(route.Rule, m.Text())
		put(traffic.MirrorLane, copied, rule, err)
	}
	if p := t.Preview; p != nil {
		rule, err := traefik.PreviewRule(route.Rule, *p)
		for _, r := range conf.FurtherRoutes { // its host must not be that of any route
			_, other := traefik.PreviewRule(r.Rule, *p)
			err = errors.Join(err, other)
		}
		put(traffic.PreviewLane, side{arms: arms{canary: both.canary, canaryWeight: 1}}, rule, err)
	}
	return l, errors.Join(errs...)
}

// laneMatch returns the part of a lane's rule that the lane adds to the main route's. For a preview with its own host, that
// is the whole rule.
func laneMatch(route, rule string) string {
	if match, ok := traefik.LaneMatch(route, rule); ok {
		return match
	}
	return rule
}

// checkServers checks the servers of an arm, at all ports.
func (c *Config) checkServers(arm string, servers []string) []error {
	var errs []error
	for port := range c.ports() {
		at := c.serversAt(servers, port)
		if len(at) == 0 && port == 0 {
			errs = append(errs, errors.New(arm+" has no servers"))
		} else if len(at) == 0 {
			errs = append(errs, fmt.Errorf("%s has no servers for port %d of the routes", arm, port+1))
		}
		for _, s := range at {
			errs = append(errs, c.checkServer(arm, s))
		}
	}
	return errs
}

func (c *Config) checkServer(arm, server string) error {
	u, err := url.Parse(server)
	switch {
	case c.TCP && (err != nil || u.Scheme != tcpScheme || u.Port() == "" || u.Hostname() == ""):
		return fmt.Errorf("server %q of %s is not an address such as tcp://10.0.0.1:5432", server, arm)
	case !c.TCP && (err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "h2c"}, u.Scheme)):
		return fmt.Errorf("server %q of %s is not a URL such as http://10.0.0.1:8080", server, arm)
	}
	return nil
}

// routes returns all main routes.
func (c *Config) routes() []traffic.PortRoute {
	return append([]traffic.PortRoute{{Route: c.Route}}, c.FurtherRoutes...)
}

// ports is the number of the servers' ports that routes lead to.
func (c *Config) ports() int {
	n := 1
	for i := range c.Sets {
		n = max(n, 1+len(c.Sets[i].Further))
	}
	return n
}

// set returns the set that has these servers at the first port, or nil if none is listed.
func (c *Config) set(servers []string) *traffic.ServerSet {
	i := slices.IndexFunc(c.Sets, func(s traffic.ServerSet) bool { return len(servers) > 0 && slices.Contains(s.Servers, servers[0]) })
	if i < 0 {
		return nil
	}
	return &c.Sets[i]
}

// serversAt returns the servers at a port, sorted.
func (c *Config) serversAt(servers []string, port int) []string {
	if port == 0 {
		return servers
	}
	if s := c.set(servers); s != nil && port <= len(s.Further) {
		return slices.Sorted(slices.Values(s.Further[port-1].Servers))
	}
	return nil
}

// balancing says how Traefik talks to the given servers, which may be those of any port.
func (c *Config) balancing(servers []string) *traffic.Balancing {
	if s := c.set(servers); s != nil {
		return &s.Balancing
	}
	for i := range c.Sets {
		for k := range c.Sets[i].Further {
			if at := &c.Sets[i].Further[k]; len(servers) > 0 && slices.Contains(at.Servers, servers[0]) {
				return &at.Balancing
			}
		}
	}
	return nil
}

// render returns the complete content of the file, with Traefik's defaults filled in, so that reading it back gives the same.
func (l *layout) render(c *Config) *dynamic.Configuration {
	if c.TCP {
		return &dynamic.Configuration{TCP: l.tcp(c)}
	}
	h := &dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}
	guards := l.renderGuards(c.Rollout, h)
	for i, r := range c.routes() {
		rule := strings.TrimSpace(r.Rule)
		h.Routers[routeName(c.Rollout, traffic.MainLane, i)] = router(c, &r, rule, traffic.MainLane, guards)
		for lane, s := range l.lanes {
			if !s.skips(c, i) {
				h.Routers[routeName(c.Rollout, lane, i)] = router(c, &r, s.ruleAt(c, i), lane, guards)
			}
		}
	}
	for port := range c.ports() {
		name := serviceName(c.Rollout, traffic.MainLane, port)
		at := l.main.at(c, port)
		at.render(c, h, name, sticky(c, name, l.sticky))
		for lane, s := range l.lanes {
			s.render(c, h, lane, port)
		}
	}
	return &dynamic.Configuration{HTTP: h}
}

// priority is that of a lane's router for a main route.
func priority(r *traffic.Route, lane traffic.Lane) int {
	main := r.Priority
	if main == 0 {
		main = len(strings.TrimSpace(r.Rule)) // Traefik's default
	}
	return traefik.LanePriority(main, lane)
}

// render adds what is behind the routers of a lane that lead to a port.
func (s *side) render(c *Config, h *dynamic.HTTPConfiguration, lane traffic.Lane, port int) {
	name, at := serviceName(c.Rollout, lane, port), s.at(c, port)
	switch lane {
	case traffic.MirrorLane:
		body, most := true, s.maxBody
		h.Services[name] = &dynamic.Service{Mirroring: &dynamic.Mirroring{
			Service: name + stableSuffix, MirrorBody: &body, MaxBodySize: &most,
			Mirrors: []dynamic.MirrorService{{Name: name + canarySuffix, Percent: s.canaryWeight}},
		}}
		at.children(c, h, name)
	case traffic.PreviewLane:
		h.Services[name] = c.balancer(at.canary)
	case traffic.CohortLane, traffic.MainLane:
		at.render(c, h, name, sticky(c, name, s.sticky))
	}
}

// sticky returns the cookie of a weighted service, with Traefik's defaults.
func sticky(c *Config, service, word string) *dynamic.Sticky {
	insecure := slices.ContainsFunc(c.routes(), func(r traffic.PortRoute) bool { return r.TLS == nil })
	s := traefikapi.Sticky(service, word, !insecure)
	if s != nil {
		s.Cookie.SetDefaults()
	}
	return s
}

// router returns the router of a lane for a main route.
func router(c *Config, route *traffic.PortRoute, rule string, lane traffic.Lane, guards []string) *dynamic.Router {
	r := &dynamic.Router{
		EntryPoints: route.EntryPoints, Rule: rule, Priority: priority(&route.Route, lane), Service: serviceName(c.Rollout, lane, route.Port),
	}
	r.Middlewares = append(middlewares(&route.Route), guards...)
	if t := route.TLS; t != nil {
		r.TLS = &dynamic.RouterTLSConfig{Options: t.Options, CertResolver: t.CertResolver, Domains: domains(t)}
	}
	if o := route.Observability; o != nil {
		r.Observability = &dynamic.RouterObservabilityConfig{AccessLogs: o.AccessLogs, Metrics: o.Metrics, Tracing: o.Tracing}
		r.Observability.SetDefaults()
	}
	return r
}

func domains(t *traffic.TLS) (out []types.Domain) {
	for _, d := range t.Domains {
		out = append(out, types.Domain{Main: d.Main, SANs: d.SANs})
	}
	return out
}

// middlewares returns the user's own middlewares, by Traefik's names within the file provider.
func middlewares(r *traffic.Route) []string {
	var out []string
	for _, m := range r.Middlewares {
		out = append(out, strings.TrimSuffix(m.Name, provider))
	}
	return out
}

// balance sets how Traefik talks to a set of servers.
func (c *Config) balance(lb *dynamic.ServersLoadBalancer, servers []string) {
	s := c.balancing(servers)
	if s == nil {
		return
	}
	lb.ServersTransport = strings.TrimSuffix(s.ServersTransport, provider)
	if s.PassHostHeader != nil {
		lb.PassHostHeader = s.PassHostHeader
	}
	if s.FlushInterval != 0 {
		lb.ResponseForwarding = &dynamic.ResponseForwarding{FlushInterval: ptypes.Duration(s.FlushInterval)}
	}
	if k := s.Sticky; k != nil {
		lb.Sticky = &dynamic.Sticky{Cookie: &dynamic.Cookie{
			Name: k.Name, Secure: k.Secure, HTTPOnly: k.HTTPOnly, SameSite: k.SameSite, MaxAge: k.MaxAge,
		}}
		lb.Sticky.Cookie.SetDefaults()
	}
	if h := s.HealthCheck; h != nil {
		check := &dynamic.ServerHealthCheck{}
		check.SetDefaults()
		check.Path, check.Scheme, check.Method, check.Hostname = h.Path, h.Scheme, h.Method, h.Hostname
		check.Port, check.Status, check.Headers = h.Port, h.Status, h.Headers
		setIf(&check.Interval, ptypes.Duration(h.Interval))
		setIf(&check.Timeout, ptypes.Duration(h.Timeout))
		lb.HealthCheck = check
	}
}

// render adds a weighted service and its children. Both have an explicit weight, because Traefik assumes 1 otherwise.
func (a *arms) render(c *Config, h *dynamic.HTTPConfiguration, name string, sticky *dynamic.Sticky) {
	h.Services[name] = &dynamic.Service{Weighted: &dynamic.WeightedRoundRobin{
		Services: []dynamic.WRRService{
			{Name: name + stableSuffix, Weight: &a.stableWeight}, {Name: name + canarySuffix, Weight: &a.canaryWeight},
		},
		Sticky: sticky,
	}}
	a.children(c, h, name)
}

func (a *arms) children(c *Config, h *dynamic.HTTPConfiguration, name string) {
	h.Services[name+stableSuffix], h.Services[name+canarySuffix] = c.balancer(a.stable), c.balancer(a.canary)
}

// balancer returns the service of a set of servers.
func (c *Config) balancer(servers []string) *dynamic.Service {
	lb := &dynamic.ServersLoadBalancer{}
	lb.SetDefaults()
	for _, s := range servers {
		lb.Servers = append(lb.Servers, dynamic.Server{URL: s})
	}
	c.balance(lb, servers)
	return &dynamic.Service{LoadBalancer: lb}
}

// renderGuards adds the middlewares and returns their names in the order in which requests pass them: the circuit breaker
// does not count what the rate limit refuses.
func (l *layout) renderGuards(rollout string, h *dynamic.HTTPConfiguration) []string {
	var names []string
	if g := l.guards.RateLimit; g != nil {
		limit := &dynamic.RateLimit{}
		limit.SetDefaults()
		limit.Average = g.Average
		setIf(&limit.Period, ptypes.Duration(g.Period))
		setIf(&limit.Burst, g.Burst)
		if g.By != "" {
			limit.SourceCriterion = &dynamic.SourceCriterion{RequestHeaderName: g.By}
		}
		h.Middlewares[rollout+limitSuffix] = &dynamic.Middleware{RateLimit: limit}
		names = append(names, rollout+limitSuffix)
	}
	if g := l.guards.CircuitBreaker; g != nil {
		breaker := &dynamic.CircuitBreaker{}
		breaker.SetDefaults()
		breaker.Expression = g.Expression
		setIf(&breaker.CheckPeriod, ptypes.Duration(g.CheckPeriod))
		setIf(&breaker.FallbackDuration, ptypes.Duration(g.Fallback))
		setIf(&breaker.RecoveryDuration, ptypes.Duration(g.Recovery))
		setIf(&breaker.ResponseCode, g.ResponseCode)
		h.Middlewares[rollout+breakerSuffix] = &dynamic.Middleware{CircuitBreaker: breaker}
		names = append(names, rollout+breakerSuffix)
	}
	return names
}

// setIf sets a field unless the value is zero, which leaves the default.
func setIf[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// infer returns the layout that comes closest to a file or to answers of Traefik.
func infer(c *Config, all *dynamic.Configuration) layout {
	if c.TCP {
		return inferTCP(c, all.TCP)
	}
	h := all.HTTP
	l := layout{main: inferArms(c, traffic.MainLane, h), lanes: map[traffic.Lane]*side{}}
	if s := h.Services[c.Rollout]; s != nil && s.Weighted != nil {
		l.sticky = traefikapi.StickyWord(c.Rollout, s.Weighted.Sticky)
	}
	for _, lane := range inFront {
		if r := h.Routers[laneName(c.Rollout, lane)]; r != nil {
			l.lanes[lane] = inferSide(c, h, lane, r.Rule)
		}
	}
	main := h.Routers[c.Rollout]
	if main == nil {
		return l
	}
	if m := h.Middlewares[c.Rollout+limitSuffix]; m != nil && m.RateLimit != nil && slices.Contains(main.Middlewares, c.Rollout+limitSuffix) {
		l.guards.RateLimit = &traffic.RateLimit{Average: m.RateLimit.Average, Period: time.Duration(m.RateLimit.Period), Burst: m.RateLimit.Burst}
		if s := m.RateLimit.SourceCriterion; s != nil {
			l.guards.RateLimit.By = s.RequestHeaderName
		}
	}
	if m := h.Middlewares[c.Rollout+breakerSuffix]; m != nil && m.CircuitBreaker != nil &&
		slices.Contains(main.Middlewares, c.Rollout+breakerSuffix) {
		b := m.CircuitBreaker
		l.guards.CircuitBreaker = &traffic.CircuitBreaker{
			Expression: b.Expression, CheckPeriod: time.Duration(b.CheckPeriod), Fallback: time.Duration(b.FallbackDuration),
			Recovery: time.Duration(b.RecoveryDuration), ResponseCode: b.ResponseCode,
		}
	}
	return l
}

// inferSide returns the route of a lane, given the rule of its router.
func inferSide(c *Config, h *dynamic.HTTPConfiguration, lane traffic.Lane, rule string) *side {
	name := laneName(c.Rollout, lane)
	out := &side{rule: rule}
	var ok bool
	if out.match, ok = traefik.LaneMatch(c.Route.Rule, rule); !ok && lane != traffic.PreviewLane {
		out.rule = unknown(c.Route.Rule)
	}
	s := h.Services[name]
	switch lane {
	case traffic.PreviewLane:
		if !ok {
			out.match = rule
		}
		out.canary, out.canaryWeight = servers(s), 1
	case traffic.MirrorLane:
		out.arms = inferChildren(name, h)
		if s != nil && s.Mirroring != nil && s.Mirroring.MaxBodySize != nil {
			out.maxBody = *s.Mirroring.MaxBodySize
		}
		for port := range c.ports() {
			out.canaryWeight = max(out.canaryWeight, copied(serviceName(c.Rollout, lane, port), h))
		}
	case traffic.CohortLane, traffic.MainLane:
		out.arms = inferArms(c, lane, h)
		if s != nil && s.Weighted != nil {
			out.sticky = traefikapi.StickyWord(name, s.Weighted.Sticky)
		}
	}
	return out
}

func inferChildren(name string, h *dynamic.HTTPConfiguration) arms {
	return arms{canary: servers(h.Services[name+canarySuffix]), stable: servers(h.Services[name+stableSuffix])}
}

// copied returns the percentage that a mirroring service copies to the canary.
func copied(name string, h *dynamic.HTTPConfiguration) (percent int) {
	if s := h.Services[name]; s != nil && s.Mirroring != nil {
		for _, m := range s.Mirroring.Mirrors {
			if m.Name == name+canarySuffix {
				percent += m.Percent
			}
		}
	}
	return percent
}

// inferArms returns the arms of a lane. All ports should have the same weights; of several, the one with the most for the
// canary counts.
func inferArms(c *Config, lane traffic.Lane, h *dynamic.HTTPConfiguration) arms {
	a := inferChildren(laneName(c.Rollout, lane), h)
	for port := range c.ports() {
		name := serviceName(c.Rollout, lane, port)
		s := h.Services[name]
		if s == nil || s.Weighted == nil {
			continue
		}
		var canary, stable int
		for _, child := range s.Weighted.Services {
			weight := weightOf(child.Weight)
			switch child.Name {
			case name + canarySuffix:
				canary = weight
			case name + stableSuffix:
				stable = weight
			}
		}
		if port == 0 || traffic.ShareOf(canary, stable) > traffic.ShareOf(a.canaryWeight, a.stableWeight) {
			a.canaryWeight, a.stableWeight = canary, stable
		}
	}
	return a
}

// weightOf returns the weight of a child. Traefik's default is 1.
func weightOf(weight *int) int {
	if weight == nil {
		return 1
	}
	return *weight
}

func servers(s *dynamic.Service) []string {
	if s == nil || s.LoadBalancer == nil {
		return nil
	}
	var out []string
	for _, server := range s.LoadBalancer.Servers {
		out = append(out, server.URL)
	}
	slices.Sort(out)
	return out
}

// served returns this layout, which was inferred from all, in the form of an observation. All routes count as enabled.
func (l *layout) served(c *Config, all *dynamic.Configuration) traffic.Served {
	guards := l.guards
	s := traffic.Served{Guards: l.guards.Names(), Limits: &guards}
	if all.HTTP != nil && all.HTTP.Routers[c.Rollout] != nil || c.TCP && all.TCP.Routers[c.Rollout] != nil {
		s.Main = l.main.served()
		s.Main.Sticky = l.sticky
	}
	for lane, side := range l.lanes {
		served := side.served()
		served.Match, served.Sticky, served.MaxBody = side.match, side.sticky, side.maxBody
		switch lane {
		case traffic.CohortLane:
			s.Cohort = served
		case traffic.MirrorLane:
			served.Weight = share.Share(side.canaryWeight) / 100
			s.Mirror = served
		case traffic.PreviewLane:
			s.Preview = served
		case traffic.MainLane:
		}
	}
	return s
}

func (a *arms) served() *traffic.RouteServed {
	return &traffic.RouteServed{Enabled: true, Stable: a.stable, Canary: a.canary, Weight: traffic.ShareOf(a.canaryWeight, a.stableWeight)}
}
