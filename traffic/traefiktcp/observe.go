package traefiktcp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Observe reads the cluster, as far as possible from watches, and asks all replicas of Traefik at once. It returns an error
// only if the cluster could not be read and no replica answered.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o := traffic.Observed{}
	reading, cancel := context.WithTimeout(ctx, kubeobjects.ReadTimeout)
	defer cancel()
	s, err := r.read(reading, r.objects.Known())
	if err != nil {
		s, o.Unreadable = nil, err.Error()
	} else {
		o.Configured = r.configured(reading, s)
		if err := s.absent(&r.config); err != nil && greatest(s.mains...).Canary == 0 {
			o.Unreadable = err.Error()
		}
	}
	o.Replicas = r.replicas(ctx, s)
	if err := ctx.Err(); err != nil {
		return traffic.Observed{}, fmt.Errorf("observe the traffic of %s: %w", r.config.Rollout, err)
	}
	return traefikapi.Answered(r.config.Rollout, o, err)
}

// configured returns what is configured in the cluster, or nil if there is nothing of the rollout.
func (r *Router) configured(ctx context.Context, s *snapshot) *traffic.Configured {
	c := &r.config
	if !c.claim().Written(s.objects) {
		return nil
	}
	w := greatest(s.mains...)
	out := &traffic.Configured{Digest: s.digest(), Foreign: r.foreign(s, w)}
	if len(s.mains) == len(c.names()) || len(s.mains) > 0 && w.Canary == 0 {
		out.Main = &traffic.RouteServed{Enabled: true, Weight: w.Share()}
	}
	if w.Canary > 0 {
		r.objects.CheckArms(ctx, c.Stable, c.Canary, out)
	}
	return out
}

// foreign describes what differs from what Serin would have written, and who wrote it.
func (r *Router) foreign(s *snapshot, w kubeobjects.Weights) []string {
	c := &r.config
	var out []string
	if w.Canary > 0 || len(s.mains) == 0 { // otherwise they do not matter: neither arm gets connections from them
		for _, k := range s.missing {
			out = append(out, k.String()+" is missing")
		}
		for _, m := range s.away {
			out = append(out, m.fit(c).Error()+lastWriter(m))
		}
	}
	for _, m := range s.mains {
		if c.Route != nil {
			if !m.object.Owned(c.Rollout) {
				out = append(out, m.key.String()+" is not Serin's")
				continue
			}
			out = append(out, r.objects.Differences(m.key, kubeobjects.Object{Spec: c.ownSpec(w)}, m.object)...)
			continue
		}
		last := lastWriter(m)
		if err := m.fit(c); err != nil {
			out = append(out, err.Error()+last)
		}
		for _, p := range m.places {
			for _, problem := range p.Disagreements(fmt.Sprintf("%s: route %d", m.key, p.route), w) {
				out = append(out, problem+last)
			}
		}
		if missing := c.claim().Missing(m.key, m.object); missing != "" {
			out = append(out, missing)
		}
	}
	slices.Sort(out)
	return out
}

func lastWriter(m *mainRoute) string {
	return kubeobjects.LastWriter(m.object.GetManagedFields(), "routes")
}

// digest is a hash of the references to the arms.
func (s *snapshot) digest() string {
	users := map[string]any{}
	for _, m := range s.mains {
		var refs []any
		for _, p := range m.places {
			refs = append(refs, p.rule, p.Refs)
		}
		users[m.key.String()] = refs
	}
	return kubeobjects.Digest(nil, users)
}

// replicas asks all replicas of Traefik. s is nil if the routes could not be read.
func (r *Router) replicas(ctx context.Context, s *snapshot) []traffic.Replica {
	var stable, canary []string
	if s != nil && len(r.config.Verify.APIs) > 0 {
		reading, cancel := context.WithTimeout(ctx, kubeobjects.ReadTimeout)
		defer cancel()
		stable, canary = r.addresses(reading, r.config.Stable), r.addresses(reading, r.config.Canary)
	}
	return r.objects.AskAll(ctx, &r.config.Verify, func(replica traefikapi.Replica) traffic.Replica {
		if s == nil {
			return traffic.Replica{Name: replica.Name(), Err: "not asked: the routes could not be read"}
		}
		return r.ask(ctx, replica, s, stable, canary)
	})
}

// addresses returns the addresses at which Traefik may reach an arm: its endpoints, and the Service's own address, which
// Traefik uses if Kubernetes chooses among the endpoints.
func (r *Router) addresses(ctx context.Context, b traffic.Backend) []string {
	found, err := r.objects.Backend(ctx, r.objects.Known(), b)
	if found == nil || err != nil && !errors.Is(err, ErrNoEndpoints) {
		return nil
	}
	return append(found.Ready, found.Own(b.Port)...)
}

// provider is what Traefik appends to names from custom resources.
const provider = "@kubernetescrd"

// router is Traefik's name for the router of a route, and for the service behind it.
func (c *Config) router(ingressRoute, rule string) string {
	hash := sha256.Sum256([]byte(rule))
	return fmt.Sprintf("%s-%s-%.10x", c.Namespace, ingressRoute, hash[:])
}

// ask gets one replica's answers: it has to have a router for each route, with the weights of the arms.
func (r *Router) ask(ctx context.Context, replica traefikapi.Replica, s *snapshot, stable, canary []string) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Verify.Timeout)
	defer cancel()
	out := traffic.Replica{Name: replica.Name()}
	replica = r.api.Together(ctx, replica, &r.asker)
	main, first := &traffic.RouteServed{}, true
	var problems []string
	for _, m := range s.mains {
		for _, p := range m.places {
			w, problem, err := r.askRoute(ctx, replica, r.config.router(m.key.Name, p.rule), stable, canary)
			if problem != "" {
				err = r.api.CheckNamingTCP(ctx, replica, r.config.Namespace, m.key.Name, p.route)
			}
			switch {
			case err != nil:
				out.Err = err.Error()
				return out
			case problem != "":
				problems = append(problems, problem)
				continue
			case !first && w.Share() != main.Weight:
				problems = append(problems, fmt.Sprintf("%s: route %d: canary's weight is %s, elsewhere %s", m.key, p.route, w.Share(), main.Weight))
			}
			main.Weight, first = max(main.Weight, w.Share()), false
		}
	}
	if r.config.claim().Written(s.objects) && (len(problems) > 0 || !first) {
		main.Enabled, main.Problem = len(problems) == 0, strings.Join(problems, "; ")
		out.Main = main
	}
	return out
}

// askRoute gets the weights of the service behind a router.
func (r *Router) askRoute(ctx context.Context, replica traefikapi.Replica, id string,
	stable, canary []string) (w kubeobjects.Weights, problem string, err error) {
	var router struct {
		dynamic.TCPRouter
		traefikapi.State
	}
	if problem, err := r.get(ctx, replica, "router", id, &router); err != nil || problem != "" {
		return w, problem, err
	}
	var service struct {
		dynamic.TCPService
		traefikapi.State
	}
	if problem, err := r.get(ctx, replica, "service", id, &service); err != nil || problem != "" {
		return w, problem, err
	}
	if service.Weighted != nil {
		return r.config.weighted(id, service.Weighted)
	}
	return alone(id, service.LoadBalancer, stable, canary)
}

// get asks for an object and returns its problem, or an empty text if it has none.
func (r *Router) get(ctx context.Context, replica traefikapi.Replica, kind, id string,
	v interface{ Problem(what string) string }) (problem string, err error) {
	what := kind + " " + id
	err = r.api.GetTCP(ctx, replica, kind+"s", id+provider, v)
	switch {
	case errors.Is(err, traefikapi.ErrNoObject):
		return what + " is missing", nil
	case err != nil:
		return "", err
	}
	return v.Problem(what), nil
}

// weighted reads the weights of a service whose children are named after the arms' Services.
func (c *Config) weighted(id string, service *dynamic.TCPWeightedRoundRobin) (w kubeobjects.Weights, problem string, err error) {
	for _, child := range service.Services {
		weight := 1
		if child.Weight != nil {
			weight = *child.Weight
		}
		switch strings.TrimSuffix(child.Name, provider) {
		case id + "-" + c.Stable.Service + "-" + c.Stable.Port:
			w.Stable += weight
		case id + "-" + c.Canary.Service + "-" + c.Canary.Port:
			w.Canary += weight
		default:
			return kubeobjects.Weights{}, fmt.Sprintf("service %s leads to %s", id, child.Name), nil
		}
	}
	return w, "", nil
}

// alone finds out by the addresses of its servers which arm a service without children is. It ignores addresses that neither
// arm has, which have just appeared or disappeared.
func alone(id string, service *dynamic.TCPServersLoadBalancer, stable, canary []string) (w kubeobjects.Weights, problem string, err error) {
	if service == nil {
		return w, "service " + id + " is of another kind", nil
	}
	var theirs []string
	for _, s := range service.Servers {
		switch {
		case slices.Contains(stable, s.Address):
			w.Stable = 1
		case slices.Contains(canary, s.Address):
			w.Canary = 1
		}
		theirs = append(theirs, s.Address)
	}
	if w.Stable == w.Canary {
		return kubeobjects.Weights{},
			fmt.Sprintf("service %s leads to %s, which are not the servers of one version", id, strings.Join(theirs, ", ")), nil
	}
	return w, "", nil
}
