package traefikcrd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Observe reads the cluster, from watches as far as there are any, and asks every replica of Traefik, all at once.
// Replicas that do not answer are listed with the reason, and so is a Service of which the replicas could not be found.
// It returns an error only if neither the cluster could be read nor any replica answered.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o := traffic.Observed{}
	reading, cancel := context.WithTimeout(ctx, kubeobjects.ReadTimeout)
	defer cancel()
	s, err := r.read(reading, r.objects.Known())
	var frames []frame
	if err == nil {
		if frames, err = s.frames(&r.config); err == nil {
			o.Configured = r.configured(reading, s, frames)
			if s.gone != nil {
				o.Unreadable = s.gone.Error()
			}
		}
	} else if r.config.Route != nil {
		frames = r.config.ownedFrames() // Traefik can be asked without the cluster
	}
	if err != nil {
		o.Unreadable = err.Error()
	}
	o.Replicas = r.replicas(ctx, frames)
	if err := ctx.Err(); err != nil {
		return traffic.Observed{}, fmt.Errorf("observe the traffic of %s: %w", r.config.Rollout, err)
	}
	return traefikapi.Answered(r.config.Rollout, o, err)
}

// configured returns what the cluster says; nil while it holds nothing of the rollout.
func (r *Router) configured(ctx context.Context, s *snapshot, frames []frame) *traffic.Configured {
	if len(s.objects) == 0 && !slices.ContainsFunc(s.adopted, (*adopted).replaced) {
		return nil
	}
	l := r.infer(s, frames)
	c := &traffic.Configured{Digest: s.digest(), Foreign: r.foreign(s, frames, &l)}
	guards := l.guards
	c.Guards, c.Limits = l.guards.Names(), &guards
	if s.routed(&r.config) {
		c.Main = &traffic.RouteServed{Enabled: true, Weight: l.main.share(), Sticky: l.sticky}
	}
	for lane, side := range l.lanes {
		put(&c.Served, lane, side.served(lane))
	}
	if l.serves() {
		for port := range r.config.ports() {
			canary, stable := r.config.armsAt(port)
			r.objects.CheckArms(ctx, stable, canary, c)
		}
	}
	return c
}

// routed reports whether a main route leads to the rollout's TraefikServices.
func (s *snapshot) routed(c *Config) bool {
	for port := range c.ports() {
		if s.traefikService(c.serviceName(traffic.MainLane, port)) == nil {
			return false
		}
	}
	if len(s.adopted) > 0 {
		return slices.ContainsFunc(s.adopted, (*adopted).replaced)
	}
	for i := range c.ownedRoutes() {
		if s.ingressRoute(c.routeName(i)) != nil {
			return true
		}
	}
	return false
}

// digest is a hash of everything that Serin owns.
func (s *snapshot) digest() string {
	users := map[string]any{}
	for i, a := range s.adopted {
		for j, p := range a.places {
			name := "adopted"
			if i+j > 0 { // the first keeps the name from when there was only one
				name = fmt.Sprintf("adopted %s %d", a.name, j)
			}
			users[name] = []any{p.reference, p.middlewares}
		}
	}
	return kubeobjects.Digest(s.objects, users)
}

// foreign says what differs from what Serin would have written, and by whom.
func (r *Router) foreign(s *snapshot, frames []frame, l *layout) []string {
	want := l.render(&r.config, frames)
	var out []string
	for _, k := range r.config.keys() {
		have := s.objects[k]
		o, wanted := want[k]
		switch {
		case have == nil && wanted:
			out = append(out, k.String()+" is missing")
		case have != nil && !have.Owned(r.config.Rollout):
			if !r.adopts(k) {
				out = append(out, k.String()+" is not Serin's")
			}
		case have != nil && wanted:
			out = append(out, r.objects.Differences(k, o, have)...)
		case have != nil && k.Kind == coreServices && l.needs(&r.config, k):
			out = append(out, kubeobjects.Strangers(k, have)...) // its required state follows from another Service
		case have != nil && !r.config.behindLane(k): // the next write removes those
			out = append(out, k.String()+" should not be there")
		}
	}
	for lane := range l.lanes {
		for _, k := range r.config.laneServices(lane) {
			if s.objects[k] == nil {
				out = append(out, k.String()+" is missing")
			}
		}
	}
	for _, a := range s.adopted {
		switch {
		case a.gone() && (l.serves() || errors.Is(a.why, errStraight)): // else it serves nobody: on the way back nothing is missing
			out = append(out, a.why.Error())
		case !a.gone() && !a.replaced():
			out = append(out, fmt.Sprintf("IngressRoute %s does not lead to TraefikService %s%s", a.name, r.config.Rollout, lastWriter(a)))
		}
	}
	slices.Sort(out)
	return out
}

// needs reports whether a present lane has a Service.
func (l *layout) needs(c *Config, service key) bool {
	for lane := range l.lanes {
		if slices.Contains(c.laneServices(lane), service) {
			return true
		}
	}
	return false
}

// behindLane reports whether an object is one that the route of a lane leads to.
func (c *Config) behindLane(k key) bool {
	return slices.ContainsFunc(inFront, func(lane traffic.Lane) bool { return slices.Contains(c.laneKeys(lane), k) })
}

func lastWriter(a *adopted) string { return kubeobjects.LastWriter(a.object.ManagedFields, "routes") }

// replicas asks all of them. frames is empty if the routes are not known.
func (r *Router) replicas(ctx context.Context, frames []frame) []traffic.Replica {
	return r.objects.AskAll(ctx, &r.config.Verify, func(replica traefikapi.Replica) traffic.Replica {
		if len(frames) == 0 {
			return traffic.Replica{Name: replica.Name(), Err: "not asked: the adopted route could not be read"}
		}
		return r.ask(ctx, replica, frames)
	})
}
