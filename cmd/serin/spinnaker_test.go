package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// askSpinnaker repeats a request until the daemon answers it.
func askSpinnaker(t *testing.T, method, url, body string) (status int, answer map[string]any) {
	t.Helper()
	await.True(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false // it does not listen yet
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		status, answer = resp.StatusCode, nil
		_ = json.Unmarshal(b, &answer) // answers that are lists do not matter here
		return true
	})
	return status, answer
}

// The daemon serves Kayenta's API if its document says so, and a run that was started there survives a restart.
func TestTheDaemonServesSpinnakerAndResumesRunsAfterARestart(t *testing.T) {
	t.Parallel()
	api, err := testbed.FreePort()
	require.NoError(t, err)
	port, err := testbed.FreePort()
	require.NoError(t, err)
	nobody, err := testbed.FreePort()
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "serin.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts/
  prometheus: {url: 'http://127.0.0.1:%d'}
  spinnaker: {listen: '127.0.0.1:%d'}
`, api, nobody, port), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "rollouts"), 0o700))
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		go func() { done <- runDaemon(ctx, file, "", io.Discard) }()
		return func() {
			cancel()
			require.NoError(t, <-done)
		}
	}
	stop := run()
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	status, _ := askSpinnaker(t, http.MethodGet, base+"/credentials", "")
	require.Equal(t, http.StatusOK, status)
	status, _ = askSpinnaker(t, http.MethodGet, base+"/api/v1/rollouts", "")
	require.Equal(t, http.StatusNotFound, status, "nothing else is served there")
	side := `{"scope": "a", "start": "2025-04-08T20:00:00Z", "end": "2025-04-08T21:00:00Z"}`
	status, answer := askSpinnaker(t, http.MethodPost, base+"/canary?application=shop", `{
		"canaryConfig": {"name": "c", "applications": ["shop"], "metrics": [{"name": "m", "groups": [], "query": {"type": "prometheus", "customInlineTemplate": "PromQL:up"}}]},
		"executionRequest": {"scopes": {"default": {"controlScope": `+side+`, "experimentScope": `+side+`}}, "thresholds": {"pass": 95, "marginal": 75}}}`)
	require.Equal(t, http.StatusOK, status, answer)
	at := base + "/canary/" + answer["canaryExecutionId"].(string)
	stop()

	stop = run()
	defer stop()
	status, answer = askSpinnaker(t, http.MethodGet, at, "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "running", answer["status"], "there is no Prometheus, so the queries are repeated")
	status, _ = askSpinnaker(t, http.MethodPut, base+"/pipelines/"+answer["pipelineId"].(string)+"/cancel", `""`)
	require.Equal(t, http.StatusAccepted, status)
	_, answer = askSpinnaker(t, http.MethodGet, at, "")
	require.Equal(t, "canceled", answer["status"])
}
