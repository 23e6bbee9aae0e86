package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slowToo is a second metric, with a query of its own.
const slowToo = `
    - name: slow
      preset: traefik-latency
      margin: {relative: 100%, absolute: 5%}`

// durations is the metric in Prometheus that the second metric's queries read.
const durations = "traefik_service_request_duration_seconds"

// latency breaks only the queries of the second metric. instead gets the form of such a query, and a way to forward it
// to Prometheus.
func latency(instead func(out http.ResponseWriter, r *http.Request, form url.Values, through http.Handler)) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		through := newProxy(t, w.prometheus.URL).Config.Handler
		w.metrics.answer(func(out http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // the client has left
			}
			withBody(r, string(body))
			form, err := url.ParseQuery(string(body))
			if err != nil || !strings.Contains(form.Get("query"), durations) {
				through.ServeHTTP(out, r)
				return
			}
			instead(out, r, form, through)
		})
		return func() { w.metrics.answer(nil) }
	}
}

// withBody gives a request a body.
func withBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Del("Content-Length")
}

func noAnswer(out http.ResponseWriter, r *http.Request, _ url.Values, _ http.Handler) { silent(out, r) }

func late(out http.ResponseWriter, r *http.Request, _ url.Values, through http.Handler) {
	select {
	case <-time.After(800 * time.Millisecond):
		through.ServeHTTP(out, r)
	case <-r.Context().Done():
	}
}

// refused answers as a Prometheus does if a query would load more samples than it allows.
func refused(out http.ResponseWriter, _ *http.Request, _ url.Values, _ http.Handler) {
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(http.StatusUnprocessableEntity)
	_, _ = io.WriteString(out, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`)
}

// withoutSeries asks for a metric that does not exist.
func withoutSeries(out http.ResponseWriter, r *http.Request, form url.Values, through http.Handler) {
	form.Set("query", strings.ReplaceAll(form.Get("query"), durations, "nobody_"+durations))
	withBody(r, form.Encode())
	through.ServeHTTP(out, r)
}

// halfSilent makes the second of two replicas of Traefik's API silent.
func (w *world) halfSilent(*testing.T) func() {
	w.twin.answer(silent)
	return func() { w.twin.answer(nil) }
}

// takePlace replaces shop's file with a foreign one for ten seconds. It serves the same.
func (w *world) takePlace(t *testing.T) func() {
	before, err := os.ReadFile(w.file("shop"))
	require.NoError(t, err)
	const mark = "# serin.dev/rollout: shop\n"
	require.Contains(t, string(before), mark)
	require.NoError(t, os.WriteFile(w.file("shop"), []byte(strings.Replace(string(before), mark, "# It belongs to somebody.\n", 1)), 0o600))
	w.wait(t, "shop", "the daemon reports it", func(v view) bool { return strings.Contains(strings.Join(v.Trouble, " "), "not only Serin's") })
	return later(t, 10*time.Second, func() error { return os.WriteFile(w.file("shop"), before, 0o600) })
}

// garbage makes the counters of another rollout overflow in the middle of its release.
func (w *world) garbage(t *testing.T) func() {
	other := w.start(t, half.rollout)
	w.wait(t, half.rollout, "its weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	series := func(x int) string {
		return fmt.Sprintf("traefik_service_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"%s-canary@file\",x=\"%d\"} 1.7e308\n", half.rollout, x)
	}
	w.rewrite(t, func(text string) string { return text + series(1) + series(2) })
	w.looks(t, 2)
	return func() {
		w.exposition.answer(nil)
		status, text := w.rollback(other)
		require.Equal(t, http.StatusOK, status, text)
		w.wait(t, half.rollout, "the other release has ended", ended)
	}
}

// rewrite changes what Traefik exposes, as text.
func (w *world) rewrite(t *testing.T, change func(text string) string) {
	u, err := url.Parse("http://" + w.traefik.MetricsAddr)
	require.NoError(t, err)
	through := httputil.NewSingleHostReverseProxy(u)
	w.exposition.answer(func(out http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		r.Header.Set("Accept", "text/plain;version=0.0.4")
		answer := httptest.NewRecorder()
		through.ServeHTTP(answer, r)
		out.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		out.WriteHeader(answer.Code)
		_, _ = io.WriteString(out, change(answer.Body.String()))
	})
}

// failOver copies the database, and replaces it with that copy once the traffic is back, like a standby that lacks the
// last commits. The traffic stays on stable.
func (w *world) failOver(t *testing.T) func() {
	run := func(program string, args ...string) {
		t.Helper()
		require.NoError(t, w.postgres.Client(t.Context(), program, args...))
	}
	lost := fmt.Sprintf("lost%d", time.Now().UnixNano())
	standby := filepath.Join(t.TempDir(), "standby")
	run("pg_dump", "-Fc", "-f", standby, "serin")
	run("createdb", "standby")
	run("pg_restore", "-d", "standby", standby)
	return func() {
		w.wait(t, "shop", "the rollback is written", func(v view) bool { return v.State.Phase != "active" && !troubled(v) })
		run("psql", "-d", "postgres", "-c", "ALTER DATABASE serin ALLOW_CONNECTIONS false",
			"-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'serin'",
			"-c", "ALTER DATABASE serin RENAME TO "+lost, "-c", "ALTER DATABASE standby RENAME TO serin")
		w.wait(t, "shop", "the daemon continues with the standby", func(v view) bool { return ended(v) && !troubled(v) })
		for range 10 { // the daemon checks the traffic every five seconds
			time.Sleep(time.Second)
			percent, err := w.served(&shop)
			require.NoError(t, err)
			require.Zero(t, percent, "nobody gets the canary again")
		}
	}
}
