package traefikapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic/traefikapi"
)

// questions are what rollouts ask a real Traefik, through a proxy that counts what arrives there.
type questions struct {
	*traefikapi.Client
	asker        traefikapi.Asker
	server       *testbed.Traefik
	replica      traefikapi.Replica
	whole, small atomic.Int64
	closed       atomic.Bool  // rawdata is not available
	late         atomic.Int64 // how many milliseconds each answer takes
}

func ask(t *testing.T) *questions {
	t.Helper()
	server := testbed.NewTraefik(t, testbed.TraefikConfig{EntryPoints: []string{"web"}})
	to, err := url.Parse(server.API)
	require.NoError(t, err)
	q := &questions{Client: traefikapi.NewClient(nil), server: server}
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
		time.Sleep(time.Duration(q.late.Load()) * time.Millisecond)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(counter.Close)
	q.replica = traefikapi.Replica{URL: counter.URL}
	return q
}

// router is one of Traefik's own routers.
const router = "api@internal"

type shown struct {
	Name, Rule, Service string
	EntryPoints         []string
	Priority            int
	traefikapi.State
}

// rollouts has n rollouts ask at the same time, and returns their answers.
func (q *questions) rollouts(t *testing.T, n int) []shown {
	t.Helper()
	return q.within(t.Context(), n)
}

// within is [questions.rollouts] with a ctx that bounds the wait.
func (q *questions) within(ctx context.Context, n int) []shown {
	out := make([]shown, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			replica := q.Together(ctx, q.replica, &q.asker)
			if err := q.Get(ctx, replica, "routers", router, &out[i]); err != nil {
				out[i].Errors = append(out[i].Errors, err.Error())
			}
		})
	}
	all.Wait()
	return out
}

func TestManySimultaneousCallersShareOneAnswer(t *testing.T) {
	t.Parallel()
	q := ask(t)
	var want shown
	require.NoError(t, q.Get(t.Context(), q.replica, "routers", router, &want))
	q.small.Store(0)

	for range 3 {
		q.rollouts(t, 1)
	}
	require.Equal(t, int64(3), q.small.Load(), "a few callers ask on their own, at once")
	q.rollouts(t, 20) // from here on it is busy
	q.small.Store(0)
	q.whole.Store(0)
	for _, told := range q.rollouts(t, 100) {
		want.Name = told.Name // an answer about a single object has no name
		require.Equal(t, want, told)
	}
	require.Less(t, q.whole.Load(), int64(10), "one per tenth of a second at most")
	require.Less(t, q.small.Load(), int64(10))
}

func TestAWholeAnswerSaysTheSameAsSingleOnes(t *testing.T) {
	t.Parallel()
	q := ask(t)
	require.NoError(t, os.WriteFile(filepath.Join(q.server.Directory, "db.yaml"), []byte(`tcp:
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
	replica = q.Together(t.Context(), q.replica, &q.asker)
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
				delete(single, only) // the caller knows them
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

// Traefik's CPU may be so limited that it needs more than a second for its whole configuration: many single requests
// would only make it worse.
func TestASlowTraefikIsAskedNoMoreThanAQuickOne(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.rollouts(t, 20)
	q.late.Store(1100)
	q.whole.Store(0)
	q.small.Store(0)
	for range 3 {
		for _, told := range q.rollouts(t, 40) {
			require.Equal(t, traefikapi.Enabled, told.Status, "%v", told.Errors)
		}
	}
	require.Less(t, q.whole.Load(), int64(10), "one per tenth of a second at most")
	require.Zero(t, q.small.Load())
	told := q.rollouts(t, 1)
	require.Equal(t, traefikapi.Enabled, told[0].Status, "%v", told[0].Errors)
	require.Zero(t, q.small.Load(), "a straggler does not ask for single objects either")
}

func TestAStoppedTraefikIsAskedOnceForAll(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.rollouts(t, 20)
	require.NoError(t, q.server.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = q.server.Signal(syscall.SIGCONT) })
	q.whole.Store(0)
	q.small.Store(0)
	patience, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, told := range q.within(patience, 40) {
		require.Len(t, told.Errors, 1, "it is unknown what it serves")
		require.Contains(t, told.Errors[0], "there was no answer in time")
	}
	require.Zero(t, q.small.Load())
	require.LessOrEqual(t, q.whole.Load(), int64(1))

	require.NoError(t, q.server.Signal(syscall.SIGCONT))
	for _, told := range q.rollouts(t, 40) {
		require.Equal(t, traefikapi.Enabled, told.Status, "%v", told.Errors)
	}
	require.Zero(t, q.small.Load())
	require.Less(t, q.whole.Load(), int64(10))
}

func TestARestartedTraefikIsKnownSoon(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.rollouts(t, 20)
	require.NoError(t, q.server.Kill())
	q.small.Store(0)
	for _, told := range q.rollouts(t, 40) {
		require.Len(t, told.Errors, 1, "it is unknown what it serves")
	}
	require.Zero(t, q.small.Load())
	require.NoError(t, q.server.Restart(t.Context()))
	await.True(t, func() bool { return q.rollouts(t, 20)[19].Status == traefikapi.Enabled }, "it is known what it serves")
}

// transport answers requests without a network, so that they take only simulated time.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slowTraefik takes three seconds for its whole configuration, whose router has the rule at the time of the request.
// Callers wait for two. Without a rule it does not answer.
func slowTraefik(rule *atomic.Value) (c *traefikapi.Client, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return traefikapi.NewClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		object := fmt.Sprintf(`{"rule": %q}`, rule.Load())
		if r.URL.Path == "/api/rawdata" {
			if time.Sleep(3 * time.Second); rule.Load() == "" {
				<-r.Context().Done()
			}
			object = `{"routers": {"` + router + `": ` + object + `}}`
		}
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(object)), Request: r}, nil
	})}), asked
}

func TestALateAnswerCountsForWritesBeforeItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rule atomic.Value
		rule.Store("before")
		c, asked := slowTraefik(&rule)
		askers := make([]traefikapi.Asker, 40)
		rules := func() (out []string) {
			out = make([]string, len(askers))
			var all sync.WaitGroup
			for i := range askers {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					var told shown
					replica := c.Together(ctx, traefikapi.Replica{URL: "http://traefik"}, &askers[i])
					if err := c.Get(ctx, replica, "routers", router, &told); err != nil {
						told.Rule = "not known"
					}
					out[i] = told.Rule
				})
			}
			all.Wait()
			slices.Sort(out)
			return slices.Compact(out)
		}
		for i := range askers {
			askers[i].Wrote()
		}
		rules() // from here on it is busy
		asked.Store(0)
		require.Equal(t, []string{"not known"}, rules(), "it takes longer than they wait")
		require.Equal(t, int64(1), asked.Load())
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"before"}, rules())
		rule.Store("after")
		askers[0].Wrote()
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"after"}, rules(), "although old, the answer was requested after the write")
		for i := range askers {
			askers[i].Wrote()
		}
		require.Equal(t, []string{"not known"}, rules(), "no answer says anything about this write")
		time.Sleep(5 * time.Second)
		rule.Store("")
		require.Equal(t, []string{"after"}, rules())
		time.Sleep(5 * time.Second)
		rules()
		for range 3 {
			time.Sleep(5 * time.Second)
			require.Equal(t, []string{"not known"}, rules(), "the last answer is too old")
		}
		time.Sleep(time.Minute) // until nothing is under way
	})
}

func TestACallerThatLeavesDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	q := ask(t)
	q.rollouts(t, 20)
	left, leave := context.WithCancel(t.Context())
	leave()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { q.Together(left, q.replica, &q.asker) })
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
				require.Equal(t, string([]rune(name)), got.Name, "each byte that is not UTF-8 becomes one character")
			}
		}
	})
}
