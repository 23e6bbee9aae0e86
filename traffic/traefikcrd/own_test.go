package traefikcrd_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

// ofOthers are the objects that an owned route in a test refers to, in the cluster and in a file of its Traefik.
const (
	ofOthers = `{apiVersion: traefik.io/v1alpha1, kind: TLSOption, metadata: {name: modern}, spec: {minVersion: VersionTLS13}}
---
{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: marks}, spec: {headers: {customResponseHeaders: {X-Marked: "yes"}}}}
---
{apiVersion: traefik.io/v1alpha1, kind: ServersTransport, metadata: {name: own}, spec: {maxIdleConnsPerHost: 7}}`
	inAFile = `http: {middlewares: {stamp: {headers: {customResponseHeaders: {X-Stamped: "yes"}}}}}`
)

// An owned route has the same options as an IngressRoute, under the same names: middlewares of both providers, TLS options and
// domains, observability, and how Traefik talks to its Services.
func TestAnOwnedRouteSupportsTraefiksOptions(t *testing.T) {
	t.Parallel()
	w := begin(t, func(w *world) {
		off, no := false, false
		w.manifests = ofOthers
		require.NoError(t, os.WriteFile(filepath.Join(w.traefik.Directory, "theirs.yaml"), []byte(inAFile), 0o600))
		w.config.Route.EntryPoints, w.config.Route.Priority = []string{"web"}, 500
		w.config.Route.TLS = &traffic.TLS{Options: "modern", Domains: []traffic.Domain{{Main: w.host, SANs: []string{"*." + w.host}}}}
		w.config.Route.Middlewares = []traffic.Middleware{{Name: "marks"}, {Name: "stamp@file"}}
		w.config.Route.Observability = &traffic.Observability{AccessLogs: &off, Tracing: &off}
		how := traffic.Balancing{
			Scheme: "http", ServersTransport: "own", PassHostHeader: &no, NativeLB: &no, FlushInterval: 50 * time.Millisecond,
			Sticky: &traffic.StickyServer{Name: "pod", Secure: true, HTTPOnly: true, SameSite: "lax", MaxAge: 60},
		}
		w.config.StableBalancing, w.config.CanaryBalancing = how, how
	})
	guarded := withCohort(target(0.5))
	guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
	w.bring(t, guarded)

	ask := func(most uint16, group string) (*http.Response, error) {
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{ServerName: w.host, MaxVersion: most, InsecureSkipVerify: true}, //nolint:gosec // Traefik's own certificate
		}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.traefik.Addr("web"), nil)
		require.NoError(t, err)
		req.Host = w.host
		req.Header.Set(beta, group)
		resp, err := client.Do(req)
		if err == nil {
			require.NoError(t, resp.Body.Close())
		}
		return resp, err
	}
	_, err := ask(tls.VersionTLS12, "")
	require.Error(t, err, "the TLS options of the route apply")
	for _, group := range []string{"", "beta"} { // a cohort's route has them too
		resp, err := ask(0, group)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, []string{"yes", "yes"}, []string{resp.Header.Get("X-Marked"), resp.Header.Get("X-Stamped")})
		require.Len(t, resp.Cookies(), 1)
		require.Equal(t, "pod", resp.Cookies()[0].Name, "a user stays on one server of the version")
	}
	w.bring(t, target(0))
}
