package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic"
)

// bench is a complete Serin on real servers, without its HTTP side.
type bench struct {
	blue, green *testbed.Backend
	rpc         [2]*testbed.Backend // blue's and green's second port
	traefik     *testbed.Traefik
	prometheus  *testbed.Prometheus
	load, beta  *testbed.Load
	calls       *testbed.Load // of the second port
	dir, file   string
	engine      *engine.Engine
}

// documents are those of these tests.
func documents(t *testing.T, values ...string) string {
	var all []byte
	for _, name := range []string{"shop", "ports"} {
		b, err := os.ReadFile("testdata/" + name + ".yaml") //nolint:gosec // a file of the tests
		require.NoError(t, err)
		all = append(all, b...)
	}
	return strings.NewReplacer(values...).Replace(string(all))
}

// newBench starts everything; verify is the rollout's, with %s for the address of Traefik's API.
func newBench(t *testing.T, verify string) *bench {
	b := &bench{dir: t.TempDir()}
	b.blue = testbed.NewBackend(t, testbed.Behaviour{Version: "blue"})
	b.green = testbed.NewBackend(t, testbed.Behaviour{Version: "green"})
	b.rpc = [2]*testbed.Backend{testbed.NewBackend(t, testbed.Behaviour{Version: "blue"}), testbed.NewBackend(t, testbed.Behaviour{Version: "green", ErrorRate: 0.5})}
	b.traefik = testbed.NewTraefik(t, testbed.TraefikConfig{EntryPoints: []string{"web", "rpc", "db"}})
	b.prometheus = testbed.NewPrometheus(t, testbed.PrometheusConfig{
		ScrapeInterval: 250 * time.Millisecond,
		Jobs:           []testbed.ScrapeJob{{Name: "traefik", Targets: []string{b.traefik.MetricsAddr}}},
	})
	b.file = filepath.Join(b.traefik.Directory, "shop.yaml")
	address := func(b *testbed.Backend) string { return strings.TrimPrefix(b.URL, "http://") }
	text := documents(t, "{{file}}", b.file, "{{folder}}", b.traefik.Directory, "{{verify}}", strings.ReplaceAll(verify, "%s", b.traefik.API),
		"{{stable}}", b.blue.URL, "{{canary}}", b.green.URL, "{{stable-rpc}}", b.rpc[0].URL, "{{canary-rpc}}", b.rpc[1].URL,
		"{{stable-address}}", address(b.blue), "{{canary-address}}", address(b.green))
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "shop.yaml"), []byte(text), 0o600))
	b.start(t)
	b.load = testbed.NewLoad(t, testbed.LoadConfig{URL: b.traefik.URL("web"), Rate: 200})
	b.beta = testbed.NewLoad(t, testbed.LoadConfig{URL: b.traefik.URL("web"), Rate: 100, Header: http.Header{"X-User-Group": {"beta"}}})
	return b
}

// start runs an engine until the test ends.
func (b *bench) start(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(b.dir, "serin.db"))
	require.NoError(t, err)
	set, errs := NewLoader(500 * time.Millisecond).Load(filepath.Join(b.dir, "shop.yaml"))
	require.Empty(t, errs)
	second := config.Duration(time.Second)
	spec := &config.DaemonSpec{Prometheus: config.PrometheusSpec{URL: config.URL(b.prometheus.URL), Timeout: &second}}
	registry := prometheus.NewRegistry()
	source, err := newMetrics(Options{Spec: spec, Log: log}, s, registry)
	require.NoError(t, err)
	b.engine = newEngine(Options{Spec: spec, Log: log}, s, source, nil, nil, nil, registry)
	b.engine.SetPlans(set.Plans())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, s.Close())
	})
}

// wait returns when ok accepts the view of the shop's release.
func (b *bench) wait(t *testing.T, what string, ok func(record.View) bool) record.View {
	t.Helper()
	return b.waitFor(t, "shop", what, ok)
}

func (b *bench) waitFor(t *testing.T, rollout, what string, ok func(record.View) bool) record.View {
	t.Helper()
	var v record.View
	await.True(t, func() bool {
		var err error
		v, err = b.engine.Rollout(rollout)
		return err == nil && ok(v)
	}, "%s: %s", rollout, what)
	return v
}

func ended(v record.View) bool { return v.State.Ended() }

func TestAGoodVersionIsReleasedAndABadOneRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, "{api: %s}")
	b.wait(t, "stable is served before any release", func(v record.View) bool { return v.Confirmation == traffic.InForce })

	portsAndConnections := b.begin(t)
	release, err := b.engine.Start(t.Context(), "shop", rollout.StartRequest{By: "ann", Key: "build-1"}, false)
	require.NoError(t, err)
	again, err := b.engine.Start(t.Context(), "shop", rollout.StartRequest{By: "ann", Key: "build-1"}, false)
	require.NoError(t, err)
	require.Equal(t, release.ID, again.ID, "the same key starts nothing new")
	v := b.wait(t, "the gate is open", func(v record.View) bool { return v.Gate == "full-release" })
	require.NotNil(t, v.Verdict)
	_, err = b.engine.Act(t.Context(), release.ID, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Approve}, "ann")
	require.NoError(t, err)
	v = b.wait(t, "the release has ended", ended)
	require.Equal(t, rollout.Released, v.State.Outcome, v.State.Why)
	require.True(t, v.Swapped, "the canary's servers are stable's now")
	before := b.load.Counts()
	await.True(t, func() bool {
		return b.load.Counts().Answered("green") > before.Answered("green")+200
	}, "all traffic goes to green")

	// The next release's canary is the other set.
	b.blue.Set(func(x *testbed.Behaviour) { x.Version, x.ErrorRate = "blue-2", 0.3 })
	bad, err := b.engine.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
	require.NoError(t, err)
	v = b.wait(t, "the bad release has ended", func(v record.View) bool { return v.Release.ID == bad.ID && ended(v) })
	require.Equal(t, rollout.RolledBack, v.State.Outcome, v.State.Why)
	require.True(t, v.Swapped, "green stays stable")
	require.NotNil(t, v.Verdict)
	m := v.Verdict.Metrics[0]
	require.Greater(t, m.Canary.Rate, 0.1)
	t.Logf("caught at look %d after %v canary requests, %v of them errors", v.Verdict.Look, m.Canary.Total, m.Canary.Bad)
	portsAndConnections(t)
}

// begin starts a release of two ports, of which the second is bad, and one of connections. They go on alongside others until the
// function that it returns sees how they end.
func (b *bench) begin(t *testing.T) func(*testing.T) {
	for _, name := range []string{"wide", "db"} {
		b.waitFor(t, name, "stable is served", func(v record.View) bool { return v.Confirmation == traffic.InForce })
	}
	b.calls = testbed.NewLoad(t, testbed.LoadConfig{URL: b.traefik.URL("rpc"), Rate: 50})
	for _, name := range []string{"wide", "db"} {
		_, err := b.engine.Start(t.Context(), name, rollout.StartRequest{By: "ann"}, false)
		require.NoError(t, err)
	}
	return func(t *testing.T) {
		t.Helper()
		v := b.waitFor(t, "wide", "it has ended", ended)
		require.Equal(t, rollout.RolledBack, v.State.Outcome, v.State.Why)
		before := b.calls.Counts()
		await.True(t, func() bool { return b.calls.Counts().Answered("blue") > before.Answered("blue")+50 }, "blue answers the second port")
		require.LessOrEqual(t, b.calls.Counts().Answered("green"), before.Answered("green")+1, "nobody is on the bad one")

		v = b.waitFor(t, "db", "half of the connections go to green", func(v record.View) bool { return v.Gate == "all" })
		require.Equal(t, map[string]int{"blue-2": 5, "green": 5}, b.connect(t, 10))
		_, err := b.engine.Act(t.Context(), v.Release.ID, rollout.GateAnswered{Gate: "all", Answer: rollout.Approve}, "ann")
		require.NoError(t, err)
		v = b.waitFor(t, "db", "it has ended", ended)
		require.Equal(t, rollout.Released, v.State.Outcome, v.State.Why)
		require.True(t, v.Swapped, "the canary's servers are stable's now")
		require.Len(t, b.connect(t, 4), 1, "all go to one version")
	}
}

// connect makes connections, and counts which version answers each.
func (b *bench) connect(t *testing.T, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.traefik.URL("db"), nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		counts[response.Header.Get("X-Version")]++
	}
	return counts
}

func TestWithoutAnAPITheShareThatIsSeenStandsIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, "{for: 3s, unconfirmed: trust}")
	b.wait(t, "the engine runs", func(v record.View) bool { return v.Declared })
	release, err := b.engine.Start(t.Context(), "shop", rollout.StartRequest{By: "ann"}, false)
	require.NoError(t, err)
	b.wait(t, "the cohort's split is in force by what was seen", func(v record.View) bool {
		return v.State.StepName == "ab" && v.State.InForceHow != ""
	})
	b.wait(t, "the gate is open", func(v record.View) bool { return v.Gate == "full-release" })
	_, err = b.engine.Act(t.Context(), release.ID, rollout.RollbackRequested{Reason: "enough seen"}, "ann")
	require.NoError(t, err)
	v := b.wait(t, "the release has ended", ended)
	require.Equal(t, rollout.RolledBack, v.State.Outcome, v.State.Why)
	require.Equal(t, "trusted", v.State.InForceHow, "nothing is looked at on the way back")
}
