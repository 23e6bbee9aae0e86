package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const returnsShop = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  parameters: [{name: tag, required: true}]
  traffic:
    traefikFile: {path: shop.yaml, rule: Host(` + "`shop.example.com`" + `), entryPoints: [web]}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps:
    - gray: {weights: [5%, 20%, 50%]}
    - gate: {name: go}
    - promote:
`

func TestAShorterPlanHasItsOwnStepsAndAnalyses(t *testing.T) {
	load := func(text string) Rollout {
		l := Loader{Stdin: strings.NewReader(text)}
		set, errs := l.Load("-")
		require.Empty(t, errs)
		require.Empty(t, set.Warnings, "it need not compare anything")
		return set.Rollouts[0]
	}
	plain := load(returnsShop)
	require.Nil(t, plain.Plan.Rollout.Returning)
	r := load(returnsShop + "  returning:\n    within: 7d\n    releases: 3\n    steps:\n      - gray: {weights: [20%], hold: 1m}\n      - promote:\n")
	require.NotEqual(t, plain.Plan.Rollout.Revision, r.Plan.Rollout.Revision)
	short := r.Plan.ForReturning()
	require.Equal(t, 7*24*time.Hour, r.Plan.Rollout.Returning.Within)
	require.Equal(t, 3, r.Plan.Rollout.Returning.Releases)
	require.Len(t, short.Rollout.Steps, 2)
	require.Len(t, short.Rollout.Scopes, 1)
	require.NotEmpty(t, short.Analyses["gray"].Metrics)
	require.Equal(t, r.Plan.Analyses, load(returnsShop).Plan.Analyses, "the plan's own stay as they are")

	only := load(returnsShop + "  returning: {within: 7d, steps: [{promote: {}}]}\n").Plan.ForReturning()
	require.Empty(t, only.Analyses)
	require.NoError(t, only.Rollout.Check())
}

func TestAShorterPlanIsShownWithItsDefaults(t *testing.T) {
	l := Loader{Stdin: strings.NewReader(returnsShop + "  returning: {releases: 3, steps: [{gray: {weights: [20%]}}, {promote: {}}]}\n")}
	var paths []string
	for _, s := range l.Settings("-")[0].Settings {
		paths = append(paths, s.Path+"="+s.Value)
	}
	require.Contains(t, paths, "returning.releases=3")
	require.Contains(t, paths, "returning.steps[0].gray.hold=10m")
}

func TestAShorterPlanOfAWorkerDividesWorkToo(t *testing.T) {
	l := Loader{Stdin: strings.NewReader(`apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: mail}
spec:
  parameters: [{name: image, required: true}]
  traffic: {replicas: {namespace: pro}}
  stable: {deployment: mail}
  canary: {deployment: mail-canary}
  analysis: none
  steps:
    - gray: {weights: [10%]}
    - promote: {}
  returning:
    within: 7d
    steps:
      - gray: {weights: [10%], sticky: true}
      - promote: {}
`)}
	_, errs := l.Load("-")
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "returning.steps[0].gray.sticky: keeps users on a version by their requests")
}
