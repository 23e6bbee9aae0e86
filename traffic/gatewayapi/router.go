// Package gatewayapi answers the question how to bring the traffic of one rollout to a target with routes of Gateway API, and
// what the Gateways' controllers, and Traefik if it serves the routes, say about them.
//
// It owns an HTTPRoute, or changes the weights in users' own HTTPRoutes and GRPCRoutes and nothing else; for a cohort it makes
// further routes and Services. It writes as the field manager "serin". It keeps no state: writes depend on what the API
// server says at that moment. It refuses what Gateway API cannot express, such as guards, sticky users and some matchers.
// Start at [Router]; layout.go has the content.
package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/dynamic"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// ErrForeign and ErrNoEndpoints are returned by [Router.Apply].
var (
	ErrForeign     = kubeobjects.ErrForeign
	ErrNoEndpoints = kubeobjects.ErrNoEndpoints
)

// Router routes the traffic of one rollout. It is safe for concurrent use. Two routers for one rollout do not undo each
// other's work as long as they have the same target.
type Router struct {
	config  Config
	objects *kubeobjects.Store
	dynamic dynamic.Interface
	api     *traefikapi.Client
	asker   traefikapi.Asker

	writing sync.Mutex // held from reading the objects until they are written
}

// New returns a router without watches. It changes nothing. Its error is that of [Config.Validate].
func New(c Config, k kubernetes.Interface, d dynamic.Interface) (*Router, error) {
	return newRouter(c, k, d, kubeobjects.NewKnowledge())
}

func newRouter(c Config, k kubernetes.Interface, d dynamic.Interface, n *kubeobjects.Knowledge) (*Router, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Verify.Timeout = c.Verify.Patience()
	return &Router{
		config: c, dynamic: d, objects: kubeobjects.NewStore(c.Rollout, c.Namespace, c.Arms, k, kindsOf(&c, d), n),
		api: traefikapi.NewClient(c.Verify.Client),
	}, nil
}

// Labels returns the values of Traefik's service label under which it counts the arms on a lane, one for each port and kind of
// route, separated by commas.
func (r *Router) Labels(on traffic.Lane) (canary, stable string) {
	var canaries, stables []string
	for port := range r.config.ports() {
		c, s := r.config.laneArms(on, port)
		for _, kind := range r.config.kinds() {
			canaries, stables = append(canaries, ServiceName(kind, r.config.arms(), c)), append(stables, ServiceName(kind, r.config.arms(), s))
		}
	}
	return strings.Join(canaries, ","), strings.Join(stables, ",")
}

// Apply writes t unless it is already written. It returns once the change is written, not once a gateway serves it. Each
// route changes with one write. On the way back to stable all routes are written, even if one write is refused; on the way
// to the canary the first refusal ends it.
//
// It returns [ErrForeign] if an object with one of Serin's names is not Serin's, or if another rollout has the route. It
// returns [ErrNoEndpoints], and does not write t, if an arm that should get requests has no endpoint; if the canary has lost
// its endpoints, all requests go to stable.
func (r *Router) Apply(ctx context.Context, t traffic.Target) error {
	l, err := r.config.layoutOf(t)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	defer r.asker.Wrote()
	if err := kubeobjects.Retry(ctx, func() error { return r.apply(ctx, l) }); err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, l layout) error {
	s, err := r.read(ctx, r.objects.Live())
	routed := s.routed(&r.config)
	if !l.serves() { // first of all, and whatever else is wrong, the canary must get no traffic
		err = errors.Join(err, r.takeOut(ctx, s))
	}
	if err != nil {
		return err
	}
	if !l.serves() {
		if s, err = r.read(ctx, r.objects.Live()); err != nil {
			return err
		}
	}
	if err := errors.Join(s.fit(&r.config, l.serves()), r.alone(ctx, s)); err != nil {
		return err
	}
	mains := s.mains
	if r.config.Own != nil {
		mains = []*mainRoute{r.config.ownRoute(l.main)}
	}
	want, err := l.render(&r.config, mains)
	if err != nil {
		return err
	}
	if l.serves() {
		var stable, canary *kubeobjects.Backend
		for port := range r.config.ports() {
			canaryArm, stableArm := r.config.armsAt(port)
			if stable, canary, err = r.objects.Arms(ctx, r.objects.Live(), stableArm, canaryArm); err != nil {
				return r.protect(ctx, s, stable, canary, err)
			}
		}
		if l.cohort != nil {
			if err := r.addCohortServices(want, stable, canary); err != nil {
				return err
			}
		}
	}
	for k := range want {
		if have := s.objects[k]; have != nil && !have.Owned(r.config.Rollout) {
			return r.objects.NotOwned(k)
		}
	}
	return r.bring(ctx, want, s, &l, routed)
}

// ownRoute returns the owned route as it has to be.
func (c *Config) ownRoute(w kubeobjects.Weights) *mainRoute {
	spec := c.ownSpec(w)
	return &mainRoute{key: c.mainKey(0), spec: spec, places: c.placesOf(spec)}
}

func (r *Router) addCohortServices(want map[kubeobjects.Key]kubeobjects.Object, stable, canary *kubeobjects.Backend) error {
	for i, b := range []*kubeobjects.Backend{stable, canary} {
		o, err := kubeobjects.SamePods(b.Service)
		if err != nil {
			return err
		}
		want[r.config.cohortServices()[i]] = o
	}
	return nil
}

// protect takes the canary out if it has lost its endpoints, because its share would be answered with 503. It always returns
// cause, with a note on where the requests go.
func (r *Router) protect(ctx context.Context, s *snapshot, stable, canary *kubeobjects.Backend, cause error) error {
	if !kubeobjects.LostCanary(cause, stable, canary) {
		return cause
	}
	if s.serves(&r.config) {
		if err := r.takeOut(ctx, s); err != nil {
			return errors.Join(cause, err)
		}
	}
	return fmt.Errorf("%w: all requests go to stable", cause)
}

// takeOut takes the canary out of service: it removes the cohorts' routes, and the main ones serve stable alone. A refusal
// for one route does not stop the others.
func (r *Router) takeOut(ctx context.Context, s *snapshot) error {
	var errs []error
	for i := range r.config.names() {
		k := r.config.cohortKey(i)
		errs = append(errs, r.objects.RemoveMade(ctx, k, s.objects[k]))
	}
	for _, m := range s.mains {
		if r.config.Own != nil && !m.object.Made(r.config.Rollout) {
			continue // not Serin's, so it leads to no canary of Serin's
		}
		if greatest([]*mainRoute{m}).Canary > 0 { // otherwise it may be another rollout's, which must not get this one's claim
			errs = append(errs, r.setWeights(ctx, m, kubeobjects.Weights{Stable: 100}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take the canary out: %w", err)
	}
	return nil
}

// setWeights changes only the references to the arms in a main route and, in a user's, the claim.
func (r *Router) setWeights(ctx context.Context, m *mainRoute, w kubeobjects.Weights) error {
	var ops []kubeobjects.Operation
	for _, p := range m.places {
		ops = append(ops, p.With(fmt.Sprintf("/spec/rules/%d/backendRefs", p.rule), w, r.config.armsRefs(p.port))...)
	}
	if r.config.Own == nil {
		ops = append(ops, r.config.claim().Make(m.object)...)
	}
	if len(ops) == 0 {
		return nil
	}
	return r.objects.Patch(ctx, m.key, ops)
}

// bring writes the wanted objects in an order that keeps every route intact at every moment: what a route needs is written
// before the route and removed after it. routed says whether a cohort has just had a route.
func (r *Router) bring(ctx context.Context, want map[kubeobjects.Key]kubeobjects.Object, s *snapshot, l *layout, routed bool) error {
	made := false
	for _, k := range r.config.cohortServices() {
		o, wanted := want[k]
		if !wanted {
			continue
		}
		made = made || s.objects[k] == nil
		if err := r.objects.Write(ctx, k, o, s.objects[k]); err != nil {
			return err
		}
		port := r.config.Stable.Port
		if k.Name == kubeobjects.CohortBackend(r.config.Canary).Service {
			port = r.config.Canary.Port
		}
		if err := r.objects.AwaitEndpoints(ctx, traffic.Backend{Service: k.Name, Port: port}); err != nil {
			return err
		}
	}
	if made {
		if err := kubeobjects.LetNotice(ctx); err != nil {
			return err
		}
	}
	if r.config.Own != nil {
		k := r.config.mainKey(0)
		if err := r.objects.Write(ctx, k, want[k], s.objects[k]); err != nil {
			return err
		}
	} else {
		for _, m := range s.mains {
			if err := r.setWeights(ctx, m, l.main); err != nil {
				return err
			}
		}
	}
	var errs []error
	for i := range r.config.names() {
		k := r.config.cohortKey(i)
		if o, wanted := want[k]; wanted {
			errs = append(errs, r.objects.Write(ctx, k, o, s.objects[k]))
			continue
		}
		errs = append(errs, r.objects.Remove(ctx, k, s.objects[k]))
	}
	for _, k := range r.config.cohortServices() {
		// A gateway learns of routes and Services through separate watches, in no particular order, so a later write removes
		// what a route has just led to.
		if _, wanted := want[k]; !wanted && !routed {
			errs = append(errs, r.objects.Remove(ctx, k, s.objects[k]))
		}
	}
	return errors.Join(errs...)
}

// snapshot is the state of the rollout's objects in the cluster.
type snapshot struct {
	objects map[kubeobjects.Key]*kubeobjects.Stored // those that exist
	mains   []*mainRoute                            // those that lead to the arms
	away    []*mainRoute                            // users' routes that no longer do
	missing []kubeobjects.Key                       // users' routes that do not exist
}

// read reads all objects of the rollout. After an error the snapshot has those that could be read, and lists the others as
// missing.
func (r *Router) read(ctx context.Context, in kubeobjects.Source) (*snapshot, error) {
	keys := r.config.ownKeys()
	for i := range r.config.names() {
		if r.config.Own == nil {
			keys = append(keys, r.config.mainKey(i))
		}
	}
	s := &snapshot{}
	var err error
	s.objects, err = r.objects.Read(ctx, in, keys)
	for i := range r.config.names() {
		k := r.config.mainKey(i)
		switch o := s.objects[k]; {
		case o != nil:
			m := &mainRoute{number: i, key: k, object: o, spec: o.Spec, places: r.config.placesOf(o.Spec)}
			if len(m.places) == 0 && r.config.Own == nil {
				s.away = append(s.away, m)
				continue
			}
			s.mains = append(s.mains, m)
		case r.config.Own == nil:
			s.missing = append(s.missing, k)
		}
	}
	return s, err
}

// routed reports whether a cohort has a route.
func (s *snapshot) routed(c *Config) bool {
	for i := range c.names() {
		if s.objects[c.cohortKey(i)] != nil {
			return true
		}
	}
	return false
}

// fit returns an error if a release cannot use the routes. Neither arm gets requests from a route that does not exist or leads
// elsewhere, so it does not keep the others from going back to stable: serves is false then.
func (s *snapshot) fit(c *Config, serves bool) error {
	if c.Own != nil {
		return nil // the own route is written as a whole
	}
	var errs []error
	if serves || len(s.mains) == 0 {
		errs = append(errs, s.absent(c))
	}
	for _, m := range s.mains {
		errs = append(errs, m.fit(c))
	}
	for port := 1; port < c.ports() && serves; port++ {
		if !slices.ContainsFunc(s.mains, func(m *mainRoute) bool {
			return slices.ContainsFunc(m.places, func(p place) bool { return p.port == port })
		}) {
			_, stable := c.armsAt(port)
			errs = append(errs, fmt.Errorf("no rule leads to Service %s:%s", stable.Service, stable.Port))
		}
	}
	return errors.Join(errs...)
}

// absent returns an error that names the users' routes that do not exist or lead elsewhere, or nil.
func (s *snapshot) absent(c *Config) error {
	var errs []error
	for _, k := range s.missing {
		errs = append(errs, fmt.Errorf("%s, which is to be adopted, does not exist", k))
	}
	for _, m := range s.away {
		errs = append(errs, m.fit(c))
	}
	return errors.Join(errs...)
}

// serves reports whether the canary gets requests according to the snapshot.
func (s *snapshot) serves(c *Config) bool {
	return s.routed(c) || greatest(s.mains).Canary > 0
}
