package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// Apply applies YAML documents by server-side apply, as kubectl does, under the name kubectl. Namespaced objects
// without a namespace get this one.
func (c *Cluster) Apply(tb testing.TB, namespace, manifests string) {
	tb.Helper()
	require.NoError(tb, c.apply(tb.Context(), namespace, strings.NewReader(manifests)))
}

func (c *Cluster) apply(ctx context.Context, namespace string, manifests io.Reader) error {
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(manifests, 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode a manifest: %w", err)
		}
		if len(o.Object) == 0 {
			continue
		}
		kind := o.GroupVersionKind()
		mapping, err := c.mapping(kind)
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		resource := dynamic.ResourceInterface(client.Resource(mapping.Resource))
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			if o.GetNamespace() == "" {
				o.SetNamespace(namespace)
			}
			resource = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
		}
		if _, err := resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "kubectl", Force: true}); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
}

// mapping finds a kind's resource. The API server is asked once for what it serves, and again for an unknown kind.
func (c *Cluster) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	c.mapperOnce.Do(func() {
		c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery()))
	})
	m, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		m, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	return m, err
}

// traefikDefinitions is the path of Traefik's custom resource definitions in its module.
const traefikDefinitions = "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"

// installTraefik applies Traefik's custom resource definitions and waits until they are served.
func (c *Cluster) installTraefik(ctx context.Context) error {
	dir, err := module(ctx, "github.com/traefik/traefik/v3")
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, traefikDefinitions)) //nolint:gosec // in the module cache
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if err := c.apply(ctx, "", f); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := served(c.Client.Discovery())
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Traefik's resources: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// module is the folder of a module that Serin requires.
func module(ctx context.Context, path string) (string, error) {
	root, err := testbed.Root()
	if err != nil {
		return "", err
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path) //nolint:gosec // a path of the callers in this package
	list.Dir = root
	dir, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", path, err)
	}
	return strings.TrimSpace(string(dir)), nil
}

func served(d discovery.DiscoveryInterface) error {
	list, err := d.ServerResourcesForGroupVersion("traefik.io/v1alpha1")
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, r := range list.APIResources {
		there[r.Kind] = true
	}
	for _, kind := range []string{"IngressRoute", "TraefikService", "Middleware", "ServersTransport", "TLSOption"} {
		if !there[kind] {
			return fmt.Errorf("there is no %s yet", kind)
		}
	}
	return nil
}

// Traefik starts a Traefik that reads the custom resources of all namespaces as the administrator. Add arguments, such
// as "--providers.kubernetescrd.ingressclass=name", for a Traefik that must not see others' routes.
func (c *Cluster) Traefik(tb testing.TB, t testbed.TraefikConfig) *testbed.Traefik {
	tb.Helper()
	t.Args = append(t.Args,
		"--providers.kubernetescrd=true", "--providers.kubernetescrd.endpoint="+c.relayed,
		"--providers.kubernetescrd.token="+c.Config.BearerToken, "--providers.kubernetescrd.certauthfilepath="+filepath.Join(c.dir, "ca.crt"))
	return testbed.NewTraefik(tb, t)
}

// GatewayAPI installs the definitions of Gateway API's standard channel, and waits until they are served.
func (c *Cluster) GatewayAPI(tb testing.TB) {
	tb.Helper()
	dir, err := module(tb.Context(), "sigs.k8s.io/gateway-api")
	require.NoError(tb, err)
	for _, kind := range []string{"gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies"} {
		c.Definitions(tb, filepath.Join(dir, "config/crd/standard/gateway.networking.k8s.io_"+kind+".yaml"))
	}
}

// Gateway starts a Traefik that controls a GatewayClass for this namespace alone, and makes a Gateway "edge" there with
// a listener for each of its entry points. It also sees the Services in further namespaces.
func (c *Cluster) Gateway(tb testing.TB, ns string, t testbed.TraefikConfig, further ...string) *testbed.Traefik {
	tb.Helper()
	t.Args = append(t.Args,
		"--providers.kubernetesgateway=true", "--providers.kubernetesgateway.endpoint="+c.relayed, "--providers.kubernetesgateway.namespaces="+strings.Join(append([]string{ns}, further...), ","),
		"--providers.kubernetesgateway.labelselector=test="+ns,
		"--providers.kubernetesgateway.token="+c.Config.BearerToken, "--providers.kubernetesgateway.certauthfilepath="+filepath.Join(c.dir, "ca.crt"))
	traefik := testbed.NewTraefik(tb, t)
	names := t.EntryPoints
	if len(names) == 0 {
		names = []string{"web"}
	}
	var listeners []string
	for _, name := range names {
		_, port, err := net.SplitHostPort(traefik.Addr(name))
		require.NoError(tb, err)
		listeners = append(listeners, fmt.Sprintf("{name: %s, port: %s, protocol: HTTP}", name, port))
	}
	c.Apply(tb, ns, fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: %[1]s, labels: {test: %[1]s}}, spec: {controllerName: traefik.io/gateway-controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge}, spec: {gatewayClassName: %[1]s, listeners: [%[2]s]}}`,
		ns, strings.Join(listeners, ", ")))
	return traefik
}

// Definitions applies a file of CustomResourceDefinitions and waits until they are served. They stay: the cluster is shared,
// and they are the same for all tests.
func (c *Cluster) Definitions(tb testing.TB, path string) {
	tb.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // of the test
	require.NoError(tb, err)
	c.Apply(tb, "", string(text))
	client, err := dynamic.NewForConfig(c.Config)
	require.NoError(tb, err)
	all := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(text)), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return
		} else if len(o.Object) == 0 {
			continue
		}
		await.True(tb, func() bool {
			got, err := all.Get(tb.Context(), o.GetName(), metav1.GetOptions{})
			if err != nil {
				return false
			}
			list, _, _ := unstructured.NestedSlice(got.Object, "status", "conditions")
			for _, one := range list {
				if m, _ := one.(map[string]any); m["type"] == "Established" && m["status"] == "True" {
					return true
				}
			}
			return false
		}, "%s is served", o.GetName())
	}
}
