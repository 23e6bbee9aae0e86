package traefikcrd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// A more specific route of the user's keeps its requests, and a preview comes before a cohort and a mirror.
func TestLanesAreJustAboveTheMainRoute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		route v1alpha1.Route
		want  map[traffic.Lane]int
	}{
		"a priority of the user's": {v1alpha1.Route{Match: "Host(`a`)", Priority: 500}, map[traffic.Lane]int{
			traffic.MainLane: 500, traffic.CohortLane: 501, traffic.MirrorLane: 501, traffic.PreviewLane: 502,
		}},
		"Traefik's default, the length of the rule": {v1alpha1.Route{Match: "Host(`a`)"}, map[traffic.Lane]int{
			traffic.MainLane: 0, traffic.CohortLane: 10, traffic.MirrorLane: 10, traffic.PreviewLane: 11,
		}},
	} {
		for lane, want := range c.want {
			require.Equal(t, want, priority(&c.route, lane), "%s: %q", name, lane)
		}
	}
}

// Names are stored in the cluster and in series of metrics: another scheme would leave objects behind and break releases.
func TestNamesInTheClusterNeverChange(t *testing.T) {
	t.Parallel()
	c := adopting
	c.Ports = []traffic.PortPair{{Stable: "81", Canary: "81"}, {Stable: "82", Canary: "82"}}
	require.Equal(t, []string{"shop", "shop-ab", "shop-mirrored", "shop-previewed"},
		[]string{c.serviceName(traffic.MainLane, 0), c.serviceName(traffic.CohortLane, 0), c.serviceName(traffic.MirrorLane, 0), c.serviceName(traffic.PreviewLane, 0)})
	require.Equal(t, []string{"shop-port-2", "shop-port-3", "shop-ab-port-2"},
		[]string{c.serviceName(traffic.MainLane, 1), c.serviceName(traffic.MainLane, 2), c.serviceName(traffic.CohortLane, 1)})
	require.Equal(t, []string{"shop", "shop-route-2", "shop-route-3"}, []string{c.routeName(0), c.routeName(1), c.routeName(2)})
	require.Equal(t, []string{"shop-ab", "shop-ab-2", "shop-mirrored-3"},
		[]string{c.laneRouteName(traffic.CohortLane, 0), c.laneRouteName(traffic.CohortLane, 1), c.laneRouteName(traffic.MirrorLane, 2)})
	for _, name := range []string{"-route-2", "-ab-2", "-mirrored-3", "-port-2", "-ab-port-2", "-previewed-port-3"} {
		require.Regexp(t, leftoverForm, name, "it is found even if the document no longer has it")
	}
	for _, name := range []string{"", "-ab", "-route", "-route-2x", "-canary", "-port-2-ab", "-rate-limit"} {
		require.NotRegexp(t, leftoverForm, name)
	}
}

// child returns a child of a weighted service.
func child(service string, weight int) v1alpha1.Service {
	return v1alpha1.Service{LoadBalancerSpec: v1alpha1.LoadBalancerSpec{Name: service, Weight: &weight}}
}

// changed prints the operations that bring children to weights, without those that only test.
func changed(c *Config, children []v1alpha1.Service, w weights, keep bool) (out []string) {
	is := c.armsAmong(c.mainService(0), children)
	for _, op := range c.childOperations(0, children, is, w, keep) {
		text := op.Op + strings.TrimPrefix(op.Path, "/spec/weighted/services")
		switch v := op.Value.(type) {
		case int:
			text += fmt.Sprintf(" %d", v)
		case map[string]any:
			text += fmt.Sprintf(" %v=%v", v["name"], v["weight"])
		}
		if op.Op != "test" {
			out = append(out, text)
		}
	}
	return out
}

func TestChildrenAreBroughtToTheirWeights(t *testing.T) {
	t.Parallel()
	stable, canary := child("shop", 90), child("shop-canary", 10)
	for name, c := range map[string]struct {
		children []v1alpha1.Service
		weights  weights
		keep     bool
		want     []string
	}{
		"nothing to change":                      {[]v1alpha1.Service{stable, canary}, weights{10, 90}, true, nil},
		"other weights":                          {[]v1alpha1.Service{stable, canary}, weights{50, 50}, true, []string{"replace/0/weight 50", "replace/1/weight 50"}},
		"a child without a weight":               {[]v1alpha1.Service{{LoadBalancerSpec: v1alpha1.LoadBalancerSpec{Name: "shop"}}}, weights{0, 100}, true, []string{"add/0/weight 100"}},
		"the canary comes":                       {[]v1alpha1.Service{stable}, weights{10, 90}, true, []string{"add/- shop-canary=10"}},
		"the canary stays at weight 0":           {[]v1alpha1.Service{stable, canary}, weights{0, 90}, true, []string{"replace/1/weight 0"}},
		"the canary goes":                        {[]v1alpha1.Service{stable, canary}, weights{0, 90}, false, []string{"remove/1"}},
		"every canary goes, from the last":       {[]v1alpha1.Service{canary, stable, canary}, weights{0, 90}, false, []string{"remove/2", "remove/0"}},
		"of two canaries, one gets the share":    {[]v1alpha1.Service{stable, canary, canary}, weights{20, 90}, true, []string{"replace/1/weight 20", "remove/2"}},
		"a removed stable child is added again":  {[]v1alpha1.Service{canary}, weights{0, 100}, false, []string{"remove/0", "add/0 shop=100"}},
		"a missing stable child gets its weight": {[]v1alpha1.Service{canary}, weights{10, 90}, true, []string{"add/0 shop=90"}},
	} {
		require.Equal(t, c.want, changed(&adopting, c.children, c.weights, c.keep), name)
	}
}

func TestGuardsAreRemovedFromAUsersRoute(t *testing.T) {
	t.Parallel()
	r := &Router{config: adopting}
	ref := func(names ...string) (out v1alpha1.Route) {
		for _, name := range names {
			out.Middlewares = append(out.Middlewares, v1alpha1.MiddlewareRef{Name: name})
		}
		return out
	}
	route := &v1alpha1.IngressRoute{Spec: v1alpha1.IngressRouteSpec{Routes: []v1alpha1.Route{
		ref("auth", "shop-rate-limit", "shop-circuit-breaker"), ref("shop-rate-limit"), ref("auth"), ref(), ref("other-rate-limit"),
	}}}
	require.Equal(t, []kubeobjects.Operation{
		{Op: "remove", Path: "/spec/routes/0/middlewares/2"}, {Op: "remove", Path: "/spec/routes/0/middlewares/1"},
		{Op: "remove", Path: "/spec/routes/1/middlewares"},
	}, r.unguard(route))
}

func TestOnlyAKnownReferenceToStableIsGivenBack(t *testing.T) {
	t.Parallel()
	r := &Router{config: adopting}
	main := func(annotation string) *stored {
		return &stored{Object: &metav1.ObjectMeta{Annotations: map[string]string{replacedAnnotation: annotation}}}
	}
	require.Equal(t, map[string]any{"name": "shop", "port": 80.0}, r.replacedBy(main(`{"reference":{"name":"shop","port":80}}`)))
	require.Nil(t, r.replacedBy(main(`{"reference":{"name":"shop-git","port":80}}`)), "it may have no pods")
	require.Nil(t, r.replacedBy(main(``)))
	require.Nil(t, r.replacedBy(nil))
}

func TestThePortWithTheMostForTheCanaryCounts(t *testing.T) {
	t.Parallel()
	c := adopting
	c.Ports = []traffic.PortPair{{Stable: "81", Canary: "81"}, {Stable: "82", Canary: "82"}}
	of := []weights{{10, 90}, {30, 70}, {20, 80}}
	require.Equal(t, weights{30, 70}, c.greatest(func(port int) weights { return of[port] }))
}

// The weight of a reference relative to others belongs to the user, who may have changed it since Serin replaced the
// reference.
func TestAReferenceThatIsGivenBackKeepsTheCurrentWeight(t *testing.T) {
	t.Parallel()
	was := map[string]any{"name": "shop", "port": 80.0, "weight": 3.0}
	replace := func(value map[string]any) kubeobjects.Operation {
		return kubeobjects.Operation{Op: "replace", Path: "/at", Value: value}
	}
	require.Equal(t, replace(map[string]any{"name": "shop", "port": 80.0, "weight": 5}), reference{path: "/at", weight: new(5)}.replace(was))
	require.Equal(t, replace(map[string]any{"name": "shop", "port": 80.0}), reference{path: "/at"}.replace(was))
	require.Contains(t, was, "weight", "the stored one is not changed")
}

// Traefik may learn that a Service is gone before it learns that the route to it is.
func TestTheTargetOfARemovedRouteIsRemovedLater(t *testing.T) {
	t.Parallel()
	routed := &snapshot{objects: map[key]*stored{adopting.laneRoutes(traffic.CohortLane)[0]: {}}}
	for _, k := range adopting.laneKeys(traffic.CohortLane) {
		require.True(t, routed.leads(k, &adopting), k)
		require.False(t, (&snapshot{}).leads(k, &adopting), k)
	}
	require.False(t, routed.leads(adopting.mainService(0), &adopting))
	require.False(t, routed.leads(named(traefikServices, adopting.serviceName(traffic.PreviewLane, 0)), &adopting), "no route led there")
}
