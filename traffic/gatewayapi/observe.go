package gatewayapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// Observe reads the cluster, as far as possible from watches, and asks all replicas of Traefik at once. Each Gateway counts as
// a replica whose answer is the conditions of the routes; if Traefik's own replicas are asked, only Gateways that contradict
// them are listed. It returns an error only if the cluster could not be read and no replica answered.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o := traffic.Observed{}
	reading, cancel := context.WithTimeout(ctx, kubeobjects.ReadTimeout)
	defer cancel()
	s, err := r.read(reading, r.objects.Known())
	if err != nil {
		s, o.Unreadable = nil, err.Error()
	} else {
		o.Configured = r.configured(reading, s)
		if err := s.absent(&r.config); err != nil && !s.serves(&r.config) {
			o.Unreadable = err.Error()
		}
		o.Replicas = r.gateways(s, o.Configured)
	}
	o.Replicas = append(r.replicas(ctx, s), o.Replicas...)
	if err := ctx.Err(); err != nil {
		return traffic.Observed{}, fmt.Errorf("observe the traffic of %s: %w", r.config.Rollout, err)
	}
	return traefikapi.Answered(r.config.Rollout, o, err)
}

// configured returns what is configured in the cluster, or nil if there is nothing of the rollout.
func (r *Router) configured(ctx context.Context, s *snapshot) *traffic.Configured {
	if !r.config.claim().Written(s.objects) {
		return nil
	}
	c := &r.config
	l := layout{main: greatest(s.mains)}
	out := &traffic.Configured{Digest: s.digest(), Foreign: s.disagreements(c)}
	if len(s.mains) == len(c.names()) || len(s.mains) > 0 && !s.serves(c) {
		out.Main = &traffic.RouteServed{Enabled: true, Weight: l.main.Share()}
	}
	for i := range c.names() {
		if have := s.objects[c.cohortKey(i)]; have != nil {
			l.cohort = c.inferCohort(have)
			out.Cohort = &traffic.RouteServed{Enabled: true, Weight: l.cohort.Share(), Match: l.cohort.match}
			break
		}
	}
	out.Foreign = append(out.Foreign, r.foreign(s, &l)...)
	if l.serves() {
		for port := range c.ports() {
			canary, stable := c.armsAt(port)
			r.objects.CheckArms(ctx, stable, canary, out)
		}
	}
	return out
}

// disagreements describes what is wrong with the main routes: those that are missing while the canary gets requests, do not
// fit, or have other weights than the rest.
func (s *snapshot) disagreements(c *Config) []string {
	var out []string
	if s.serves(c) || len(s.mains) == 0 {
		for _, k := range s.missing {
			out = append(out, k.String()+" is missing")
		}
		for _, m := range s.away {
			out = append(out, m.fit(c).Error()+lastWriter(m))
		}
	}
	most := greatest(s.mains)
	for _, m := range s.mains {
		if err := m.fit(c); err != nil {
			out = append(out, err.Error()+lastWriter(m))
		}
		for _, p := range m.places {
			for _, problem := range p.Disagreements(fmt.Sprintf("%s: rule %d", m.key, p.rule), most) {
				out = append(out, problem+lastWriter(m))
			}
		}
		if missing := c.claim().Missing(m.key, m.object); c.Own == nil && missing != "" {
			out = append(out, missing)
		}
	}
	return out
}

func lastWriter(m *mainRoute) string {
	return kubeobjects.LastWriter(m.object.GetManagedFields(), "rules")
}

// foreign describes what differs in Serin's own objects from what it would have written, and who wrote it.
func (r *Router) foreign(s *snapshot, l *layout) []string {
	c := &r.config
	mains := s.mains
	if c.Own != nil {
		mains = []*mainRoute{c.ownRoute(l.main)}
	}
	want, err := l.render(c, mains)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, k := range c.ownKeys() {
		have := s.objects[k]
		o, wanted := want[k]
		switch {
		case have == nil && (wanted || k.Kind == kubeobjects.Services && l.cohort != nil):
			out = append(out, k.String()+" is missing")
		case have != nil && !have.Owned(c.Rollout):
			out = append(out, k.String()+" is not Serin's")
		case have != nil && wanted:
			out = append(out, r.objects.Differences(k, o, have)...)
		case have != nil && k.Kind == kubeobjects.Services && l.cohort != nil:
			out = append(out, kubeobjects.Strangers(k, have)...) // its content depends on another Service, which was not read
		case have != nil && k.Kind != kubeobjects.Services: // a cohort's Services are removed by the next write
			out = append(out, k.String()+" should not be there")
		}
	}
	slices.Sort(out)
	return out
}

// digest is a hash of everything that Serin owns, and of the users' references to the arms.
func (s *snapshot) digest() string {
	users := map[string]any{}
	for _, m := range s.mains {
		var refs []any
		for _, p := range m.places {
			refs = append(refs, p.Refs)
		}
		users[m.key.String()] = refs
	}
	return kubeobjects.Digest(s.objects, users)
}

// gateways returns what the Gateways report in the conditions of the routes.
func (r *Router) gateways(s *snapshot, c *traffic.Configured) []traffic.Replica {
	routes := slices.Clone(s.mains)
	var cohorts []*mainRoute
	for i := range r.config.names() {
		if o := s.objects[r.config.cohortKey(i)]; o != nil {
			cohorts = append(cohorts, &mainRoute{key: r.config.cohortKey(i), object: o, spec: o.Spec})
		}
	}
	var out []traffic.Replica
	asked := len(r.config.Verify.APIs) > 0
	for _, p := range parents(&r.config, append(slices.Clone(routes), cohorts...)) {
		replica := traffic.Replica{Name: "Gateway " + p.String()}
		main, silent := p.judge(routes)
		cohort, _ := p.judge(cohorts)
		switch {
		case c == nil || c.Main == nil:
		case silent:
			replica.Err = "no controller has said anything about " + routes[0].key.String()
		default:
			served := *c.Main
			served.Enabled, served.Problem = len(main) == 0, strings.Join(main, "; ")
			replica.Main = &served
			if c.Cohort != nil {
				served := *c.Cohort
				served.Enabled, served.Problem = len(cohort) == 0, strings.Join(cohort, "; ")
				replica.Cohort = &served
			}
		}
		contradicts := len(main) > 0 && !silent || len(cohort) > 0
		if !asked || contradicts && replica.Err == "" && replica.Main != nil {
			out = append(out, replica)
		}
	}
	return out
}

// parent is a Gateway, or a listener of it, that routes belong to.
type parent struct {
	namespace, name, section string
	port                     int
}

func (p parent) String() string {
	out := p.namespace + "/" + p.name
	if p.section != "" {
		out += " " + p.section
	}
	if p.port != 0 {
		out += fmt.Sprintf(":%d", p.port)
	}
	return out
}

func parentOf(ref gatewayv1.ParentReference, namespace string) parent {
	p := parent{namespace: namespace, name: string(ref.Name)}
	if ref.Namespace != nil {
		p.namespace = string(*ref.Namespace)
	}
	if ref.SectionName != nil {
		p.section = string(*ref.SectionName)
	}
	if ref.Port != nil {
		p.port = int(*ref.Port)
	}
	return p
}

// parents returns the Gateways of the routes and of an own route's configuration, each once.
func parents(c *Config, routes []*mainRoute) []parent {
	var out []parent
	add := func(p parent) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, m := range routes {
		for _, ref := range parentRefs(m.spec) {
			add(parentOf(ref, c.Namespace))
		}
	}
	if c.Own != nil {
		for _, p := range c.Own.Parents {
			own := parent{namespace: c.Namespace, name: p.Name, section: p.Section, port: p.Port}
			if p.Namespace != "" {
				own.namespace = p.Namespace
			}
			add(own)
		}
	}
	return out
}

func parentRefs(spec map[string]any) []gatewayv1.ParentReference {
	data, err := json.Marshal(spec["parentRefs"])
	var out []gatewayv1.ParentReference
	if err != nil || json.Unmarshal(data, &out) != nil {
		return nil // the API server would not have accepted it
	}
	return out
}

// judge returns the objections of the Gateway's controller to routes. silent means that it has not reported anything about
// any of them. Routes that do not belong to the Gateway are skipped.
func (p parent) judge(routes []*mainRoute) (problems []string, silent bool) {
	silent = true
	for _, m := range routes {
		namespace := m.object.GetNamespace()
		if !slices.ContainsFunc(parentRefs(m.spec), func(ref gatewayv1.ParentReference) bool { return parentOf(ref, namespace) == p }) {
			continue
		}
		said := false
		for _, s := range status(m.object) {
			if parentOf(s.ParentRef, namespace) == p {
				said, silent = true, false
				problems = append(problems, conditions(m, s.Conditions)...)
			}
		}
		if !said {
			problems = append(problems, fmt.Sprintf("no controller has said anything about %s yet", m.key))
		}
	}
	return problems, silent
}

// conditions says why a route is not in force according to a controller, which has to have accepted its current generation
// and resolved all references.
func conditions(m *mainRoute, all []metav1.Condition) []string {
	var out []string
	generation := m.object.GetGeneration()
	want := map[string]metav1.ConditionStatus{
		string(gatewayv1.RouteConditionAccepted):         metav1.ConditionTrue,
		string(gatewayv1.RouteConditionResolvedRefs):     metav1.ConditionTrue,
		string(gatewayv1.RouteConditionPartiallyInvalid): metav1.ConditionFalse,
	}
	for _, c := range all {
		status, matters := want[c.Type]
		delete(want, c.Type)
		switch {
		case !matters:
		case c.ObservedGeneration != 0 && c.ObservedGeneration < generation:
			out = append(out, fmt.Sprintf("%s: %s is of generation %d, and the route is at %d", m.key, c.Type, c.ObservedGeneration, generation))
		case c.Status != status:
			out = append(out, fmt.Sprintf("%s: %s is %s (%s): %s", m.key, c.Type, c.Status, c.Reason, c.Message))
		}
	}
	for _, name := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		if _, missing := want[string(name)]; missing {
			out = append(out, fmt.Sprintf("%s: the controller has not said %s", m.key, name))
		}
	}
	return out
}

// replicas asks all replicas of Traefik. s is nil if the routes could not be read.
func (r *Router) replicas(ctx context.Context, s *snapshot) []traffic.Replica {
	return r.objects.AskAll(ctx, &r.config.Verify, func(replica traefikapi.Replica) traffic.Replica {
		if s == nil {
			return traffic.Replica{Name: replica.Name(), Err: "not asked: the routes could not be read"}
		}
		return r.ask(ctx, replica, s)
	})
}
