package gatewayapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// matcherAnnotation, on a cohort's route, holds the matcher from which the route was made, as JSON.
const matcherAnnotation = "serin.dev/cohort"

// layout is the part of a rollout's objects that changes during a release. Every target has a layout, and one can be
// inferred from any state of the cluster; rendering the inferred one shows what everything else should be.
type layout struct {
	main   kubeobjects.Weights
	cohort *cohort
}

type cohort struct {
	kubeobjects.Weights
	matcher traffic.Matcher
	match   string                // the matcher's text
	all     [][]traffic.Condition // the matcher for Gateway API
}

// serves reports whether any request goes to the canary.
func (l *layout) serves() bool { return l.main.Canary > 0 || l.cohort != nil }

var (
	errSticky = errors.New("sticky: Gateway API's standard channel cannot express it; use routes of Traefik's own (traffic.traefik)")
	// Traefik 3.6 (pkg/provider/kubernetes/gateway/httproute.go, loadMiddlewares) does not support the filter RequestMirror:
	// it refuses a route with one and answers its users with errors.
	errMirror  = errors.New("mirror: Traefik does not support Gateway API's filter RequestMirror; use routes of Traefik's own (traffic.traefik)")
	errPreview = errors.New("preview: make an HTTPRoute of your own that leads to the canary's Service, or use " +
		"routes of Traefik's own (traffic.traefik)")
	errGuards = errors.New("guards: Gateway API has none: put filters of your gateway's into the route (Traefik's " +
		"middlewares are ExtensionRefs); both arms get them")
)

// layoutOf checks a target and returns its layout.
func (c *Config) layoutOf(t traffic.Target) (layout, error) {
	var l layout
	var errs []error
	errs = append(errs, kubeobjects.IsOf(&t, c.Stable, c.Canary))
	if len(t.Guards.Names()) > 0 {
		errs = append(errs, errGuards)
	}
	if t.Sticky != "" {
		errs = append(errs, errSticky)
	}
	if t.Mirror != nil {
		errs = append(errs, errMirror)
	}
	if t.Preview != nil {
		errs = append(errs, errPreview)
	}
	var err error
	l.main.Canary, l.main.Stable, err = traffic.Weights(t.Weight)
	errs = append(errs, err)
	if t.Cohort != nil {
		if t.Cohort.Sticky != "" {
			errs = append(errs, errSticky)
		}
		l.cohort, err = c.cohort(t.Cohort.Match)
		errs = append(errs, err)
		if err == nil {
			l.cohort.Canary, l.cohort.Stable, err = traffic.Weights(t.Cohort.Split)
			errs = append(errs, err)
		}
	}
	return l, errors.Join(errs...)
}

func (c *Config) cohort(m traffic.Matcher) (*cohort, error) {
	all, err := m.Alternatives(slices.Contains(c.kinds(), grpcRoutes))
	if err != nil {
		return nil, fmt.Errorf("matcher: %w", err)
	}
	match, err := m.Text()
	return &cohort{matcher: m, match: match, all: all}, err
}

// ownSpec returns the spec of the route that Serin owns, with the API server's defaults.
func (c *Config) ownSpec(w kubeobjects.Weights) map[string]any {
	spec := map[string]any{}
	var parents []any
	for _, p := range c.Own.Parents {
		parent := map[string]any{"group": group, "kind": "Gateway", "name": p.Name}
		if p.Namespace != "" {
			parent["namespace"] = p.Namespace
		}
		if p.Section != "" {
			parent["sectionName"] = p.Section
		}
		if p.Port != 0 {
			parent["port"] = p.Port
		}
		parents = append(parents, parent)
	}
	spec["parentRefs"] = parents
	if len(c.Own.Hostnames) > 0 {
		spec["hostnames"] = c.Own.Hostnames
	}
	var matches []any
	for _, p := range c.Own.PathsOrAll() {
		matches = append(matches, map[string]any{"path": map[string]any{"type": p.Type, "value": p.Value}})
	}
	spec["rules"] = []any{map[string]any{"matches": matches, "backendRefs": c.armsRefs(0)(nil, w)}}
	return kubeobjects.SpecMap(spec)
}

// backendRefs returns a reference for each weight above 0. like is the existing reference to stable's Service; what it says
// besides name, port and weight holds for both arms.
func (c *Config) backendRefs(like map[string]any, w kubeobjects.Weights, stable, canary traffic.Backend) []any {
	var out []any
	for _, arm := range []struct {
		backend traffic.Backend
		weight  int
	}{{stable, w.Stable}, {canary, w.Canary}} {
		if arm.weight == 0 {
			continue
		}
		ref := deepCopy(like)
		if c.arms() != c.Namespace {
			ref["namespace"] = c.arms()
		}
		ref["group"], ref["kind"], ref["name"], ref["port"], ref["weight"] = "", "Service", arm.backend.Service,
			number(arm.backend.Port), float64(arm.weight)
		out = append(out, ref)
	}
	if len(out) == 1 {
		out[0].(map[string]any)["weight"] = float64(1) //nolint:forcetypeassert // made here; 1 is the API server's default, and a single reference gets everything
	}
	return out
}

// armsRefs returns a function that makes the references to the arms at a pair of ports.
func (c *Config) armsRefs(port int) func(like map[string]any, w kubeobjects.Weights) []any {
	canary, stable := c.armsAt(port)
	return func(like map[string]any, w kubeobjects.Weights) []any { return c.backendRefs(like, w, stable, canary) }
}

// laneArms returns the arms on a lane at a pair of ports.
func (c *Config) laneArms(lane traffic.Lane, port int) (canary, stable traffic.Backend) {
	canary, stable = c.armsAt(port)
	return kubeobjects.LaneBackend(canary, lane), kubeobjects.LaneBackend(stable, lane)
}

// number returns a port as in JSON.
func number(port string) float64 {
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(fmt.Sprintf("port %q: %v", port, err)) // it was checked when the router was made
	}
	return float64(n)
}

// place is a rule of a main route that leads to the rollout's arms.
type place struct {
	kubeobjects.Split
	rule, port int // port is the number of its pair of ports
}

// mainRoute is a main route as it is in the cluster.
type mainRoute struct {
	number int // its number among the rollout's routes
	key    kubeobjects.Key
	object *kubeobjects.Stored
	spec   map[string]any
	places []place
}

// placesOf finds the rules that lead to one of the arms.
func (c *Config) placesOf(spec map[string]any) []place {
	var out []place
	rules, _ := spec["rules"].([]any)
	for i, r := range rules {
		rule, _ := r.(map[string]any)
		if split, port := c.splitOf(rule["backendRefs"], traffic.MainLane); split.Leads() {
			out = append(out, place{split, i, port})
		}
	}
	return out
}

// fit returns an error if a release cannot use the route.
func (m *mainRoute) fit(c *Config) error {
	if len(m.places) == 0 {
		return fmt.Errorf("%s: no rule leads to Service %s", m.key, c.claim().Service)
	}
	for _, p := range m.places {
		if others := p.Strangers(); others != "" {
			return fmt.Errorf("%s: rule %d leads to %s as well: a release needs all of a rule", m.key, p.rule, others)
		}
	}
	return nil
}

// leadsTo reports whether a reference leads to a Service of the arms' namespace, at any port if b names none.
func (c *Config) leadsTo(ref map[string]any, b traffic.Backend) bool {
	if kind := text(ref["kind"]); kind != "" && kind != "Service" || text(ref["group"]) != "" {
		return false
	}
	if cmp.Or(text(ref["namespace"]), c.Namespace) != c.arms() {
		return false
	}
	port, _ := ref["port"].(float64)
	return ref["name"] == b.Service && (b.Port == "" || port == number(b.Port))
}

// cohortSpec returns the spec of the cohort's route alongside a main one: the same, with further conditions and the cohort's
// own Services.
func (c *Config) cohortSpec(main *mainRoute, co *cohort) (map[string]any, error) {
	spec := deepCopy(main.spec)
	rules, _ := spec["rules"].([]any)
	var out []any
	for _, p := range main.places {
		rule, _ := rules[p.rule].(map[string]any)
		matches, _ := rule["matches"].([]any)
		if len(matches) == 0 {
			matches = []any{map[string]any{}}
		}
		var narrow []any
		for _, m := range matches {
			match, _ := m.(map[string]any)
			for _, conditions := range co.all {
				more, err := narrowed(match, conditions)
				if err != nil {
					return nil, fmt.Errorf("%s: rule %d: %w", main.key, p.rule, err)
				}
				narrow = append(narrow, more)
			}
		}
		delete(rule, "name")
		rule["matches"] = narrow
		canary, stable := c.laneArms(traffic.CohortLane, p.port)
		rule["backendRefs"] = c.backendRefs(p.Like, co.Weights, stable, canary)
		out = append(out, rule)
	}
	spec["rules"] = out
	return kubeobjects.SpecMap(spec), nil
}

// render returns all routes of Serin's, by key, as they have to be.
func (l *layout) render(c *Config, mains []*mainRoute) (map[kubeobjects.Key]kubeobjects.Object, error) {
	out := map[kubeobjects.Key]kubeobjects.Object{}
	if c.Own != nil {
		out[c.mainKey(0)] = kubeobjects.Object{Spec: c.ownSpec(l.main)}
	}
	if l.cohort == nil {
		return out, nil
	}
	matcher, err := json.Marshal(l.cohort.matcher)
	if err != nil {
		return nil, fmt.Errorf("encode the cohort's matcher: %w", err)
	}
	for _, main := range mains {
		spec, err := c.cohortSpec(main, l.cohort)
		if err != nil {
			return nil, err
		}
		out[c.cohortKey(main.number)] = kubeobjects.Object{Spec: spec, Annotations: map[string]string{matcherAnnotation: string(matcher)}}
	}
	return out, nil
}

// inferCohort reads from which cohort a route was made.
func (c *Config) inferCohort(have *kubeobjects.Stored) *cohort {
	co := &cohort{match: "…"} // shown if the matcher is not known
	var m traffic.Matcher
	if json.Unmarshal([]byte(have.GetAnnotations()[matcherAnnotation]), &m) == nil {
		if known, err := c.cohort(m); err == nil {
			co = known
		}
	}
	rules, _ := have.Spec["rules"].([]any)
	if len(rules) > 0 {
		rule, _ := rules[0].(map[string]any)
		split, _ := c.splitOf(rule["backendRefs"], traffic.CohortLane)
		co.Weights = split.Weights
	}
	return co
}

// splitOf reads a rule's references to the arms on a lane, and returns the number of the pair of ports that they lead to.
func (c *Config) splitOf(refs any, lane traffic.Lane) (split kubeobjects.Split, port int) {
	for port := range c.ports() {
		canary, stable := c.laneArms(lane, port)
		if split = kubeobjects.SplitOf(refs, stable, canary, c.leadsTo); split.Leads() {
			return split, port
		}
	}
	return split, 0
}

// greatest returns the weights of the place with the most for the canary. All places should have the same.
func greatest(mains []*mainRoute) kubeobjects.Weights {
	var all []kubeobjects.Weights
	for _, m := range mains {
		for _, p := range m.places {
			all = append(all, p.Weights)
		}
	}
	return kubeobjects.Greatest(all)
}
