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

// Observe reads the cluster, as far as possible from watches, and asks all replicas of Traefik at once. Replicas that do not
// answer are listed with the reason, and so is a Service whose replicas could not be found. It returns an error only if the
// cluster could not be read and no replica answered.
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
		frames = r.config.ownedFrames() // known without the cluster, so Traefik can still be asked
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

// configured returns what is configured in the cluster, or nil if there is nothing of the rollout.
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

// digest is a hash of everything that Serin owns, including its parts of adopted routes.
func (s *snapshot) digest() string {
	users := map[string]any{}
	for i, a := range s.adopted {
		for j, p := range a.places {
			name := "adopted"
			if i+j > 0 { // the first keeps the key that it had when there was only one
				name = fmt.Sprintf("adopted %s %d", a.name, j)
			}
			users[name] = []any{p.reference, p.middlewares}
		}
	}
	return kubeobjects.Digest(s.objects, users)
}

// foreign describes what differs from what Serin would have written, and who wrote it.
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
			out = append(out, kubeobjects.Strangers(k, have)...) // its content depends on another Service, which was not read
		case have != nil && !r.config.behindLane(k): // those behind a lane are removed by the next write
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
		case a.gone() && (l.serves() || errors.Is(a.why, errStraight)): // otherwise it matters to nobody
			out = append(out, a.why.Error())
		case !a.gone() && !a.replaced():
			out = append(out, fmt.Sprintf("IngressRoute %s does not lead to TraefikService %s%s", a.name, r.config.Rollout, lastWriter(a)))
		}
	}
	slices.Sort(out)
	return out
}

// needs reports whether a lane that is in use has a Service.
func (l *layout) needs(c *Config, service key) bool {
	for lane := range l.lanes {
		if slices.Contains(c.laneServices(lane), service) {
			return true
		}
	}
	return false
}

// behindLane reports whether the route of a lane leads to an object.
func (c *Config) behindLane(k key) bool {
	return slices.ContainsFunc(inFront, func(lane traffic.Lane) bool { return slices.Contains(c.laneKeys(lane), k) })
}

func lastWriter(a *adopted) string { return kubeobjects.LastWriter(a.object.ManagedFields, "routes") }

// replicas asks all replicas of Traefik. frames is empty if the routes are not known.
func (r *Router) replicas(ctx context.Context, frames []frame) []traffic.Replica {
	return r.objects.AskAll(ctx, &r.config.Verify, func(replica traefikapi.Replica) traffic.Replica {
		if len(frames) == 0 {
			return traffic.Replica{Name: replica.Name(), Err: "not asked: the adopted route could not be read"}
		}
		return r.ask(ctx, replica, frames)
	})
}
