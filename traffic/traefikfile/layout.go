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

// The names in Traefik, behind the rollout's own: spec/traefik.md, File provider.
const (
	cohortSuffix  = "-ab"
	mirrorSuffix  = "-mirrored"
	previewSuffix = "-previewed"
	stableSuffix  = "-stable"
	canarySuffix  = "-canary"
	breakerSuffix = "-circuit-breaker"
	limitSuffix   = "-rate-limit"

	// provider is what Traefik adds to a name that the file provider gave.
	provider = "@file"
)

// inFront are the lanes that have a router in front of the main one.
var inFront = []traffic.Lane{traffic.CohortLane, traffic.MirrorLane, traffic.PreviewLane}

// laneName is the name of a lane's router and of the service behind it.
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

// layout is the content of the file, reduced to what changes during a rollout. Every target has one, and one can be
// inferred from any file or answer of Traefik; rendering the inferred one shows what everything else should have been.
type layout struct {
	main   arms
	sticky string                 // the word that keeps users on their arm of the main route
	lanes  map[traffic.Lane]*side // of [inFront]
	guards traffic.Guards
}

// arms are a weighted service and its two children. On the mirror's lane the canary's weight is the percentage that is
// copied; the preview's lane has no stable child.
type arms struct {
	canaryWeight, stableWeight int
	canary, stable             []string // servers, sorted
}

// side is a route in front of the main one.
type side struct {
	arms
	rule    string
	match   string // the part of rule that is not the main route's; empty if rule is not ours
	sticky  string // the word that keeps users on their arm
	maxBody int64  // the mirror's
}

// layoutOf checks a target completely and returns its layout in Traefik.
func layoutOf(route traffic.Route, t traffic.Target) (layout, error) {
	l := layout{lanes: map[traffic.Lane]*side{}}
	errs := append(checkServers("stable", t.Stable.Servers), checkServers("canary", t.Canary.Servers)...)
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
		put(traffic.PreviewLane, side{arms: arms{canary: both.canary, canaryWeight: 1}}, rule, err)
	}
	return l, errors.Join(errs...)
}

// laneMatch is the part of a lane's rule that is not the main route's; a preview's own host has all of it.
func laneMatch(route, rule string) string {
	if match, ok := traefik.LaneMatch(route, rule); ok {
		return match
	}
	return rule
}

func checkServers(arm string, servers []string) []error {
	var errs []error
	if len(servers) == 0 {
		errs = append(errs, errors.New(arm+" has no servers"))
	}
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "h2c"}, u.Scheme) {
			errs = append(errs, fmt.Errorf("server %q of %s is not a URL such as http://10.0.0.1:8080", s, arm))
		}
	}
	return errs
}

// render returns the complete content of the file. Traefik's defaults are filled in, so that reading it back gives the
// same.
func (l *layout) render(c *Config) *dynamic.HTTPConfiguration {
	h := &dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}
	guards := l.renderGuards(c.Rollout, h)
	rule := strings.TrimSpace(c.Route.Rule)
	priority := c.Route.Priority
	if priority == 0 {
		priority = len(rule) // what Traefik assumes for a router without priority
	}
	h.Routers[c.Rollout] = router(c, rule, priority, c.Rollout, guards)
	l.main.render(c, h, c.Rollout, sticky(c, c.Rollout, l.sticky))
	for _, lane := range inFront {
		if s := l.lanes[lane]; s != nil {
			// A cohort and a mirror are one above the main route and no more: a router of the user's own that is more
			// specific than the main route keeps its requests. A preview is one above both.
			above := 1
			if lane == traffic.PreviewLane {
				above = 2
			}
			s.render(c, h, lane, priority+above, guards)
		}
	}
	return h
}

// render adds the router of a lane and what is behind it.
func (s *side) render(c *Config, h *dynamic.HTTPConfiguration, lane traffic.Lane, priority int, guards []string) {
	name := laneName(c.Rollout, lane)
	h.Routers[name] = router(c, s.rule, priority, name, guards)
	switch lane {
	case traffic.MirrorLane:
		body, most := true, s.maxBody
		h.Services[name] = &dynamic.Service{Mirroring: &dynamic.Mirroring{
			Service: name + stableSuffix, MirrorBody: &body, MaxBodySize: &most,
			Mirrors: []dynamic.MirrorService{{Name: name + canarySuffix, Percent: s.canaryWeight}},
		}}
		s.arms.children(c, h, name)
	case traffic.PreviewLane:
		h.Services[name] = c.balancer(s.canary)
	case traffic.CohortLane, traffic.MainLane:
		s.arms.render(c, h, name, sticky(c, name, s.sticky))
	}
}

// sticky is the cookie of a weighted service, with Traefik's defaults.
func sticky(c *Config, service, word string) *dynamic.Sticky {
	s := traefikapi.Sticky(service, word, c.Route.TLS != nil)
	if s != nil {
		s.Cookie.SetDefaults()
	}
	return s
}

func router(c *Config, rule string, priority int, service string, guards []string) *dynamic.Router {
	r := &dynamic.Router{EntryPoints: c.Route.EntryPoints, Rule: rule, Priority: priority, Service: service}
	r.Middlewares = append(c.middlewares(), guards...)
	if t := c.Route.TLS; t != nil {
		r.TLS = &dynamic.RouterTLSConfig{Options: t.Options, CertResolver: t.CertResolver}
		for _, d := range t.Domains {
			r.TLS.Domains = append(r.TLS.Domains, types.Domain{Main: d.Main, SANs: d.SANs})
		}
	}
	if o := c.Route.Observability; o != nil {
		r.Observability = &dynamic.RouterObservabilityConfig{AccessLogs: o.AccessLogs, Metrics: o.Metrics, Tracing: o.Tracing}
		r.Observability.SetDefaults()
	}
	return r
}

// middlewares are the user's own, as Traefik names those of the file provider.
func (c *Config) middlewares() []string {
	var out []string
	for _, m := range c.Route.Middlewares {
		out = append(out, strings.TrimSuffix(m.Name, provider))
	}
	return out
}

// balance fills in how Traefik talks to a set of servers.
func (c *Config) balance(lb *dynamic.ServersLoadBalancer, servers []string) {
	i := slices.IndexFunc(c.Sets, func(s Set) bool { return len(servers) > 0 && slices.Contains(s.Servers, servers[0]) })
	if i < 0 {
		return
	}
	s := &c.Sets[i]
	lb.ServersTransport = strings.TrimSuffix(s.ServersTransport, provider)
	if s.PassHostHeader != nil {
		lb.PassHostHeader = s.PassHostHeader
	}
	if s.FlushInterval != 0 {
		lb.ResponseForwarding = &dynamic.ResponseForwarding{FlushInterval: ptypes.Duration(s.FlushInterval)}
	}
	if k := s.Sticky; k != nil {
		lb.Sticky = &dynamic.Sticky{Cookie: &dynamic.Cookie{Name: k.Name, Secure: k.Secure, HTTPOnly: k.HTTPOnly, SameSite: k.SameSite, MaxAge: k.MaxAge}}
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

// render adds a weighted service and its children, both always with a weight: a child without one has weight 1.
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

// balancer is the service of a set of servers.
func (c *Config) balancer(servers []string) *dynamic.Service {
	lb := &dynamic.ServersLoadBalancer{}
	lb.SetDefaults()
	for _, s := range servers {
		lb.Servers = append(lb.Servers, dynamic.Server{URL: s})
	}
	c.balance(lb, servers)
	return &dynamic.Service{LoadBalancer: lb}
}

// renderGuards adds the middlewares and returns their names in the order of the request's way: what the rate limit
// refuses does not count for the circuit breaker.
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

// setIf keeps the default for a zero.
func setIf[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// infer is the layout that comes nearest to h: any file, or any answer of Traefik.
func infer(c *Config, h *dynamic.HTTPConfiguration) layout {
	l := layout{main: inferArms(c.Rollout, h), lanes: map[traffic.Lane]*side{}}
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
	if m := h.Middlewares[c.Rollout+breakerSuffix]; m != nil && m.CircuitBreaker != nil && slices.Contains(main.Middlewares, c.Rollout+breakerSuffix) {
		b := m.CircuitBreaker
		l.guards.CircuitBreaker = &traffic.CircuitBreaker{
			Expression: b.Expression, CheckPeriod: time.Duration(b.CheckPeriod), Fallback: time.Duration(b.FallbackDuration),
			Recovery: time.Duration(b.RecoveryDuration), ResponseCode: b.ResponseCode,
		}
	}
	return l
}

// inferSide is the route of a lane whose router has a rule.
func inferSide(c *Config, h *dynamic.HTTPConfiguration, lane traffic.Lane, rule string) *side {
	name := laneName(c.Rollout, lane)
	out := &side{rule: rule}
	var ok bool
	if out.match, ok = traefik.LaneMatch(c.Route.Rule, rule); !ok && lane != traffic.PreviewLane {
		out.rule = "(" + strings.TrimSpace(c.Route.Rule) + ") && …" // shows what is wrong with the one that is there
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
		if s != nil && s.Mirroring != nil {
			if s.Mirroring.MaxBodySize != nil {
				out.maxBody = *s.Mirroring.MaxBodySize
			}
			for _, m := range s.Mirroring.Mirrors {
				if m.Name == name+canarySuffix {
					out.canaryWeight += m.Percent
				}
			}
		}
	case traffic.CohortLane, traffic.MainLane:
		out.arms = inferArms(name, h)
		if s != nil && s.Weighted != nil {
			out.sticky = traefikapi.StickyWord(name, s.Weighted.Sticky)
		}
	}
	return out
}

func inferChildren(name string, h *dynamic.HTTPConfiguration) arms {
	return arms{canary: servers(h.Services[name+canarySuffix]), stable: servers(h.Services[name+stableSuffix])}
}

func inferArms(name string, h *dynamic.HTTPConfiguration) arms {
	a := inferChildren(name, h)
	s := h.Services[name]
	if s == nil || s.Weighted == nil {
		return a
	}
	for _, child := range s.Weighted.Services {
		weight := 1 // a child without one
		if child.Weight != nil {
			weight = *child.Weight
		}
		switch child.Name {
		case name + canarySuffix:
			a.canaryWeight = weight
		case name + stableSuffix:
			a.stableWeight = weight
		}
	}
	return a
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

// served says what users get under this layout, which was inferred from h. All routes count as enabled.
func (l *layout) served(h *dynamic.HTTPConfiguration, rollout string) traffic.Served {
	guards := l.guards
	s := traffic.Served{Guards: l.guards.Names(), Limits: &guards}
	if h.Routers[rollout] != nil {
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
