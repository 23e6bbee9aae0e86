package traefikapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic/traefikapi"
)

// questions are what rollouts ask a real Traefik, through a proxy that counts what arrives there.
type questions struct {
	*traefikapi.Client
	replica      traefikapi.Replica
	folder       string // that Traefik reads
	whole, small atomic.Int64
	closed       atomic.Bool // rawdata is not to be had
}

func ask(t *testing.T) *questions {
	t.Helper()
	server := testbed.NewTraefik(t, testbed.TraefikConfig{EntryPoints: []string{"web"}})
	to, err := url.Parse(server.API)
	require.NoError(t, err)
	q := &questions{Client: traefikapi.NewClient(nil), folder: server.Directory}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	counter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count := &q.small
		if r.URL.Path == "/api/rawdata" {
			if count = &q.whole; q.closed.Load() {
				http.Error(w, "only /api/http", http.StatusForbidden)
				return
			}
		}
		count.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(counter.Close)
	q.replica = traefikapi.Replica{URL: counter.URL}
	return q
}

// router is one of Traefik's own.
const router = "api@internal"

type shown struct {
	Name, Rule, Service string
	EntryPoints         []string
	Priority            int
	traefikapi.State
}

// rollouts ask at the same time; each returns the answer that it gets.
func (q *questions) rollouts(t *testing.T, n int) []shown {
	t.Helper()
	out := make([]shown, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			replica := q.Together(t.Context(), q.replica)
			if err := q.Get(t.Context(), replica, "routers", router, &out[i]); err != nil {
				out[i].Errors = append(out[i].Errors, err.Error())
			}
		})
	}
	all.Wait()
	return out
}

func TestManyWhoAskAtTheSameTimeShareOneAnswer(t *testing.T) {
	t.Parallel()
	q := ask(t)
	var want shown
	require.NoError(t, q.Get(t.Context(), q.replica, "routers", router, &want))
	q.small.Store(0)

	for range 3 {
		q.rollouts(t, 1)
	}
	require.Equal(t, int64(3), q.small.Load(), "a few ask for themselves, at once")
	q.rollouts(t, 20) // from here on it is busy
	q.small.Store(0)
	q.whole.Store(0)
	for _, told := range q.rollouts(t, 100) {
		want.Name = told.Name // an object alone has no need of it
		require.Equal(t, want, told)
	}
	require.Less(t, q.whole.Load(), int64(10), "as many as were not within a tenth of a second")
	require.Less(t, q.small.Load(), int64(10))
}

func TestAWholeAnswerSaysWhatSingleOnesDo(t *testing.T) {
	t.Parallel()
	q := ask(t)
	require.NoError(t, os.WriteFile(filepath.Join(q.folder, "db.yaml"), []byte(`tcp:
  routers: {db: {rule: "HostSNI(`+"`db.example.com`"+`)", service: db, tls: {passthrough: true}}}
  services: {db: {loadBalancer: {servers: [{address: "127.0.0.1:5432"}]}}}
`), 0o600))
	await.True(t, func() bool { return q.GetTCP(t.Context(), q.replica, "routers", "db@file", new(any)) == nil }, "Traefik has read the file")
	q.rollouts(t, 20)
	var replica traefikapi.Replica
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { q.rollouts(t, 1) })
	}
	replica = q.Together(t.Context(), q.replica)
	all.Wait()
	q.small.Store(0)
	for kind, names := range map[string][]string{
		"routers": {router, "none@internal"}, "services": {"api@internal", "none@internal"}, "middlewares": {"none@internal"},
		"tcp routers": {"db@file", "none@file"}, "tcp services": {"db@file", "none@file"},
	} {
		get := q.Get
		kind, isTCP := strings.CutPrefix(kind, "tcp ")
		if isTCP {
			get = q.GetTCP
		}
		for _, name := range names {
			var together, single map[string]any
			errTogether, errSingle := get(t.Context(), replica, kind, name, &together), get(t.Context(), q.replica, kind, name, &single)
			require.Equal(t, errSingle == nil, errTogether == nil, "%s %s", kind, name)
			if errSingle != nil {
				require.ErrorIs(t, errTogether, traefikapi.ErrNoObject)
				require.ErrorIs(t, errSingle, traefikapi.ErrNoObject)
			}
			for _, only := range []string{"name", "provider", "priorityStr", "type"} {
				delete(single, only) // who asks for an object knows them
			}
			require.Equal(t, single, together, "%s %s", kind, name)
		}
	}
	before := q.small.Load()
	require.Positive(t, before)
	var together, single []shown
	require.NoError(t, q.Search(t.Context(), replica, "routers", "api@", &together))
	require.NoError(t, q.Search(t.Context(), q.replica, "routers", "api@", &single))
	require.Equal(t, single, together)
	require.Equal(t, before+1, q.small.Load(), "the whole answer needs no request")
}

func TestATraefikThatShowsOnlyObjectsIsAskedForThem(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.closed.Store(true)
	q.rollouts(t, 20)
	for _, told := range q.rollouts(t, 40) {
		require.Equal(t, "PathPrefix(`/api`)", told.Rule, "%v", told.Errors)
	}
	require.Zero(t, q.whole.Load())
}

// transport answers requests without a network, in the time of a test.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAWholeAnswerThatDoesNotComeKeepsNobodyFromSingleOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var whole atomic.Int64
		c := traefikapi.NewClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/api/rawdata" {
				whole.Add(1)
				<-r.Context().Done()
			}
			if err := r.Context().Err(); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(`{"rule": "Host(` + "`a`" + `)"}`)), Request: r}, nil
		})})
		rollouts := func() {
			var all sync.WaitGroup
			for range 40 {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // as routers have it
					defer cancel()
					var told shown
					replica := c.Together(ctx, traefikapi.Replica{URL: "http://traefik"})
					assert.NoError(t, c.Get(ctx, replica, "routers", router, &told))
				})
			}
			all.Wait()
		}
		for range 10 {
			rollouts()
			time.Sleep(5 * time.Second)
		}
		require.Equal(t, int64(1), whole.Load(), "it is not waited for each time")
		time.Sleep(time.Minute)
		rollouts()
		rollouts()
		require.Equal(t, int64(2), whole.Load(), "and tried again later")
	})
}

func TestACallerWhoLeavesTakesTheAnswerFromNobody(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.rollouts(t, 20)
	left, leave := context.WithCancel(t.Context())
	leave()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { q.Together(left, q.replica) })
	}
	for _, told := range q.rollouts(t, 20) {
		require.Equal(t, traefikapi.Enabled, told.Status, "%v", told.Errors)
	}
	all.Wait()
}

func FuzzAListOfAWholeAnswerIsAList(f *testing.F) {
	f.Add("a@x", `{"rule":"Host(`+"`a`"+`)"}`)
	f.Add("b", `{}`)
	f.Add("c", ` { } `)
	f.Add("d\"", `null`)
	f.Fuzz(func(t *testing.T, name, object string) {
		if !json.Valid([]byte(object)) {
			return
		}
		out := traefikapi.Named(name, json.RawMessage(object))
		require.True(t, json.Valid(out), "%s", out)
		if strings.HasPrefix(strings.TrimSpace(object), "{") {
			var got struct{ Name string }
			if json.Unmarshal([]byte(object), &got) == nil && got.Name == "" {
				require.NoError(t, json.Unmarshal(out, &got))
				require.Equal(t, string([]rune(name)), got.Name, "each byte that is no UTF-8 is a character of its own")
			}
		}
	})
}
