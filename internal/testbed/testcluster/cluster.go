// Package testcluster is a real Kubernetes for tests: etcd, an API server with RBAC, a controller manager, and kwok
// in the place of kubelets. It answers how tests get a cluster, pods that answer requests, and users with few rights.
// It knows nothing of Serin. Start at [Shared].
//
// A package's tests share one cluster, and each has namespaces of its own in it:
//
//	func TestMain(m *testing.M) { testcluster.Main(m) } // in a network namespace in which pod addresses are local
//
//	func TestACanaryGetsItsShare(t *testing.T) {
//		c := testcluster.Shared(t)
//		ns := c.Namespace(t)                           // gone with the test
//		c.Apply(t, ns, manifests)                      // as kubectl apply does
//		c.SetImage(ns, "shop:2", testcluster.Image{Fate: testcluster.PullError}) // before its pods are made
//		client := kubernetes.NewForConfigOrDie(c.ServiceAccount(t, ns, "serin")) // with the rights you bind to it
//		c.Client.AppsV1().Deployments(ns)…             // as the administrator
//		traefik := c.Traefik(t, testbed.TraefikConfig{Throttle: 50 * time.Millisecond}) // reads the custom resources
//		c.Requests(ns)                                 // what each pod was asked
//		c.RestartAPIServer(t)                          // for everybody else who uses the cluster, too
//		server, url := c.AnotherAPIServer(t)           // over the same etcd, to be killed or stopped by this test alone
//	}
//
// Deployments, ReplicaSets, Jobs, EndpointSlices and garbage are the controller manager's. There is no scheduler:
// pending pods are bound to the one node through the API, and those whose nodeSelector does not fit the node are
// unschedulable. Pods are ready at once and Jobs succeed, unless [Cluster.SetImage] says otherwise; an ended pod
// answers for eight seconds more. Each image answers with the header X-Version: TAG; see [Image].
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
	"k8s.io/klog/v2"

	"github.com/serindev/serin/internal/testbed"
)

// startTimeout bounds the start of the whole cluster; on two idle cores it takes about ten seconds.
const startTimeout = 3 * time.Minute

// Cluster is a running cluster.
type Cluster struct {
	// Config and Client are the administrator's, without a limit of requests a second. They lead to the API server
	// itself, and are refused while it is away.
	Config *rest.Config
	Client kubernetes.Interface
	// Kubeconfig is the path of the administrator's kubeconfig. It leads to the API server by a relay that holds requests
	// while it is away; so do Traefiks.
	Kubeconfig string
	// APIServer, Etcd, Controllers and Kwok can be stopped, killed and restarted; a test that does so puts it right
	// before it ends.
	APIServer, Etcd, Controllers, Kwok *testbed.Process

	dir     string
	apiArgs []string // of API servers, but for the port
	ca      *testbed.Authority
	relay   *relay
	pods    *pods
}

var shared struct {
	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// Shared is the cluster of this test binary, started by its first user and ended by [Main].
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	require.NotEmpty(tb, os.Getenv(inside), "the package's TestMain has to be testcluster.Main")
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = Start(context.WithoutCancel(tb.Context()))
	}
	require.NoError(tb, shared.err)
	return shared.cluster
}

// closeShared ends the cluster, and shows the ends of its logs if the tests failed and $SERIN_CLUSTER_LOGS is set.
func closeShared(failed bool) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	c := shared.cluster
	if c == nil {
		return nil
	}
	if failed && os.Getenv("SERIN_CLUSTER_LOGS") != "" {
		for _, p := range []*testbed.Process{c.APIServer, c.Controllers, c.Kwok, c.Etcd} {
			fmt.Fprintf(os.Stderr, "the end of %s:\n%s\n", p.LogPath(), p.LogTail())
		}
	}
	return c.Close()
}

// Start starts a cluster of its own. ctx bounds the start. On an error nothing runs any more.
func Start(ctx context.Context) (*Cluster, error) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // client-go complains aloud of every connection that a test breaks
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "serin-cluster-")
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	c := &Cluster{dir: dir}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a cluster: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	var err error
	if c.pods, err = startPods(c); err != nil {
		return err
	}
	errs := make(chan error, 3)
	go func() { errs <- c.startControllers(ctx) }()
	go func() { errs <- c.startKwok(ctx) }()
	go func() { errs <- c.installTraefik(ctx) }()
	return errors.Join(<-errs, <-errs, <-errs)
}

// Close ends all of it.
func (c *Cluster) Close() error {
	var errs []error
	if c.pods != nil {
		c.pods.close()
	}
	for _, p := range []*testbed.Process{c.Controllers, c.Kwok, c.APIServer, c.Etcd} {
		if p != nil {
			errs = append(errs, p.Kill()) // nothing of it is used again
		}
	}
	if c.relay != nil {
		errs = append(errs, c.relay.close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// RestartAPIServer kills the API server and starts it again on the same address, with what etcd has.
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
