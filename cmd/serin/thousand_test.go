package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/server"
)

// TestTheOverviewOfAThousandRolloutsInABrowser runs a daemon with a thousand rollouts, every tenth of which waits for a
// person. Times are logged and not asserted: they depend on the machine.
func TestTheOverviewOfAThousandRolloutsInABrowser(t *testing.T) {
	t.Parallel()
	h := &house{dir: t.TempDir()}
	operator, token, err := server.NewToken("otto", []string{server.RoleOperator})
	require.NoError(t, err)
	h.quiet(t, token)
	var all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&all, `---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: service-%04d}
spec:
  traffic:
    traefikFile:
      path: %s
      rule: Host(`+"`service-%04d.example.com`"+`)
      entryPoints: [web]
      verify: {for: 1s, unconfirmed: trust}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps: [{gate: {name: go}}, {promote: {}}]
`, i, filepath.Join(h.dir, "dynamic", fmt.Sprintf("service-%04d.yaml", i)), i)
	}
	h.write(t, "dynamic/here", "")
	h.write(t, "rollouts/all.yaml", all.String())
	program, err := testbed.Serin(t.TempDir()) // with the race detector a thousand loops would keep two cores busy
	require.NoError(t, err)
	testbed.New(t, testbed.Command{Name: "serin", Path: program, Args: []string{"daemon", "--config", "serin.yaml"}, Dir: h.dir})
	for i := 0; i < 1000; i += 10 {
		started := func() bool { return h.starts(t, fmt.Sprintf("service-%04d", i), operator) }
		await.True(t, started, "service-%04d", i)
	}

	c := newChromium(t, h.url)
	c.enters(operator, "service-0990", "page 1 of 10")
	c.open("/")
	size, nodes := js[float64](c, `performance.getEntriesByType("navigation")[0].encodedBodySize`), js[int](c, `document.querySelectorAll("*").length`)
	t.Logf("the overview of 1,000 rollouts: first paint %s, %.0f KB, %d elements", c.firstPaint(), size/1000, nodes)
	require.Less(t, size, 250_000.0, "bytes")
	require.Less(t, nodes, 5000)
	require.Equal(t, 100, js[int](c, `document.querySelectorAll(".card").length`), "a page has a hundred")
	c.inspect("thousand")
	c.clean()
}

// starts starts a release. It may be repeated: the key makes it one release.
func (h *house) starts(t *testing.T, rollout, token string) bool {
	return h.posts(t, "rollouts/"+rollout+"/releases", `{"key": "one"}`, token)
}

func (h *house) posts(t *testing.T, path, body, token string) bool {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	return err == nil && resp.Body.Close() == nil && (resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK)
}
