package traefikfile_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikfile"
)

// theirs is another file of the user's in the same folder.
const theirs = `
http:
  middlewares:
    mark: {headers: {customRequestHeaders: {X-Mark: "yes"}}}
    strip: {stripPrefix: {prefixes: [/docs]}}
    entry: {headers: {customRequestHeaders: {X-Entry: "yes"}}}
  serversTransports:
    own: {maxIdleConnsPerHost: 7}
`

// field.md, needs 1 and 2: a route with middlewares of the user's own, and with options for its servers.
func TestARouteSupportsTraefiksOptions(t *testing.T) {
	seen := make(chan *http.Request, 100)
	server := func() string {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/healthz" {
				seen <- r
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	stable, canary := server(), server()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle, Args: []string{"--entryPoints.web.http.middlewares=entry@file"}})
	require.NoError(t, os.WriteFile(filepath.Join(traefik.Directory, "theirs.yaml"), []byte(theirs), 0o600))
	c := behindMiddlewares(traefik, stable, canary)
	r, err := traefikfile.New(c)
	require.NoError(t, err)
	guards := traffic.Guards{RateLimit: &traffic.RateLimit{Average: 1000, Burst: 1000}}
	target := traffic.Target{Stable: traffic.Backend{Servers: []string{stable}}, Canary: traffic.Backend{Servers: []string{canary}}, Guards: guards}
	bring := func(target traffic.Target) {
		t.Helper()
		require.NoError(t, r.Apply(t.Context(), target))
		var o traffic.Observed
		await.True(t, func() bool {
			o, err = r.Observe(t.Context())
			return err == nil && traffic.Confirm(target, o) == traffic.InForce
		}, "%s", func() string { return strings.Join(traffic.Differences(target, o), "\n") })
	}
	ask := func() (*http.Request, *http.Response) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, traefik.URL("web")+"/docs/page", nil)
		require.NoError(t, err)
		req.Host = "shop.example.com"
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		return <-seen, resp
	}
	bring(target)
	got, resp := ask()
	require.Equal(t, "/page", got.URL.Path)
	require.Equal(t, []string{"yes", "yes"}, []string{got.Header.Get("X-Mark"), got.Header.Get("X-Entry")})
	require.NotEqual(t, "shop.example.com", got.Host, "the Host header stays here")
	require.Len(t, resp.Cookies(), 1)
	require.Equal(t, "srv", resp.Cookies()[0].Name)

	// After a promotion the other set is stable. Options belong to a set, whatever its role.
	target.Stable, target.Canary = target.Canary, target.Stable
	bring(target)
	got, resp = ask()
	require.Equal(t, "shop.example.com", got.Host)
	require.Empty(t, resp.Cookies())

	// A cohort's route leads through the same middlewares.
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{ClientIP: "0.0.0.0/0"}, Split: 1, Sticky: "one"}
	bring(target)
	got, _ = ask()
	require.Equal(t, "yes", got.Header.Get("X-Mark"))
	require.NotEqual(t, "shop.example.com", got.Host)

	missingIsSaid(t, c, target)
}

func behindMiddlewares(traefik *testbed.Traefik, stable, canary string) traefikfile.Config {
	off, no := false, false
	return traefikfile.Config{
		Rollout: "shop", File: filepath.Join(traefik.Directory, "shop.yaml"), Replicas: []traefikfile.Replica{{URL: traefik.API}},
		Route: traffic.Route{
			Rule: "PathPrefix(`/docs`)", EntryPoints: []string{"web"}, Observability: &traffic.Observability{AccessLogs: &off},
			Middlewares: []traffic.Middleware{{Name: "strip@file"}, {Name: "mark"}},
		},
		Sets: []traffic.ServerSet{
			{Servers: []string{stable}, Balancing: traffic.Balancing{
				ServersTransport: "own@file", PassHostHeader: &no, FlushInterval: 50 * time.Millisecond,
				HealthCheck: &traffic.HealthCheck{Path: "/healthz", Interval: time.Second, Headers: map[string]string{"X-Check": "1"}},
				Sticky:      &traffic.StickyServer{Name: "srv", HTTPOnly: true, SameSite: "lax", MaxAge: 60},
			}},
			{Servers: []string{canary}},
		},
	}
}

func missingIsSaid(t *testing.T, c traefikfile.Config, target traffic.Target) {
	t.Helper()
	edit(t, c.File, func(text string) string { return text + "" + " " })
	broken := c
	broken.Route.Middlewares = append(broken.Route.Middlewares, traffic.Middleware{Name: "missing"})
	other, err := traefikfile.New(broken)
	require.NoError(t, err)
	require.NoError(t, other.Apply(t.Context(), target))
	await.True(t, func() bool {
		o, err := other.Observe(t.Context())
		return err == nil && len(o.Replicas) == 1 && o.Replicas[0].Main != nil && !o.Replicas[0].Main.Enabled
	}, "a missing middleware is reported")
}

func TestOptionsThatTraefikWouldRejectAreRefused(t *testing.T) {
	for says, change := range map[string]func(*traefikfile.Config){
		"middleware \"a b\" is not a name": func(c *traefikfile.Config) { c.Route.Middlewares = []traffic.Middleware{{Name: "a b"}} },
		"has a provider, so it cannot have a namespace": func(c *traefikfile.Config) {
			c.Route.Middlewares = []traffic.Middleware{{Name: "a@file", Namespace: "b"}}
		},
		"serversTransport \"{{\" is not": func(c *traefikfile.Config) {
			c.Sets = []traffic.ServerSet{{Balancing: traffic.Balancing{ServersTransport: "{{"}}}
		},
		"healthCheck: path \"x\"": func(c *traefikfile.Config) {
			c.Sets = []traffic.ServerSet{{Balancing: traffic.Balancing{HealthCheck: &traffic.HealthCheck{Path: "x"}}}}
		},
		"sticky: \"a;b\" is not the name": func(c *traefikfile.Config) {
			c.Sets = []traffic.ServerSet{{Balancing: traffic.Balancing{Sticky: &traffic.StickyServer{Name: "a;b"}}}}
		},
		"Serin's own cookies begin with serin-": func(c *traefikfile.Config) {
			c.Sets = []traffic.ServerSet{{Balancing: traffic.Balancing{Sticky: &traffic.StickyServer{Name: "serin-x"}}}}
		},
		"only Kubernetes has namespaces": func(c *traefikfile.Config) { c.Route.Middlewares = []traffic.Middleware{{Name: "a", Namespace: "b"}} },
	} {
		t.Run(says, func(t *testing.T) {
			c := traefikfile.Config{Rollout: "shop", File: "shop.yaml", Route: traffic.Route{Rule: "Host(`a`)"}}
			change(&c)
			require.ErrorContains(t, c.Validate(), says)
		})
	}
}
