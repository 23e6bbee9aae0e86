package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// servedRoute is how one replica of Traefik serves a route.
type servedRoute struct {
	kubeobjects.Weights
	routers  int
	problems []string
}

// ask gets one replica's answers: it has to have a router for each match of each rule, with the weights of the arms.
func (r *Router) ask(ctx context.Context, replica traefikapi.Replica, s *snapshot) traffic.Replica {
	ctx, cancel := context.WithTimeout(ctx, r.config.Verify.Timeout)
	defer cancel()
	c := &r.config
	out := traffic.Replica{Name: replica.Name()}
	replica = r.api.Together(ctx, replica, &r.asker)
	gateways := parents(c, s.mains) // the cohort's routes have the same
	main, err := r.askAll(ctx, replica, s.mains, gateways, traffic.MainLane)
	if err != nil {
		return traffic.Replica{Name: out.Name, Err: err.Error()}
	}
	if c.claim().Written(s.objects) && main != nil {
		out.Main = main
	}
	var cohorts []*mainRoute
	for i := range c.names() {
		k := c.cohortKey(i)
		m := &mainRoute{key: k}
		if o := s.objects[k]; o != nil {
			m.object, m.spec = o, o.Spec
			rules, _ := m.spec["rules"].([]any)
			for i := range rules {
				rule, _ := rules[i].(map[string]any)
				_, port := c.splitOf(rule["backendRefs"], traffic.CohortLane)
				m.places = append(m.places, place{rule: i, port: port})
			}
		}
		cohorts = append(cohorts, m)
	}
	cohort, err := r.askAll(ctx, replica, cohorts, gateways, traffic.CohortLane)
	if err != nil {
		return traffic.Replica{Name: out.Name, Err: err.Error()}
	}
	if out.Cohort = cohort; cohort != nil {
		for i := range c.names() {
			if have := s.objects[c.cohortKey(i)]; have != nil {
				out.Cohort.Match = c.inferCohort(have).match
			}
		}
	}
	return out
}

// askAll returns how a replica serves routes that should have the same weights, or nil if it has none of them.
func (r *Router) askAll(ctx context.Context, replica traefikapi.Replica, routes []*mainRoute, gateways []parent,
	lane traffic.Lane) (*traffic.RouteServed, error) {
	var all []servedRoute
	for _, m := range routes {
		found, err := r.askRoute(ctx, replica, m, gateways, lane)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	out := &traffic.RouteServed{}
	routers := 0
	for _, one := range all {
		routers += one.routers
	}
	if routers == 0 {
		return nil, nil //nolint:nilnil // no router is an answer too
	}
	var problems []string
	for _, one := range all {
		problems = append(problems, one.problems...)
		if share := one.Share(); one.routers > 0 && share > out.Weight {
			out.Weight = share
		}
	}
	for i, one := range all {
		if one.routers > 0 && one.Share() != out.Weight {
			problems = append(problems, fmt.Sprintf("%s: canary's weight is %s, not %s as elsewhere", routes[i].key, one.Share(), out.Weight))
		}
	}
	out.Enabled, out.Problem = len(problems) == 0, strings.Join(problems, "; ")
	return out, nil
}

// routerForm matches what follows the Gateway in the name of a router: the entry point, the number of the rule, and a hash of
// the router's own rule.
var routerForm = regexp.MustCompile(`^-ep-.+-([0-9]+)-[0-9a-f]{20}$`)

// askRoute gets the routers of a route and their services. m has no spec if the cluster has no such route; any router of it
// is a leftover then.
func (r *Router) askRoute(ctx context.Context, replica traefikapi.Replica, m *mainRoute, gateways []parent, lane traffic.Lane) (servedRoute, error) {
	var out servedRoute
	prefix := normal(strings.ToLower(string(m.key.Kind))+"-"+r.config.Namespace+"-"+m.key.Name) + "-gw-"
	var list []listed
	if err := r.api.Search(ctx, replica, "routers", prefix, &list); err != nil {
		return out, err
	}
	byRule := map[int][]listed{}
	for _, router := range list {
		if rule, ok := ruleOf(router.Name, prefix, gateways); ok {
			byRule[rule] = append(byRule[rule], router)
			out.routers++
		}
	}
	if m.spec == nil {
		if out.routers > 0 {
			out.problems = append(out.problems, m.key.String()+" is still served")
		}
		return out, nil
	}
	rules, _ := m.spec["rules"].([]any)
	first := true
	for _, p := range m.places {
		rule, _ := rules[p.rule].(map[string]any)
		out.problems = append(out.problems, missing(m.key, p.rule, rule, byRule[p.rule])...)
		for _, router := range byRule[p.rule] {
			w, problem, err := r.askWeights(ctx, replica, router, m.key.Kind, lane, p.port)
			if err != nil {
				return out, err
			}
			if problem != "" {
				out.problems = append(out.problems, problem)
				continue
			}
			if !first && w.Share() != out.Share() {
				out.problems = append(out.problems,
					fmt.Sprintf("router %s: canary's weight is %s, elsewhere %s", router.Name, w.Share(), out.Share()))
			}
			if first || w.Share() > out.Share() {
				out.Weights, first = w, false
			}
		}
	}
	return out, nil
}

// listed is a router as Traefik lists it.
type listed struct {
	Name    string `json:"name"`
	Rule    string `json:"rule"`
	Service string `json:"service"`
	traefikapi.State
}

// ruleOf returns the number of the rule from which a router was made. ok is false if it is not a router of this route.
func ruleOf(name, prefix string, gateways []parent) (rule int, ok bool) {
	name, ok = strings.CutSuffix(name, provider)
	if !ok {
		return 0, false
	}
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	for _, p := range gateways {
		if after, found := strings.CutPrefix(rest, normal(p.namespace+"-"+p.name)); found {
			if form := routerForm.FindStringSubmatch(after); form != nil {
				rule, err := strconv.Atoi(form[1])
				return rule, err == nil
			}
		}
	}
	return 0, false
}

// missing reports whether any of a rule's matches lacks a router, which routers belong to no match, and their problems.
func missing(k kubeobjects.Key, number int, rule map[string]any, routers []listed) []string {
	matches, _ := rule["matches"].([]any)
	if len(matches) == 0 {
		matches = []any{map[string]any{}}
	}
	var out []string
	has := func(router listed, match any) bool {
		m, _ := match.(map[string]any)
		return !slices.ContainsFunc(fragments(m), func(f string) bool { return !strings.Contains(router.Rule, f) })
	}
	for _, match := range matches {
		if !slices.ContainsFunc(routers, func(router listed) bool { return has(router, match) }) {
			out = append(out, fmt.Sprintf("%s: rule %d has no router for each of its matches", k, number))
			break
		}
	}
	for _, router := range routers {
		if !slices.ContainsFunc(matches, func(match any) bool { return has(router, match) }) {
			out = append(out, fmt.Sprintf("router %s is of another rule", router.Name))
		}
		if problem := router.Problem("router " + router.Name); problem != "" {
			out = append(out, problem)
		}
	}
	return out
}

// askWeights gets the weighted service behind a router.
func (r *Router) askWeights(ctx context.Context, replica traefikapi.Replica, router listed, kind kubeobjects.KindName,
	lane traffic.Lane, port int) (w kubeobjects.Weights, problem string, err error) {
	name := router.Service
	if !strings.Contains(name, "@") {
		name += provider
	}
	var service struct {
		dynamic.Service
		traefikapi.State
	}
	err = r.api.Get(ctx, replica, "services", name, &service)
	if errors.Is(err, traefikapi.ErrNoObject) {
		return w, "service " + name + " is missing", nil
	}
	if err != nil {
		return w, "", err
	}
	if problem := service.Problem("service " + name); problem != "" {
		return w, problem, nil
	}
	if service.Weighted == nil {
		return w, "service " + name + " is not a weighted one", nil
	}
	canary, stable := r.config.laneArms(lane, port)
	for _, child := range service.Weighted.Services {
		weight := 1
		if child.Weight != nil {
			weight = *child.Weight
		}
		id := strings.TrimSuffix(child.Name, provider) + provider
		switch {
		case child.Status != nil || child.GRPCStatus != nil:
			return w, fmt.Sprintf("service %s answers an error for %s", name, child.Name), nil
		case id == ServiceName(kind, r.config.arms(), stable):
			w.Stable += weight
		case id == ServiceName(kind, r.config.arms(), canary):
			w.Canary += weight
		default:
			return w, fmt.Sprintf("service %s leads to %s", name, child.Name), nil
		}
	}
	return w, "", nil
}
