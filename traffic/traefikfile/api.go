package traefikfile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

// answers are a rollout's objects in one replica of Traefik, and the problems of each by name.
type answers struct {
	http     dynamic.HTTPConfiguration
	tcp      dynamic.TCPConfiguration
	problems map[string][]string
}

func (a *answers) note(name, problem string) {
	if problem != "" {
		a.problems[name] = append(a.problems[name], problem)
	}
}

// ask gets one replica's answers and compares them with what the file would have to say.
func (r *Router) ask(ctx context.Context, replica Replica) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	out := traffic.Replica{Name: replica.Name()}
	a, err := r.fetch(ctx, replica)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	all := &dynamic.Configuration{HTTP: &a.http, TCP: &a.tcp}
	l := infer(&r.config, all)
	out.Served = l.served(&r.config, all)
	for _, d := range traefikapi.CompareAll(l.render(&r.config), all, false) {
		a.problems[d.Object] = append(a.problems[d.Object], d.Text)
	}
	c := &r.config
	a.judge(out.Main, append(c.partsOf(traffic.MainLane), c.Rollout+limitSuffix,
		c.Rollout+breakerSuffix)) // a problem of a guard counts as the main route's
	a.judge(out.Cohort, c.partsOf(traffic.CohortLane))
	a.judge(out.Mirror, c.partsOf(traffic.MirrorLane))
	a.judge(out.Preview, c.partsOf(traffic.PreviewLane))
	return out
}

// partsOf returns the names of a lane's routers and services. The first router and the service behind it share a name.
func (c *Config) partsOf(lane traffic.Lane) (names []string) {
	for i := range c.routes() {
		names = append(names, routeName(c.Rollout, lane, i))
	}
	for port := range c.ports() {
		name := serviceName(c.Rollout, lane, port)
		if port > 0 {
			names = append(names, name)
		}
		names = append(names, name+stableSuffix, name+canarySuffix)
	}
	return names
}

// judge marks a route as disabled if one of its parts has a problem.
func (a *answers) judge(s *traffic.RouteServed, parts []string) {
	if s == nil {
		return
	}
	var all []string
	for _, part := range parts {
		all = append(all, a.problems[part]...)
	}
	if len(all) > 0 {
		s.Enabled, s.Problem = false, strings.Join(all, "; ")
	}
}

// fetch gets all objects of the rollout one after another, which takes milliseconds over one connection.
func (r *Router) fetch(ctx context.Context, replica Replica) (*answers, error) {
	a := &answers{problems: map[string][]string{}, http: dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}}
	if r.config.TCP {
		return a, r.fetchTCP(ctx, replica, a)
	}
	for _, lane := range append([]traffic.Lane{traffic.MainLane}, inFront...) {
		if err := r.fetchLane(ctx, replica, lane, a); err != nil {
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
			continue // the router that refers to it is disabled and says why
		}
		if err != nil {
			return nil, err
		}
		a.note(name, m.Problem("middleware "+name))
		a.http.Middlewares[name] = &m.Middleware
	}
	return a, nil
}

// fetchLane gets the routers of a lane and what is behind them, unless there is none for the first main route.
func (r *Router) fetchLane(ctx context.Context, replica Replica, lane traffic.Lane, a *answers) error {
	for i, route := range r.config.routes() {
		name := routeName(r.config.Rollout, lane, i)
		var router struct {
			dynamic.Router
			traefikapi.State
		}
		err := r.api.Get(ctx, replica, "routers", name+provider, &router)
		switch {
		case errors.Is(err, traefikapi.ErrNoObject) && i == 0:
			return nil
		case errors.Is(err, traefikapi.ErrNoObject):
			continue // the comparison shows that it is missing
		case err != nil:
			return err
		}
		a.note(name, router.Problem("router "+name))
		a.http.Routers[name] = r.config.normal(&router.Router, &route.Route)
	}
	for port := range r.config.ports() {
		if err := r.fetchServices(ctx, replica, serviceName(r.config.Rollout, lane, port), a); err != nil {
			return err
		}
	}
	return nil
}

// complete sets what a version of Traefik that does not know the fields of [newer] does by itself, and so does not say.
func complete(s *dynamic.Service) {
	var sticky []*dynamic.Sticky
	if lb := s.LoadBalancer; lb != nil {
		lb.Strategy, sticky = cmp.Or(lb.Strategy, dynamic.BalancerStrategyWRR), append(sticky, lb.Sticky)
	}
	if w := s.Weighted; w != nil {
		sticky = append(sticky, w.Sticky)
	}
	if m := s.Mirroring; m != nil && m.MirrorBody == nil {
		m.MirrorBody = new(true)
	}
	for _, one := range sticky {
		if one != nil && one.Cookie != nil && one.Cookie.Path == nil {
			one.Cookie.SetDefaults()
		}
	}
}

// fetchServices gets a service and its children.
func (r *Router) fetchServices(ctx context.Context, replica Replica, parent string, a *answers) error {
	for _, name := range []string{parent, parent + stableSuffix, parent + canarySuffix} {
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
		complete(&service.Service)
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

// fetchTCP gets the router and the services of a TCP route.
func (r *Router) fetchTCP(ctx context.Context, replica Replica, a *answers) error {
	a.tcp = dynamic.TCPConfiguration{Routers: map[string]*dynamic.TCPRouter{}, Services: map[string]*dynamic.TCPService{}}
	name, route := r.config.Rollout, &r.config.Route
	var router struct {
		dynamic.TCPRouter
		traefikapi.State
	}
	err := r.api.GetTCP(ctx, replica, "routers", name+provider, &router)
	if errors.Is(err, traefikapi.ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	a.note(name, router.Problem("TCP router "+name))
	router.Service = strings.TrimSuffix(router.Service, provider)
	router.Middlewares = behind(router.Middlewares, middlewares(route))
	if router.TLS != nil && router.TLS.Options == "default" && (route.TLS == nil || route.TLS.Options == "") {
		router.TLS.Options = ""
	}
	a.tcp.Routers[name] = &router.TCPRouter
	for _, name := range []string{name, name + stableSuffix, name + canarySuffix} {
		var service struct {
			dynamic.TCPService
			traefikapi.State
		}
		err := r.api.GetTCP(ctx, replica, "services", name+provider, &service)
		if errors.Is(err, traefikapi.ErrNoObject) {
			continue // the comparison says that it is missing
		}
		if err != nil {
			return err
		}
		a.note(name, service.Problem("TCP service "+name))
		if w := service.Weighted; w != nil {
			for i := range w.Services {
				w.Services[i].Name = strings.TrimSuffix(w.Services[i].Name, provider)
			}
		}
		a.tcp.Services[name] = &service.TCPService
	}
	return nil
}

// normal removes what Traefik adds to one of Serin's routers.
func (c *Config) normal(r *dynamic.Router, route *traffic.Route) *dynamic.Router {
	r.Service = strings.TrimSuffix(r.Service, provider)
	r.Middlewares = behind(r.Middlewares, slices.Concat(middlewares(route), []string{c.Rollout + limitSuffix, c.Rollout + breakerSuffix}))
	if r.TLS != nil && r.TLS.Options == "default" && (route.TLS == nil || route.TLS.Options == "") {
		r.TLS.Options = ""
	}
	if o := r.Observability; o != nil && o.TraceVerbosity == "" { // as in complete
		o.SetDefaults()
	}
	return r
}

// behind is [traefikapi.Behind] for middlewares with the provider that Traefik appends to their names.
func behind(middlewares, own []string) []string {
	for i, m := range middlewares {
		middlewares[i] = strings.TrimSuffix(m, provider)
	}
	return traefikapi.Behind(middlewares, own)
}
