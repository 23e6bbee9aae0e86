package testcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// config is the config of a client with this token, without a limit of requests a second.
func (c *Cluster) config(url, token string) *rest.Config {
	return &rest.Config{Host: url, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.Cert}, QPS: -1}
}

// User is the config of a user of the API server without any rights: alice, bob, carol or dave.
func (c *Cluster) User(tb testing.TB, name string) *rest.Config {
	tb.Helper()
	require.Contains(tb, users, name)
	return c.config(c.Config.Host, name+"-token")
}

// ServiceAccount makes a ServiceAccount, unless it exists, and returns its config, with a token that is valid for an
// hour. It has only the rights that are bound to it.
func (c *Cluster) ServiceAccount(tb testing.TB, namespace, name string) *rest.Config {
	tb.Helper()
	accounts := c.Client.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(tb.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(tb, err)
	}
	token, err := accounts.CreateToken(tb.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(tb, err)
	return c.config(c.Config.Host, token.Status.Token)
}

// Certificate makes the certificate and key of a host, as PEM, by the authority that signed the API server's
// (Config.CAData).
func (c *Cluster) Certificate(tb testing.TB, host string) (cert, key []byte) {
	tb.Helper()
	cert, key, err := c.ca.Serve(host)
	require.NoError(tb, err)
	return cert, key
}

// WriteKubeconfig writes config as a kubeconfig into a folder of the test's, and returns its path.
func (c *Cluster) WriteKubeconfig(tb testing.TB, config *rest.Config) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "kubeconfig")
	require.NoError(tb, writeKubeconfig(path, config))
	return path
}

func writeKubeconfig(path string, config *rest.Config) error {
	k := api.NewConfig()
	k.Clusters["test"] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	k.AuthInfos["test"] = &api.AuthInfo{Token: config.BearerToken}
	k.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	k.CurrentContext = "test"
	data, err := clientcmd.Write(*k)
	if err != nil {
		return fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return os.WriteFile(path, data, 0o600)
}

// typed is a config for clients of built-in kinds, which speak protobuf: encoding JSON is much of the work of an API
// server and its clients. Custom resources stay JSON.
func typed(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return config
}

// burdens are the kinds of objects that still cost something after their test: controllers keep working on them, and
// gateways and daemons that see all namespaces read them.
var burdens = []schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Resource: "replicasets"}, {Group: "batch", Version: "v1", Resource: "jobs"},
	{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, {Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "services"}, {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"}, {Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutetcps"},
	{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressrouteudps"}, {Group: "traefik.io", Version: "v1alpha1", Resource: "traefikservices"},
	{Group: "traefik.io", Version: "v1alpha1", Resource: "middlewares"}, {Group: "traefik.io", Version: "v1alpha1", Resource: "tlsoptions"},
	{Group: "traefik.io", Version: "v1alpha1", Resource: "tlsstores"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"},
	{Group: "serin.dev", Version: "v1alpha1", Resource: "rollouts"}, {Group: "serin.dev", Version: "v1alpha1", Resource: "analyses"},
}

// empty deletes the burdens of a namespace. The rest stays until the cluster ends: to delete a namespace, the
// controller lists every kind of object twice, and a run makes hundreds of namespaces.
func (c *Cluster) empty(ctx context.Context, namespace string) error {
	client, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	for _, kind := range burdens {
		err := client.Resource(kind).Namespace(namespace).DeleteCollection(ctx,
			metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
		if err != nil && !apierrors.IsNotFound(err) { // not every cluster has every custom resource
			return fmt.Errorf("empty namespace %s of %s: %w", namespace, kind.Resource, err)
		}
	}
	return nil
}

// Namespace makes a namespace that is emptied after the test; its name is derived from the test's.
func (c *Cluster) Namespace(tb testing.TB) string {
	tb.Helper()
	name := strings.ToLower(tb.Name())
	name = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name), "-")
	name = strings.Join(slices.DeleteFunc(strings.Split(name[max(0, len(name)-40):], "-"), func(s string) bool { return s == "" }), "-") + "-"
	made, err := c.Client.CoreV1().Namespaces().Create(tb.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name}}, metav1.CreateOptions{})
	require.NoError(tb, err)
	require.NoError(tb, c.owners().claim(made.Name, c.pods.socket))
	tb.Cleanup(func() {
		if err := c.empty(context.WithoutCancel(tb.Context()), made.Name); err != nil {
			tb.Error(err)
		}
		c.pods.forget(made.Name)
	})
	return made.Name
}
