package gatewayapi

import (
	"context"
	"encoding/json"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/serindev/serin/traffic/kubeobjects"
)

const (
	group = gatewayv1.GroupName

	httpRoutes kubeobjects.KindName = "HTTPRoute"
	grpcRoutes kubeobjects.KindName = "GRPCRoute"
)

var resources = map[kubeobjects.KindName]schema.GroupVersionResource{
	httpRoutes: gatewayv1.SchemeGroupVersion.WithResource("httproutes"),
	grpcRoutes: gatewayv1.SchemeGroupVersion.WithResource("grpcroutes"),
}

// routeClient is a client of routes as [kubeobjects.KindOf] takes it. Routes stay as the API server has them, with the
// fields that no version of the types knows: they are users' own.
type routeClient struct{ dynamic.ResourceInterface }

func (c routeClient) Get(ctx context.Context, name string, o metav1.GetOptions) (*unstructured.Unstructured, error) {
	return c.ResourceInterface.Get(ctx, name, o)
}

func (c routeClient) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*unstructured.Unstructured, error) {
	return c.ResourceInterface.Patch(ctx, name, pt, data, o, sub...)
}

func (c routeClient) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	return c.ResourceInterface.Delete(ctx, name, o)
}

func kindsOf(c *Config, d dynamic.Interface) map[kubeobjects.KindName]kubeobjects.Kind {
	if d == nil {
		return nil
	}
	kind := c.kind()
	routes := routeClient{d.Resource(resources[kind]).Namespace(c.Namespace)}
	spec := func(o *unstructured.Unstructured) any { return normalized(o.Object["spec"]) }
	return map[kubeobjects.KindName]kubeobjects.Kind{
		kind: kubeobjects.KindOf(gatewayv1.SchemeGroupVersion.String(), routes, spec, nil),
	}
}

// normalized is a value with the numbers of JSON.
func normalized(v any) map[string]any {
	if v == nil {
		return map[string]any{}
	}
	return kubeobjects.SpecMap(v)
}

// status is what the controllers of a route's Gateways say about it.
func status(o *kubeobjects.Stored) []gatewayv1.RouteParentStatus {
	raw, ok := o.Object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	data, err := json.Marshal(raw.Object["status"])
	var out gatewayv1.RouteStatus
	if err != nil || json.Unmarshal(data, &out) != nil {
		return nil // counts as none: it puts nothing in force
	}
	return out.Parents
}

// normal derives a name as Traefik does (provider.Normalize): anything but letters and digits separates.
func normal(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) }), "-")
}
