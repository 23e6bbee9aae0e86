// Package traefiktcp answers the question how to bring the connections of one rollout to a target with Traefik's custom
// resource IngressRouteTCP, and what each replica of Traefik serves.
//
// It owns an IngressRouteTCP, or changes the weights in users' own and nothing else. A TCP route sees no requests, so it can
// only divide connections by weight; anything else in a target is refused. It keeps no state: writes depend on what the API
// server says at that moment. Start at [Router]; layout.go has the content.
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

// Router routes the connections of one rollout. It is safe for concurrent use. Two routers for one rollout do not undo each
// other's work as long as they have the same target.
type Router struct {
	config  Config
	objects *kubeobjects.Store
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
		config: c, objects: kubeobjects.NewStore(c.Rollout, c.Namespace, c.Arms, k, kindsOf(&c, d), n), api: traefikapi.NewClient(c.Verify.Client),
	}, nil
}

// Labels are empty, because Traefik does not count connections by service.
func (r *Router) Labels(traffic.Lane) (canary, stable string) { return "", "" }

// Apply writes t unless it is already written. It returns once the change is written, not once Traefik serves it. Each
// IngressRouteTCP changes with one write. Open connections stay where they are. On the way back to stable all routes are
// written, even if one write is refused; on the way to the canary the first refusal ends it.
//
// It returns [ErrForeign] if the route is not Serin's, or if another rollout has it. It returns [ErrNoEndpoints], and does not
// write t, if an arm that should get connections has no endpoint; if the canary has lost its endpoints, all new connections
// go to stable.
func (r *Router) Apply(ctx context.Context, t traffic.Target) error {
	w, err := r.config.weightsOf(t)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	defer r.asker.Wrote()
	if err := kubeobjects.Retry(ctx, func() error { return r.apply(ctx, w) }); err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, w kubeobjects.Weights) error {
	s, err := r.read(ctx, r.objects.Live())
	if w.Canary == 0 { // first of all, and whatever else is wrong, the canary must get no traffic
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

// protect takes the canary out if it has lost its endpoints. It always returns cause, with a note on where the connections
// go.
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

// takeOut takes the canary out of every existing route. A refusal for one route does not stop the others.
func (r *Router) takeOut(ctx context.Context, s *snapshot) error {
	var errs []error
	for _, m := range s.mains {
		if r.config.Route != nil && !m.object.Made(r.config.Rollout) {
			continue // not Serin's, so it leads to no canary of Serin's
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

// setWeights changes only the references to the arms in a route and, in a user's, the claim.
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

// snapshot is the state of the rollout's routes in the cluster.
type snapshot struct {
	objects map[kubeobjects.Key]*kubeobjects.Stored // those that exist
	mains   []*mainRoute                            // those that lead to the arms
	away    []*mainRoute                            // users' routes that no longer do
	missing []kubeobjects.Key                       // users' routes that do not exist
}

// read reads all routes. After an error the snapshot has those that could be read, and lists the others as missing.
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

// fit returns an error if a release cannot use the routes. Neither arm gets connections from a route that does not exist or
// leads elsewhere, so it does not keep the others from going back to stable: serves is false then.
func (s *snapshot) fit(c *Config, serves bool) error {
	if c.Route != nil {
		for _, m := range s.mains {
			if !m.object.Owned(c.Rollout) {
				return fmt.Errorf("%s exists and is %w", m.key, ErrForeign)
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

// alone refuses routes that another rollout has, because each would overwrite the other's weights.
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
