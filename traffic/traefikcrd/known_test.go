package traefikcrd_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traffictest"
)

// watched has clients with watches, as in a daemon, and counts their requests.
type watched struct {
	*traefikcrd.Clients
	told  chan traefikcrd.Change
	begin func([]traefikcrd.Place)

	mu    sync.Mutex // guards what follows
	asked []string   // requests other than watches
	turns int        // how often a watch was opened or ended
}

// requests returns the number of requests so far, without watches.
func (w *watched) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// turned returns how often a watch was opened or ended so far. After a watch has ended, observations ask the API server
// until the next one is open.
func (w *watched) turned() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turns
}

func (w *watched) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turns++
}

type counted struct {
	next http.RoundTripper
	by   *watched
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if watch := r.URL.Query().Get("watch"); watch != "true" && watch != "1" {
		c.by.mu.Lock()
		c.by.asked = append(c.by.asked, r.Method+" "+r.URL.RequestURI())
		c.by.mu.Unlock()
		return c.next.RoundTrip(r)
	}
	c.by.turn()
	res, err := c.next.RoundTrip(r)
	if err == nil {
		res.Body = &ending{res.Body, sync.OnceFunc(c.by.turn)}
	}
	return res, err
}

// ending is the body of a watch. It counts the end of the watch before anything else notices it.
type ending struct {
	io.ReadCloser
	end func()
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.ReadCloser.Read(b)
	if err != nil {
		e.end()
	}
	return n, err
}

func (e *ending) Close() error {
	e.end()
	return e.ReadCloser.Close()
}

func watching(t testing.TB, as *rest.Config) *watched {
	t.Helper()
	w := &watched{told: make(chan traefikcrd.Change, 10_000)}
	config := rest.CopyConfig(as)
	config.QPS, config.Burst = 1000, 1000
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counted{next, w} })
	var err error
	w.Clients, err = traefikcrd.Connect(config)
	require.NoError(t, err)
	w.begin = traffictest.Watching(t, w.Watch, func(c traefikcrd.Change) { w.told <- c })
	return w
}

// router makes a router whose places are watched.
func (w *watched) router(t testing.TB, c traefikcrd.Config) *traefikcrd.Router {
	t.Helper()
	r, err := w.Router(c)
	require.NoError(t, err)
	w.begin(r.Places())
	return r
}

// calm waits until observations by all routers send no request to the API server.
func (w *watched) calm(t testing.TB, routers ...*traefikcrd.Router) {
	t.Helper()
	await.True(t, func() bool {
		before := len(w.requests())
		look(t, routers...)
		return len(w.requests()) == before
	}, "looks without requests; the last were %s", func() string {
		all := w.requests()
		return strings.Join(all[max(0, len(all)-10):], "\n")
	})
}

// look observes with all routers at once, as the engine does: those that ask the same Traefik share the answer.
func look(t testing.TB, routers ...*traefikcrd.Router) []traffic.Observed {
	t.Helper()
	seen, errs := make([]traffic.Observed, len(routers)), make([]error, len(routers))
	var looking sync.WaitGroup
	for i, r := range routers {
		looking.Go(func() { seen[i], errs[i] = r.Observe(t.Context()) })
	}
	looking.Wait()
	require.NoError(t, errors.Join(errs...))
	return seen
}

// behindAService makes a Service for a Traefik in a new namespace, by which its API is named.
func behindAService(t *testing.T, w *world) {
	t.Helper()
	w.traefik = only(t, w.Cluster, w.ns, testbed.TraefikConfig{Throttle: throttle, Host: "10.77.250.4"})
	gate := w.Namespace(t)
	host, port, _ := strings.Cut(strings.TrimPrefix(w.traefik.API, "http://"), ":")
	w.Cluster.Apply(t, gate, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: traefik}, spec: {ports: [{name: api, port: 8080}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: traefik, labels: {kubernetes.io/service-name: traefik}},
	addressType: IPv4, ports: [{name: api, port: %s}], endpoints: [{addresses: [%s], conditions: {ready: true}}]}`, port, host))
	w.config.Verify.APIs = []string{"http://traefik." + gate + ".svc:8080"}
}

// quietMinute is how often an engine observes a rollout in one minute if nothing is wrong with its traffic.
const quietMinute = 12

func TestAQuietMinuteMakesNoRequestToTheAPIServer(t *testing.T) {
	t.Parallel()
	for _, rollouts := range []int{1, 100} {
		t.Run(fmt.Sprintf("%d rollouts", rollouts), func(t *testing.T) {
			w := begin(t, nil)
			behindAService(t, w)
			clients := watching(t, w.Config)
			unwatched := &watched{}
			config := rest.CopyConfig(w.Config)
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counted{next, unwatched} })
			var routers []*traefikcrd.Router
			for i := range rollouts {
				c := w.config
				c.Rollout, c.Route = fmt.Sprintf("shop-%d", i), &traffic.Route{Rule: fmt.Sprintf("Host(`%d.%s`)", i, w.host)}
				r := clients.router(t, c)
				require.NoError(t, r.Apply(t.Context(), target(0.1)))
				routers = append(routers, r)
				if i == 0 {
					_, err := router(t, config, c).Observe(t.Context())
					require.NoError(t, err)
				}
			}
			var made []string
			await.True(t, func() bool { // the API server ends each watch after some minutes, and sooner if it is busy
				turns := clients.turned()
				clients.calm(t, routers...)
				before := len(clients.requests())
				for range quietMinute {
					for _, o := range look(t, routers...) {
						require.Empty(t, traffic.Drift(target(0.1), o))
					}
				}
				made = clients.requests()[before:]
				return clients.turned() == turns
			}, "a minute in which every watch is open")
			t.Logf("requests to the API server in a quiet minute of %d rollouts: %d; without watches: %d",
				rollouts, len(made), quietMinute*rollouts*len(unwatched.requests()))
			require.Empty(t, made)
		})
	}
}

// One watch for each kind serves the namespaces of all rollouts and of Traefik.
func TestOneWatchOfTheWholeClusterServesAllNamespaces(t *testing.T) {
	t.Parallel()
	one, two := begin(t, nil), begin(t, nil)
	behindAService(t, one)
	clients := watching(t, one.Config)
	may, err := clients.Everywhere(t.Context())
	require.NoError(t, err)
	require.True(t, may)
	clients.begin([]traefikcrd.Place{kubeobjects.Everywhere})
	var routers []*traefikcrd.Router
	for _, w := range []*world{one, two} {
		r, err := clients.Router(w.config)
		require.NoError(t, err)
		require.NoError(t, r.Apply(t.Context(), target(0.1)))
		routers = append(routers, r)
	}
	clients.calm(t, routers...)
	for i, r := range routers {
		require.True(t, r.Watched())
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Empty(t, traffic.Drift(target(0.1), o))
		require.NotEmpty(t, o.Replicas)
		w := []*world{one, two}[i]
		asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", half(w.ns, stable.Service, canary.Service))
		for change := range clients.told { // including those of other tests
			if r.Concerns(change) {
				require.Equal(t, w.ns, change.Namespace)
				break
			}
		}
	}

	account := one.ServiceAccount(t, one.ns, "serin")
	one.Cluster.Apply(t, one.ns, rights)
	may, err = watching(t, account).Everywhere(t.Context())
	require.NoError(t, err)
	require.False(t, may, "a Role applies to one namespace")
}

// At every stage of a release, watches show the same as the API server. An observation sees Serin's own writes at once,
// however late the watch reports them.
func TestObservationsByWatchesAreCorrectAndSeeOwnWrites(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){"an owned route": nil, "an adopted route": adopt(usersRoute)} {
		t.Run(name, func(t *testing.T) {
			w := begin(t, change)
			clients := watching(t, w.Config)
			r := clients.router(t, w.config)
			guarded := withCohort(target(0.2))
			guarded.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
			for _, want := range []traffic.Target{target(0), target(0.1), guarded, withCohort(target(0.3)), target(0.5), target(0)} {
				require.NoError(t, r.Apply(t.Context(), want))
				o, err := r.Observe(t.Context())
				require.NoError(t, err)
				require.Empty(t, traffic.Drift(want, o), "already in the first observation")
				clients.calm(t, r)
				o, err = r.Observe(t.Context())
				require.NoError(t, err)
				asked, err := w.Observe(t.Context())
				require.NoError(t, err)
				require.Equal(t, asked.Configured, o.Configured)
			}
		})
	}
}

func TestWatchesShowForeignChanges(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	clients := watching(t, w.Config)
	r := clients.router(t, w.config)
	require.NoError(t, r.Apply(t.Context(), target(0.1)))
	clients.calm(t, r)
	drift := func(what string) {
		t.Helper()
		var last []string
		await.True(t, func() bool {
			o, err := r.Observe(t.Context())
			require.NoError(t, err)
			last = traffic.Drift(target(0.1), o)
			return strings.Contains(strings.Join(last, "\n"), what)
		}, what)
		require.NoError(t, r.Apply(t.Context(), target(0.1)))
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Empty(t, traffic.Drift(target(0.1), o))
		clients.calm(t, r)
	}
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", half(w.ns, stable.Service, canary.Service))
	drift(`TraefikService shop: weighted.services was written by "kubectl-edit"`)
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "shop", `{"spec": {"entryPoints": ["other"]}}`)
	drift(`IngressRoute shop: entryPoints was written by "kubectl-edit"`)
	require.NoError(t, versioned.NewForConfigOrDie(w.Config).TraefikV1alpha1().TraefikServices(w.ns).Delete(t.Context(), "shop", metav1.DeleteOptions{}))
	drift("TraefikService shop is missing")
}

func TestWithoutAnOpenWatchTheAPIServerIsAsked(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	server := w.apart(t)
	clients := watching(t, w.as)
	r := clients.router(t, w.config)
	require.NoError(t, r.Apply(t.Context(), target(0.1)))
	clients.calm(t, r)
	require.NoError(t, server.Kill())
	await.True(t, func() bool {
		o, err := r.Observe(t.Context())
		require.NoError(t, err, "Traefik answers")
		return strings.Contains(o.Unreadable, "connection refused")
	}, "it reports that the API server is away")
	require.NoError(t, server.Restart(t.Context()))
	traffictest.Await(t, r, target(0.1), traffic.InForce)
	clients.calm(t, r)
}

// Older Roles allow reading but not watching.
func TestWithoutTheRightToWatchTheAPIServerIsAsked(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	behindAService(t, w)
	account := w.ServiceAccount(t, w.ns, "serin")
	w.Cluster.Apply(t, w.ns, strings.ReplaceAll(rights, "list, watch", "list"))
	clients := watching(t, account)
	r := clients.router(t, w.config)
	await.True(t, func() bool { return r.Apply(t.Context(), target(0.1)) == nil }, "the rights")
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", half(w.ns, stable.Service, canary.Service))
	o, err := r.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, strings.Join(traffic.Drift(target(0.1), o), "\n"), "kubectl-edit")
	require.Len(t, o.Replicas, 1)
	require.Contains(t, o.Replicas[0].Err, "is forbidden", "there are no rights in Traefik's namespace")
}

func TestAnotherReplicaOfTraefikConcernsTheRollout(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	behindAService(t, w)
	clients := watching(t, w.Config)
	r := clients.router(t, w.config)
	require.NoError(t, r.Apply(t.Context(), target(0.1)))
	clients.calm(t, r)
	gate := r.Places()[1].Namespace
	slices := w.Client.DiscoveryV1().EndpointSlices(gate)
	slice, err := slices.Get(t.Context(), "traefik", metav1.GetOptions{})
	require.NoError(t, err)
	slice.Endpoints[0].Addresses = append(slice.Endpoints[0].Addresses, "10.77.250.5")
	_, err = slices.Update(t.Context(), slice, metav1.UpdateOptions{})
	require.NoError(t, err)
	for !r.Concerns(<-clients.told) { //nolint:revive // others do not matter
	}
	await.True(t, func() bool {
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		return len(o.Replicas) == 2
	}, "both are asked")
}
