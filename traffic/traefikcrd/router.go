// Package traefikcrd answers the question how to bring the traffic of one rollout to a target with Traefik's custom
// resources, and what each replica of Traefik serves.
//
// It owns a weighted TraefikService and an IngressRoute, or adopts an IngressRoute of the user's and changes as little
// in it as possible; for a cohort, a mirror or a preview it makes further routes and Services. It writes what it owns by
// server-side apply as the field manager "serin". It keeps no state: writes depend on what the API server says at that
// moment, observations on what watches have reported ([kubeobjects.Knowledge]) and on Traefik's API, which is asked each
// time. It does not deal with pods. Start at [Router]; layout.go has the content, names.go the names.
package traefikcrd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefik"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Router routes the traffic of one rollout. It is safe for concurrent use. Two routers for one rollout do not undo each
// other's work as long as they have the same target.
type Router struct {
	config  Config
	objects *kubeobjects.Store
	traefik versioned.Interface
	api     *traefikapi.Client
	asker   traefikapi.Asker

	writing sync.Mutex // held from reading the objects until they are written
}

// New returns a router without watches, whose observations take about ten requests to the API server each; with
// [Clients.Watch] they take none. New changes nothing. Its error is that of [Config.Validate].
func New(c Config, k kubernetes.Interface, t versioned.Interface) (*Router, error) {
	return newRouter(c, k, t, kubeobjects.NewKnowledge())
}

func newRouter(c Config, k kubernetes.Interface, t versioned.Interface, n *kubeobjects.Knowledge) (*Router, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Verify.Timeout = c.Verify.Patience()
	return &Router{
		config: c, traefik: t, objects: kubeobjects.NewStore(c.Rollout, c.Namespace, c.Arms, k, kindsOf(c.Namespace, t), n),
		api: traefikapi.NewClient(c.Verify.Client),
	}, nil
}

// Apply writes t unless it is already written. It returns once the change is written, not once Traefik serves it. Each route
// changes with one write; after an error there may be a new object that no route leads to.
//
// It returns [ErrForeign], and changes nothing, if an object with one of Serin's names is not Serin's, or if another rollout
// has the route. It returns [ErrNoEndpoints], and does not write t, if an arm that should get requests has no endpoint; if
// the canary has lost its endpoints, all requests go to stable.
func (r *Router) Apply(ctx context.Context, t traffic.Target) error {
	l, err := r.config.layoutOf(t)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	defer r.asker.Wrote()
	return r.retry(ctx, "traffic of", func() error { return r.apply(ctx, l, t) })
}

func (r *Router) retry(ctx context.Context, act string, write func() error) error {
	if err := kubeobjects.Retry(ctx, write, errSpec); err != nil {
		return fmt.Errorf("%s %s: %w", act, r.config.Rollout, err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, l layout, t traffic.Target) error {
	s, err := r.read(ctx, r.objects.Live())
	if !l.serves() { // first of all, and whatever else is wrong, the canary must get no traffic
		err = errors.Join(err, r.takeOut(ctx, s, !l.out))
	}
	if err != nil {
		return err
	}
	if l.serves() && s.gone != nil {
		return s.gone
	}
	frames, err := s.frames(&r.config)
	if err != nil {
		return err
	}
	if err := errors.Join(l.place(frames, t), r.alone(ctx, allRules(frames))); err != nil {
		return err
	}
	want := l.render(&r.config, frames)
	if l.serves() {
		var stable, canary *kubeobjects.Backend
		for port := range r.config.ports() {
			canaryArm, stableArm := r.config.armsAt(port)
			if stable, canary, err = r.objects.Arms(ctx, r.objects.Live(), stableArm, canaryArm); err != nil {
				return r.protect(ctx, s, frames, stable, canary, err)
			}
		}
		if err := r.addLaneServices(want, &l, stable, canary); err != nil {
			return err
		}
	}
	if err := r.refuse(want, s); err != nil {
		return err
	}
	var left error
	if !l.serves() {
		left = r.leave(ctx, s)
	}
	if err := errors.Join(r.bring(ctx, want, s, &l), left); err != nil || l.serves() {
		return err
	}
	if errors.Is(s.gone, errStraight) {
		return s.gone // what Serin controls leads back to stable; this route does not
	}
	return r.tidy(ctx)
}

func (r *Router) addLaneServices(want map[key]object, l *layout, stable, canary *kubeobjects.Backend) error {
	for lane := range l.lanes {
		for _, k := range r.config.laneServices(lane) {
			b := stable
			if r.config.isCanary(k.Name) {
				b = canary
			}
			o, err := kubeobjects.SamePods(b.Service)
			if err != nil {
				return err
			}
			want[k] = o
		}
	}
	return nil
}

// protect takes the canary out if it has lost its endpoints, because Traefik drops the whole weighted service then. It always
// returns cause, with a note on where the requests go.
func (r *Router) protect(ctx context.Context, s *snapshot, frames []frame, stable, canary *kubeobjects.Backend, cause error) error {
	if !kubeobjects.LostCanary(cause, stable, canary) {
		return cause
	}
	if now := r.infer(s, frames); now.serves() {
		if err := r.takeOut(ctx, s, false); err != nil {
			return errors.Join(cause, err)
		}
	}
	return fmt.Errorf("%w: all requests go to stable", cause)
}

// takeOut takes the canary out of service: it removes the routes in front of the main one, which then serves stable alone.
// It needs no other objects. keep is that of [Router.writeMain].
func (r *Router) takeOut(ctx context.Context, s *snapshot, keep bool) error {
	var err error
	for _, lane := range inFront {
		for _, route := range r.config.laneRoutes(lane) {
			err = errors.Join(err, r.objects.RemoveMade(ctx, route, s.objects[route]))
		}
	}
	for port := range r.config.ports() {
		main := s.objects[r.config.mainService(port)]
		if main != nil && (main.Made(r.config.Rollout) || r.config.Adopt) && r.config.mainWeights(s, port).canary > 0 {
			err = errors.Join(err, r.writeChildren(ctx, port, main, weights{stable: 100}, keep && !main.Made(r.config.Rollout) && r.reachable(ctx)))
		}
	}
	if err != nil {
		return fmt.Errorf("take the canary out: %w", err)
	}
	return nil
}

// refuse returns an error if one of the objects to be written is not Serin's.
func (r *Router) refuse(want map[key]object, s *snapshot) error {
	var errs []error
	for k := range want {
		have := s.objects[k]
		if have != nil && !have.Owned(r.config.Rollout) && !r.adopts(k) {
			errs = append(errs, r.objects.NotOwned(k))
		}
	}
	return errors.Join(errs...)
}

// adopts reports whether an object may belong to others.
func (r *Router) adopts(k key) bool {
	return r.config.Adopt && k == named(traefikServices, r.config.Rollout)
}

// bring writes the wanted objects in an order that keeps every route intact at every moment: what a route needs is written
// before the route and removed after it. Traffic goes back to stable even if something else cannot be removed.
func (r *Router) bring(ctx context.Context, want map[key]object, s *snapshot, l *layout) error {
	var errs []error
	for _, lane := range inFront {
		for _, route := range r.config.laneRoutes(lane) {
			if l.lanes[lane] == nil {
				errs = append(errs, r.objects.Remove(ctx, route, s.objects[route]))
			}
		}
	}
	made := false
	for _, k := range r.config.keys() {
		o, wanted := want[k]
		if !wanted || r.config.isLaneRoute(k) {
			continue
		}
		var err error
		if port := r.config.mainPort(k); port >= 0 {
			made = made || s.objects[k] == nil
			err = r.writeMain(ctx, port, o, s.objects[k], l.main, !l.out)
		} else {
			err = r.objects.Write(ctx, k, o, s.objects[k])
		}
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if k.Kind == coreServices {
			if err := r.objects.AwaitEndpoints(ctx, traffic.Backend{Service: k.Name, Port: r.portOf(k.Name)}); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
	if made && slices.ContainsFunc(s.adopted, r.config.isLedElsewhere) {
		if err := kubeobjects.LetNotice(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	var unled []error // a failure to write one IngressRoute must not stop the others
	for _, a := range s.adopted {
		unled = append(unled, r.pointAdopted(ctx, a, l.guardRefs(&r.config)))
	}
	if err := errors.Join(unled...); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, lane := range inFront {
		for _, route := range r.config.laneRoutes(lane) {
			if o, wanted := want[route]; wanted {
				errs = append(errs, r.objects.Write(ctx, route, o, s.objects[route]))
			}
		}
	}
	for _, k := range r.config.keys() {
		if s.leads(k, &r.config) {
			continue
		}
		if _, wanted := want[k]; !wanted && !r.config.isLaneRoute(k) {
			errs = append(errs, r.objects.Remove(ctx, k, s.objects[k]))
		}
	}
	return errors.Join(errs...)
}

// leads reports whether a route in front of the main one has just led to k. Traefik learns of routes, Services and endpoints
// through separate watches, in no particular order, and answers 503 for a route that it still has to a Service that is
// already gone. So a later write removes what the route led to.
func (s *snapshot) leads(k key, c *Config) bool {
	return slices.ContainsFunc(inFront, func(lane traffic.Lane) bool {
		return slices.Contains(c.laneKeys(lane), k) &&
			slices.ContainsFunc(c.laneRoutes(lane), func(route key) bool { return s.objects[route] != nil })
	})
}

// portOf returns the port of a lane's Service.
func (r *Router) portOf(service string) string {
	if r.config.isCanary(service) {
		return r.config.Canary.Port
	}
	return r.config.Stable.Port
}

// writeMain writes the rollout's TraefikService for a port, or the weights in one of the user's. keep leaves the canary in
// the user's at weight 0 as long as it has endpoints.
func (r *Router) writeMain(ctx context.Context, port int, want object, have *stored, w weights, keep bool) error {
	if have == nil || have.Owned(r.config.Rollout) {
		return r.objects.Write(ctx, r.config.mainService(port), want, have)
	}
	return r.writeChildren(ctx, port, have, w, keep && (w.canary > 0 || r.reachable(ctx)))
}

// reachable reports whether the canary is known to have endpoints.
func (r *Router) reachable(ctx context.Context) bool {
	_, err := r.objects.Backend(ctx, r.objects.Live(), r.config.Canary)
	return err == nil
}

// laneRoutes returns the IngressRoutes of a lane, one in front of each main one.
func (c *Config) laneRoutes(lane traffic.Lane) []key {
	var out []key
	for i := range c.routes() {
		out = append(out, named(ingressRoutes, c.laneRouteName(lane, i)))
	}
	return out
}

// isLaneRoute reports whether an object is the route of a lane in front of the main one.
func (c *Config) isLaneRoute(k key) bool {
	return slices.ContainsFunc(inFront, func(lane traffic.Lane) bool { return slices.Contains(c.laneRoutes(lane), k) })
}

// laneServices returns the Services of a lane in front of the main one.
func (c *Config) laneServices(lane traffic.Lane) []key {
	canary, stable := c.laneArms(lane, 0)
	if lane == traffic.PreviewLane {
		return []key{named(coreServices, canary.Service)}
	}
	return []key{named(coreServices, stable.Service), named(coreServices, canary.Service)}
}

// laneKeys returns the objects that the route of a lane leads to.
func (c *Config) laneKeys(lane traffic.Lane) []key {
	out := c.laneServices(lane)
	for port := range c.ports() {
		out = append(out, named(traefikServices, c.serviceName(lane, port)))
	}
	return out
}

// mainService is the TraefikService of the main routes to a pair of ports.
func (c *Config) mainService(port int) key {
	return named(traefikServices, c.serviceName(traffic.MainLane, port))
}

// mainPort returns the number of the pair of ports whose main TraefikService an object is, or -1.
func (c *Config) mainPort(k key) int {
	for port := range c.ports() {
		if k == c.mainService(port) {
			return port
		}
	}
	return -1
}

// ownedRoutes is the number of main routes that are Serin's own.
func (c *Config) ownedRoutes() int {
	if c.Route == nil {
		return 0
	}
	return 1 + len(c.FurtherRoutes)
}

// keys returns all objects that a rollout may have, in the order in which they are written.
func (c *Config) keys() []key {
	ks := []key{named(middlewares, c.Rollout+limitSuffix), named(middlewares, c.Rollout+breakerSuffix)}
	for _, lane := range inFront {
		ks = append(ks, c.laneKeys(lane)...)
	}
	for port := range c.ports() {
		ks = append(ks, c.mainService(port))
	}
	for i := range c.ownedRoutes() {
		ks = append(ks, named(ingressRoutes, c.routeName(i)))
	}
	for _, lane := range inFront {
		ks = append(ks, c.laneRoutes(lane)...)
	}
	return ks
}

// snapshot is the state of the rollout's objects in the cluster.
type snapshot struct {
	objects map[key]*stored // those that exist
	adopted []*adopted      // in the order of [Config.adopts]; empty for an owned route, or if one could not be read
	unread  error           // why one could not be read
	gone    error           // names those that do not exist or lead elsewhere, if there are others
}

// read reads all objects of the rollout concurrently. After an error the snapshot has those that could be read.
func (r *Router) read(ctx context.Context, in source) (*snapshot, error) {
	s := &snapshot{}
	var group errgroup.Group
	group.Go(func() (err error) { s.objects, err = r.objects.Read(ctx, in, r.config.keys()); return err })
	if r.config.Route == nil {
		group.Go(func() error { s.adopted, s.gone, s.unread = r.readAllAdopted(ctx, in); return nil })
	}
	return s, group.Wait()
}

// readAllAdopted reads the users' IngressRoutes. Neither arm gets requests from one that does not exist or leads elsewhere:
// as long as there are others, gone names it, and they can go back to stable. One that leads straight to the canary Serin
// can only report.
func (r *Router) readAllAdopted(ctx context.Context, in source) (all []*adopted, gone, err error) {
	var missing, errs []error
	for _, name := range r.config.adopts() {
		a, err := r.readAdopted(ctx, in, name)
		switch {
		case errors.Is(err, errGone):
			a, missing, err = &adopted{name: name, why: fmt.Errorf("%s is missing", named(ingressRoutes, name))}, append(missing, err), nil
		case errors.Is(err, errElsewhere), errors.Is(err, errStraight):
			a, missing, err = &adopted{name: name, why: err}, append(missing, err), nil
		}
		all, errs = append(all, a), append(errs, err)
	}
	gone = errors.Join(missing...)
	if err := errors.Join(errs...); err != nil {
		return nil, nil, errors.Join(err, gone)
	}
	if len(missing) == len(all) {
		return nil, nil, gone
	}
	return all, gone, nil
}

// frames returns the frames of the main IngressRoutes, at least one. One that does not exist has no routes.
func (s *snapshot) frames(c *Config) ([]frame, error) {
	if c.Route != nil {
		return c.ownedFrames(), nil
	}
	if s.unread != nil {
		return nil, s.unread
	}
	mains := make([]*stored, c.ports())
	for port := range mains {
		mains[port] = s.objects[c.mainService(port)]
	}
	return c.adoptedFrames(s.adopted, mains)
}

// mainWeights returns the weights of the main TraefikService for a port.
func (c *Config) mainWeights(s *snapshot, port int) weights {
	canary, stable := c.armsAt(port)
	return c.inferWeights(s.traefikService(c.serviceName(traffic.MainLane, port)), canary, stable)
}

// greatest returns the weights of the port with the most for the canary. All ports should have the same.
func (c *Config) greatest(of func(port int) weights) weights {
	out := of(0)
	for port := 1; port < c.ports(); port++ {
		if w := of(port); w.share() > out.share() {
			out = w
		}
	}
	return out
}

// infer returns the layout that comes closest to the snapshot.
func (r *Router) infer(s *snapshot, frames []frame) layout {
	c := &r.config
	l := layout{main: c.greatest(func(port int) weights { return c.mainWeights(s, port) }), lanes: map[traffic.Lane]*side{}}
	if main := s.traefikService(c.Rollout); main != nil && main.Weighted != nil && s.objects[named(traefikServices, c.Rollout)].Owned(c.Rollout) {
		l.sticky = traefikapi.StickyWord(c.Rollout, main.Weighted.Sticky)
	}
	limit, breaker := s.middleware(c.Rollout+limitSuffix), s.middleware(c.Rollout+breakerSuffix)
	used := map[string]bool{}
	for _, name := range s.guardsInUse(c) {
		used[name] = true
	}
	if !used[c.Rollout+limitSuffix] {
		limit = nil
	}
	if !used[c.Rollout+breakerSuffix] {
		breaker = nil
	}
	if guards, err := guardsOf(limit, breaker); err == nil { // otherwise they are missing, which shows up as a difference
		l.guards = guards
	}
	for _, lane := range inFront {
		if slices.ContainsFunc(c.laneRoutes(lane), func(k key) bool { return s.objects[k] != nil }) {
			l.lanes[lane] = s.side(c, lane, frames)
		}
	}
	return l
}

// side returns the route of a lane as it is in the cluster.
func (s *snapshot) side(c *Config, lane traffic.Lane, frames []frame) *side {
	out := &side{rules: make([][]string, len(frames))}
	service := s.traefikService(c.laneName(lane))
	if lane == traffic.MirrorLane {
		canary, _ := c.laneArms(lane, 0)
		out.canary, out.maxBody = c.inferMirror(service, canary)
	} else {
		out.weights = c.greatest(func(port int) weights {
			canary, stable := c.laneArms(lane, port)
			return c.inferWeights(s.traefikService(c.serviceName(lane, port)), canary, stable)
		})
	}
	if service != nil && service.Weighted != nil {
		out.sticky = traefikapi.StickyWord(c.laneName(lane), service.Weighted.Sticky)
	}
	for i, f := range frames {
		spec := s.ingressRoute(c.laneRouteName(lane, i))
		for j, main := range f.rules() {
			if spec != nil && j < len(spec.Routes) {
				out.addRule(lane, i, main, spec.Routes[j].Match)
			} else if j == 0 || !hosted(lane, f.rules()[0], out.rules[i][0]) {
				out.rules[i] = append(out.rules[i], unknown(main)) // a rule is missing here
			}
		}
	}
	return out
}

// addRule adds the rule that was found for a lane in front of a route of the i-th IngressRoute.
func (s *side) addRule(lane traffic.Lane, i int, main, whole string) {
	match, ok := traefik.LaneMatch(main, whole)
	switch {
	case ok:
	case lane == traffic.PreviewLane:
		match = whole // a preview with its own host
	default:
		whole = unknown(main)
	}
	if s.match == "" {
		s.match = match
	}
	s.rules[i] = append(s.rules[i], whole)
}

// hosted reports whether a lane's rule has its own host. Then one rule is enough for all routes of an IngressRoute.
func hosted(lane traffic.Lane, main, whole string) bool {
	_, ok := traefik.LaneMatch(main, whole)
	return lane == traffic.PreviewLane && !ok
}

// unknown stands in for a lane's rule that is not Serin's, so that the actual one shows up as a difference.
func unknown(main string) string { return "(" + main + ") && …" }

func (s *snapshot) traefikService(name string) *v1alpha1.TraefikServiceSpec {
	return typed[v1alpha1.TraefikServiceSpec](s, named(traefikServices, name))
}

func (s *snapshot) middleware(name string) *v1alpha1.MiddlewareSpec {
	return typed[v1alpha1.MiddlewareSpec](s, named(middlewares, name))
}

func (s *snapshot) ingressRoute(name string) *v1alpha1.IngressRouteSpec {
	return typed[v1alpha1.IngressRouteSpec](s, named(ingressRoutes, name))
}

func typed[T any](s *snapshot, k key) *T {
	if o := s.objects[k]; o != nil {
		if spec, ok := o.Typed.(*T); ok {
			return spec
		}
	}
	return nil
}

// guardsInUse returns the names of Serin's guards that all main routes have.
func (s *snapshot) guardsInUse(c *Config) []string {
	var routes []v1alpha1.Route
	for _, a := range s.adopted {
		for _, p := range a.places {
			routes = append(routes, a.object.Spec.Routes[p.route])
		}
	}
	for i := range c.ownedRoutes() {
		if spec := s.ingressRoute(c.routeName(i)); spec != nil && len(spec.Routes) > 0 {
			routes = append(routes, spec.Routes[0])
		}
	}
	return guardsOn(c, routes)
}

// guardsOn returns the names of Serin's guards that all of the routes have.
func guardsOn(c *Config, routes []v1alpha1.Route) []string {
	has := map[string]int{}
	for _, route := range routes {
		for _, m := range route.Middlewares {
			if c.isGuard(m.Name, m.Namespace) {
				has[m.Name]++
			}
		}
	}
	var out []string
	for name, n := range has {
		if n == len(routes) {
			out = append(out, name)
		}
	}
	return out
}
