package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// It asks a real API server, with the rights of the daemon's ServiceAccount.
func TestValidateLiveLooksAtTheCluster(t *testing.T) {
	t.Parallel()
	w := newApplication(t, pipeline)
	w.configure(t)
	file := filepath.Join(w.dir, "rollouts", "rollout.yaml")
	good, err := os.ReadFile(file) //nolint:gosec // of this test
	require.NoError(t, err)
	// found returns the lines about the cluster for the rollout with these changes.
	found := func(t *testing.T, change ...string) []string {
		t.Helper()
		require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(string(good))), 0o600))
		return w.live(t)
	}
	require.Empty(t, found(t), "the chart's rights are sufficient, and the canary is made when it is needed")
	require.Equal(t, []string{"stable: Service " + w.pro + "/" + w.name + " has no port 8888; it has 80 (http)"}, found(t, "port: 80}", "port: 8888}"))
	missing := found(t, "deployment: "+w.name+"\n", "deployment: gone\n")
	require.Len(t, missing, 1)
	require.Contains(t, missing[0], "stable: Deployment "+w.pro+"/gone: deployments.apps \"gone\" ")
	w.c.Apply(t, w.pro, sets)
	text := strings.NewReplacer("PRO", w.pro, "API", w.traefik.API).Replace(setsReleased)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "rollouts", "search.yaml"), []byte(text), 0o600))
	said := strings.Join(w.said(t, ", cluster: warning: "), "\n")
	require.Contains(t, said, "StatefulSet "+w.pro+"/search: with podManagementPolicy OrderedReady")
	require.Contains(t, said, "StatefulSet "+w.pro+"/search-canary: persistentVolumeClaimRetentionPolicy.whenScaled is Delete")
	require.NoError(t, os.Remove(filepath.Join(w.dir, "rollouts", "search.yaml")))
	w.revoke(t)
	require.Contains(t, strings.Join(found(t), "\n"), "may not patch ingressroutes.traefik.io in namespace "+w.pro)
}

// sets are two StatefulSets without pods, each with a setting that needs a warning before a release.
const sets = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: search}
spec:
  replicas: 0
  serviceName: search
  selector: {matchLabels: {app: search}}
  template: {metadata: {labels: {app: search}}, spec: {containers: [{name: search, image: "search:1"}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: search-canary}
spec:
  replicas: 0
  serviceName: search-canary
  podManagementPolicy: Parallel
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}
  selector: {matchLabels: {app: search-canary}}
  template: {metadata: {labels: {app: search-canary}}, spec: {containers: [{name: search, image: "search:1"}]}}
`

const setsReleased = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: search}
spec:
  traffic: {traefik: {namespace: PRO, ingressRoute: search, verify: {api: "API"}}}
  stable: {statefulSet: search, service: {name: search, port: 9200}}
  canary: {statefulSet: search-canary, service: {name: search-canary, port: 9200}}
  analysis: traefik-web
  steps:
    - gray: {weights: [50%]}
    - promote: {deadline: 1h}
`

// live are the lines of `serin validate --live` about what is wrong in the cluster.
func (w *world) live(t *testing.T) []string {
	t.Helper()
	return w.said(t, ", cluster: wrong: ")
}

// said is what follows a mark in the lines of `serin validate --live`.
func (w *world) said(t *testing.T, mark string) (out []string) {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, "validate", "--live", "--config", "serin.yaml", "rollouts/")
	cmd.Dir = w.dir
	said, _ := cmd.CombinedOutput() // the metrics have no series yet
	require.Contains(t, string(said), "\nOK: ", "%s", said)
	for line := range strings.Lines(string(said)) {
		if _, text, about := strings.Cut(line, mark); about {
			out = append(out, strings.TrimSpace(text))
		}
	}
	return out
}
