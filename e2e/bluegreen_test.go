package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

const (
	greenHost   = "green.example.com"
	previewHost = "preview.example.com"
)

// blueGreen is ../examples/blue-green.yaml adapted to this world. It copies 50% of the requests, so that it is judged
// within seconds.
func (w *world) blueGreen(t *testing.T, smoke string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/blue-green.yaml")
	require.NoError(t, err)
	return quick("quick", "") + strings.NewReplacer(
		"/etc/traefik/dynamic/green.yaml", w.file("green"), "http://127.0.0.1:8080}", w.api.URL+"}", "http://127.0.0.1:9000/smoke", smoke,
		"http://10.0.0.11:8080", w.blue.URL, "http://10.0.0.21:8080", w.green.URL, "analysis: traefik-web", "analysis: quick",
		"{share: 10%, for: 15m}", "{share: 50%, for: 2s}",
	).Replace(string(text)) + "  rollback: {drain: 1s}\n"
}

// previewed returns the version that answers on the preview's host, or "".
func (w *world) previewed() string {
	req, err := http.NewRequest(http.MethodGet, w.traefik.URL("web"), http.NoBody) //nolint:noctx // the client has a timeout
	if err != nil {
		return ""
	}
	req.Host = previewHost
	res, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close() //nolint:errcheck // only the header is read
	return res.Header.Get(testbed.VersionHeader)
}

// newBlueGreen makes a world with the example and users on its host. The smoke test sends a request to the preview.
func newBlueGreen(t *testing.T) (*world, *testbed.Load) {
	t.Helper()
	var w *world
	smoke := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		if version := w.previewed(); version != "green" {
			http.Error(out, "the preview answers with "+version, http.StatusBadGateway)
		}
	}))
	t.Cleanup(smoke.Close)
	w = newWorld(t, setup{documents: func(made *world) string { w = made; return made.blueGreen(t, smoke.URL) }})
	w.wait(t, "green", "stable is served before any release", settled)
	load := testbed.NewLoad(t, testbed.LoadConfig{URL: w.traefik.URL("web"), Host: greenHost, Rate: 100})
	return w, load
}

// alone waits until users have had a hundred answers from one version without any from the other in between.
func alone(t *testing.T, load *testbed.Load, version, other string) {
	t.Helper()
	before := load.Counts()
	await.Until(t, "users get "+version+" alone", func() string {
		now := load.Counts()
		if now.Answered(other) != before.Answered(other) {
			before = now
		}
		if now.Answered(version) < before.Answered(version)+100 {
			return fmt.Sprint(now.Status)
		}
		return ""
	})
}

func TestBlueGreenSwitchesAllUsersAndBackWithinSeconds(t *testing.T) {
	t.Parallel()
	w, load := newBlueGreen(t)
	id := w.start(t, "green")
	w.wait(t, "green", "copies are sent", func(v view) bool { return v.State.StepName == "mirror" && v.State.InForce })
	require.Equal(t, "green", w.previewed())
	w.wait(t, "green", "the gate is open", atGate)
	copied, _ := w.green.Requests()
	require.Positive(t, copied, "the new version has received copies")
	require.Zero(t, load.Counts().Answered("green"), "and no user")
	status, text := w.approve(id, "switch")
	require.Equal(t, http.StatusOK, status, text)
	w.wait(t, "green", "everybody has it", func(v view) bool { return v.State.StepName == "watch" && v.State.InForce })
	alone(t, load, "green", "blue")
	require.NotEqual(t, "green", w.previewed(), "the preview ends with the promotion")

	begin := time.Now()
	status, text = w.rollback(id)
	require.Equal(t, http.StatusOK, status, text)
	alone(t, load, "blue", "green")
	t.Logf("the way back after the switch, with a hundred answers of the old version: %v", time.Since(begin).Round(time.Millisecond))
	v := w.wait(t, "green", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.False(t, v.Swapped)
	noRequestFailed(t, []*testbed.Load{load})
}

func TestCopiesRevealABadGreenVersionBeforeUsersGetIt(t *testing.T) {
	t.Parallel()
	w, load := newBlueGreen(t)
	w.green.Set(func(b *testbed.Behaviour) { b.ErrorRate = 0.5 })
	id := w.start(t, "green")
	v := w.wait(t, "green", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.Contains(t, v.State.Why, "errors")
	require.Equal(t, "mirror", v.State.StepName)
	require.Positive(t, count(w.events(t, id), "lookTaken"))
	require.Zero(t, load.Counts().Answered("green"), "no user was served by it")
	require.NotEqual(t, "green", w.previewed())
	noRequestFailed(t, []*testbed.Load{load})
}
