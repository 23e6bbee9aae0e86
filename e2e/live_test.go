package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
)

// TestValidateLiveSaysWhatAReleaseWouldMeet asks a real Traefik and a real Prometheus, while users are served.
func TestValidateLiveSaysWhatAReleaseWouldMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{documents: func(w *world) string { return quick("quick", "") + w.document("shop", "quick", grayOnly) }})
	w.wait(t, "shop", "stable is served", settled)
	w.users(t, "shop")
	good := quick("quick", "") + w.document("shop", "quick", grayOnly)
	metrics := func(text string) string {
		before, _, _ := strings.Cut(quick("quick", ""), "  metrics:")
		return before + "  metrics:\n" + text + "---\n" + w.document("shop", "quick", grayOnly)
	}
	for _, c := range []struct{ name, document, says string }{
		{"everything is there", good, "live: everything that was looked at is there"},
		{
			"a bound that is none of Traefik's buckets", metrics("    - {name: slow, preset: traefik-latency, slowerThan: 250ms}\n"),
			"shop, slow: wrong: traefik_service_request_duration_seconds_bucket{service=\"${service}\"} has no bucket with the bound 0.25; there are 0.1, 0.3, 1.2, 5",
		},
		{
			"a metric that nobody exports", metrics("    - name: orders\n      ratio: {bad: \"shop_failed_total{instance=~\\\"${instances}\\\"}\", total: \"traefik_service_request_total{service=\\\"${service}\\\"}\"}\n"),
			"there is no metric traefik_service_request_total; the nearest is traefik_service_requests_total",
		},
		{
			"a Traefik that does not answer", strings.ReplaceAll(good, w.api.URL, "http://127.0.0.1:1"),
			"shop, traffic: wrong: Traefik's API at http://127.0.0.1:1: ",
		},
		{
			"a folder that is not there", strings.ReplaceAll(good, w.file("shop"), filepath.Join(w.dir, "none", "shop.yaml")),
			"there is no folder " + filepath.Join(w.dir, "none") + ", where Traefik is to find its file",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.document), 0o600))
			await.Until(t, c.says, func() string { // until Prometheus has scraped
				said, err := exec.CommandContext(t.Context(), serin, "validate", "--live", "--prometheus", w.prometheus.URL, file).CombinedOutput()
				if strings.Contains(string(said), c.says) {
					require.Equal(t, c.name == "everything is there", err == nil, "only what is right exits with 0")
					return ""
				}
				return string(said)
			})
		})
	}
}
