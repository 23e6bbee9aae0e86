package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestValidateLiveLooksAtTheCluster asks a real API server with the rights of the daemon's ServiceAccount.
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
	require.Empty(t, found(t), "the chart's rights are enough, and the canary is made when it is needed")
	require.Equal(t, []string{"stable: Service " + w.pro + "/" + w.name + " has no port 8888; it has 80 (http)"}, found(t, "port: 80}", "port: 8888}"))
	missing := found(t, "deployment: "+w.name+"\n", "deployment: gone\n")
	require.Len(t, missing, 1)
	require.Contains(t, missing[0], "stable: Deployment "+w.pro+"/gone: deployments.apps \"gone\" ")
	w.revoke(t)
	require.Contains(t, strings.Join(found(t), "\n"), "may not patch ingressroutes.traefik.io in namespace "+w.pro)
}

// live are the lines of `serin validate --live` about the cluster.
func (w *world) live(t *testing.T) (out []string) {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, "validate", "--live", "--config", "serin.yaml", "rollouts/")
	cmd.Dir = w.dir
	said, _ := cmd.CombinedOutput() // the metrics have no series yet
	require.Contains(t, string(said), "\nOK: ", "%s", said)
	for line := range strings.Lines(string(said)) {
		if _, text, about := strings.Cut(line, ", cluster: wrong: "); about {
			out = append(out, strings.TrimSpace(text))
		}
	}
	return out
}
