package traefikfile_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
	"github.com/serindev/serin/traffic/traefikfile"
	"github.com/serindev/serin/traffic/traffictest"
)

// fake is an API with answers that a real Traefik would never give.
func fake(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func answer404(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, `{"message":"router not found: %s"}`, r.URL.Path) //nolint:errcheck // a test's
}

func TestAnAnswerThatIsNotTraefiksCountsAsNone(t *testing.T) {
	t.Parallel()
	json := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, text) //nolint:errcheck // a test's
		}
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		says string
	}{
		"not found, but not by the API": {http.NotFound, "is this the API of a Traefik?"},
		"a page":                        {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "is this the API of a Traefik?"}, //nolint:errcheck // a test's
		"no entry":                      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401 Unauthorized"},
		"broken":                        {json(`{"rule":`), "unexpected end of JSON input"},
		"too much":                      {json(`"` + strings.Repeat("x", 1<<20) + `"`), "is larger than"},
		"an error":                      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500 Internal Server Error"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "302 Found"},
		"nothing in time": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := time.Minute
			if name == "nothing in time" {
				timeout = time.Second
			}
			r := routerWithin(t, timeout, filepath.Join(t.TempDir(), "shop.yaml"), traefikfile.Replica{URL: fake(t, c.h)})
			require.NoError(t, r.Apply(t.Context(), target()))
			o, err := r.Observe(t.Context())
			require.NoError(t, err)
			require.Contains(t, o.Replicas[0].Err, c.says)
			require.Zero(t, o.Replicas[0].Served)
			require.Equal(t, traffic.Unconfirmed, traffic.Confirm(target(), o))
		})
	}
}

func TestTheAPIsPasswordIsSentButNeverShown(t *testing.T) {
	password := traefikapi.NewSecret("hunter2")
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "serin" || pass != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer404(w, r)
	})
	r := newRouter(t, filepath.Join(t.TempDir(), "shop.yaml"), traefikfile.Replica{URL: url, User: "serin", Password: password}, traefikfile.Replica{URL: url})
	o, err := r.Observe(t.Context())
	require.NoError(t, err)
	require.Empty(t, o.Replicas[0].Err)
	require.Contains(t, o.Replicas[1].Err, "401")

	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "password", password, "config", traefikfile.Replica{User: "u", Password: password})
	fmt.Fprintf(&b, "%v %+v %#v %s %q %d", password, traefikfile.Replica{Password: password}, traefikfile.Replica{Password: password}, password, password, password)
	require.NotContains(t, b.String(), "hunter2")
}

func TestAnUnreadablePasswordDoesNotStopWrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); pass != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer404(w, r)
	})
	r := newRouter(t, filepath.Join(t.TempDir(), "shop.yaml"), traefikfile.Replica{URL: url, User: "serin", Password: traefikapi.SecretFile(file)})
	require.NoError(t, r.Apply(t.Context(), target()))
	o, err := r.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, o.Replicas[0].Err, "read the password")
	require.Equal(t, traffic.Unconfirmed, traffic.Confirm(target(), o))
	require.NoError(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	o, err = r.Observe(t.Context())
	require.NoError(t, err)
	require.Empty(t, o.Replicas[0].Err, "it is read when it is needed")
}

func TestObserveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := newRouter(t, filepath.Join(t.TempDir(), "shop.yaml"), traefikfile.Replica{URL: fake(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})})
	_, err := r.Observe(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, r.Apply(ctx, target()), context.Canceled)
}

func TestTraefiksOwnErrorIsPassedOn(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	file := filepath.Join(traefik.Directory, "shop.yaml")
	r := newRouter(t, file, traefikfile.Replica{URL: traefik.API})
	require.NoError(t, r.Apply(t.Context(), target()))
	traffictest.Await(t, r, target(), traffic.InForce)
	says := func(problem string) func() bool {
		return func() bool {
			o, err := r.Observe(t.Context())
			// An editor writes in place, so for a moment Traefik may see no router at all.
			return err == nil && o.Replicas[0].Main != nil && strings.Contains(o.Replicas[0].Main.Problem, problem)
		}
	}
	edit(t, file, func(text string) string { return strings.Replace(text, "NetworkErrorRatio()", "Nonsense()", 1) })
	await.True(t, says("unsupported function: Nonsense"))
	edit(t, file, func(text string) string { return strings.Replace(text, "name: shop-canary", "name: shop-gone", 1) })
	await.True(t, says("shop-gone"))
}

func TestTLSAndPriorityReachTraefik(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	r, err := traefikfile.New(traefikfile.Config{
		Rollout: "shop.eu_1", File: filepath.Join(traefik.Directory, "shop.yaml"), Replicas: []traefikfile.Replica{{URL: traefik.API + "/"}},
		Route: traffic.Route{Rule: " Host(`a`) || Host(`b`) ", Priority: 7, TLS: &traffic.TLS{}},
	})
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), target()))
	traffictest.Await(t, r, target(), traffic.InForce)
	text, err := os.ReadFile(filepath.Join(traefik.Directory, "shop.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "priority: 8\n", "the cohort is just one above the main route")
	require.Contains(t, string(text), "secure: true")
}
