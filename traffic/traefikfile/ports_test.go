package traefikfile_test

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikfile"
	"github.com/serindev/serin/traffic/traffictest"
)

// bring applies a target and waits until Traefik serves it.
func bring(t *testing.T, r *traefikfile.Router, target traffic.Target) {
	t.Helper()
	require.NoError(t, r.Apply(t.Context(), target))
	traffictest.Await(t, r, target, traffic.InForce)
}

// twoPorts is a rollout whose servers have a second port, with a route to it at another entry point and a third route
// to the first port.
func twoPorts(t *testing.T) (c traefikfile.Config, traefik *testbed.Traefik, target traffic.Target) {
	t.Helper()
	traefik = testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle, EntryPoints: []string{"web", "rpc"}})
	server := func(version string) string { return testbed.NewBackend(t, testbed.Behaviour{Version: version}).URL }
	stable, canary := []string{server("v1")}, []string{server("v2")}
	return traefikfile.Config{
		Rollout: "shop", File: filepath.Join(traefik.Directory, "shop.yaml"), Replicas: []traefikfile.Replica{{URL: traefik.API}},
		Route: traffic.Route{Rule: "Host(`shop.example.com`)", EntryPoints: []string{"web"}},
		FurtherRoutes: []traffic.PortRoute{
			{Route: traffic.Route{Rule: "Host(`shop.example.com`)", EntryPoints: []string{"rpc"}}, Port: 1},
			{Route: traffic.Route{Rule: "Host(`more.example.com`)", EntryPoints: []string{"web"}}},
		},
		Sets: []traffic.ServerSet{
			{Servers: stable, Further: []traffic.ServersAt{{Servers: []string{server("v1")}}}},
			{Servers: canary, Further: []traffic.ServersAt{{Servers: []string{server("v2")}}}},
		},
	}, traefik, traffic.Target{Stable: traffic.Backend{Servers: stable}, Canary: traffic.Backend{Servers: canary}}
}

func TestRoutesToSeveralPortsOfServersMoveTogether(t *testing.T) {
	t.Parallel()
	c, traefik, target := twoPorts(t)
	r, err := traefikfile.New(c)
	require.NoError(t, err)
	onAll := func(header http.Header, v1, v2 int) {
		t.Helper()
		for point, host := range map[string]string{"web": "shop.example.com", "rpc": "shop.example.com", "web ": "more.example.com"} {
			counts := testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL(strings.TrimSpace(point)), Host: host, Header: header, Requests: v1 + v2, Workers: 1}).Wait()
			require.Equal(t, [2]int{v1, v2}, [2]int{counts.Status["v1"][http.StatusOK], counts.Status["v2"][http.StatusOK]}, "%s %s", point, host)
		}
	}
	target.Weight = 0.5
	bring(t, r, target)
	onAll(nil, 5, 5)
	canaries, stables := r.Labels(traffic.MainLane)
	require.Equal(t, "shop-stable@file,shop-port-2-stable@file", stables, "the requests of both ports are counted")
	require.Equal(t, "shop-canary@file,shop-port-2-canary@file", canaries)
	canaries, _ = r.Labels(traffic.PreviewLane)
	require.Equal(t, "shop-previewed@file,shop-previewed-port-2@file", canaries)

	beta := http.Header{"X-Beta": {"yes"}}
	match := traffic.Matcher{Header: &traffic.Header{Name: "X-Beta", Value: "yes"}}
	target.Weight, target.Cohort = 0, &traffic.Cohort{Match: match, Split: 0.5, Sticky: "one"}
	bring(t, r, target)
	onAll(beta, 5, 5)
	onAll(nil, 4, 0)
	target.Cohort, target.Mirror, target.Preview = nil, &traffic.Mirror{Share: 1}, &traffic.Preview{Match: &match}
	bring(t, r, target)
	onAll(nil, 4, 0)
	onAll(beta, 0, 4)

	// After a promotion the sets have swapped roles at every port.
	target.Mirror, target.Preview = nil, nil
	target.Stable, target.Canary = target.Canary, target.Stable
	bring(t, r, target)
	onAll(nil, 0, 4)
}

func TestAPreviewsHostHasOneRouterAtEachEntryPoint(t *testing.T) {
	t.Parallel()
	c, traefik, target := twoPorts(t)
	r, err := traefikfile.New(c)
	require.NoError(t, err)
	target.Preview = &traffic.Preview{Host: "preview.example.com"}
	bring(t, r, target)
	for _, point := range []string{"web", "rpc"} {
		counts := testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL(point), Host: "preview.example.com", Requests: 3, Workers: 1}).Wait()
		require.Equal(t, 3, counts.Status["v2"][http.StatusOK], point)
	}
	text, err := os.ReadFile(c.File)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "Host(`preview.example.com`)"))
	target.Preview.Host = "more.example.com"
	require.ErrorContains(t, r.Apply(t.Context(), target), "more.example.com is the users' own host")
}

func TestAForeignEditOfOnePortIsReverted(t *testing.T) {
	t.Parallel()
	c, _, target := twoPorts(t)
	r, err := traefikfile.New(c)
	require.NoError(t, err)
	target.Weight = 0.1
	bring(t, r, target)
	edit(t, c.File, func(text string) string { // only the second port's
		before, after, found := strings.Cut(text, "shop-port-2:\n")
		require.True(t, found)
		return before + "shop-port-2:\n" + strings.NewReplacer("weight: 10\n", "weight: 50\n", "weight: 90\n", "weight: 50\n").Replace(after)
	})
	o := traffictest.Await(t, r, target, traffic.NotServed)
	require.Equal(t, 0.5, float64(o.Configured.Main.Weight), "the port with the most for the canary counts")
	bring(t, r, target)

	// With fewer ports and routes in the document, nothing is left of the others.
	c.FurtherRoutes = nil
	for i := range c.Sets {
		c.Sets[i].Further = nil
	}
	r, err = traefikfile.New(c)
	require.NoError(t, err)
	bring(t, r, target)
	text, err := os.ReadFile(c.File)
	require.NoError(t, err)
	require.NotContains(t, string(text), "-2")

	c.Sets[0].Further = []traffic.ServersAt{{Servers: []string{"http://127.0.0.1:1"}}}
	c.Sets = c.Sets[:1]
	r, err = traefikfile.New(c)
	require.NoError(t, err)
	require.ErrorContains(t, r.Apply(t.Context(), target), "canary has no servers for port 2 of the routes")
}

// speaker answers each connection with a version.
func speaker(t *testing.T, version string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(version + "\n"))
			_ = conn.Close()
		}
	}()
	return "tcp://" + l.Addr().String()
}

func TestAFileDividesTCPConnections(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle, EntryPoints: []string{"web", "db"}})
	c := traefikfile.Config{
		Rollout: "db", File: filepath.Join(traefik.Directory, "db.yaml"), Replicas: []traefikfile.Replica{{URL: traefik.API}}, TCP: true,
		Route: traffic.Route{Rule: "HostSNI(`*`)", EntryPoints: []string{"db"}},
	}
	r, err := traefikfile.New(c)
	require.NoError(t, err)
	target := traffic.Target{Stable: traffic.Backend{Servers: []string{speaker(t, "v1")}}, Canary: traffic.Backend{Servers: []string{speaker(t, "v2")}}}
	connect := func(n int) map[string]int {
		t.Helper()
		counts := map[string]int{}
		for range n {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(traefik.URL("db"), "http://"))
			require.NoError(t, err)
			line, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			counts[strings.TrimSpace(line)]++
		}
		return counts
	}
	bring(t, r, target)
	require.Equal(t, map[string]int{"v1": 10}, connect(10))
	target.Weight = 0.3
	bring(t, r, target)
	require.Equal(t, map[string]int{"v1": 7, "v2": 3}, connect(10))
	canary, stable := r.Labels(traffic.MainLane)
	require.Empty(t, canary+stable, "Traefik does not count the connections of a service")

	edit(t, c.File, func(text string) string {
		return strings.NewReplacer("weight: 30\n", "weight: 100\n", "weight: 70\n", "weight: 0\n").Replace(text)
	})
	o := traffictest.Await(t, r, target, traffic.NotServed)
	require.Equal(t, 1.0, float64(o.Configured.Main.Weight))
	bring(t, r, target)
	target.Weight = 1
	bring(t, r, target)
	require.Equal(t, map[string]int{"v2": 10}, connect(10))
	target.Stable, target.Canary, target.Weight = target.Canary, target.Stable, 0
	bring(t, r, target)
	require.Equal(t, map[string]int{"v2": 10}, connect(10))

	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{ClientIP: "0.0.0.0/0"}, Split: 1}
	require.ErrorContains(t, r.Apply(t.Context(), target), "a TCP route sees connections, not requests")
	target.Cohort, target.Canary.Servers = nil, []string{"http://127.0.0.1:5432"}
	require.ErrorContains(t, r.Apply(t.Context(), target), "is not an address such as tcp://10.0.0.1:5432")
}
