package traefikfile

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

// answers are the objects of a rollout as one replica has them, and what is wrong with each by its name.
type answers struct {
	http     dynamic.HTTPConfiguration
	problems map[string][]string
}

func (a *answers) note(name, problem string) {
	if problem != "" {
		a.problems[name] = append(a.problems[name], problem)
	}
}

// ask is one replica's answer, compared with what the file would have to say.
func (r *Router) ask(ctx context.Context, replica Replica) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	out := traffic.Replica{Name: replica.Name()}
	a, err := r.fetch(ctx, replica)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	l := infer(&r.config, &a.http)
	out.Served = l.served(&a.http, r.config.Rollout)
	for _, d := range traefikapi.Compare(l.render(&r.config), &a.http, false) {
		a.problems[d.Object] = append(a.problems[d.Object], d.Text)
	}
	judge(out.Main, r.config.Rollout, a.problems)
	judge(out.Cohort, laneName(r.config.Rollout, traffic.CohortLane), a.problems)
	judge(out.Mirror, laneName(r.config.Rollout, traffic.MirrorLane), a.problems)
	judge(out.Preview, laneName(r.config.Rollout, traffic.PreviewLane), a.problems)
	return out
}

// judge marks a route as disabled if one of its parts has a problem. A guard's problem is the main route's.
func judge(s *traffic.RouteServed, route string, problems map[string][]string) {
	if s == nil {
		return
	}
	var all []string
	for _, suffix := range []string{"", stableSuffix, canarySuffix, limitSuffix, breakerSuffix} {
		all = append(all, problems[route+suffix]...)
	}
	if len(all) > 0 {
		s.Enabled, s.Problem = false, strings.Join(all, "; ")
	}
}

// fetch gets all objects of the rollout, one after the other: they arrive over one connection within milliseconds.
func (r *Router) fetch(ctx context.Context, replica Replica) (*answers, error) {
	a := &answers{problems: map[string][]string{}, http: dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}}
	for _, lane := range append([]traffic.Lane{traffic.MainLane}, inFront...) {
		if err := r.fetchRoute(ctx, replica, laneName(r.config.Rollout, lane), a); err != nil {
			return nil, err
		}
	}
	main := a.http.Routers[r.config.Rollout]
	for _, name := range []string{r.config.Rollout + limitSuffix, r.config.Rollout + breakerSuffix} {
		if main == nil || !slices.Contains(main.Middlewares, name) {
			continue
		}
		var m struct {
			dynamic.Middleware
			traefikapi.State
		}
		err := r.api.Get(ctx, replica, "middlewares", name+provider, &m)
		if errors.Is(err, traefikapi.ErrNoObject) {
			continue // the router that names it is disabled, and says so
		}
		if err != nil {
			return nil, err
		}
		a.note(name, m.Problem("middleware "+name))
		a.http.Middlewares[name] = &m.Middleware
	}
	return a, nil
}

func (r *Router) fetchRoute(ctx context.Context, replica Replica, route string, a *answers) error {
	var router struct {
		dynamic.Router
		traefikapi.State
	}
	err := r.api.Get(ctx, replica, "routers", route+provider, &router)
	if errors.Is(err, traefikapi.ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	a.note(route, router.Problem("router "+route))
	a.http.Routers[route] = normal(&router.Router, &r.config)
	for _, name := range []string{route, route + stableSuffix, route + canarySuffix} {
		var service struct {
			dynamic.Service
			traefikapi.State
		}
		err := r.api.Get(ctx, replica, "services", name+provider, &service)
		if errors.Is(err, traefikapi.ErrNoObject) {
			continue // the comparison says that it is missing
		}
		if err != nil {
			return err
		}
		a.note(name, service.Problem("service "+name))
		if lb := service.LoadBalancer; lb != nil {
			lb.ServersTransport = strings.TrimSuffix(lb.ServersTransport, provider)
		}
		if w := service.Weighted; w != nil {
			for i := range w.Services {
				w.Services[i].Name = strings.TrimSuffix(w.Services[i].Name, provider)
			}
		}
		if m := service.Mirroring; m != nil {
			m.Service = strings.TrimSuffix(m.Service, provider)
			for i := range m.Mirrors {
				m.Mirrors[i].Name = strings.TrimSuffix(m.Mirrors[i].Name, provider)
			}
		}
		a.http.Services[name] = &service.Service
	}
	return nil
}

// normal removes what Traefik adds to one of our routers.
func normal(r *dynamic.Router, c *Config) *dynamic.Router {
	tls := c.Route.TLS
	r.Service = strings.TrimSuffix(r.Service, provider)
	for i, m := range r.Middlewares {
		r.Middlewares[i] = strings.TrimSuffix(m, provider)
	}
	r.Middlewares = traefikapi.Behind(r.Middlewares, slices.Concat(c.middlewares(), []string{c.Rollout + limitSuffix, c.Rollout + breakerSuffix}))
	if r.TLS != nil && r.TLS.Options == "default" && (tls == nil || tls.Options == "") {
		r.TLS.Options = ""
	}
	return r
}
