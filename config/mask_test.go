package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const leakingDaemon = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  store: %s
  prometheus: {url: http://prom:9090, headers: {X-Api: %s}, bearerToken: %s, basicAuth: {username: me, password: %s}%s}
  auth: {oidc: {issuer: https://id.example, clientID: serin, clientSecret: %s%s}}
  notify:
    - {url: %s%s}
    - webhook: {url: %s, secret: %s%s}
  spinnaker: {listen: "127.0.0.1:8090", basicAuth: {username: me, password: %s%s}}
`

const leakingRollout = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  traffic:
    traefikFile: {path: shop.yaml, rule: Host(` + "`shop.example.com`" + `)}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps:
    - webhook: {name: a, url: %s, headers: {X-Vault: %s, X-More: %s}, body: %s%s}
    - webhook:
        url: %s
        status: %s%s
        headers:
          X-Key: %s%s
    - promote: {}
`

// No error shows a secret, whatever else is wrong on the same line or around it. The test makes the mistakes that people make
// in YAML, at each of the places.
func TestNoErrorShowsASecret(t *testing.T) {
	dir := t.TempDir()
	mistakes := []string{"", "", "", ", bogus: 1", ", bogus: {deep: [1", ", 'x", ", \"x", ", *nothing", ", !tag x", ", name: [1]", ", name", ", url: 7", ", url",
		" # %s", ", %s", ", bogus: %s", ", {%s: 1}", ", headers: %s", ", headers: [%s]", ", <<: %s", ", secret: {%s: 1}", ", : x", "]", "}", " %s",
		", bogus: &a %s, name: *a", ", a: 1, a: 2", "\n\t- x", ", passwordFile: x", ", urlFile: x"}
	forms := []string{"%s", "'%s'", `"%s"`, "https://hooks.example/T0/%s", "slack://token-a:%s@chat", "[%s]", "{%s: 1}", "{a: %s}", "[{a: [%s]}]", "'%s", "Bearer %s",
		"!%s", "*%s", "&%s x", "| %s", "|\n            %s\n", "'https://hooks.example/${%s-x}'", "'https://${nosuch}/%s'", "https://u:%s@h/", "'{\"key\": \"%s\", \"x\": ${nosuch}}'",
		"x:%s", "@%s", "`%s`", "%%%s", "? %s", "- %s", "'%s\n        more'", "http:// %s", "\"\\q%s\"", "ftp://h/%s", "''"}
	rapid.Check(t, func(t *rapid.T) {
		template := rapid.SampledFrom([]string{leakingDaemon, leakingRollout}).Draw(t, "document")
		var secrets []string
		secret := func() string {
			s := rapid.StringMatching(`[A-Z]{3}[a-z0-9]{6}[A-Z]{3}`).Draw(t, "secret")
			secrets = append(secrets, s)
			return s
		}
		fill := func(form string) string {
			return strings.ReplaceAll(strings.Replace(form, "%s", secret(), 1), "%%", "%")
		}
		var args []any
		for i, verb := range strings.Split(template, "%s")[1:] {
			if strings.HasPrefix(verb, "}") || strings.HasPrefix(verb, "\n") && i > 0 {
				// what comes after a value
				args = append(args, fill(rapid.SampledFrom(slices.Concat(mistakes, forms[:3])).Draw(t, fmt.Sprint("mistake ", i))))
				continue
			}
			args = append(args, fill(rapid.SampledFrom(forms).Draw(t, fmt.Sprint("form ", i))))
		}
		text := fmt.Sprintf(template, args...)
		if rapid.Bool().Draw(t, "a field has another name") {
			name := rapid.SampledFrom([]string{"url", "headers", "webhook", "notify", "steps", "body", "secret", "password", "prometheus", "spec", "kind", "Daemon", "Rollout"}).Draw(t, "field")
			text = strings.Replace(text, name, rapid.SampledFrom([]string{"x", name + "s", name[1:], "- " + name, name + ":"}).Draw(t, "name"), 1)
		}
		file := filepath.Join(dir, "leak.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		report, _ := Loader{}.Validate(file)
		for _, s := range secrets {
			require.NotContains(t, report, s, "%s", text)
		}
	})
}

// The query of any address may contain a token.
func TestATokenInAnAddressIsNotShown(t *testing.T) {
	const daemon = "apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n"
	for name, c := range map[string]struct{ line, shown string }{
		"in a target": {`prometheus: {scrape: {targets: ["http://app:1/m?token=SECRET,SECRET"], bogus: 1}}`, `targets: ["http://app:1/m?`},
		"unquoted":    {`prometheus: {scrape: {targets: [http://app:1/m?token=SECRET], bogus: 1}}`, `targets: [http://app:1/m?`},
		"in a source": {`prometheus: {url: "https://prom/x?key=SECRET", bogus: 1}`, `url: "https://prom/x?`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.yaml")
			require.NoError(t, os.WriteFile(file, []byte(daemon+"  "+c.line+"\n"), 0o600))
			report, ok := Loader{}.Validate(file)
			require.False(t, ok)
			require.NotContains(t, report, "SECRET")
			require.Contains(t, report, c.shown)
		})
	}
}

func TestValuesThatAreNotSecretAreShown(t *testing.T) {
	for name, c := range map[string]struct{ file, shown string }{
		"the value of a known field":        {"apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec: {listen: nowhere, prometheus: {url: http://prom:9090}}\n", "spec: {listen: nowhere, prometheus: {url: http://prom:9090}}"},
		"words of the schema before errors": {"spec:\n  steps: [gray: {weights: [1%}\n", "steps: [gray: {weights: [**}"},
		"a step that is only its name":      {"apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: a}\nspec:\n  steps:\n    - promote\n", "- promote"},
		"a field that is mistyped":          {"apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {nmae: a}\nspec: {}\n", "metadata: {nmae: *}"},
		"text that goes over lines":         {"apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  listen: >-\n    nowhere\n  prometheus: {url: http://prom}\n", "listen: >-"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.file), 0o600))
			report, ok := Loader{}.Validate(file)
			require.False(t, ok)
			require.Contains(t, report, c.shown)
		})
	}
}
