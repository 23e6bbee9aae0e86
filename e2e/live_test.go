package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
)

// A real Traefik and a real Prometheus are asked while users are served.
func TestValidateLiveReportsWhatWouldStopARelease(t *testing.T) {
	t.Parallel()
	metrics := func(w *world, name, text string) string {
		before, _, _ := strings.Cut(quick(name, ""), "  metrics:")
		return before + "  metrics:\n" + text + "---\n" + w.document(map[string]string{"quick": "shop", "misfit": "cart"}[name], name, grayOnly)
	}
	const noBucket = "    - {name: slow, preset: traefik-latency, slowerThan: 250ms}\n"
	w := newWorld(t, setup{documents: func(w *world) string {
		return quick("quick", "") + w.document("shop", "quick", grayOnly) + metrics(w, "misfit", noBucket)
	}})
	w.wait(t, "shop", "stable is served", settled)
	w.users(t, "shop")
	w.users(t, "cart")
	good := quick("quick", "") + w.document("shop", "quick", grayOnly)
	const boundIsWrong = `has no bucket with the bound 0.25; there are 0.1, 0.3, 1.2, 5`
	for _, c := range []struct{ name, document, says string }{
		{"everything exists", good, "live: everything that was checked is there"},
		{
			"a bound without a bucket of Traefik's", metrics(w, "misfit", noBucket),
			"cart, slow: wrong: traefik_service_request_duration_seconds_bucket{service=\"${service}\"} " + boundIsWrong,
		},
		{
			"a metric that nobody exports", metrics(w, "quick", "    - name: orders\n      ratio: {bad: \"shop_failed_total{instance=~\\\"${instances}\\\"}\", total: \"traefik_service_request_total{service=\\\"${service}\\\"}\"}\n"),
			"there is no metric traefik_service_request_total; the nearest is traefik_service_requests_total",
		},
		{
			"a Traefik that does not answer", strings.ReplaceAll(good, w.api.URL, "http://127.0.0.1:1"),
			"shop, traffic: wrong: Traefik's API at http://127.0.0.1:1: ",
		},
		{
			"a folder that does not exist", strings.ReplaceAll(good, w.file("shop"), filepath.Join(w.dir, "none", "shop.yaml")),
			"there is no folder " + filepath.Join(w.dir, "none") + ", where Traefik is to find its file",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.document), 0o600))
			await.Until(t, c.says, func() string { // until Prometheus has scraped
				said, err := exec.CommandContext(t.Context(), serin, "validate", "--live", "--prometheus", w.prometheus.URL, file).CombinedOutput()
				if strings.Contains(string(said), c.says) {
					require.Equal(t, c.name == "everything exists", err == nil, "it exits with 0 only if nothing is wrong")
					return ""
				}
				return string(said)
			})
		})
	}
	// Prometheus has stable's buckets by now. A release that could not be judged is refused before traffic moves.
	status, text := w.call(http.MethodPost, "/api/v1/rollouts/cart/releases", map[string]any{}, nil)
	require.Equal(t, http.StatusConflict, status, text)
	require.Contains(t, text, "urn:serin:unmeasurable")
	require.Contains(t, text, boundIsWrong)
	status, text = w.call(http.MethodPost, "/api/v1/rollouts/cart/releases", map[string]any{"anyway": true}, nil)
	require.Equal(t, http.StatusCreated, status, text)
}
