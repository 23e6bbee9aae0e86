package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/traffic/traefik"
)

const twoSources = `
apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  prometheus: {url: "http://127.0.0.1:9090", serviceLabel: exported_service, match: {cluster: eu-1}, scrapeInterval: 30s}
  sources:
    shop: {url: "http://127.0.0.1:9091", headers: {X-Scope-OrgID: shop}, scrapeInterval: 1m}
`

func TestTheDaemonSaysHowTraefiksSeriesAreFound(t *testing.T) {
	files := map[string]string{
		"serin.yaml": twoSources,
		"a.yaml": `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: web}
spec:
  match: 'job=~"traefik.*"'
  metrics:
    - {name: errors, preset: traefik-errors, codes: [5xx, 499], match: {zone: a}}
    - name: orders
      prometheus: shop
      absent: zero
      ratio: {bad: 'orders_failed_total{instance=~"${instances}"}', total: 'orders_total{instance=~"${instances}"}'}
`,
		"r.yaml": rolloutYAML("shop", `
  analysis: web
  steps: [{gray: {weights: [5%]}}, {promote: {}}]`),
		"s.yaml": rolloutYAML("cart", `
  analysis: traefik-web
  prometheus: shop
  steps: [{gray: {weights: [5%]}}, {promote: {}}]`),
	}
	set := load(t, files)
	r, ok := set.Rollout("shop")
	require.True(t, ok)
	def := r.Plan.Analyses["gray"]
	require.Equal(t, time.Minute, def.Settle, "the slowest source")
	require.Equal(t, analysis.Selector(`traefik_service_requests_total{exported_service="${service}",cluster="eu-1",job=~"traefik.*"}`), def.Split.Requests)
	require.Equal(t, analysis.Ratio{
		Bad:   `traefik_service_requests_total{exported_service="${service}",code=~"5..|499",cluster="eu-1",job=~"traefik.*",zone="a"}`,
		Total: `traefik_service_requests_total{exported_service="${service}",cluster="eu-1",job=~"traefik.*",zone="a"}`,
	}, def.Metrics[0].Source)
	require.Empty(t, def.Metrics[0].From)
	require.Equal(t, "shop", def.Metrics[1].From)
	require.True(t, def.Metrics[1].Source.(analysis.Ratio).AbsentZero)

	c, ok := set.Rollout("cart")
	require.True(t, ok)
	def = c.Plan.Analyses["gray"]
	require.Equal(t, "shop", def.Split.From)
	require.Equal(t, "shop", def.Metrics[0].From)
	require.Equal(t, traefik.Series{}.Errors(), def.Metrics[0].Source)
	require.Equal(t, time.Minute, def.Settle)

	files["serin.yaml"] = "# nothing is known of the daemon\n"
	alone, ok := load(t, files).Rollout("shop")
	require.True(t, ok)
	require.Equal(t, r.Plan.Rollout.Revision, alone.Plan.Rollout.Revision, "what only the daemon knows makes no other revision")
	require.NotEqual(t, r.Plan.Analyses, alone.Plan.Analyses)
}

func TestAnUnknownSourceIsRefused(t *testing.T) {
	_, errs := Load(write(t, map[string]string{"serin.yaml": twoSources, "r.yaml": rolloutYAML("shop", `
  analysis: traefik-web
  prometheus: shp
  steps: [{gray: {weights: [5%]}}, {promote: {}}]`)}))
	require.Len(t, errs, 1)
	require.Contains(t, errs.Error(), `prometheus: the daemon has no source "shp": did you mean "shop"?`)
}

func TestWithoutAPrometheusAnAnalysisThatNeedsOneIsRefused(t *testing.T) {
	files := map[string]string{
		"a.yaml": `
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: own}
spec:
  metrics:
    - {name: depth, gauge: {query: 'queue_depth{instance=~"${instances}"}'}}
    - {name: load, gauge: {query: 'sum(rate(cpu{instance=~"${instances}"}[1m]))'}}
    - {name: elsewhere, prometheus: big, gauge: {query: 'sum(rate(cpu{instance=~"${instances}"}[1m]))'}}
    - {name: errors, preset: traefik-errors, baseline: {offset: 1w}}
`,
		"r.yaml": rolloutYAML("shop", `
  analysis: own
  steps: [{gray: {weights: [5%]}}, {promote: {}}]`),
	}
	const daemon = "\napiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  sources: {big: {url: 'http://127.0.0.1:9091'}}\n  prometheus: "
	files["serin.yaml"] = daemon + "{url: 'http://127.0.0.1:9090'}\n"
	_, ok := load(t, files).Rollout("shop")
	require.True(t, ok)
	files["serin.yaml"] = daemon + "{scrape: {targets: ['http://127.0.0.1:8082/metrics']}}\n"
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	_, errs := Load(dir)
	require.Len(t, errs, 2)
	require.Contains(t, errs[1].Message, `analysis own: metric load: sum(rate(cpu{instance=~"${instances}"}[1m])) is an expression of PromQL; write the plain selector`)
	require.Contains(t, errs[0].Message, "analysis own: metric errors: its baseline is what was 168h ago, which is not kept without a Prometheus")
}
