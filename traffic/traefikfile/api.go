package traefikfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
)

// maxAnswer bounds one answer of the API: a service with a thousand servers has less.
const maxAnswer = 1 << 20

// enabled is the status of what works in Traefik's runtime configuration.
const enabled = "enabled"

// state is Traefik's word on an object, which it adds to the object itself.
type state struct {
	Status string   `json:"status"`
	Errors []string `json:"error"`
}

// answers are the objects of a rollout as one replica has them, and what is wrong with each by its name.
type answers struct {
	http     dynamic.HTTPConfiguration
	problems map[string][]string
}

// ask is one replica's answer, compared with what the file would have to say.
func (r *Router) ask(ctx context.Context, replica Replica) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	out := traffic.Replica{Name: replica.name()}
	a, err := r.fetch(ctx, replica)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	l := infer(&r.config, &a.http)
	out.Served = l.served(&a.http, r.config.Rollout)
	for _, d := range compare(l.render(&r.config), &a.http, false) {
		a.problems[d.object] = append(a.problems[d.object], d.text)
	}
	judge(out.Main, r.config.Rollout, a.problems)
	judge(out.Cohort, r.config.Rollout+cohortSuffix, a.problems)
	return out
}

// judge disables a route one of whose parts has a problem. A guard's problem is the main route's.
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

// name is the address without what could be secret.
func (p *Replica) name() string { return strings.TrimSuffix(p.URL, "/") }

// fetch asks for all objects of the rollout, one after the other: they come over one connection within milliseconds.
func (r *Router) fetch(ctx context.Context, replica Replica) (*answers, error) {
	a := &answers{problems: map[string][]string{}, http: dynamic.HTTPConfiguration{
		Routers: map[string]*dynamic.Router{}, Services: map[string]*dynamic.Service{}, Middlewares: map[string]*dynamic.Middleware{},
	}}
	for _, route := range []string{r.config.Rollout, r.config.Rollout + cohortSuffix} {
		if err := r.fetchRoute(ctx, replica, route, a); err != nil {
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
			state
		}
		err := r.get(ctx, replica, "middlewares", name, &m, a, &m.state)
		if errors.Is(err, errNoObject) {
			continue // the router that names it is disabled, and says so
		}
		if err != nil {
			return nil, err
		}
		a.http.Middlewares[name] = &m.Middleware
	}
	return a, nil
}

func (r *Router) fetchRoute(ctx context.Context, replica Replica, route string, a *answers) error {
	var router struct {
		dynamic.Router
		state
	}
	err := r.get(ctx, replica, "routers", route, &router, a, &router.state)
	if errors.Is(err, errNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	a.http.Routers[route] = normal(&router.Router, r.config.Route.TLS)
	for _, name := range []string{route, route + stableSuffix, route + canarySuffix} {
		var service struct {
			dynamic.Service
			state
		}
		err := r.get(ctx, replica, "services", name, &service, a, &service.state)
		if errors.Is(err, errNoObject) {
			continue // the comparison says that it is missing
		}
		if err != nil {
			return err
		}
		if w := service.Weighted; w != nil {
			for i := range w.Services {
				w.Services[i].Name = strings.TrimSuffix(w.Services[i].Name, provider)
			}
		}
		a.http.Services[name] = &service.Service
	}
	return nil
}

// normal takes away what Traefik adds to a router of ours.
func normal(r *dynamic.Router, tls *traffic.TLS) *dynamic.Router {
	r.Service = strings.TrimSuffix(r.Service, provider)
	for i, m := range r.Middlewares {
		r.Middlewares[i] = strings.TrimSuffix(m, provider)
	}
	if r.TLS != nil && r.TLS.Options == "default" && (tls == nil || tls.Options == "") {
		r.TLS.Options = ""
	}
	return r
}

// errNoObject is returned by get when the API answers that it has no such object.
var errNoObject = errors.New("no such object")

// get asks the API of a replica for one object of the file provider, decodes it into v, and notes in a what Traefik
// says of it in s, which is a part of v.
func (r *Router) get(ctx context.Context, replica Replica, kind, name string, v any, a *answers, s *state) error {
	u := strings.TrimSuffix(replica.URL, "/") + "/api/http/" + kind + "/" + url.PathEscape(name+provider)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	if replica.User != "" {
		req.SetBasicAuth(replica.User, replica.Password.value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", u, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("GET %s: the answer is larger than %d bytes", u, maxAnswer)
	}
	if resp.StatusCode == http.StatusNotFound && isMissing(body) {
		return fmt.Errorf("GET %s: %w", u, errNoObject)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || err != nil || kind != "application/json" {
		return fmt.Errorf("GET %s: %s, %q: is this the API of a Traefik?", u, resp.Status, resp.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s: %w", u, err)
	}
	if s.Status != enabled {
		a.problems[name] = append(a.problems[name], fmt.Sprintf("%s %s is %s: %s", strings.TrimSuffix(kind, "s"), name, s.Status, strings.Join(s.Errors, "; ")))
	}
	return nil
}

// isMissing tells the API's own 404, which is a message in JSON, from that of a port without the API.
func isMissing(body []byte) bool {
	var answer struct {
		Message string `json:"message"`
	}
	return json.Unmarshal(body, &answer) == nil && strings.Contains(answer.Message, "not found")
}
