package testcluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/testbed"
)

// nodeIP is the address of all nodes, as the API server sees it.
const nodeIP = "127.0.0.1"

//go:embed stages.yaml
var stages []byte

// server starts one program of the cluster. A real cluster has machines of its own: with the same share of a busy machine as
// everything else, the API server sometimes answers nobody for ten seconds, and leases run out.
func (c *Cluster) server(ctx context.Context, name string, ready func(context.Context) error, args ...string) (*testbed.Process, error) {
	path, err := testbed.Tool(name)
	if err != nil {
		return nil, err
	}
	return testbed.Start(ctx, testbed.Command{Name: name, Path: path, Args: args, Dir: c.dir, Single: true, Urgent: true, Ready: ready})
}

// startAPI starts etcd and the API server and makes the administrator's client.
func (c *Cluster) startAPI(ctx context.Context) error {
	addresses := make([]string, 3)
	for i := range addresses {
		port, err := testbed.FreePort()
		if err != nil {
			return err
		}
		addresses[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	client, peer, api := "http://"+addresses[0], "http://"+addresses[1], addresses[2]
	var err error
	c.Etcd, err = c.server(ctx, "etcd", nil, "--name=test", "--data-dir="+filepath.Join(c.dir, "etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=test="+peer, "--unsafe-no-fsync", "--log-level=warn")
	if err != nil {
		return err
	}
	if c.relay, err = startRelay(api); err != nil {
		return err
	}
	c.relayed = c.relay.url()
	args, err := c.credentials("https://" + api)
	if err != nil {
		return err
	}
	if c.Client, err = kubernetes.NewForConfig(typed(c.Config)); err != nil {
		return err
	}
	c.apiArgs = append(args,
		"--etcd-servers="+client, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		"--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range="+serviceCIDR, "--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount", "--profiling=false", "--enable-priority-and-fairness=false")
	c.APIServer, err = c.startAPIServer(ctx, "kube-apiserver", api)
	return err
}

// startAPIServer starts an API server over the cluster's etcd.
func (c *Cluster) startAPIServer(ctx context.Context, name, address string) (*testbed.Process, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	path, err := testbed.Tool("kube-apiserver")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(c.config("https://"+address, c.Config.BearerToken))
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	}
	args := append(slices.Clone(c.apiArgs), "--secure-port="+port)
	// It uses the most memory of all servers: it spends a third of its processor time on collecting garbage, or a tenth
	// if it may have a gigabyte.
	env := []string{"GOGC=1000", "GOMEMLIMIT=1GiB"}
	// When it starts, it compares the addresses of all Services with those that have been allocated, and ends if
	// another API server allocates one meanwhile.
	return testbed.Start(ctx, testbed.Command{
		Name: name, Path: path, Args: args, Env: env, Dir: c.dir, Single: true, Urgent: true, Ready: ready, Retries: 2,
	})
}

// AnotherAPIServer starts one more API server over the same etcd, as in a cluster with several, and returns its
// address. A test that ends or freezes it disturbs only the clients that it sends there. It ends with the test.
func (c *Cluster) AnotherAPIServer(tb testing.TB) (server *testbed.Process, url string) {
	tb.Helper()
	port, err := testbed.FreePort()
	require.NoError(tb, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	server, err = c.startAPIServer(tb.Context(), "kube-apiserver-"+strconv.Itoa(port), address)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if err := server.Kill(); err != nil {
			tb.Errorf("end another API server: %v", err)
		}
	})
	return server, "https://" + address
}

// endpointsEnv is set where a Traefik before 3.1 is tested: it reads Endpoints, which every cluster has and which cost the tests
// of others only time.
const endpointsEnv = "SERIN_ENDPOINTS"

func (c *Cluster) startControllers(ctx context.Context) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	controllers := []string{
		"deployment-controller", "statefulset-controller", "replicaset-controller", "job-controller", "endpointslice-controller",
		"garbage-collector-controller", "serviceaccount-controller", "namespace-controller",
		"horizontal-pod-autoscaler-controller", "disruption-controller", "clusterrole-aggregation-controller",
	}
	if os.Getenv(endpointsEnv) != "" {
		controllers = append(controllers, "endpoints-controller")
	}
	c.Controllers, err = c.server(ctx, "kube-controller-manager", c.controlled, "--kubeconfig="+c.Kubeconfig,
		"--use-service-account-credentials=false", "--service-account-private-key-file="+filepath.Join(c.dir, accountKey),
		"--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(port), "--cert-dir="+c.dir,
		"--kube-api-qps=1000", "--kube-api-burst=1000", "--controllers="+strings.Join(controllers, ","), "--horizontal-pod-autoscaler-sync-period=1s")
	return err
}

// controlled returns nil once the controllers work: they start after their program has, and on a busy machine long
// after.
func (c *Cluster) controlled(ctx context.Context) error {
	none, labels := int32(0), map[string]string{"app": "probe"}
	probe := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "probe"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "probe", Image: "probe"}}},
			},
		},
	}
	deployments := c.Client.AppsV1().Deployments(metav1.NamespaceDefault)
	if _, err := deployments.Create(ctx, probe, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	seen, err := deployments.Get(ctx, probe.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return err
	case seen.Status.ObservedGeneration == 0:
		return errors.New("the Deployment controller has seen nothing yet")
	}
	return deployments.Delete(ctx, probe.Name, metav1.DeleteOptions{})
}

func (c *Cluster) startKwok(ctx context.Context) error {
	config, err := c.file("stages.yaml", stages)
	if err != nil {
		return err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	c.Kwok, err = c.server(ctx, "kwok", nil, "--kubeconfig="+c.Kubeconfig, "--config="+config, "--manage-all-nodes=true",
		"--cidr="+podCIDR, "--node-ip="+nodeIP,
		"--server-address="+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "--node-lease-duration-seconds=0")
	return err
}

const adminToken = "admin-token"

// users are known to the API server by name, and have only the rights that a test binds to them.
var users = []string{"alice", "bob", "carol", "dave"}

// Files of the cluster's folder.
const (
	accountKey = "accounts.key"
	caCert     = "ca.crt"
	caKey      = "ca.key"
	kubeconfig = "kubeconfig"
)

// credentials makes certificates, keys and tokens, the administrator's config and kubeconfig, and returns the arguments
// that pass them to the API server.
func (c *Cluster) credentials(url string) ([]string, error) {
	var err error
	if c.ca, err = testbed.NewAuthority(); err != nil {
		return nil, err
	}
	cert, key, err := c.ca.Serve("127.0.0.1")
	if err != nil {
		return nil, err
	}
	_, account, err := c.ca.Serve("accounts") // for its key
	if err != nil {
		return nil, err
	}
	authority, err := c.ca.Key()
	if err != nil {
		return nil, err
	}
	tokens := []string{adminToken + `,admin,admin,"system:masters"`}
	for _, u := range users {
		tokens = append(tokens, fmt.Sprintf("%s-token,%s,%s", u, u, u))
	}
	for name, data := range map[string][]byte{
		caCert: c.ca.Cert, caKey: authority, "api.crt": cert, "api.key": key, accountKey: account, "tokens.csv": lines(tokens...),
	} {
		if _, err := c.file(name, data); err != nil {
			return nil, err
		}
	}
	c.Config = c.config(url, adminToken)
	c.Kubeconfig = filepath.Join(c.dir, kubeconfig)
	at := func(name string) string { return filepath.Join(c.dir, name) }
	return []string{
		"--tls-cert-file=" + at("api.crt"), "--tls-private-key-file=" + at("api.key"), "--token-auth-file=" + at("tokens.csv"),
		"--service-account-key-file=" + at(accountKey), "--service-account-signing-key-file=" + at(accountKey), "--cert-dir=" + c.dir,
	}, errors.Join(writeKubeconfig(c.Kubeconfig, c.config(c.relayed, adminToken)), os.MkdirAll(at("etcd"), 0o700))
}
