package cluster

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// behindMetrics puts the metrics of a Traefik behind the Service metrics.
func (w *world) behindMetrics(t *testing.T, name string, traefik *testbed.Traefik) {
	t.Helper()
	w.endpointSlice(t, "metrics", name, "metrics", traefik.MetricsAddr, false)
}

// edit replaces text in the rollout's document.
func (w *world) edit(t *testing.T, old, text string) {
	t.Helper()
	file := filepath.Join(w.dir, "rollouts", "rollout.yaml")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), old)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(b), old, text)), 0o600))
}

// targets is the daemon's metric for how many targets it reads.
func (w *world) targets(t *testing.T) string {
	t.Helper()
	_, text := w.get("/metrics", nil)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "serin_scrape_targets ") {
			return strings.TrimSpace(line)
		}
	}
	return text
}

// There is no Prometheus, and the daemon has the rights of the chart. Errors at the second of two Traefiks count too,
// although it was added in the middle of the release and is not ready.
func TestTheMetricsOfEveryReplicaBehindAServiceAreRead(t *testing.T) {
	t.Parallel()
	e := pipeline
	e.scraped = true
	w := newPlace(t, e)
	w.c.Apply(t, w.gate, "{apiVersion: v1, kind: Service, metadata: {name: metrics}, spec: {ports: [{name: metrics, port: 9100}]}}")
	w.behindMetrics(t, "metrics-a", w.traefik)
	w.c.Apply(t, w.pro, app(e.name, e.container))
	w.c.Apply(t, w.dev, app(e.preRelease, e.container))
	var through atomic.Int64 // a fifth fails: with more the circuit breaker opens, and the canary gets no more requests
	w.c.SetImage(w.pro, image2, testcluster.Image{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Through") == "second" && through.Add(1)%5 == 0 {
			out.WriteHeader(http.StatusInternalServerError)
		}
	})})
	w.configure(t)
	w.edit(t, "absolute: 20%", "absolute: 5%") // half of the users reach the second Traefik: a tenth of all requests fail
	w.begin(t)
	w.usersAt(t, countedRate, beta) // a narrow margin needs many requests
	id := w.start(t, image2)
	w.pass(t, id, "start-ab-test")
	w.wait(t, "the last gate is open: the first Traefik shows no errors", atGate("full-release"))

	second := w.c.Traefik(t, testbed.TraefikConfig{
		Host: traefikHost, EntryPoints: []string{"web"}, Throttle: 100 * time.Millisecond,
		Args: []string{"--providers.kubernetescrd.namespaces=" + w.pro},
	})
	w.behindMetrics(t, "metrics-b", second)
	await.Until(t, "both are read", func() string {
		if said := w.targets(t); said != "serin_scrape_targets 2" {
			return said
		}
		return ""
	})
	testbed.NewLoad(t, testbed.LoadConfig{URL: second.URL("web"), Host: w.host, Rate: countedRate, Header: http.Header{"X-Through": {"second"}}})
	v := w.wait(t, "errors at the second one send the release back", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.Contains(t, v.State.Why, "the canary is worse")

	require.NoError(t, w.c.Client.DiscoveryV1().EndpointSlices(w.gate).Delete(t.Context(), "metrics-b", metav1.DeleteOptions{}))
	await.Until(t, "one is read", func() string {
		if said := w.targets(t); said != "serin_scrape_targets 1" {
			return said
		}
		return ""
	})
}
