package traefikcrd_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
	"github.com/serindev/serin/traffic/traefikcrd"
)

func valid() traefikcrd.Config {
	return traefikcrd.Config{
		Rollout: "shop", Namespace: "pro", Route: &traffic.Route{Rule: "Host(`a.test`)"}, Stable: stable, Canary: canary,
		Verify: traefikcrd.Verify{APIs: []string{"http://traefik.traefik.svc:8080", "https://10.0.0.1:8080/base"}},
	}
}

func TestValidateReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(c *traefikcrd.Config)
		want   string // empty: it is accepted
	}{
		"an owned route":                      {func(*traefikcrd.Config) {}, ""},
		"an adopted route":                    {func(c *traefikcrd.Config) { c.Route, c.IngressRoute = nil, "users" }, ""},
		"a rollout's name is a name":          {func(c *traefikcrd.Config) { c.Rollout = "Shop" }, `rollout "Shop": small letters`},
		"a suffix of a part":                  {func(c *traefikcrd.Config) { c.Rollout = "shop-ab" }, "names that end in -ab are reserved for parts of other rollouts"},
		"no namespace":                        {func(c *traefikcrd.Config) { c.Namespace = "" }, `namespace "": small letters`},
		"neither route nor ingressRoute":      {func(c *traefikcrd.Config) { c.Route = nil }, "expected either route (Serin's own) or ingressRoute"},
		"both route and ingressRoute":         {func(c *traefikcrd.Config) { c.IngressRoute = "users" }, "expected either route (Serin's own) or ingressRoute"},
		"the cohort's name is adopted":        {func(c *traefikcrd.Config) { c.Route, c.IngressRoute = nil, "shop-ab" }, "has a name that Serin uses for its own"},
		"a rule that Traefik does not accept": {func(c *traefikcrd.Config) { c.Route.Rule = "Host(" }, `rule "Host("`},
		"one Service for both":                {func(c *traefikcrd.Config) { c.Canary = c.Stable }, `stable and canary are the same Service "shop"`},
		"servers":                             {func(c *traefikcrd.Config) { c.Stable.Servers = []string{"http://a"} }, "stable has servers: on Kubernetes it is a Service"},
		"a port that is not a number":         {func(c *traefikcrd.Config) { c.Canary.Port = "0" }, `canary's port "0" is neither a number nor a name`},
		"an API with a password":              {func(c *traefikcrd.Config) { c.Verify.APIs = []string{"http://a:b@c"} }, "user and password have fields of their own"},
		"a Service's address with a path":     {func(c *traefikcrd.Config) { c.Verify.APIs = []string{"http://a.b.svc/x"} }, "a Service's address has no path"},
		"a Service with an invalid name":      {func(c *traefikcrd.Config) { c.Verify.APIs = []string{"http://a_.b.svc"} }, `the API's Service "a_"`},
		"a negative timeout":                  {func(c *traefikcrd.Config) { c.Verify.Timeout = -1 }, "timeout -1ns is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			config := valid()
			c.change(&config)
			if c.want == "" {
				require.NoError(t, config.Validate())
				return
			}
			r, err := traefikcrd.New(config, nil, nil)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, r)
		})
	}
}

func TestAStoredConfigHasNoPassword(t *testing.T) {
	t.Parallel()
	c := valid()
	c.Verify.Password = traefikapi.NewSecret("geheim")
	data, err := json.Marshal(c)
	require.NoError(t, err)
	require.NotContains(t, string(data), "geheim")
	var back traefikcrd.Config
	require.NoError(t, json.Unmarshal(data, &back))
	c.Verify.Password = traefikapi.Secret{}
	require.Equal(t, c, back)
}

func TestServicesAreNamedAsTraefikNamesThem(t *testing.T) {
	t.Parallel()
	require.Equal(t, "pro-shop-80@kubernetescrd", traefikcrd.ServiceName("pro", stable))
	require.Equal(t, "pro-shop-canary-http@kubernetescrd", traefikcrd.ServiceName("pro", canary))
}
