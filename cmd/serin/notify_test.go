package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/notify"
)

// gated is a rollout with a gate before any traffic moves; %s is a folder.
const gated = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic:
    traefikFile: {path: %s/shop.yaml, rule: PathPrefix("/"), entryPoints: [web], verify: {for: 1s, unconfirmed: trust}}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps:
    - gate: {name: go, approvers: [operator]}
    - promote: {}
`

// hook is a real receiver of events.
type hook struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	broken bool
	tries  int
	ids    []string
	notes  []notify.Note
}

func newHook(t *testing.T) *hook {
	h := &hook{broken: true}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			ID   string      `json:"id"`
			Data notify.Note `json:"data"`
		}
		body, err := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.tries++; err != nil || h.broken || json.Unmarshal(body, &e) != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		h.ids, h.notes = append(h.ids, e.ID), append(h.notes, e.Data)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) kinds() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, n := range h.notes {
		out = append(out, string(n.Kind))
	}
	return strings.Join(out, " ")
}

// startDaemon runs a whole daemon until the returned function is called.
func startDaemon(t *testing.T, file, address string, log io.Writer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runDaemon(ctx, file, "", log) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	await.True(t, func() bool {
		res, err := http.Get("http://" + address + "/readyz") //nolint:noctx // of this test
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return stop
}

// lockedLog is a log that can be read while it is written.
type lockedLog struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// notifiedDaemon writes the files of a daemon that notifies a program.
func notifiedDaemon(t *testing.T, hook string) (dir, file, address string) {
	t.Helper()
	dir = t.TempDir()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("shop.yaml", fmt.Sprintf(gated, t.TempDir()))
	write("hook.url", hook+"\n")
	file = write("serin.yaml", fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: %s
  externalURL: https://serin.example.com/
  config: shop.yaml
  prometheus: {url: http://127.0.0.1:1}
  notify:
    - webhook: {urlFile: hook.url, secret: hunter2hunter2hunter2}
      on: [started, gate, finished]
`, address))
	return dir, file, address
}

func TestARestartedDaemonSendsEveryMessageOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	dir, file, address := notifiedDaemon(t, h.URL+"/hunter2?token=hunter2")
	var log lockedLog
	run := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, getenv: func(name string) string {
			return map[string]string{"SERIN_SERVER": "http://" + address, "SERIN_TOKEN_FILE": filepath.Join(dir, "serin.token")}[name]
		}}
		return a.run(t.Context(), args), stderr.String()
	}
	serin := func(args ...string) {
		await.True(t, func() bool { code, _ := run("status", "shop"); return code == exitOK })
		code, stderr := run(args...)
		require.Equal(t, exitOK, code, stderr)
	}

	stop := startDaemon(t, file, address, &log)
	serin("start", "shop")
	await.True(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.tries > 0
	})
	stop()
	require.Empty(t, h.kinds())
	h.mu.Lock()
	h.broken = false
	h.mu.Unlock()

	stop = startDaemon(t, file, address, &log)
	await.True(t, func() bool { return h.kinds() == "started gate" }, "%s", h.kinds)
	stop()
	startDaemon(t, file, address, &log)
	serin("approve", "shop", "--reason", "seen")
	await.True(t, func() bool { return h.kinds() == "started gate finished" }, "%s", h.kinds)
	require.Equal(t, "https://serin.example.com/releases/"+h.notes[1].Release, h.notes[1].Link)
	require.Contains(t, h.notes[1].Text, "serin approve "+h.notes[1].Release+" go")
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Contains(t, log.b.String(), "receiver=webhook")
	require.NotContains(t, log.b.String(), "hunter2")
}

func TestADaemonRefusesAnImpossibleReceiver(t *testing.T) {
	for spec, want := range map[string]string{
		"{url: 'nosuch://hunter2'}": "notify nosuch: its URL is not one that shoutrrr knows",
		"{url: 'slack://hunter2'}":  "notify slack: its URL is not one that shoutrrr knows",
		"{urlFile: absent}":         "notify absent: read the address of receiver absent",
		"{webhook: {url: 'http://a', secret: 'whsec_hunter2!!!!!!'}}": "notify webhook: the secret begins with whsec_ but is not base64 after that",
	} {
		file := filepath.Join(t.TempDir(), "serin.yaml")
		require.NoError(t, os.WriteFile(file, []byte("apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  listen: 127.0.0.1:0\n"+
			"  prometheus: {url: http://127.0.0.1:1}\n  notify: ["+spec+"]\n"), 0o600))
		err := runDaemon(t.Context(), file, "", io.Discard)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
