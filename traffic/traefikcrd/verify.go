package traefikcrd

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/traffic/traefikapi"
)

// answers are a rollout's objects in one replica of Traefik, and the problems of each by name.
type answers struct {
	http     dynamic.HTTPConfiguration
	problems map[string][]string
	routers  map[traffic.Lane][]laneRouter // those of the lanes in front of the main one
}

// laneRouter is a router of a lane in front of the IngressRoute with the given number.
type laneRouter struct {
	ingressRoute int
	id           string
}

func (a *answers) note(name, problem string) {
	if problem != "" {
		a.problems[name] = append(a.problems[name], problem)
	}
}

// ask gets one replica's answers and compares them with what it should serve.
func (r *Router) ask(ctx context.Context, replica traefikapi.Replica, frames []frame) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Verify.Timeout)
	defer cancel()
	out := traffic.Replica{Name: replica.Name()}
	replica = r.api.Together(ctx, replica, &r.asker)
	a, err := r.fetch(ctx, replica, frames)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	c := &r.config
	l := a.infer(c, frames)
	for _, d := range traefikapi.Compare(l.dynamic(c, frames, a), &a.http, false) {
		a.note(d.Object, d.Text)
	}
	guards := l.guards
	out.Guards, out.Limits = guards.Names(), &guards
	if mains, lead := a.mains(c, frames); lead {
		out.Main = &traffic.RouteServed{Enabled: true, Weight: l.main.share(), Sticky: l.sticky}
		a.judge(out.Main, slices.Concat(mains, c.partsOf(traffic.MainLane),
			[]string{c.objectID(c.Rollout + limitSuffix), c.objectID(c.Rollout + breakerSuffix)})...)
	}
	for lane, side := range l.lanes {
		served := side.served(lane)
		parts := c.partsOf(lane)
		for _, router := range a.routers[lane] {
			parts = append(parts, router.id)
		}
		a.judge(served, parts...)
		put(&out.Served, lane, served)
	}
	return out
}

// partsOf returns Traefik's names for the services of a lane, without the provider.
func (c *Config) partsOf(lane traffic.Lane) (ids []string) {
	for port := range c.ports() {
		canary, stable := c.laneArms(lane, port)
		ids = append(ids, c.objectID(c.serviceName(lane, port)), c.childID(stable), c.childID(canary))
	}
	return ids
}

// mains returns the main routers, and whether any of them leads to the rollout's weighted service, directly or among others.
// For routers that do not, it notes the problem.
func (a *answers) mains(c *Config, frames []frame) (ids []string, lead bool) {
	for i := range frames {
		f := &frames[i]
		for j := range f.spec.Routes {
			id, service := c.mainRouter(f, j), c.objectID(c.serviceName(traffic.MainLane, f.ports[j]))
			ids = append(ids, id)
			switch router := a.http.Routers[id]; {
			case router == nil:
				a.note(id, "router "+id+" is missing")
			case router.Service == service || f.shared[j] && a.has(router.Service, service):
				lead = true
			default:
				a.note(id, "router "+id+" does not lead to service "+service)
			}
		}
	}
	return ids, lead
}

// judge marks a route as disabled if one of its parts has a problem.
func (a *answers) judge(s *traffic.RouteServed, parts ...string) {
	var all []string
	for _, part := range parts {
		all = append(all, a.problems[part]...)
	}
	if len(all) > 0 {
		s.Enabled, s.Problem = false, strings.Join(all, "; ")
	}
}

// mainRouter is Traefik's name for the router of a main route.
func (c *Config) mainRouter(f *frame, route int) string {
	return c.routerID(f.name, f.spec.Routes[route].Match)
}

// isLaneRouter reports whether a router belongs to a lane in front of the i-th IngressRoute. Its name ends in a hash of its
// rule.
func (c *Config) isLaneRouter(lane traffic.Lane, i int, id string) bool {
	hash, ok := strings.CutPrefix(id, c.objectID(c.laneRouteName(lane, i))+"-")
	return ok && hashForm.MatchString(hash)
}

// inFrontOf returns the number of the IngressRoute that a lane's router is in front of, or -1 if it is not the lane's.
func (c *Config) inFrontOf(lane traffic.Lane, id string) int {
	for i := range c.routes() {
		if c.isLaneRouter(lane, i, id) {
			return i
		}
	}
	return -1
}

var hashForm = regexp.MustCompile(`^[0-9a-f]{20}$`)

// fetch gets all objects of the rollout one after another, which takes milliseconds over one connection.
func (r *Router) fetch(ctx context.Context, replica traefikapi.Replica, frames []frame) (*answers, error) {
	c := &r.config
	a := &answers{problems: map[string][]string{}, routers: map[traffic.Lane][]laneRouter{}, http: dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}}
	for i := range frames {
		f := &frames[i]
		for j := range f.spec.Routes {
			if err := r.fetchRouter(ctx, replica, c.mainRouter(f, j), f, a); err != nil {
				return nil, err
			}
		}
	}
	if len(a.http.Routers) == 0 {
		for i := range frames {
			if err := r.api.CheckNaming(ctx, replica, c.Namespace, frames[i].name); err != nil {
				return nil, err
			}
		}
	}
	for _, lane := range inFront {
		if err := r.fetchLane(ctx, replica, lane, frames, a); err != nil {
			return nil, err
		}
	}
	return a, errors.Join(r.fetchServices(ctx, replica, a), r.fetchGuards(ctx, replica, frames, a))
}

// fetchLane gets the routers of a lane, if there are any.
func (r *Router) fetchLane(ctx context.Context, replica traefikapi.Replica, lane traffic.Lane, frames []frame, a *answers) error {
	var list []struct {
		Name string `json:"name"`
	}
	if err := r.api.Search(ctx, replica, "routers", r.config.objectID(r.config.laneName(lane))+"-", &list); err != nil {
		return err
	}
	for _, found := range list {
		id, ok := strings.CutSuffix(found.Name, provider)
		i := r.config.inFrontOf(lane, id)
		if !ok || i < 0 {
			continue
		}
		if err := r.fetchRouter(ctx, replica, id, &frames[i], a); err != nil {
			return err
		}
		if a.http.Routers[id] != nil { // it may have disappeared since it was listed
			a.routers[lane] = append(a.routers[lane], laneRouter{i, id})
		}
	}
	return nil
}

// allGuards are all guards that a rollout may have.
var allGuards = traffic.Guards{CircuitBreaker: &traffic.CircuitBreaker{}, RateLimit: &traffic.RateLimit{}}

func (r *Router) fetchRouter(ctx context.Context, replica traefikapi.Replica, id string, f *frame, a *answers) error {
	var router struct {
		dynamic.Router
		traefikapi.State
	}
	err := r.api.Get(ctx, replica, "routers", id+provider, &router)
	if errors.Is(err, traefikapi.ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	a.note(id, router.Problem("router "+id))
	router.Service = strings.TrimSuffix(router.Service, provider)
	for i, m := range router.Middlewares {
		router.Middlewares[i] = strings.TrimSuffix(m, provider)
	}
	if len(f.spec.Routes) > 0 {
		spec := f.spec.Routes[f.routeOf(router.Rule)]
		spec.Middlewares = append(slices.Clone(spec.Middlewares), (&layout{guards: allGuards}).guardRefs(&r.config)...)
		own := routerOf(&r.config, &f.spec, &spec).Middlewares
		router.Middlewares = traefikapi.Behind(router.Middlewares, own)
	}
	if router.TLS != nil && router.TLS.Options == "default" && (f.spec.TLS == nil || f.spec.TLS.Options == nil) {
		router.TLS.Options = ""
	}
	a.http.Routers[id] = &router.Router
	return nil
}

// routeOf returns the number of the main route whose rule this is, or that a lane's rule is in front of, and 0 if that is not
// known.
func (f *frame) routeOf(rule string) int {
	return max(0, slices.IndexFunc(f.rules(), func(main string) bool {
		_, ok := traefik.LaneMatch(main, rule)
		return ok || strings.TrimSpace(main) == strings.TrimSpace(rule)
	}))
}

// fetchServices gets the services of the existing routers, and their children.
func (r *Router) fetchServices(ctx context.Context, replica traefikapi.Replica, a *answers) error {
	var todo []string
	for _, router := range a.http.Routers {
		if router.Service != "" {
			todo = append(todo, router.Service)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		id := todo[0]
		if a.http.Services[id] != nil {
			continue
		}
		var service struct {
			dynamic.Service
			traefikapi.State
		}
		err := r.api.Get(ctx, replica, "services", id+provider, &service)
		if errors.Is(err, traefikapi.ErrNoObject) {
			a.note(id, "service "+id+" is missing"+r.config.crossing())
			continue
		}
		if err != nil {
			return err
		}
		a.note(id, service.Problem("service "+id))
		if w := service.Weighted; w != nil {
			for i := range w.Services {
				w.Services[i].Name = strings.TrimSuffix(w.Services[i].Name, provider)
				todo = append(todo, w.Services[i].Name)
			}
		}
		if m := service.Mirroring; m != nil {
			m.Service = strings.TrimSuffix(m.Service, provider)
			todo = append(todo, m.Service)
			for i := range m.Mirrors {
				m.Mirrors[i].Name = strings.TrimSuffix(m.Mirrors[i].Name, provider)
				todo = append(todo, m.Mirrors[i].Name)
			}
		}
		a.http.Services[id] = &service.Service
	}
	return nil
}

// crossing explains why Traefik may lack a service, which it says only in its log.
func (c *Config) crossing() string {
	if c.arms() == c.Namespace {
		return ""
	}
	return ": to lead from namespace " + c.Namespace + " to Services in " + c.arms() + " it needs providers.kubernetesCRD.allowCrossNamespace"
}

func (r *Router) fetchGuards(ctx context.Context, replica traefikapi.Replica, frames []frame, a *answers) error {
	first := slices.IndexFunc(frames, func(f frame) bool { return len(f.spec.Routes) > 0 })
	if first < 0 {
		return nil
	}
	main := a.http.Routers[r.config.mainRouter(&frames[first], 0)]
	if main == nil {
		return nil
	}
	for _, id := range main.Middlewares {
		if id != r.config.objectID(r.config.Rollout+limitSuffix) && id != r.config.objectID(r.config.Rollout+breakerSuffix) {
			continue
		}
		var m struct {
			dynamic.Middleware
			traefikapi.State
		}
		err := r.api.Get(ctx, replica, "middlewares", id+provider, &m)
		if errors.Is(err, traefikapi.ErrNoObject) {
			continue // the router that refers to it is disabled and says why
		}
		if err != nil {
			return err
		}
		a.note(id, m.Problem("middleware "+id))
		a.http.Middlewares[id] = &m.Middleware
	}
	return nil
}

// infer returns the layout that comes closest to the answers.
func (a *answers) infer(c *Config, frames []frame) layout {
	l := layout{main: c.greatest(func(port int) weights { return a.weights(c, traffic.MainLane, port) }), lanes: map[traffic.Lane]*side{}}
	if s := a.http.Services[c.objectID(c.Rollout)]; s != nil && s.Weighted != nil && !c.Adopt {
		l.sticky = traefikapi.StickyWord(c.Rollout, s.Weighted.Sticky)
	}
	if m := a.http.Middlewares[c.objectID(c.Rollout+limitSuffix)]; m != nil && m.RateLimit != nil {
		l.guards.RateLimit = &traffic.RateLimit{Average: m.RateLimit.Average, Period: time.Duration(m.RateLimit.Period), Burst: m.RateLimit.Burst}
		if s := m.RateLimit.SourceCriterion; s != nil {
			l.guards.RateLimit.By = s.RequestHeaderName
		}
	}
	if m := a.http.Middlewares[c.objectID(c.Rollout+breakerSuffix)]; m != nil && m.CircuitBreaker != nil {
		b := m.CircuitBreaker
		l.guards.CircuitBreaker = &traffic.CircuitBreaker{
			Expression: b.Expression, CheckPeriod: time.Duration(b.CheckPeriod), Fallback: time.Duration(b.FallbackDuration),
			Recovery: time.Duration(b.RecoveryDuration), ResponseCode: b.ResponseCode,
		}
	}
	for lane := range a.routers {
		l.lanes[lane] = a.side(c, frames, lane)
	}
	return l
}

// side returns the route of a lane according to its routers.
func (a *answers) side(c *Config, frames []frame, lane traffic.Lane) *side {
	canary, _ := c.laneArms(lane, 0)
	out := &side{weights: c.greatest(func(port int) weights { return a.weights(c, lane, port) }), rules: make([][]string, len(frames))}
	s := a.http.Services[c.objectID(c.laneName(lane))]
	if s != nil && s.Weighted != nil {
		out.sticky = traefikapi.StickyWord(c.laneName(lane), s.Weighted.Sticky)
	}
	if s != nil && s.Mirroring != nil {
		for _, m := range s.Mirroring.Mirrors {
			if m.Name == c.childID(canary) {
				out.canary += m.Percent
			}
		}
		if s.Mirroring.MaxBodySize != nil {
			out.maxBody = *s.Mirroring.MaxBodySize
		}
	}
	for i, f := range frames {
		for j, main := range f.rules() {
			if j > 0 && hosted(lane, f.rules()[0], out.rules[i][0]) {
				break
			}
			if router := a.laneRouter(lane, i, main); router != nil {
				out.addRule(lane, i, main, router.Rule)
			} else {
				out.rules[i] = append(out.rules[i], unknown(main))
				a.note(c.objectID(c.laneName(lane)), "no router of the "+string(lane)+" is in front of "+main)
			}
		}
	}
	return out
}

// laneRouter returns the router of a lane in front of a route of the i-th IngressRoute. It is the one whose rule begins with
// the route's or, for a preview, one with its own host. It returns nil if there is none.
func (a *answers) laneRouter(lane traffic.Lane, i int, main string) *dynamic.Router {
	var other *dynamic.Router
	for _, found := range a.routers[lane] {
		router := a.http.Routers[found.id]
		if found.ingressRoute != i {
			continue
		}
		if _, ok := traefik.LaneMatch(main, router.Rule); ok {
			return router
		}
		if lane == traffic.PreviewLane && strings.HasPrefix(router.Rule, "Host(") {
			other = router
		}
	}
	return other
}

func (a *answers) weights(c *Config, lane traffic.Lane, port int) weights {
	var w weights
	canary, stable := c.laneArms(lane, port)
	s := a.http.Services[c.objectID(c.serviceName(lane, port))]
	if s == nil || s.Weighted == nil {
		return w
	}
	for _, child := range s.Weighted.Services {
		weight := 1
		if child.Weight != nil {
			weight = *child.Weight
		}
		switch child.Name {
		case c.childID(canary):
			w.canary = weight
		case c.childID(stable):
			w.stable = weight
		}
	}
	return w
}

// dynamic returns what a replica should have according to a layout, as far as that is known: the routers, and the weighted
// services that exist.
func (l *layout) dynamic(c *Config, frames []frame, a *answers) *dynamic.HTTPConfiguration {
	h := &dynamic.HTTPConfiguration{Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}}
	guards := l.guardRefs(c)
	for i := range frames {
		f := &frames[i]
		main := c.routesTo(f, traffic.MainLane, f.rules(), guards)
		for j := range main.Routes {
			id := c.mainRouter(f, j)
			if a.http.Routers[id] == nil {
				continue
			}
			h.Routers[id] = routerOf(c, &main, &main.Routes[j])
			if f.shared[j] { // Traefik makes a weighted service for the router, which contains the rollout's
				h.Routers[id].Service = id
			}
		}
	}
	for port := range c.ports() {
		l.weighted(c, a, h, traffic.MainLane, port, l.main, traefikapi.Sticky(c.serviceName(traffic.MainLane, port), l.sticky, secure(frames)))
	}
	for lane, s := range l.lanes {
		for _, found := range a.routers[lane] {
			f := &frames[found.ingressRoute]
			if len(f.spec.Routes) == 0 {
				continue // its main route does not exist
			}
			spec := c.routesTo(f, lane, s.rules[found.ingressRoute], guards)
			j := slices.Index(s.rules[found.ingressRoute], a.http.Routers[found.id].Rule)
			h.Routers[found.id] = routerOf(c, &spec, &spec.Routes[max(0, j)])
		}
		for port := range c.ports() {
			name := c.serviceName(lane, port)
			l.weighted(c, a, h, lane, port, s.weights, traefikapi.Sticky(name, s.sticky, secure(frames)))
			canary, stable := c.laneArms(lane, port)
			if lane == traffic.MirrorLane && h.Services[c.objectID(name)] != nil {
				h.Services[c.objectID(name)] = &dynamic.Service{Mirroring: &dynamic.Mirroring{
					Service: c.childID(stable), MaxBodySize: &s.maxBody,
					Mirrors: []dynamic.MirrorService{{Name: c.childID(canary), Percent: s.canary}},
				}}
			}
		}
	}
	return h
}

// weighted adds the weighted service of a lane for a port if the replica has one.
func (l *layout) weighted(c *Config, a *answers, h *dynamic.HTTPConfiguration, lane traffic.Lane, port int, w weights, sticky *dynamic.Sticky) {
	id := c.objectID(c.serviceName(lane, port))
	if a.http.Services[id] == nil {
		return
	}
	canary, stable := c.laneArms(lane, port)
	service := &dynamic.WeightedRoundRobin{Sticky: sticky}
	for _, child := range []struct {
		backend traffic.Backend
		weight  int
	}{{stable, w.stable}, {canary, w.canary}} {
		if child.weight > 0 || c.Adopt && a.has(id, c.childID(child.backend)) {
			service.Services = append(service.Services, dynamic.WRRService{Name: c.childID(child.backend), Weight: &child.weight})
		}
	}
	h.Services[id] = &dynamic.Service{Weighted: service}
}

// has reports whether a weighted service has a child.
func (a *answers) has(service, child string) bool {
	s := a.http.Services[service]
	if s == nil || s.Weighted == nil {
		return false
	}
	for _, w := range s.Weighted.Services {
		if w.Name == child {
			return true
		}
	}
	return false
}

// routerOf returns the router that Traefik makes from an IngressRoute's route to a TraefikService.
func routerOf(c *Config, spec *v1alpha1.IngressRouteSpec, route *v1alpha1.Route) *dynamic.Router {
	router := &dynamic.Router{EntryPoints: spec.EntryPoints, Rule: route.Match, Priority: route.Priority}
	if len(route.Services) > 0 {
		router.Service = c.objectID(route.Services[0].Name)
	}
	for _, m := range route.Middlewares {
		name := m.Name
		if !strings.Contains(name, "@") {
			namespace := c.Namespace
			if m.Namespace != "" {
				namespace = m.Namespace
			}
			name = normal(namespace + "-" + name)
		}
		router.Middlewares = append(router.Middlewares, strings.TrimSuffix(name, provider))
	}
	if t := spec.TLS; t != nil {
		router.TLS = &dynamic.RouterTLSConfig{CertResolver: t.CertResolver, Domains: t.Domains}
		if t.Options != nil && !strings.Contains(t.Options.Name, "@") {
			namespace := c.Namespace
			if t.Options.Namespace != "" {
				namespace = t.Options.Namespace
			}
			router.TLS.Options = namespace + "-" + t.Options.Name
		}
	}
	return router
}
