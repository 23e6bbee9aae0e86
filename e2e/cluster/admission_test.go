package cluster

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// admitted makes the daemon answer the API server's webhook over TLS, with a certificate that the webhook trusts.
func (w *world) admitted(t *testing.T) {
	t.Helper()
	cert, key := w.c.Certificate(t, "127.0.0.1")
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "tls.crt"), cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "tls.key"), key, 0o600))
	port, err := testbed.FreePort()
	require.NoError(t, err)
	file := filepath.Join(w.dir, "serin.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	more := strings.NewReplacer("resources: {", fmt.Sprintf("resources: {admission: {listen: '127.0.0.1:%d'}, ", port),
		"  config: rollouts/\n", "  config: rollouts/\n  tls: {cert: tls.crt, key: tls.key}\n").Replace(string(text))
	require.NoError(t, os.WriteFile(file, []byte(more), 0o600))
	w.url = strings.Replace(w.url, "http:", "https:", 1)
	w.api = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is the API server that verifies the certificate
	webhook := w.chart(t, "--show-only", "templates/webhook.yaml", "--set", "namespaces={"+w.pro+"}", "--set", "customResources.enabled=true",
		"--set", "customResources.webhook.enabled=true", "--set", "customResources.webhook.caBundle="+base64.StdEncoding.EncodeToString(w.c.Config.CAData))
	// There are no cluster addresses here: the API server calls the daemon directly.
	service := regexp.MustCompile(`(?m)^ *service: .*$`)
	require.Regexp(t, service, webhook)
	w.c.Apply(t, w.home, service.ReplaceAllString(webhook, fmt.Sprintf("      url: https://127.0.0.1:%d/", port)))
	t.Cleanup(func() {
		_ = w.c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), w.home+"-serin", metav1.DeleteOptions{})
	})
}

// With the chart's webhook, kubectl apply fails with the error that the status would show, with the field's path;
// without the daemon, everything is accepted.
func TestTheAPIServerRefusesWhatTheStatusWouldReport(t *testing.T) {
	t.Parallel()
	w := prepareResourceWorld(t, pipeline, false)
	w.admitted(t)
	w.begin(t)
	good := w.resources(t)
	bad := strings.Replace(good, "weights: [5%, 10%", "weights: [50%, 10%", 1)
	await.Until(t, "the API server asks", func() string {
		out, err := w.kubectl(t, w.pro, bad, "apply", "-f", "-", "--dry-run=server")
		if err != nil && strings.Contains(out, "spec.steps[5].gray.weights[1]: 10% after 50%: weights have to grow") {
			return ""
		}
		return out
	})
	// A rollout may be applied before its analysis, as when a tool applies a folder.
	require.Contains(t, w.mustKubectl(t, w.pro, onlyRollout(good), "apply", "-f", "-"), "there is no analysis")
	out, err := w.kubectl(t, w.pro, bad, "apply", "-f", "-")
	require.Error(t, err)
	require.Contains(t, out, `The Rollout "k8s-flask" is invalid`)
	w.mustKubectl(t, w.pro, good, "apply", "-f", "-")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/k8s-flask", "--for=condition=Ready", "--timeout=300s")
	// A tool that renames a rollout applies the new one before it deletes the old one, which keeps the route until
	// then.
	renamed := strings.ReplaceAll(onlyRollout(good), "name: k8s-flask\n", "name: renamed\n")
	const taken = "which is an arm of the rollout in Rollout "
	require.Contains(t, w.mustKubectl(t, w.pro, renamed, "apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-"), taken+w.pro+"/k8s-flask", "a warning")
	await.Until(t, "the status says who has it", func() string {
		out, _ := w.kubectl(t, w.pro, "", "get", "rollouts.serin.dev", "renamed", "-o", "jsonpath={.status.message}")
		if strings.Contains(out, taken+w.pro+"/k8s-flask") {
			return ""
		}
		return out
	})
	w.mustKubectl(t, w.pro, "", "delete", "rollouts.serin.dev", "k8s-flask", "--timeout=300s")
	w.mustKubectl(t, w.pro, "", "wait", "rollouts.serin.dev/renamed", "--for=condition=Ready", "--timeout=300s")

	require.NoError(t, w.daemon.Kill())
	await.Until(t, "without an answer it is taken", func() string {
		out, err := w.kubectl(t, w.pro, bad, "apply", "-f", "-")
		if err == nil {
			return ""
		}
		return out
	})
	require.NoError(t, w.daemon.Restart(t.Context()))
	await.Until(t, "and the status says what is wrong", func() string {
		out, _ := w.kubectl(t, w.pro, "", "get", "rollouts.serin.dev", "k8s-flask", "-o", "jsonpath={.status.message}")
		if strings.Contains(out, "weights have to grow") {
			return ""
		}
		return out
	})
	w.mustKubectl(t, w.pro, "", "delete", "rollouts.serin.dev", "k8s-flask", "--timeout=300s")
}

// onlyRollout is the document of kind Rollout.
func onlyRollout(documents string) string {
	return "apiVersion: serin.dev/v1alpha1\n" + documents[strings.Index(documents, "kind: Rollout"):]
}
