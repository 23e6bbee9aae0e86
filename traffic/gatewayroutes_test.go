package traffic_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

func TestGatewayRoutesAreValidated(t *testing.T) {
	own := func(change func(*traffic.GatewayRoute)) traffic.GatewayRoutes {
		r := traffic.GatewayRoute{Parents: []traffic.GatewayParent{{Name: "web"}}}
		change(&r)
		return traffic.GatewayRoutes{Own: &r}
	}
	path := func(kind, value string) traffic.GatewayRoutes {
		return own(func(r *traffic.GatewayRoute) { r.Paths = []traffic.GatewayPath{{Type: kind, Value: value}} })
	}
	const oneOf = "expected either route (Serin's own), or httpRoute and grpcRoute (which already exist)"
	for name, c := range map[string]struct {
		routes traffic.GatewayRoutes
		says   string // empty: they are valid
	}{
		"none":                                 {traffic.GatewayRoutes{}, oneOf},
		"its own":                              {own(func(*traffic.GatewayRoute) {}), ""},
		"routes of HTTP":                       {traffic.GatewayRoutes{HTTP: []string{"a", "b"}}, ""},
		"routes of gRPC":                       {traffic.GatewayRoutes{GRPC: []string{"a"}}, ""},
		"of both":                              {traffic.GatewayRoutes{HTTP: []string{"a"}, GRPC: []string{"b"}}, ""},
		"one of each kind with the same name":  {traffic.GatewayRoutes{HTTP: []string{"a"}, GRPC: []string{"a"}}, ""},
		"one of gRPC twice":                    {traffic.GatewayRoutes{HTTP: []string{"a"}, GRPC: []string{"b", "b"}}, "b is named twice"},
		"its own and another":                  {traffic.GatewayRoutes{Own: &traffic.GatewayRoute{}, GRPC: []string{"b"}}, oneOf},
		"one twice":                            {traffic.GatewayRoutes{HTTP: []string{"a", "b", "a"}}, "a is named twice"},
		"without a Gateway":                    {own(func(r *traffic.GatewayRoute) { r.Parents = nil }), "parentRefs are missing: which Gateway does the route belong to?"},
		"a Gateway without a name":             {own(func(r *traffic.GatewayRoute) { r.Parents[0].Name = "" }), "a parentRef has no name"},
		"a path that begins as paths do":       {path("Exact", "/a"), ""},
		"a path that does not":                 {path("PathPrefix", "a"), `path "a" does not begin with /`},
		"an expression may begin as it likes":  {path("RegularExpression", ".*a"), ""},
		"a path of a type that does not exist": {path("Prefix", "/a"), `path type "Prefix" is none of Exact, PathPrefix, RegularExpression`},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.routes.Validate()
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.says)
		})
	}
}

func TestARouteWithoutPathsMatchesAll(t *testing.T) {
	require.Equal(t, []traffic.GatewayPath{{Type: "PathPrefix", Value: "/"}}, (&traffic.GatewayRoute{}).PathsOrAll())
	some := []traffic.GatewayPath{{Type: "Exact", Value: "/a"}}
	require.Equal(t, some, (&traffic.GatewayRoute{Paths: some}).PathsOrAll())
}

func TestTheShareOfTwoWeights(t *testing.T) {
	require.Equal(t, share.Share(0.05), traffic.ShareOf(5, 95))
	require.Equal(t, share.Share(0.5), traffic.ShareOf(50, 50))
	require.Equal(t, share.Share(1), traffic.ShareOf(7, 0))
	require.Zero(t, traffic.ShareOf(0, 0), "neither version has a weight")
}
