package traefikcrd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"github.com/traefik/traefik/v3/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/traffic/traefikapi"
)

// layout is the part of a rollout's objects that changes during a release. Every target has a layout, and one can be inferred
// from any state of the cluster; rendering the inferred one shows what everything else should be.
type layout struct {
	main   weights
	sticky string                 // the word that keeps users on their arm of the main route
	lanes  map[traffic.Lane]*side // those of [inFront] that are in use
	guards traffic.Guards
	// out removes the canary from the user's own weighted service too. One of Serin's never contains it at weight 0.
	out bool
}

// weights are those of the children of a weighted service. A child with weight 0 is left out, because Traefik drops the whole
// service for a child without endpoints, whatever that child's weight is. On the mirror's lane, canary is the percentage of
// requests that are copied.
type weights struct{ canary, stable int }

// side is a route in front of the main one.
type side struct {
	weights
	rules   [][]string // the whole rules, by IngressRoute and route
	match   string     // the part of the rules that the lane adds to the main routes'
	sticky  string     // the word that keeps users on their arm
	maxBody int64      // the mirror's bound on bodies
}

// served is the side in the form of an observation.
func (s *side) served(lane traffic.Lane) *traffic.RouteServed {
	out := &traffic.RouteServed{Enabled: true, Weight: s.share(), Match: s.match, Sticky: s.sticky, MaxBody: s.maxBody}
	if lane == traffic.MirrorLane {
		out.Weight = share.Share(s.canary) / 100
	}
	return out
}

// put sets a lane's route in an observation.
func put(s *traffic.Served, lane traffic.Lane, route *traffic.RouteServed) {
	switch lane {
	case traffic.MainLane:
		s.Main = route
	case traffic.CohortLane:
		s.Cohort = route
	case traffic.MirrorLane:
		s.Mirror = route
	case traffic.PreviewLane:
		s.Preview = route
	}
}

func (w weights) share() share.Share { return traffic.ShareOf(w.canary, w.stable) }

// layoutOf checks a target and returns its layout, without the rules of lanes, which depend on the routes: see
// [layout.place].
func (c *Config) layoutOf(t traffic.Target) (layout, error) {
	l := layout{lanes: map[traffic.Lane]*side{}}
	var errs []error
	errs = append(errs, kubeobjects.IsOf(&t, c.Stable, c.Canary))
	l.guards, l.out, l.sticky = t.Guards, t.Out, t.Sticky
	if c.Adopt && t.Sticky != "" {
		errs = append(errs, fmt.Errorf("sticky: TraefikService %s is the user's, and so is its cookie", c.Rollout))
	}
	errs = append(errs, traefikapi.ValidateGuards(t.Guards), t.ValidateLanes())
	var err error
	l.main.canary, l.main.stable, err = traffic.Weights(t.Weight)
	errs = append(errs, err)
	if t.Cohort != nil {
		s := &side{sticky: t.Cohort.Sticky}
		s.canary, s.stable, err = traffic.Weights(t.Cohort.Split)
		errs = append(errs, err)
		s.match, err = t.Cohort.Match.Text()
		errs = append(errs, err)
		l.lanes[traffic.CohortLane] = s
	}
	if m := t.Mirror; m != nil {
		s := &side{match: m.Text(), maxBody: m.MaxBody()}
		s.canary, _ = m.Percent() //nolint:errcheck // ValidateLanes has its error
		l.lanes[traffic.MirrorLane] = s
	}
	if p := t.Preview; p != nil {
		s := &side{weights: weights{canary: 1}}
		s.match, _ = p.Text() //nolint:errcheck // ValidateLanes has its error
		l.lanes[traffic.PreviewLane] = s
	}
	return l, errors.Join(errs...)
}

// place sets the rules of the lanes for the routes. A preview with its own host has only one for each IngressRoute.
func (l *layout) place(frames []frame, t traffic.Target) error {
	var errs []error
	if t.Preview != nil {
		for _, main := range allRules(frames) { // its host must not be that of any route
			if _, err := traefik.PreviewRule(main, *t.Preview); err != nil {
				return err
			}
		}
	}
	for lane, s := range l.lanes {
		s.rules = make([][]string, len(frames))
		for i, f := range frames {
			for _, main := range f.rules() {
				whole, err := traefik.LaneRule(main, s.match)
				if lane == traffic.PreviewLane {
					whole, err = traefik.PreviewRule(main, *t.Preview)
				}
				if err == nil {
					err = traefikapi.ParseRule(whole)
				}
				errs = append(errs, err)
				s.rules[i] = append(s.rules[i], whole)
				if err == nil && hosted(lane, main, whole) {
					break
				}
			}
		}
	}
	return errors.Join(errs...)
}

// serves reports whether any request goes to the canary.
func (l *layout) serves() bool { return l.main.canary > 0 || len(l.lanes) > 0 }

// frame is the part of a main IngressRoute that does not change during a release, from the configuration or the cluster.
type frame struct {
	name string
	spec v1alpha1.IngressRouteSpec // only the routes that lead to the rollout, with the user's own middlewares; none if it is gone
	// ports holds, by route, the number of the pair of ports that it leads to.
	ports []int
	// children holds, by port, what the reference to stable's Service says besides name, port and weight. Both arms get it.
	children []v1alpha1.LoadBalancerSpec
	// annotations are those that routes of Serin's need, as the user's has them.
	annotations map[string]string
	// shared holds, by route, whether it has services other than the rollout's.
	shared []bool
	// replaced holds, by port, the references that were in the adopted routes. They are nil for an owned route, and if the
	// user's own reference leads to the TraefikService.
	replaced []*replacement
}

// rules returns the rules of the main routes.
func (f *frame) rules() []string {
	var out []string
	for _, r := range f.spec.Routes {
		out = append(out, r.Match)
	}
	return out
}

// allRules returns the rules of all main routes.
func allRules(frames []frame) []string {
	var out []string
	for _, f := range frames {
		out = append(out, f.rules()...)
	}
	return out
}

// secure reports whether all routes use TLS.
func secure(frames []frame) bool {
	return !slices.ContainsFunc(frames, func(f frame) bool { return len(f.spec.Routes) > 0 && f.spec.TLS == nil })
}

// ownedFrames returns the frames of the owned routes.
func (c *Config) ownedFrames() []frame {
	out := []frame{c.ownedFrame(0, traffic.PortRoute{Route: *c.Route})}
	for i := range c.FurtherRoutes {
		out = append(out, c.ownedFrame(i+1, c.FurtherRoutes[i]))
	}
	return out
}

func (c *Config) ownedFrame(i int, r traffic.PortRoute) frame {
	rule := strings.TrimSpace(r.Rule)
	route := v1alpha1.Route{Kind: "Rule", Match: rule, Priority: r.Priority}
	if route.Priority == 0 {
		route.Priority = len(rule) // Traefik's default
	}
	for _, m := range r.Middlewares {
		route.Middlewares = append(route.Middlewares, v1alpha1.MiddlewareRef{Name: m.Name, Namespace: m.Namespace})
	}
	if o := r.Observability; o != nil {
		route.Observability = &dynamic.RouterObservabilityConfig{AccessLogs: o.AccessLogs, Metrics: o.Metrics, Tracing: o.Tracing}
		route.Observability.SetDefaults()
	}
	f := frame{
		name: c.routeName(i), ports: []int{r.Port}, children: make([]v1alpha1.LoadBalancerSpec, c.ports()), replaced: make([]*replacement, c.ports()),
		shared: []bool{false}, spec: v1alpha1.IngressRouteSpec{EntryPoints: r.EntryPoints, Routes: []v1alpha1.Route{route}},
	}
	if t := r.TLS; t != nil {
		f.spec.TLS = &v1alpha1.TLS{SecretName: t.SecretName, CertResolver: t.CertResolver}
		if t.Options != "" {
			f.spec.TLS.Options = &v1alpha1.TLSOptionRef{Name: t.Options, Namespace: t.OptionsNamespace}
		}
		for _, d := range t.Domains {
			f.spec.TLS.Domains = append(f.spec.TLS.Domains, types.Domain{Main: d.Main, SANs: d.SANs})
		}
	}
	if c.IngressClass != "" {
		f.annotations = map[string]string{classAnnotation: c.IngressClass}
	}
	return f
}

// render returns all objects of Serin's, by key, as they have to be.
func (l *layout) render(c *Config, frames []frame) map[key]object {
	out := map[key]object{}
	put := func(k kubeobjects.KindName, name string, spec any) {
		out[named(k, name)] = object{Spec: kubeobjects.SpecMap(spec)}
	}
	guards := l.guardRefs(c)
	if g := l.guards.RateLimit; g != nil {
		put(middlewares, c.Rollout+limitSuffix, limitSpec(*g))
	}
	if g := l.guards.CircuitBreaker; g != nil {
		put(middlewares, c.Rollout+breakerSuffix, breakerSpec(*g))
	}
	for port := range c.ports() {
		sticky := traefikapi.Sticky(c.serviceName(traffic.MainLane, port), l.sticky, secure(frames))
		out[c.mainService(port)] = object{
			Spec:        kubeobjects.SpecMap(c.weighted(l.main, traffic.MainLane, port, frames[0].children[port], sticky)),
			Annotations: mainAnnotations(frames, port),
		}
	}
	for i := range c.ownedRoutes() {
		f := &frames[i]
		out[named(ingressRoutes, c.routeName(i))] = object{
			Spec: kubeobjects.SpecMap(c.routesTo(f, traffic.MainLane, f.rules(), guards)), Annotations: f.annotations,
		}
	}
	for _, lane := range inFront {
		if s := l.lanes[lane]; s != nil {
			for port := range c.ports() {
				put(traefikServices, c.serviceName(lane, port), s.spec(c, frames, lane, port))
			}
			for i, k := range c.laneRoutes(lane) {
				if f := &frames[i]; len(s.rules) > i && len(s.rules[i]) > 0 {
					out[k] = object{Spec: kubeobjects.SpecMap(c.routesTo(f, lane, s.rules[i], guards)), Annotations: f.annotations}
				}
			}
		}
	}
	return out
}

// priority is that of a lane's route in front of a main one.
func priority(route *v1alpha1.Route, lane traffic.Lane) int {
	main := route.Priority
	if main == 0 && lane != traffic.MainLane {
		main = len(route.Match)
	}
	return traefik.LanePriority(main, lane)
}

// spec returns the TraefikService of a lane for a pair of ports.
func (s *side) spec(c *Config, frames []frame, lane traffic.Lane, port int) v1alpha1.TraefikServiceSpec {
	canary, stable := c.laneArms(lane, port)
	if lane != traffic.MirrorLane {
		return c.weighted(s.weights, lane, port, frames[0].children[port], traefikapi.Sticky(c.serviceName(lane, port), s.sticky, secure(frames)))
	}
	child := func(b traffic.Backend) v1alpha1.LoadBalancerSpec {
		spec := c.childSpec(b, port, 0, frames[0].children[port])
		spec.Weight = nil
		return spec
	}
	return v1alpha1.TraefikServiceSpec{Mirroring: &v1alpha1.Mirroring{
		LoadBalancerSpec: child(stable), MaxBodySize: &s.maxBody,
		Mirrors: []v1alpha1.MirrorService{{LoadBalancerSpec: child(canary), Percent: s.canary}},
	}}
}

// mainAnnotations returns the annotations of the rollout's TraefikService for a pair of ports.
func mainAnnotations(frames []frame, port int) map[string]string {
	out := map[string]string{ruleAnnotation: rulesOf(allRules(frames))}
	if was := frames[0].replaced[port]; was != nil {
		data, err := json.Marshal(was)
		if err != nil {
			panic(fmt.Sprintf("JSON of a reference: %v", err)) // it was JSON
		}
		out[replacedAnnotation] = string(data)
	}
	return out
}

// routesTo returns an IngressRoute with a frame's routes to a lane's TraefikServices, with the lane's rules. Requests pass
// the user's middlewares and then the guards.
func (c *Config) routesTo(f *frame, lane traffic.Lane, rules []string, guards []v1alpha1.MiddlewareRef) v1alpha1.IngressRouteSpec {
	spec := *f.spec.DeepCopy()
	spec.Routes = spec.Routes[:min(len(rules), len(spec.Routes))]
	for j := range spec.Routes {
		route := &spec.Routes[j]
		route.Priority = priority(route, lane)
		route.Match = rules[j]
		route.Middlewares = append(route.Middlewares, guards...)
		route.Services = []v1alpha1.Service{{LoadBalancerSpec: v1alpha1.LoadBalancerSpec{
			Kind: "TraefikService", Name: c.serviceName(lane, f.ports[j]),
		}}}
	}
	return spec
}

// guardRefs returns the guards in the order in which requests pass them: the circuit breaker does not count what the rate
// limit refuses.
func (l *layout) guardRefs(c *Config) []v1alpha1.MiddlewareRef {
	var out []v1alpha1.MiddlewareRef
	if l.guards.RateLimit != nil {
		out = append(out, v1alpha1.MiddlewareRef{Name: c.Rollout + limitSuffix})
	}
	if l.guards.CircuitBreaker != nil {
		out = append(out, v1alpha1.MiddlewareRef{Name: c.Rollout + breakerSuffix})
	}
	return out
}

// weighted returns a weighted service with a child for each weight above 0. The weights are explicit, because Traefik
// assumes 1 otherwise.
func (c *Config) weighted(w weights, lane traffic.Lane, port int, like v1alpha1.LoadBalancerSpec,
	sticky *dynamic.Sticky) v1alpha1.TraefikServiceSpec {
	canary, stable := c.laneArms(lane, port)
	spec := v1alpha1.TraefikServiceSpec{Weighted: &v1alpha1.WeightedRoundRobin{Sticky: sticky}}
	for _, child := range []struct {
		backend traffic.Backend
		weight  int
	}{{stable, w.stable}, {canary, w.canary}} {
		if child.weight > 0 {
			spec.Weighted.Services = append(spec.Weighted.Services,
				v1alpha1.Service{LoadBalancerSpec: c.childSpec(child.backend, port, child.weight, like)})
		}
	}
	return spec
}

func (c *Config) childSpec(b traffic.Backend, port, weight int, like v1alpha1.LoadBalancerSpec) v1alpha1.LoadBalancerSpec {
	spec := *like.DeepCopy()
	if c.Route != nil {
		pair := traffic.PortPair{StableBalancing: c.StableBalancing, CanaryBalancing: c.CanaryBalancing}
		if port > 0 {
			pair = c.Ports[port-1]
		}
		how := pair.StableBalancing
		if c.isCanary(b.Service) {
			how = pair.CanaryBalancing
		}
		balance(&spec, how)
	}
	spec.Kind, spec.Name, spec.Port, spec.Weight = "Service", b.Service, intstr.Parse(b.Port), &weight
	if c.arms() != c.Namespace {
		spec.Namespace = c.arms()
	}
	return spec
}

// isCanary reports whether a Service is the canary's, on one of the lanes.
func (c *Config) isCanary(service string) bool {
	for _, lane := range traffic.Lanes() {
		if canary, _ := c.laneArms(lane, 0); canary.Service == service {
			return true
		}
	}
	return false
}

// balance sets everything about how Traefik talks to a Service.
func balance(spec *v1alpha1.LoadBalancerSpec, how traffic.Balancing) {
	spec.Scheme, spec.ServersTransport, spec.PassHostHeader, spec.NativeLB = how.Scheme, how.ServersTransport, how.PassHostHeader, how.NativeLB
	spec.ResponseForwarding, spec.Sticky = nil, nil
	if how.FlushInterval != 0 {
		spec.ResponseForwarding = &v1alpha1.ResponseForwarding{FlushInterval: how.FlushInterval.String()}
	}
	if k := how.Sticky; k != nil {
		spec.Sticky = &dynamic.Sticky{Cookie: &dynamic.Cookie{
			Name: k.Name, Secure: k.Secure, HTTPOnly: k.HTTPOnly, SameSite: k.SameSite, MaxAge: k.MaxAge,
		}}
	}
}

// inferWeights returns the weights of the children of a weighted service that have the arms' names; others are ignored.
func (c *Config) inferWeights(spec *v1alpha1.TraefikServiceSpec, canary, stable traffic.Backend) weights {
	var w weights
	if spec == nil || spec.Weighted == nil {
		return w
	}
	for _, child := range spec.Weighted.Services {
		weight := 1 // Traefik's default
		if child.Weight != nil {
			weight = *child.Weight
		}
		switch {
		case c.isChild(child.LoadBalancerSpec, canary):
			w.canary += weight
		case c.isChild(child.LoadBalancerSpec, stable):
			w.stable += weight
		}
	}
	return w
}

// inferMirror returns the percentage that a mirroring service copies to the canary, and its bound on bodies.
func (c *Config) inferMirror(spec *v1alpha1.TraefikServiceSpec, canary traffic.Backend) (percent int, maxBody int64) {
	if spec == nil || spec.Mirroring == nil {
		return 0, 0
	}
	for _, m := range spec.Mirroring.Mirrors {
		if c.isChild(m.LoadBalancerSpec, canary) {
			percent += m.Percent
		}
	}
	if spec.Mirroring.MaxBodySize != nil {
		maxBody = *spec.Mirroring.MaxBodySize
	}
	return percent, maxBody
}

// isChild reports whether a reference is to an arm's Service.
func (c *Config) isChild(s v1alpha1.LoadBalancerSpec, b traffic.Backend) bool {
	return (s.Kind == "" || s.Kind == "Service") && s.Name == b.Service && cmp.Or(s.Namespace, c.Namespace) == c.arms()
}
