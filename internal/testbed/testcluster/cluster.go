// Package testcluster is a real Kubernetes for tests: etcd, an API server with RBAC, a controller manager, and kwok in
// place of kubelets. It gives tests a cluster, pods that answer requests, and users with few rights. It knows nothing
// of Serin. Start at [Shared].
//
// All tests of a run share one cluster, which the command in the folder run starts; a package that is tested by itself
// has a cluster of its own, started on first use. Each test has namespaces of its own in it:
//
//	func TestMain(m *testing.M) { testcluster.Main(m) } // in a network namespace in which pod addresses are local
//
//	func TestACanaryGetsItsShare(t *testing.T) {
//		c := testcluster.Shared(t)
//		ns := c.Namespace(t)                           // emptied after the test
//		c.Apply(t, ns, manifests)                      // as kubectl apply does
//		c.SetImage(ns, "shop:2", testcluster.Image{Fate: testcluster.PullError}) // before its pods are made
//		client := kubernetes.NewForConfigOrDie(c.ServiceAccount(t, ns, "serin")) // with the rights you bind to it
//		c.Client.AppsV1().Deployments(ns)…             // as the administrator
//		traefik := c.Traefik(t, testbed.TraefikConfig{Throttle: 50 * time.Millisecond}) // reads the custom resources
//		c.Requests(ns)                                 // what each pod was asked
//		server, url := c.AnotherAPIServer(t)           // over the same etcd, to be killed or stopped by this test alone
//	}
//
// The controller manager handles Deployments, StatefulSets, ReplicaSets, Jobs, EndpointSlices, autoscalers, disruption
// budgets and garbage. No scheduler runs: each test binary has a node, to which its pending pods are bound through the
// API; those whose nodeSelector does not fit are unschedulable. Pods are ready at once and Jobs succeed, unless
// [Cluster.SetImage] says otherwise; a pod that has ended answers for some seconds more. Each image answers with the
// header X-Version: TAG; see [Image].
package testcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"

	"github.com/serindev/serin/internal/testbed"
)

// startTimeout bounds the start of the whole cluster; on two idle cores it takes about ten seconds.
const startTimeout = 5 * time.Minute

// Cluster is a running cluster.
type Cluster struct {
	// Config and Client are the administrator's, without a limit of requests a second. They talk to the API server
	// directly, and fail while it is down.
	Config *rest.Config
	Client kubernetes.Interface
	// Kubeconfig is the path of the administrator's kubeconfig. It goes through a relay that holds requests while the
	// API server is down; so do Traefiks.
	Kubeconfig string
	// APIServer, Etcd, Controllers and Kwok can be stopped, killed and restarted; a test that does so restores them
	// before it ends. They are nil if the cluster is the whole run's: see [Alone].
	APIServer, Etcd, Controllers, Kwok *testbed.Process

	dir     string
	apiArgs []string // of API servers, except the port
	ca      *testbed.Authority
	relayed string // URL of the relay
	pods    *pods

	mapperOnce sync.Once // guards mapper
	mapper     *restmapper.DeferredDiscoveryRESTMapper

	attached    bool // another process has started it; what follows is nil
	relay       *relay
	switchboard *switchboard
}

var shared struct {
	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// Shared is the cluster of this run, or else of this test binary, started by its first user and ended by [Main].
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	require.NotEmpty(tb, os.Getenv(inside), "the package's TestMain has to be testcluster.Main")
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil && shared.err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), startTimeout)
		defer cancel()
		if dir := handed(); dir != "" {
			shared.cluster, shared.err = attach(ctx, dir)
		} else {
			shared.cluster, shared.err = Start(ctx)
		}
	}
	require.NoError(tb, shared.err)
	return shared.cluster
}

// closeShared ends the cluster, and shows the ends of its logs if tests failed and $SERIN_CLUSTER_LOGS is set.
func closeShared(failed bool) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	c := shared.cluster
	if c == nil {
		return nil
	}
	if failed && os.Getenv("SERIN_CLUSTER_LOGS") != "" {
		c.showLogs()
	}
	return c.Close()
}

func (c *Cluster) showLogs() {
	for _, p := range []*testbed.Process{c.APIServer, c.Controllers, c.Kwok, c.Etcd} {
		if p != nil {
			fmt.Fprintf(os.Stderr, "the end of %s:\n%s\n", p.LogPath(), p.LogTail())
		}
	}
}

// Start starts a new cluster. ctx bounds the start. On an error nothing is left running.
func Start(ctx context.Context) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "serin-cluster-")
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	return startIn(ctx, dir)
}

// startIn starts a cluster whose files are in a folder, which is removed when it is closed.
func startIn(ctx context.Context, dir string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c := &Cluster{dir: dir}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a cluster: %w", err), c.Close())
	}
	return c, nil
}

// quiet silences client-go, which would log every connection that a test breaks.
func quiet() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }

func (c *Cluster) start(ctx context.Context) error {
	if err := os.MkdirAll(string(c.owners()), 0o700); err != nil {
		return err
	}
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(typed(c.config(c.relayed, adminToken)))
	if err != nil {
		return err
	}
	if c.switchboard, err = startSwitchboard(c.owners(), client); err != nil {
		return err
	}
	if c.pods, err = startPods(ctx, c); err != nil {
		return err
	}
	if err := c.owners().claim(theRest, c.pods.socket); err != nil {
		return err
	}
	errs := make(chan error, 3)
	go func() { errs <- c.startControllers(ctx) }()
	go func() { errs <- c.startKwok(ctx) }()
	go func() { errs <- c.installTraefik(ctx) }()
	return errors.Join(<-errs, <-errs, <-errs)
}

func (c *Cluster) owners() owners { return owners(filepath.Join(c.dir, "owners")) }

// Close ends what this process has started: all of it, or its part in a cluster that another has started.
func (c *Cluster) Close() error {
	var errs []error
	if c.pods != nil {
		c.pods.close()
	}
	if c.switchboard != nil {
		c.switchboard.close()
	}
	for _, p := range []*testbed.Process{c.Controllers, c.Kwok, c.APIServer, c.Etcd} {
		if p != nil {
			errs = append(errs, p.Kill()) // nothing it has stored is needed any more
		}
	}
	if c.relay != nil {
		errs = append(errs, c.relay.close())
	}
	if !c.attached {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// RestartAPIServer kills the API server and starts it again at the same address, with what etcd has stored. The cluster
// has to be this binary's own: see [Alone].
func (c *Cluster) RestartAPIServer(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, c.APIServer.Kill())
	require.NoError(tb, c.APIServer.Restart(tb.Context()))
}

// file writes a file of the cluster's and returns its path.
func (c *Cluster) file(name string, data []byte) (string, error) {
	path := filepath.Join(c.dir, name)
	return path, os.WriteFile(path, data, 0o600)
}

func lines(parts ...string) []byte { return []byte(strings.Join(parts, "\n") + "\n") }
