package cluster

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// firstBlocks matches the commands in docs/first-cluster.md and their output.
var firstBlocks = regexp.MustCompile("(?s)```sh elsewhere\n(.*?)```(?:\n\n```text\n(.*?)```)?")

// first is the page's cluster: this world's, under the page's names.
type first struct {
	*world
	names *strings.Replacer
	env   []string
	loads []*testbed.Load
}

// There is no Docker here, and no registry: the cluster, Traefik, Serin's program and the application's pods are those
// of the tests. Everything else is from the page: its files, every object of the chart with the page's values, and each
// of its other command lines, in order and with their output.
func TestFromAnEmptyClusterToTheFirstRelease(t *testing.T) {
	t.Parallel()
	w := newPlace(t, example{name: "shop", powerless: true})
	w.name = w.pro + ".shop"
	f := &first{world: w, names: strings.NewReplacer(
		"-n shop", "-n "+w.pro, "namespace: shop", "namespace: "+w.pro, "shop:me", w.pro+":me",
		"namespaces: [shop]", "namespaces: ["+w.pro+"]", "-n serin ", "-n "+w.home+" ", "traefik.traefik.svc", "traefik."+w.gate+".svc", "[traefik]", "["+w.gate+"]",
		"shop.localhost", w.host, "examples/first-cluster/", "./")}
	f.files(t)
	f.pods()
	page, err := os.ReadFile("../../docs/first-cluster.md")
	require.NoError(t, err)
	blocks := firstBlocks.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(blocks), 8)
	for _, b := range blocks {
		got := f.run(t, b[1])
		if b[2] != "" {
			want, is := shape(b[2]), shape(got)
			require.Equal(t, want, is[max(0, len(is)-len(want)):], "what the page shows after\n%s", b[1])
		}
	}
	require.Equal(t, "ghcr.io/stefanprodan/podinfo:6.7.1", imageOf(w.deployment(t, w.pro, "shop-stable")))
	require.Empty(t, w.deployment(t, w.pro, "shop-stable").Spec.Template.Spec.Containers[0].Env)
	answered(t, f.loads[0].Counts(), "bad")
	require.Positive(t, f.loads[0].Counts().Answered("bad"))
}

// files are those of examples/first-cluster with this world's names.
func (f *first) files(t *testing.T) {
	t.Helper()
	for _, name := range []string{"app.yaml", "rollout.yaml", "values.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../examples/first-cluster", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(f.dir, name), []byte(f.names.Replace(string(text))), 0o600))
	}
	f.c.Apply(t, f.gate, "{apiVersion: v1, kind: Service, metadata: {name: traefik}, spec: {ports: [{name: api, port: 8080}, {name: metrics, port: 9100}]}}")
	f.endpointSlice(t, "traefik", "traefik-metrics", "metrics", f.traefik.MetricsAddr, true)
}

// pods answer as the images of the page do.
func (f *first) pods() {
	for _, version := range []string{"6.7.0", "6.7.1"} {
		good, bad := testbed.Unserved(testbed.Behaviour{Version: version}, 1), testbed.Unserved(testbed.Behaviour{Version: "bad", ErrorRate: 0.3}, 1)
		f.c.SetImage(f.pro, "ghcr.io/stefanprodan/podinfo:"+version, testcluster.Image{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if testcluster.Env(r, "PODINFO_RANDOM_ERROR") == "true" {
				bad.ServeHTTP(w, r)
				return
			}
			good.ServeHTTP(w, r)
		})})
	}
}

// run runs a block of the page and returns what it prints.
func (f *first) run(t *testing.T, block string) string {
	t.Helper()
	var script strings.Builder
	for line := range strings.Lines(block) {
		switch begin, _, _ := strings.Cut(line, " "); {
		case begin == "kind", begin == "k3d", strings.HasPrefix(line, "helm repo"), strings.HasPrefix(line, "helm install traefik"),
			strings.HasPrefix(line, "kubectl create namespace"):
			continue // they exist
		case strings.HasPrefix(line, "helm install serin"):
			f.shell(t, script.String())
			script.Reset()
			f.install(t)
			continue
		case strings.HasPrefix(line, "ln -sf"):
			f.link(t)
			continue
		}
		_, _ = script.WriteString(f.names.Replace(line))
	}
	out := f.shell(t, script.String())
	if strings.Contains(block, "app.yaml") {
		f.loads = f.users(t)
	}
	return out
}

// shell runs lines; the next ones get what they export.
func (f *first) shell(t *testing.T, script string) string {
	t.Helper()
	if script == "" {
		return ""
	}
	kubectl, err := testbed.Tool("kubectl")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -eu\n"+script+"\nexport -p > exported") //nolint:gosec // our own page
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "PATH="+f.dir+":"+filepath.Dir(kubectl)+":"+os.Getenv("PATH"), "KUBECONFIG="+f.c.Kubeconfig, "SERIN_NAMESPACE="+f.home)
	cmd.Env = append(cmd.Env, f.env...)
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	err = cmd.Run()
	t.Logf("%s\n%s%s", script, out.String(), wrong.String())
	require.NoError(t, err)
	exported, err := os.ReadFile(filepath.Join(f.dir, "exported"))
	require.NoError(t, err)
	if token := regexp.MustCompile(`SERIN_TOKEN="([^"]+)"`).FindSubmatch(exported); token != nil {
		f.env = []string{"SERIN_TOKEN=" + string(token[1])}
	}
	return out.String()
}

// link makes the kubectl plugin.
func (f *first) link(t *testing.T) {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(path, filepath.Join(f.dir, "kubectl-serin")))
}

// install makes every object of the chart. Behind the chart's pod is the built program, with the configuration, the
// certificate and the rights that the chart gives it.
func (f *first) install(t *testing.T) {
	t.Helper()
	f.c.Apply(t, f.home, f.chart(t, "--values", filepath.Join(f.dir, "values.yaml")))
	t.Cleanup(func() {
		_ = f.c.Client.RbacV1().ClusterRoleBindings().Delete(t.Context(), f.home+"-serin-auth-delegator", metav1.DeleteOptions{})
	})
	config, err := f.c.Client.CoreV1().ConfigMaps(f.home).Get(t.Context(), "serin", metav1.GetOptions{})
	require.NoError(t, err)
	var daemon map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(config.Data["serin.yaml"]), &daemon))
	free, err := testbed.FreePort()
	require.NoError(t, err)
	spec := daemon["spec"].(map[string]any)
	spec["listen"], spec["config"], spec["store"] = fmt.Sprintf("127.0.0.1:%d", free), "rollouts/", "sqlite:serin.db"
	spec["tls"] = map[string]any{"cert": "tls.crt", "key": "tls.key"}
	spec["kubernetes"].(map[string]any)["kubeconfig"] = f.kubeconfig
	text, err := yaml.Marshal(daemon)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(f.dir, "rollouts"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "serin.yaml"), text, 0o600))
	f.url = fmt.Sprintf("https://127.0.0.1:%d", free)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the page's own certificate, for another name
	f.api = transport
	f.begin(t)
	to, err := url.Parse(f.url)
	require.NoError(t, err)
	d := f.deployment(t, f.home, "serin")
	f.c.SetImage(f.home, imageOf(d), testcluster.Image{Handler: &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}})
	await.Until(t, "the chart's pod is ready", func() string {
		if d = f.deployment(t, f.home, "serin"); d.Status.ReadyReplicas == 1 {
			return ""
		}
		return fmt.Sprint(d.Status)
	})
}

// shape is the part of a table or a text that does not depend on the moment: its columns, and the words in the first
// two.
func shape(text string) (out []string) {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		words := regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(line), -1)
		if strings.HasPrefix(line, "NAME") {
			out = append(out, strings.Join(words, " "))
			continue
		}
		out = append(out, strings.Join(words[:min(2, len(words))], " "))
	}
	return out
}
