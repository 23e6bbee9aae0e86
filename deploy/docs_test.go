package deploy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// helm runs a line of the documentation unchanged in the repository's root.
func helm(t *testing.T, kubeconfig, dir, line string) string {
	t.Helper()
	words := strings.Fields(line)
	require.Equal(t, "helm", words[0])
	for i, w := range words {
		if _, err := os.Stat(filepath.Join(dir, w)); err == nil {
			words[i] = filepath.Join(dir, w) // a file that the page tells the reader to write
		}
	}
	cmd := exec.CommandContext(t.Context(), tool(t, "helm"), words[1:]...) //nolint:gosec // our own documentation
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir, "KUBECONFIG="+kubeconfig)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", line, out)
	return string(out)
}

// versioned returns a kubeconfig for a proxy that adds a version to the cluster's API server, which was built without one,
// because the chart checks it.
func versioned(t *testing.T, c *testcluster.Cluster) string {
	t.Helper()
	transport, err := rest.TransportFor(c.Config)
	require.NoError(t, err)
	target, err := url.Parse(c.Config.Host)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"major": "1", "minor": "34", "gitVersion": "v1.34.0"}`)
	}))
	t.Cleanup(server.Close)
	return c.WriteKubeconfig(t, &rest.Config{Host: server.URL})
}

// namespace makes a namespace with the documentation's name.
func namespace(t *testing.T, c *testcluster.Cluster, name string) {
	t.Helper()
	_, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}))
	})
}

// secret makes a Secret as kubectl would.
func secret(t *testing.T, c *testcluster.Cluster, name string, kind corev1.SecretType, data map[string]string) {
	t.Helper()
	_, err := c.Client.CoreV1().Secrets("serin").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Type: kind, StringData: data,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// The installation in docs/kubernetes.md is run on a real API server, with a real Helm. There is no kubectl: its lines are
// compared word by word and done through the API.
func TestTheInstallationOfTheDocumentation(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	kubeconfig := versioned(t, c)
	page, err := os.ReadFile("../docs/kubernetes.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```sh elsewhere\n(kubectl create namespace.*?)```").FindSubmatch(page)
	require.NotNil(t, block)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(shown(t, "kubernetes.md", "values.yaml")), 0o600))
	for _, other := range []string{"pro", "dev", "traefik"} { // the page's values name them
		namespace(t, c, other)
	}
	by := map[string]func(){
		"kubectl create namespace serin": func() { namespace(t, c, "serin") },
		"kubectl -n serin create secret generic serin-tokens --from-file=tokens.yaml": func() {
			secret(t, c, "serin-tokens", corev1.SecretTypeOpaque, map[string]string{"tokens.yaml": "tokens: []"})
		},
		"kubectl -n serin create secret tls serin-tls --cert=tls.crt --key=tls.key": func() {
			secret(t, c, "serin-tls", corev1.SecretTypeTLS, map[string]string{"tls.crt": "x", "tls.key": "x"})
		},
	}
	for line := range strings.Lines(string(block[1])) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "   #")
		if do, ok := by[line]; ok {
			do()
			continue
		}
		require.Contains(t, helm(t, kubeconfig, dir, line), "STATUS: deployed")
	}
	_, err = c.Client.AppsV1().Deployments("serin").Get(t.Context(), "serin", metav1.GetOptions{})
	require.NoError(t, err)
	wantsSecrets(t, c)
	require.Empty(t, listsWhatIsMade(t, c, "pro"), "the chart makes nothing there that would be taken for a rollout's")

	volumes, err := c.Client.CoreV1().PersistentVolumeClaims("serin").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, volumes.Items, 1)
	line := regexp.MustCompile("`(helm uninstall [^`]+)`").FindSubmatch(page)
	require.NotNil(t, line)
	helm(t, kubeconfig, dir, string(line[1]))
	await.True(t, func() bool {
		_, err = c.Client.AppsV1().Deployments("serin").Get(t.Context(), "serin", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	_, err = c.Client.CoreV1().PersistentVolumeClaims("serin").Get(t.Context(), volumes.Items[0].Name, metav1.GetOptions{})
	require.NoError(t, err, "the volume with the history stays")
}

// wantsSecrets checks that the pod mounts the Secrets that the page makes, and no others.
func wantsSecrets(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	d, err := c.Client.AppsV1().Deployments("serin").Get(t.Context(), "serin", metav1.GetOptions{})
	require.NoError(t, err)
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			_, err := c.Client.CoreV1().Secrets("serin").Get(t.Context(), v.Secret.SecretName, metav1.GetOptions{})
			require.NoError(t, err, "volume %s", v.Name)
		}
	}
}

// listsWhatIsMade returns, by kind, the names that the kubectl line in docs/kubernetes.md would list in the given namespace.
func listsWhatIsMade(t *testing.T, c *testcluster.Cluster, namespace string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/kubernetes.md")
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^kubectl -n pro get (\S+) -l (\S+)$`).FindSubmatch(page)
	require.NotNil(t, line)
	client, err := dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	served := map[string]schema.GroupVersionResource{}
	_, lists, err := c.Client.Discovery().ServerGroupsAndResources()
	require.NoError(t, err)
	for _, l := range lists {
		version, err := schema.ParseGroupVersion(l.GroupVersion)
		require.NoError(t, err)
		for _, r := range l.APIResources {
			served[r.Name] = version.WithResource(r.Name)
		}
	}
	found := map[string][]string{}
	for kind := range strings.SplitSeq(string(line[1]), ",") {
		require.Contains(t, served, kind)
		list, err := client.Resource(served[kind]).Namespace(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: string(line[2])})
		require.NoError(t, err, kind)
		for _, o := range list.Items {
			found[kind] = append(found[kind], o.GetName())
		}
	}
	return found
}
