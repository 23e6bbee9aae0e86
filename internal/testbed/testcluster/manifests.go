package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

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
	objects, err := decode(manifests)
	if err != nil {
		return err
	}
	for _, o := range objects {
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
	return nil
}

// read decodes the objects of a file.
func read(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path) //nolint:gosec // of the tests
	if err != nil {
		return nil, err
	}
	return decode(bytes.NewReader(text))
}

func decode(manifests io.Reader) (out []*unstructured.Unstructured, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(manifests, 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode a manifest: %w", err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
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

// definedEvery is the pause between two checks whether definitions are served.
const definedEvery = 100 * time.Millisecond

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
	err = wait.PollUntilContextCancel(ctx, definedEvery, true, func(context.Context) (bool, error) {
		missing := served(c.Client.Discovery())
		return missing == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for Traefik's resources: %w", errors.Join(err, served(c.Client.Discovery())))
	}
	return nil
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
	files, err := gatewayDefinitions(tb.Context())
	require.NoError(tb, err)
	c.Definitions(tb, files...)
}

func gatewayDefinitions(ctx context.Context) (files []string, err error) {
	dir, err := module(ctx, "sigs.k8s.io/gateway-api")
	for _, kind := range []string{"gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies"} {
		files = append(files, filepath.Join(dir, "config/crd/standard/gateway.networking.k8s.io_"+kind+".yaml"))
	}
	return files, err
}

// Gateway starts a Traefik that controls a GatewayClass for this namespace alone, and makes a Gateway "edge" there with
// a listener for each of its entry points. It also sees the Services in further namespaces.
func (c *Cluster) Gateway(tb testing.TB, ns string, t testbed.TraefikConfig, further ...string) *testbed.Traefik {
	tb.Helper()
	t.Args = append(t.Args,
		"--providers.kubernetesgateway=true", "--providers.kubernetesgateway.endpoint="+c.relayed,
		"--providers.kubernetesgateway.namespaces="+strings.Join(append([]string{ns}, further...), ","),
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

// Definitions makes the CustomResourceDefinitions of files unless they are there, and waits until they are served. They stay:
// the cluster is shared, and they are the same for all tests.
func (c *Cluster) Definitions(tb testing.TB, files ...string) {
	tb.Helper()
	require.NoError(tb, c.define(tb.Context(), files...))
}

func (c *Cluster) define(ctx context.Context, files ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	all := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	var names []string
	for _, path := range files {
		wanted, err := read(path)
		if err != nil {
			return err
		}
		for _, o := range wanted {
			if there, err := all.Get(ctx, o.GetName(), metav1.GetOptions{}); err == nil && established(there) {
				continue // the API server would check it before it said that it is there, which takes seconds
			}
			names = append(names, o.GetName())
			if _, err := all.Create(ctx, o, metav1.CreateOptions{FieldManager: "kubectl"}); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("make the definition %s: %w", o.GetName(), err)
			}
		}
	}
	for _, name := range names {
		err := wait.PollUntilContextCancel(ctx, definedEvery, true, func(ctx context.Context) (bool, error) {
			o, err := all.Get(ctx, name, metav1.GetOptions{})
			return err == nil && established(o), nil // a busy server answers later
		})
		if err != nil {
			return fmt.Errorf("definition %s is not served: %w", name, err)
		}
	}
	return nil
}

func established(definition *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == "Established" && m["status"] == "True"
	})
}
