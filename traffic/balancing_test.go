package traffic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/serindev/serin/traffic"
	"github.com/stretchr/testify/require"
)

// requireSays asserts the text of err, which has a line for each problem; empty for nil.
func requireSays(t *testing.T, says string, err error) {
	t.Helper()
	if says == "" {
		require.NoError(t, err)
		return
	}
	require.EqualError(t, err, says)
}

func TestRoutesAreValidated(t *testing.T) {
	for name, c := range map[string]struct {
		route traffic.Route
		says  string
	}{
		"nothing is set":                          {traffic.Route{}, ""},
		"a middleware of a provider":              {traffic.Route{Middlewares: []traffic.Middleware{{Name: "auth@file"}}}, ""},
		"a middleware in a namespace":             {traffic.Route{Middlewares: []traffic.Middleware{{Name: "auth", Namespace: "edge"}}}, ""},
		"a middleware with both":                  {traffic.Route{Middlewares: []traffic.Middleware{{Name: "auth@file", Namespace: "edge"}}}, "middleware auth@file has a provider, so it cannot have a namespace"},
		"a middleware whose name would be a rule": {traffic.Route{Middlewares: []traffic.Middleware{{Name: "a`b"}}}, "middleware \"a`b\" is not a name such as auth or auth@file"},
		"TLS with the gateway's defaults":         {traffic.Route{TLS: &traffic.TLS{}}, ""},
		"TLS options":                             {traffic.Route{TLS: &traffic.TLS{Options: "modern@file"}}, ""},
		"TLS options that are not a name":         {traffic.Route{TLS: &traffic.TLS{Options: "{{"}}, `tls.options "{{" is not a name such as auth or auth@file`},
		"all that is wrong": {
			traffic.Route{Middlewares: []traffic.Middleware{{Name: "-"}, {Name: "a@b", Namespace: "c"}}, TLS: &traffic.TLS{Options: "."}},
			"middleware \"-\" is not a name such as auth or auth@file\nmiddleware a@b has a provider, so it cannot have a namespace\ntls.options \".\" is not a name such as auth or auth@file",
		},
	} {
		t.Run(name, func(t *testing.T) { requireSays(t, c.says, c.route.Validate()) })
	}
}

func TestBalancingIsValidated(t *testing.T) {
	for name, c := range map[string]struct {
		how  *traffic.Balancing
		says string
	}{
		"nothing is set":                      {nil, ""},
		"the gateway's defaults":              {&traffic.Balancing{}, ""},
		"a transport":                         {&traffic.Balancing{ServersTransport: "mtls@file"}, ""},
		"a transport that is not a name":      {&traffic.Balancing{ServersTransport: "{{"}, `serversTransport "{{" is not a name such as auth or auth@file`},
		"a health check":                      {&traffic.Balancing{HealthCheck: &traffic.HealthCheck{Path: "/health"}}, ""},
		"a health check without a path":       {&traffic.Balancing{HealthCheck: &traffic.HealthCheck{}}, `healthCheck: path "" does not begin with /`},
		"a health check elsewhere":            {&traffic.Balancing{HealthCheck: &traffic.HealthCheck{Path: "http://other/"}}, `healthCheck: path "http://other/" does not begin with /`},
		"a cookie":                            {&traffic.Balancing{Sticky: &traffic.StickyServer{Name: "server"}}, ""},
		"a cookie without a name":             {&traffic.Balancing{Sticky: &traffic.StickyServer{}}, `sticky: "" is not the name of a cookie`},
		"a cookie whose name would end it":    {&traffic.Balancing{Sticky: &traffic.StickyServer{Name: "a;b"}}, `sticky: "a;b" is not the name of a cookie`},
		"a cookie that keeps users on an arm": {&traffic.Balancing{Sticky: &traffic.StickyServer{Name: "serin-x"}}, "sticky: Serin's own cookies begin with serin-: choose another name than serin-x"},
	} {
		t.Run(name, func(t *testing.T) { requireSays(t, c.says, c.how.Validate()) })
	}
}

func TestEntryPointsAreNames(t *testing.T) {
	for name, good := range map[string]bool{
		"web": true, "web-2.tls": true, "": false, "we b": false, "we\x00b": false, "wéb": false, "web:80": false,
	} {
		err := (&traffic.Route{EntryPoints: []string{name}}).Validate()
		require.Equal(t, !good, err != nil && strings.Contains(err.Error(), fmt.Sprintf("entry point %q is not a name", name)), name)
	}
}
