package traefikfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

// severalPorts is a rollout whose servers have three ports, with routes to the first two.
func severalPorts() *Config {
	at := func(servers ...string) (out []traffic.ServersAt) {
		for _, s := range servers {
			out = append(out, traffic.ServersAt{Servers: []string{s}})
		}
		return out
	}
	return &Config{
		Rollout: "shop", File: "shop.yaml", Route: traffic.Route{Rule: "Host(`a`)"},
		FurtherRoutes: []traffic.PortRoute{{Route: traffic.Route{Rule: "Host(`b`)"}, Port: 1}},
		Sets: []traffic.ServerSet{
			{Servers: []string{"http://s:80"}, Further: at("http://s:81", "http://s:82")},
			{Servers: []string{"http://c:80"}, Further: at("http://c:81", "http://c:82")},
		},
	}
}

// A more specific route of the user's keeps its requests, and a preview comes before a cohort and a mirror.
func TestLanesAreJustAboveTheMainRoute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		route traffic.Route
		main  int
	}{
		"a priority of the user's":                  {traffic.Route{Rule: "Host(`a`)", Priority: 500}, 500},
		"Traefik's default, the length of the rule": {traffic.Route{Rule: " Host(`a`)\n"}, 9},
	} {
		for lane, above := range map[traffic.Lane]int{traffic.MainLane: 0, traffic.CohortLane: 1, traffic.MirrorLane: 1, traffic.PreviewLane: 2} {
			require.Equal(t, c.main+above, priority(&c.route, lane), "%s: %q", name, lane)
		}
	}
}

// Names are part of series of metrics, and of the files of running releases.
func TestNamesInTraefikNeverChange(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"shop", "shop-route-2", "shop-ab", "shop-ab-2", "shop-mirrored-3", "shop-previewed"}, []string{
		routeName("shop", traffic.MainLane, 0), routeName("shop", traffic.MainLane, 1), routeName("shop", traffic.CohortLane, 0),
		routeName("shop", traffic.CohortLane, 1), routeName("shop", traffic.MirrorLane, 2), routeName("shop", traffic.PreviewLane, 0),
	})
	require.Equal(t, []string{"shop", "shop-port-2", "shop-ab-port-3"}, []string{
		serviceName("shop", traffic.MainLane, 0), serviceName("shop", traffic.MainLane, 1), serviceName("shop", traffic.CohortLane, 2),
	})
	require.Subset(t, severalPorts().partsOf(traffic.MainLane), []string{
		"shop", "shop-route-2", "shop-stable", "shop-port-2", "shop-port-2-canary", "shop-port-3",
	}, "a problem of any of them is a problem of the route")
}

func TestThePortWithTheMostForTheCanaryCounts(t *testing.T) {
	t.Parallel()
	c := severalPorts()
	l, err := layoutOf(c, traffic.Target{
		Stable: traffic.Backend{Servers: []string{"http://s:80"}}, Canary: traffic.Backend{Servers: []string{"http://c:80"}}, Weight: 0.1,
	})
	require.NoError(t, err)
	all := l.render(c)
	for name, weights := range map[string][2]int{"shop-port-2": {70, 30}, "shop-port-3": {80, 20}} {
		for i, w := range weights {
			all.HTTP.Services[name].Weighted.Services[i].Weight = &w
		}
	}
	found := infer(c, all)
	require.Equal(t, [2]int{70, 30}, [2]int{found.main.stableWeight, found.main.canaryWeight})

	l, err = layoutOf(c, traffic.Target{
		Stable: traffic.Backend{Servers: []string{"http://s:80"}}, Canary: traffic.Backend{Servers: []string{"http://c:80"}},
		Mirror: &traffic.Mirror{Share: 0.1},
	})
	require.NoError(t, err)
	all = l.render(c)
	all.HTTP.Services["shop-mirrored-port-3"].Mirroring.Mirrors[0].Percent = 40
	require.Equal(t, 40, infer(c, all).lanes[traffic.MirrorLane].canaryWeight)
}

// A cookie for TLS only would be lost on a route without TLS.
func TestACookieIsForTLSOnlyIfAllRoutesHaveIt(t *testing.T) {
	t.Parallel()
	c := severalPorts()
	c.Route.TLS = &traffic.TLS{}
	require.False(t, sticky(c, "shop", "word").Cookie.Secure)
	c.FurtherRoutes[0].TLS = &traffic.TLS{}
	require.True(t, sticky(c, "shop", "word").Cookie.Secure)
}

func TestForeignEntriesStopEveryTargetThatUsesTheCanary(t *testing.T) {
	t.Parallel()
	c := severalPorts()
	c.File = filepath.Join(t.TempDir(), "shop.yaml")
	r, err := New(*c)
	require.NoError(t, err)
	target := traffic.Target{Stable: traffic.Backend{Servers: []string{"http://s:80"}}, Canary: traffic.Backend{Servers: []string{"http://c:80"}}}
	require.NoError(t, r.Apply(t.Context(), target))
	file, err := os.ReadFile(c.File)
	require.NoError(t, err)
	foreign := strings.Replace(string(file), "http:\n", "http:\n  middlewares:\n    auth: {basicAuth: {users: [\"a:b\"]}}\n", 1)
	require.NoError(t, os.WriteFile(c.File, []byte(foreign), 0o600))

	parsed, err := parse([]byte(foreign), "shop")
	require.NoError(t, err)
	require.ErrorIs(t, parsed.others, ErrForeign)
	require.Empty(t, parsed.broken, "Serin's part is valid without the section that only has the foreign entry")
	for name, change := range map[string]func(*traffic.Target){
		"a weight": func(t *traffic.Target) { t.Weight = 0.1 },
		"a cohort": func(t *traffic.Target) {
			t.Cohort = &traffic.Cohort{Match: traffic.Matcher{ClientIP: "10.0.0.1"}, Split: 0.5}
		},
		"a mirror":  func(t *traffic.Target) { t.Mirror = &traffic.Mirror{Share: 0.1} },
		"a preview": func(t *traffic.Target) { t.Preview = &traffic.Preview{Host: "preview.example.com"} },
	} {
		forward := target
		change(&forward)
		require.ErrorIs(t, r.Apply(t.Context(), forward), ErrForeign, name)
	}
	require.NoError(t, r.Apply(t.Context(), target))
	now, err := os.ReadFile(c.File)
	require.NoError(t, err)
	require.Equal(t, foreign, string(now), "it is up to date, so it is not written")
}
