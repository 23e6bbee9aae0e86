package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unsettledDocuments leave out most fields.
const unsettledDocuments = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic:
    traefikFile: {path: shop.yaml, rule: PathPrefix(` + "`/`" + `), entryPoints: [web], verify: {api: http://127.0.0.1:8080}}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: own
  steps:
    - gray: {weights: [10%, 50%], hold: 15m}
    - gate: {}
    - webhook: {url: "https://chat.example.com/hooks/secret"}
    - promote: {}
---
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: own}
spec:
  interval: 5s
  metrics:
    - {name: errors, preset: traefik-errors, margin: {relative: 50%}}
    - {name: orders, ratio: {good: 'orders_total{instance=~"${instances}"}', total: 'sessions_total{instance=~"${instances}"}'}}
`

func TestTheSettingsHaveDefaultsForFieldsThatAreLeftOut(t *testing.T) {
	path := write(t, map[string]string{"a.yaml": unsettledDocuments})
	_, errs := checking().Load(path)
	require.Empty(t, errs)
	var b strings.Builder
	for _, d := range checking().Settings(path) {
		fmt.Fprintf(&b, "%s %s\n", d.Kind, d.Name)
		for _, s := range d.Settings {
			fmt.Fprintf(&b, "  %s = %s%s\n", s.Path, s.Value, map[bool]string{true: " (default)"}[s.Default])
		}
	}
	require.Equal(t, `Rollout shop
  steps[0].gray.weights = 10%, 50%
  steps[0].gray.hold = 15m
  steps[0].gray.decide.max = 1d (default)
  steps[0].gray.decide.inconclusive = gate (default)
  steps[2].webhook.deadline = 1m (default)
  rollback.drain = 30s (default)
  rollback.deadline = 15m (default)
  traffic.traefikFile.verify.for = 1m (default)
  traffic.traefikFile.verify.unconfirmed = hold (default)
  noData of gray = hold after 10m
  unreachable of gray = hold after 10m
Analysis own
  interval = 5s
  falseRollback = 1% (default)
  falseAdvance = 5% (default)
  minRequests = 100 (default)
  warmUp = 1m (default)
  settle = 15s (default)
  sampleRatio.requests = traefik_service_requests_total{service="${service}"} (default)
  sampleRatio.falseAlarm = 0.001 (default)
  sampleRatio.tolerance = 10% (default)
  metrics[0].name = errors
  metrics[0].margin.relative = 50%
  metrics[0].margin.absolute = 0.1% (default)
  metrics[0].direction = increase (default)
  metrics[0].weight = 1 (default)
  metrics[0].noise = 0.3 (default)
  metrics[1].name = orders
  metrics[1].margin.relative = 25% (default)
  metrics[1].margin.absolute = 0.1% (default)
  metrics[1].direction = decrease (default)
  metrics[1].weight = 1 (default)
  metrics[1].noise = 0.3 (default)
`, b.String())
}
