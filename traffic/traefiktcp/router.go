// Package traefiktcp brings the connections of one rollout to a target through Traefik's custom resource IngressRouteTCP,
// and asks each replica of Traefik what it serves.
//
// It owns an IngressRouteTCP, or changes the weights in users' own and nothing else. A TCP route sees no requests: it
// divides connections by weight, and everything else that a target may ask for is refused. It keeps no state: writes depend
// on what the API server says at that moment. Start at [Router]; layout.go has the content.
package traefiktcp

import (
	"context"
	"errors"
	"fmt"
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

// Router is the traffic of one rollout. Its methods may be called from several goroutines. Two routers for one rollout
// do not undo each other's work as long as they have the same target.
type Router struct {
	config  Config
	objects *kubeobjects.Store
	api     *traefikapi.Client

	writing sync.Mutex // held from reading the objects until they are written
}

// New returns a router without watches. It changes nothing; its error is that of [Config.Validate].
func New(c Config, k kubernetes.Interface, d dynamic.Interface) (*Router, error) {
	return newRouter(c, k, d, kubeobjects.NewKnowledge())
}

func newRouter(c Config, k kubernetes.Interface, d dynamic.Interface, n *kubeobjects.Knowledge) (*Router, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Verify.Timeout = c.Verify.Patience()
	return &Router{
		config: c, objects: kubeobjects.NewStore(c.Rollout, c.Namespace, c.Arms, k, kindsOf(&c, d), n), api: traefikapi.NewClient(c.Verify.Client),
	}, nil
}

// Labels are empty: Traefik counts no connections of a service.
func (r *Router) Labels(traffic.Lane) (canary, stable string) { return "", "" }

// Apply writes t, unless the cluster already says so. It returns once the change is written, not once Traefik serves it.
// Each IngressRouteTCP changes at once, by one write. Connections that are open stay where they are. On the way back to
// stable all are written, even if one of them is refused; on the way to the canary the first refusal ends it. [ErrForeign]:
// the route is not Serin's, or another rollout has it. [ErrNoEndpoints]: t is not written, because an arm that is to get
// connections has no endpoint; if it is the canary that has lost its own, all new connections go to stable.
func (r *Router) Apply(ctx context.Context, t traffic.Target) error {
	w, err := r.config.weightsOf(t)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := kubeobjects.Retry(ctx, func() error { return r.apply(ctx, w) }); err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, w kubeobjects.Weights) error {
	s, err := r.read(ctx, r.objects.Live())
	if w.Canary == 0 { // traffic first: whatever else is wrong, the canary must get none
		err = errors.Join(err, r.takeOut(ctx, s))
	}
	if err != nil {
		return err
	}
	if w.Canary == 0 {
		if s, err = r.read(ctx, r.objects.Live()); err != nil {
			return err
		}
	}
	if err := errors.Join(s.fit(&r.config, w.Canary > 0), r.alone(s)); err != nil {
		return err
	}
	if w.Canary > 0 {
		stable, canary, err := r.objects.Arms(ctx, r.objects.Live(), r.config.Stable, r.config.Canary)
		if err != nil {
			return r.protect(ctx, s, stable, canary, err)
		}
	}
	return r.bring(ctx, s, w)
}

// protect takes the canary out if it has lost its endpoints. It returns cause in any case, with what becomes of the
// connections.
func (r *Router) protect(ctx context.Context, s *snapshot, stable, canary *kubeobjects.Backend, cause error) error {
	if !kubeobjects.LostCanary(cause, stable, canary) {
		return cause
	}
	if greatest(s.mains...).Canary > 0 {
		if err := r.takeOut(ctx, s); err != nil {
			return errors.Join(cause, err)
		}
	}
	return fmt.Errorf("%w: all new connections go to stable", cause)
}

// takeOut takes the canary out of every route that is there. What one refuses does not keep the others from it.
func (r *Router) takeOut(ctx context.Context, s *snapshot) error {
	var errs []error
	for _, m := range s.mains {
		if r.config.Route != nil && !m.object.Made(r.config.Rollout) {
			continue // never ours, and so without a canary of ours
		}
		if greatest(m).Canary > 0 {
			errs = append(errs, r.setWeights(ctx, m, kubeobjects.Weights{Stable: 100}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take the canary out: %w", err)
	}
	return nil
}

func (r *Router) bring(ctx context.Context, s *snapshot, w kubeobjects.Weights) error {
	if r.config.Route != nil {
		k := r.config.keys()[0]
		return r.objects.Write(ctx, k, kubeobjects.Object{Spec: r.config.ownSpec(w)}, s.objects[k])
	}
	for _, m := range s.mains {
		if err := r.setWeights(ctx, m, w); err != nil {
			return err
		}
	}
	return nil
}

// setWeights changes no more in a route than the references to the arms, and the claim on a user's.
func (r *Router) setWeights(ctx context.Context, m *mainRoute, w kubeobjects.Weights) error {
	var ops []kubeobjects.Operation
	for _, p := range m.places {
		ops = append(ops, p.With(fmt.Sprintf("/spec/routes/%d/services", p.route), w, r.config.references)...)
	}
	if r.config.Route == nil {
		ops = append(ops, r.config.claim().Make(m.object)...)
	}
	if len(ops) == 0 {
		return nil
	}
	return r.objects.Patch(ctx, m.key, ops)
}

// snapshot is what is in the cluster.
type snapshot struct {
	objects map[kubeobjects.Key]*kubeobjects.Stored // without those that do not exist
	mains   []*mainRoute                            // those that lead to the arms
	away    []*mainRoute                            // users' routes that no longer do
	missing []kubeobjects.Key                       // users' routes that do not exist
}

// read reads all routes. With an error the snapshot has those that could be read, and the others are missing from it.
func (r *Router) read(ctx context.Context, in kubeobjects.Source) (*snapshot, error) {
	s := &snapshot{}
	var err error
	s.objects, err = r.objects.Read(ctx, in, r.config.keys())
	for _, k := range r.config.keys() {
		switch o := s.objects[k]; {
		case o != nil:
			m := &mainRoute{key: k, object: o, places: r.config.placesOf(o.Spec)}
			if len(m.places) == 0 && r.config.Route == nil {
				s.away = append(s.away, m)
				continue
			}
			s.mains = append(s.mains, m)
		case r.config.Route == nil:
			s.missing = append(s.missing, k)
		}
	}
	return s, err
}

// fit says why no release can be on the routes as they are. A route that does not exist, or leads elsewhere, gives neither
// arm a connection: it keeps no other one from going back to stable, which is what serves is false for.
func (s *snapshot) fit(c *Config, serves bool) error {
	if c.Route != nil {
		for _, m := range s.mains {
			if !m.object.Owned(c.Rollout) {
				return fmt.Errorf("%s is there and %w", m.key, ErrForeign)
			}
		}
		return nil // it is written as a whole
	}
	var errs []error
	if serves || len(s.mains) == 0 {
		errs = append(errs, s.absent(c))
	}
	for _, m := range s.mains {
		errs = append(errs, m.fit(c))
	}
	return errors.Join(errs...)
}

// absent names the users' routes that do not exist or lead elsewhere; nil for none.
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

// alone refuses routes that another rollout has: the two would take turns in having their connections.
func (r *Router) alone(s *snapshot) error {
	if r.config.Route != nil {
		return nil
	}
	for _, m := range s.mains {
		if err := r.config.claim().Refused(m.key, m.object, "routes"); err != nil {
			return err
		}
	}
	return nil
}
