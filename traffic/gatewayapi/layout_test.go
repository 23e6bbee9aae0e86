package gatewayapi

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

var adopting = Config{
	Rollout: "shop", Namespace: "pro", GatewayRoutes: traffic.GatewayRoutes{HTTP: []string{"users", "more"}, GRPC: []string{"users"}},
	Stable: traffic.Backend{Service: "shop", Port: "80"}, Canary: traffic.Backend{Service: "shop-canary", Port: "80"},
}

// Names are stored in the cluster and in series of metrics: another scheme would leave objects behind and break releases.
func TestNamesNeverChange(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range adopting.names() {
		names = append(names, adopting.mainKey(i).String(), adopting.cohortKey(i).String())
	}
	require.Equal(t, []string{
		"HTTPRoute users", "HTTPRoute shop-ab", "HTTPRoute more", "HTTPRoute shop-ab-2", "GRPCRoute users", "GRPCRoute shop-ab-3",
	}, names)
	require.Equal(t, "pro-shop-http-80@kubernetesgateway", ServiceName(httpRoutes, "pro", adopting.Stable))
	require.Equal(t, "pro-shop-80-grpc@kubernetesgateway", ServiceName(grpcRoutes, "pro", adopting.Stable))
}

func TestASingleReferenceHasTheAPIServersDefaultWeight(t *testing.T) {
	t.Parallel()
	weights := func(w kubeobjects.Weights) (out []any) {
		for _, ref := range adopting.armsRefs(0)(map[string]any{"name": "shop", "filters": []any{}}, w) {
			r, _ := ref.(map[string]any)
			require.Contains(t, r, "filters", "both arms have the other fields of the user's reference")
			out = append(out, r["name"], r["weight"])
		}
		return out
	}
	require.Equal(t, []any{"shop", 1.0}, weights(kubeobjects.Weights{Stable: 100}))
	require.Equal(t, []any{"shop-canary", 1.0}, weights(kubeobjects.Weights{Canary: 100}))
	require.Equal(t, []any{"shop", 90.0, "shop-canary", 10.0}, weights(kubeobjects.Weights{Stable: 90, Canary: 10}))
}

// The names of headers are compared without case, those of query parameters with it.
func TestASecondConditionOnAFieldIsRefused(t *testing.T) {
	t.Parallel()
	match := map[string]any{
		"headers":     []any{map[string]any{"name": "X-Group", "value": "a"}},
		"queryParams": []any{map[string]any{"name": "group", "value": "a"}},
	}
	for c, refused := range map[traffic.Condition]bool{
		{Name: "X-Group", Value: "b"}:            true,
		{Name: "x-group", Value: "b"}:            true,
		{Name: "X-Other", Value: "b"}:            false,
		{Query: true, Name: "group", Value: "b"}: true,
		{Query: true, Name: "Group", Value: "b"}: false,
	} {
		_, err := narrowed(match, []traffic.Condition{c})
		require.Equal(t, refused, err != nil, "%+v", c)
	}
}

func TestARouteIsInForceOnceItsGenerationIsAcceptedWithAllReferences(t *testing.T) {
	t.Parallel()
	m := &mainRoute{key: adopting.mainKey(0), object: &kubeobjects.Stored{Object: &metav1.ObjectMeta{Generation: 3}}}
	condition := func(name string, status metav1.ConditionStatus, generation int64) metav1.Condition {
		return metav1.Condition{Type: name, Status: status, ObservedGeneration: generation, Reason: "Why"}
	}
	accepted, resolved := condition("Accepted", metav1.ConditionTrue, 3), condition("ResolvedRefs", metav1.ConditionTrue, 3)
	for name, c := range map[string]struct {
		all  []metav1.Condition
		want string
	}{
		"accepted":                 {[]metav1.Condition{accepted, resolved}, ""},
		"without generations":      {[]metav1.Condition{condition("Accepted", metav1.ConditionTrue, 0), resolved}, ""},
		"of an earlier generation": {[]metav1.Condition{condition("Accepted", metav1.ConditionTrue, 2), resolved}, "Accepted is of generation 2, and the route is at 3"},
		"not accepted":             {[]metav1.Condition{condition("Accepted", metav1.ConditionFalse, 3), resolved}, "Accepted is False (Why)"},
		"not resolved":             {[]metav1.Condition{accepted, condition("ResolvedRefs", metav1.ConditionUnknown, 3)}, "ResolvedRefs is Unknown"},
		"only partly valid":        {[]metav1.Condition{accepted, resolved, condition("PartiallyInvalid", metav1.ConditionTrue, 3)}, "PartiallyInvalid is True"},
		"valid as a whole":         {[]metav1.Condition{accepted, resolved, condition("PartiallyInvalid", metav1.ConditionFalse, 3)}, ""},
		"silent about references":  {[]metav1.Condition{accepted}, "the controller has not said ResolvedRefs"},
	} {
		got := conditions(m, c.all)
		if c.want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Len(t, got, 1, name)
		require.Contains(t, got[0], c.want, name)
	}
}
