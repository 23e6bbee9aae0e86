package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// lease is how long the daemons of these tests wait for a silent leader. A busy machine may delay the API server, and
// so a renewal, by some seconds.
const lease = 9 * time.Second

const replicaYAML = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: %s
  config: rollouts/
  store: %s
  prometheus: {url: "%s", scrapeInterval: 250ms, timeout: 1s}
  kubernetes: {kubeconfig: "%s"}
  leader: {lease: serin, namespace: %s, duration: %s}
`

// replicas are two daemons with one store, on two addresses of this machine.
type replicas struct {
	*world
	hosts   [2]string
	daemons [2]*testbed.Process
}

func newReplicas(t *testing.T, e example) *replicas {
	t.Helper()
	w := newApplication(t, e)
	w.configure(t)
	return replicasOf(t, w, func(_ int, needs string) string { return needs })
}

// replicasOf starts the daemons of a configured world. through returns the address at which a daemon reaches something
// that it needs, in the form http://HOST:PORT or scheme://USER@HOST:PORT/….
func replicasOf(t *testing.T, w *world, through func(daemon int, needs string) string) *replicas {
	t.Helper()
	r := &replicas{world: w, hosts: [2]string{"127.0.0.2", "127.0.0.3"}}
	r.grant(t, "--set", "store.postgres.secretName=a,auth.tokensSecret=b,auth.sessionKeySecret=c") // the Lease, too
	port := r.url[strings.LastIndex(r.url, ":"):]
	store, err := testbed.NewPostgres(t, testbed.PostgresConfig{}).CreateDatabase(t.Context(), "serin")
	require.NoError(t, err)
	path, err := program()
	require.NoError(t, err)
	for i, host := range r.hosts {
		name := fmt.Sprintf("serin-%d", i+1)
		access := rest.CopyConfig(r.access)
		access.Host = through(i, access.Host)
		text := fmt.Sprintf(replicaYAML, host+port, through(i, store), through(i, r.prometheus.URL), r.c.WriteKubeconfig(t, access), r.home, lease)
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, name+".yaml"), []byte(text), 0o600))
		r.daemons[i] = testbed.New(t, testbed.Command{Name: name, Path: path, Args: []string{"daemon", "--config", name + ".yaml", "--advertise", host}, Dir: r.dir})
		r.use(i)
		r.signIn(t)
	}
	await.Until(t, "one leads", func() string {
		if r.leads() < 0 {
			return "nobody"
		}
		return ""
	})
	return r
}

// use sends requests to one of the daemons from now on.
func (r *replicas) use(i int) {
	r.url = "http://" + r.hosts[i] + r.url[strings.LastIndex(r.url, ":"):]
}

// leads returns the index of the daemon that the Lease names, or -1.
func (r *replicas) leads() int {
	l, err := r.c.Client.CoordinationV1().Leases(r.home).Get(context.Background(), "serin", metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil {
		return -1
	}
	for i, host := range r.hosts {
		if strings.HasPrefix(*l.Spec.HolderIdentity, host+"/") {
			return i
		}
	}
	return -1
}

// once checks that what may happen only once in a release happened once.
func (w *world) once(t *testing.T, id string) {
	t.Helper()
	seen := map[string]int{}
	for _, e := range w.events(t, id) {
		seen[e.Kind]++
	}
	require.Equal(t, 1, seen["jobSucceeded"], "%v", seen)
	require.Equal(t, 1, seen["ended"], "%v", seen)
	jobs, err := w.c.Client.BatchV1().Jobs(w.pro).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, jobs.Items, 1)
}

func TestTheStandbyTakesOverWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, pipeline.with("hold: 1s", "hold: 6s"))
	loads := r.users(t, beta)
	first := r.leads()
	other := 1 - first
	r.use(other) // it forwards requests
	id := r.toGray(t, 1)

	killed := time.Now()
	require.NoError(t, r.daemons[first].Kill())
	status, text := r.get("/api/v1/rollouts", nil)
	require.Equal(t, http.StatusServiceUnavailable, status, text)
	r.wait(t, "the other daemon knows the release", func(v view) bool { return v.Release.ID == id })
	t.Logf("taken over %.1f s after the kill, with a lease of %s", time.Since(killed).Seconds(), lease)
	require.Equal(t, other, r.leads())

	r.wait(t, "the second gate is open", atGate("full-release"))
	require.NoError(t, r.daemons[first].Restart(t.Context()))
	r.use(first)
	r.signIn(t)
	r.approve(t, id, "full-release") // through the one that is now the standby
	v := r.wait(t, "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.Equal(t, other, r.leads(), "a daemon that comes back does not take over")
	r.once(t, id)
	noRequestFailed(t, loads)
}

func TestADaemonThatWasFrozenUndoesNothing(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, pipeline.with("hold: 1s", "hold: 20m"))
	loads := r.users(t, beta)
	first := r.leads()
	other := 1 - first
	r.use(other)
	id := r.toGray(t, 0)
	require.NoError(t, r.daemons[first].Signal(syscall.SIGSTOP))
	await.Until(t, "the other leads", func() string {
		if r.leads() != other {
			return "not yet"
		}
		return ""
	})
	r.wait(t, "the other daemon knows the release", func(v view) bool { return v.Release.ID == id })
	status, text := r.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	r.wait(t, "the release has ended", ended)
	before := loads[0].Counts().Answered("2")

	require.NoError(t, r.daemons[first].Signal(syscall.SIGCONT))
	code, err := r.daemons[first].ExitCode(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, code)
	require.Contains(t, r.daemons[first].LogTail(), "the lease was lost")
	require.Equal(t, before, loads[0].Counts().Answered("2"), "no request was sent to the canary again")
	events := r.events(t, id)
	require.Equal(t, "ended", events[len(events)-1].Kind)
	r.once(t, id)
	noRequestFailed(t, loads)
}
