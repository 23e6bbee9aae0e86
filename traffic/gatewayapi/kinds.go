package gatewayapi

import (
	"encoding/json"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

func kindsOf(c *Config, d dynamic.Interface) map[kubeobjects.KindName]kubeobjects.Kind {
	if d == nil {
		return nil
	}
	out := map[kubeobjects.KindName]kubeobjects.Kind{}
	for _, kind := range c.kinds() {
		out[kind] = kubeobjects.KindOfRaw(gatewayv1.SchemeGroupVersion.String(), d.Resource(resources[kind]).Namespace(c.Namespace))
	}
	return out
}

// status returns what the controllers of a route's Gateways report about it.
func status(o *kubeobjects.Stored) []gatewayv1.RouteParentStatus {
	raw, ok := o.Object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	data, err := json.Marshal(raw.Object["status"])
	var out gatewayv1.RouteStatus
	if err != nil || json.Unmarshal(data, &out) != nil {
		return nil // like no status at all, this confirms nothing
	}
	return out.Parents
}

// normal normalises a name as Traefik does (provider.Normalize): everything except letters and digits becomes a dash.
func normal(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) }), "-")
}
