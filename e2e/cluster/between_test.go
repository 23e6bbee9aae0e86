package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/testbed/testcluster"
)

// between is a proxy between the daemon and the API server that causes faults. The daemon's answers still come from the
// real API server.
type between struct {
	URL   string
	admin *http.Client
	api   string
	proxy *httputil.ReverseProxy

	mu        sync.Mutex // guards what follows
	late      int        // attempts at each write that lose the race against another writer
	tries     map[string]int
	conflicts int
	watches   map[int]context.CancelFunc
	next      int // watches begun so far
	cut       int
	asked     int            // requests so far, watches among them
	kinds     map[string]int // the same by verb and resource
}

func newBetween(t testing.TB, c *testcluster.Cluster) *between {
	t.Helper()
	api, err := url.Parse(c.Config.Host)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(c.Config.CAData))
	admin, err := rest.HTTPClientFor(c.Config)
	require.NoError(t, err)
	quiet := log.New(io.Discard, "", 0)
	b := &between{admin: admin, api: c.Config.Host, tries: map[string]int{}, watches: map[int]context.CancelFunc{}, kinds: map[string]int{}, proxy: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(api) },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		FlushInterval: -1, ErrorLog: quiet,
	}}
	server := httptest.NewUnstartedServer(b)
	server.Config.ErrorLog = quiet
	cert, key := c.Certificate(t, "127.0.0.1") // without TLS, clients send no credentials
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	b.URL = server.URL
	t.Cleanup(func() {
		b.cutWatches()
		server.CloseClientConnections()
		server.Close()
	})
	return b
}

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	b.mu.Lock()
	b.asked++
	b.kinds[kindOf(r)]++
	if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
		b.next++
		id := b.next
		b.watches[id] = cancel
		defer func() {
			b.mu.Lock()
			delete(b.watches, id)
			b.mu.Unlock()
		}()
	}
	b.mu.Unlock()
	if b.tooLate(r) {
		b.touch(ctx, r.URL.Path)
	}
	b.proxy.ServeHTTP(w, r.WithContext(ctx))
}

// kindOf is a request's verb and resource.
func kindOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if i := slices.Index(parts, "namespaces"); i >= 0 && len(parts) > i+2 {
		parts = parts[i+2:]
	} else if parts[0] == "apis" && len(parts) > 3 {
		parts = parts[3:]
	}
	what := parts[0]
	if len(parts) > 2 {
		what += "/" + parts[2]
	}
	if r.URL.Query().Get("watch") != "" {
		return "watch " + what
	}
	return r.Method + " " + what
}

// tooLate reports whether another writer changes the object before this write.
func (b *between) tooLate(r *http.Request) bool {
	if r.Method != http.MethodPatch && r.Method != http.MethodDelete || r.URL.Query().Has("dryRun") {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late == 0 {
		return false
	}
	b.tries[r.URL.Path]++
	if b.tries[r.URL.Path]%(b.late+1) == 0 {
		return false
	}
	b.conflicts++
	return true
}

// touch writes an object as another writer.
func (b *between) touch(ctx context.Context, path string) {
	b.mu.Lock()
	n := b.conflicts
	b.mu.Unlock()
	body := fmt.Sprintf(`{"metadata": {"annotations": {"somebody": "%d"}}}`, n)
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, b.api+path+"?fieldManager=somebody", strings.NewReader(body))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/merge-patch+json")
	if res, err := b.admin.Do(r); err == nil {
		res.Body.Close() //nolint:errcheck,gosec // it exists, or it does not
	}
}

// setLate makes n attempts at each write lose the race against another writer.
func (b *between) setLate(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = n
}

// cutWatches closes every watch.
func (b *between) cutWatches() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range b.watches {
		cancel()
		b.cut++
	}
}
