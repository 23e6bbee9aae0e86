package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/server"
)

// TestAFloodOfConnectionsDoesNotStopARollback runs a daemon that may open few files, and a caller without a token that
// opens more connections than that and leaves them open.
func TestAFloodOfConnectionsDoesNotStopARollback(t *testing.T) {
	h := &house{dir: t.TempDir()}
	operator, token, err := server.NewToken("otto", []string{server.RoleOperator})
	require.NoError(t, err)
	h.quiet(t, token)
	h.write(t, "rollouts/shop.yaml", strings.Replace(trusting, "- gate: {name: tested}", "- gray: {weights: [5%]}", 1))
	h.write(t, "dynamic/here", "")
	program, err := testbed.Serin(t.TempDir())
	require.NoError(t, err)
	limited := fmt.Sprintf("ulimit -n 150 && exec %q daemon --config serin.yaml", program)
	testbed.New(t, testbed.Command{Name: "serin", Path: "/bin/sh", Args: []string{"-c", limited}, Dir: h.dir})
	await.True(t, func() bool { return h.starts(t, "shop", operator) })
	route := func() string {
		b, _ := os.ReadFile(filepath.Join(h.dir, "dynamic", "shop.yaml")) //nolint:gosec // the test's own
		return string(b)
	}
	await.True(t, func() bool { return strings.Contains(route(), "weight: 5") })

	address := strings.TrimPrefix(h.url, "http://")
	for range 250 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, _ = fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", address) // the daemon may refuse it
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api/v1/rollouts/shop", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+operator)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	var view struct{ Release struct{ ID string } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&view))
	require.NotEmpty(t, view.Release.ID)
	r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/api/v1/releases/"+view.Release.ID+"/rollback", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+operator) // no Content-Type: there is no body
	back, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer back.Body.Close()
	require.Less(t, back.StatusCode, 300, "a rollback is one word")
	await.True(t, func() bool { return !strings.Contains(route(), "weight: 5") }, "it is written while the flood lasts")
}
