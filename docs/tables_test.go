package docs

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
)

// everything has every step and every source of a metric, and leaves out everything optional.
const everything = `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  parameters: [{name: tag}]
  traffic: {traefikFile: {path: /etc/traefik/dynamic/shop.yaml, rule: Host(` + "`shop.example.com`" + `), verify: {api: http://127.0.0.1:8080}}}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: own
  steps:
    - preview: {host: preview.example.com}
    - mirror: {share: 10%, for: 15m}
    - ab: {cohort: {header: {name: X-Group, value: beta}}, split: 50%}
    - gray: {weights: [50%]}
    - gate: {}
    - wait: {for: 1h}
    - webhook: {url: https://chat.example.com/hooks/releases}
    - promote: {}
    - watch: {for: 2h}
  returning: {within: 7d, steps: [{gray: {weights: [50%]}}, {promote: {}}]}
---
apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: feed}
spec:
  traffic: {traefik: {namespace: pro, route: {host: feed.example.com}}}
  stable: {deployment: feed, service: {name: feed, port: 80}}
  canary: {deployment: feed-canary, service: {name: feed-canary, port: 80}}
  analysis: traefik-web
  steps:
    - job: {manifest: migrate.yaml}
    - deploy: {deployment: feed-canary, image: {feed: "registry.example.com/feed:2"}}
    - gray: {weights: [50%]}
    - promote: {}
---
apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: own}
spec:
  metrics:
    - {name: errors, preset: traefik-errors}
    - {name: slow, preset: traefik-latency}
    - {name: orders, ratio: {good: 'orders_total{instance=~"${instances}"}', total: 'sessions_total{instance=~"${instances}"}'}}
    - {name: queue, gauge: {query: 'queue_depth{instance=~"${instances}"}'}}
`

const everyDaemon = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  config: rollouts/
  prometheus: {url: "http://127.0.0.1:9090"}
`

const aJob = `apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: "registry.example.com/feed:2"}]}}}
`

// metricKinds describes the metrics of [everything], in order.
var metricKinds = []string{"`traefik-errors`", "`traefik-latency`", "a ratio of good ones", "a gauge"}

var index = regexp.MustCompile(`\[\d+\]`)

// defaults returns the values of the fields that [everything] leaves out, by path, and the paths in order.
func defaults(t *testing.T) (rows []string, of map[string]string) {
	dir := t.TempDir()
	for name, text := range map[string]string{"all.yaml": everything, "migrate.yaml": aJob, "serin.yaml": everyDaemon} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	of = map[string]string{}
	put := func(kind, path, value string) {
		path = kind + " `" + index.ReplaceAllString(path, "[]") + "`"
		before, known := of[path]
		switch {
		case strings.HasSuffix(path, ".name`") || strings.HasSuffix(path, ".namespace`"):
			return // derived from other fields
		case !known:
			rows = append(rows, path)
		case strings.Contains(path, "metrics[]"): // depends on the kind of metric
			if value != before && !strings.HasSuffix(before, value) {
				value = before + ", " + value
			} else {
				value = before
			}
		default:
			value = before
		}
		of[path] = value
	}
	var loader config.Loader
	_, errs := loader.Load(filepath.Join(dir, "all.yaml"))
	require.Empty(t, errs)
	for _, d := range loader.Settings(filepath.Join(dir, "all.yaml")) {
		for _, s := range d.Settings {
			if d.Kind == config.KindAnalysis && d.Name != "own" {
				continue // a built-in analysis
			}
			if number := index.FindString(s.Path); strings.HasPrefix(s.Path, "metrics") && s.Default {
				i, err := strconv.Atoi(strings.Trim(number, "[]"))
				require.NoError(t, err)
				s.Value += " (" + metricKinds[i] + ")"
			}
			if which, _, patience := strings.Cut(s.Path, " of "); patience {
				put("Analysis", which, s.Value)
			} else if s.Default {
				put(d.Kind, s.Path, s.Value)
			}
		}
	}
	flat := daemonSettings(t, filepath.Join(dir, "serin.yaml"))
	for _, path := range slices.Sorted(maps.Keys(flat)) {
		if path != "prometheus.url" && path != "config" {
			put("Daemon", path, strings.ReplaceAll(flat[path], dir, "the document's folder"))
		}
	}
	for path, value := range of { // if it is the same for all kinds of metrics, name none
		first, _, _ := strings.Cut(value, " (")
		if strings.Contains(path, "metrics[]") && strings.Count(value, first+" (") == len(metricKinds) {
			of[path] = first
		}
	}
	return rows, of
}

// daemonSettings returns all fields of a daemon's document with their defaults filled in.
func daemonSettings(t *testing.T, path string) map[string]string {
	spec, _, errs := config.LoadDaemon(path)
	require.Empty(t, errs)
	said, err := json.Marshal(spec)
	require.NoError(t, err)
	var value map[string]any
	require.NoError(t, json.Unmarshal(said, &value))
	store, err := spec.StoreURL()
	require.NoError(t, err)
	flat := map[string]string{}
	flatten(flat, "", value)
	flat["store"] = store.Reveal()
	return flat
}

func flatten(out map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			flatten(out, strings.TrimPrefix(path+"."+name, "."), child)
		}
	case nil:
	default:
		out[path] = fmt.Sprint(v)
	}
}

// policies explains the words for what happens when a condition has lasted too long or something has failed.
var policies = map[string]string{
	"hold":     "nothing moves; Serin says so once, and continues by itself when the condition ends",
	"gate":     "a person is asked: continue, wait as long again, or roll back",
	"rollback": "all traffic goes back to stable, and the release ends as rolled back",
	"cancel":   "the same as `rollback` once traffic has moved; before that, the release ends as cancelled",
	"undo":     "the version that was in service before comes back",
	"ask":      "a person is asked whether the new version stays",
	"trust":    "what was written is assumed to be served",
	"fail":     "the release is rolled back",
	"ignore":   "the release continues",
	"keep":     "the Deployment stays as the step left it",
	"restore":  "the Deployment becomes what it was before the step",
}

// The tables of variables, defaults and policies are made from the code.
func TestTheReferenceHasATableOfVariablesDefaultsAndPolicies(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Written by `go generate ./docs` from the code; a test fails if it is stale. -->\n\n# Variables, defaults and policies\n\n" +
		"What `${…}` may contain, which values apply if a document sets none, and what happens when time runs out. " +
		"`serin validate --show` shows the same for your own documents; [the configuration](configuration.md) has every field.\n\n## Variables\n\n" +
		"In the queries of an [analysis](../analysis.md#what-tells-the-arms-apart), each arm has its own values; `${NAME}` is a parameter of the rollout, the same for both.\n\n" +
		"| variable | lists of servers | Kubernetes | a worker's pods | becomes |\n|---|---|---|---|---|\n")
	yes := map[bool]string{true: "yes", false: "–"}
	for _, v := range config.ArmVariables() {
		fmt.Fprintf(&b, "| `${%s}` | %s | %s | %s | %s |\n", v.Name, yes[v.Servers], yes[v.Cluster], yes[v.Workers], v.Becomes)
	}
	b.WriteString("\nIn a `webhook` step's `url`, `status` and `body`, in addition to the rollout's parameters, which come first:\n\n| variable | becomes |\n|---|---|\n")
	for _, v := range config.ReleaseVariables() {
		fmt.Fprintf(&b, "| `${%s}` | %s |\n", v.Name, v.Becomes)
	}
	b.WriteString("\nIn a `job`'s manifest, a `deploy` step's `image` and `template`, and in `links`: the rollout's parameters.\n\n" +
		"## Defaults\n\nThe values of fields that a document leaves out. `[]` is every element of a list. A field without a default is off.\n\n| field | default |\n|---|---|\n")
	rows, of := defaults(t)
	slices.SortStableFunc(rows, func(a, b string) int {
		return strings.Compare(a[:strings.IndexByte(a, ' ')], b[:strings.IndexByte(b, ' ')])
	})
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s | %s |\n", row, cell(of[row]))
	}
	b.WriteString("\n## Policies\n\n| policy | what happens |\n|---|---|\n")
	used := map[string]bool{}
	where := policyRows(t, of, used)
	for _, policy := range slices.Sorted(maps.Keys(policies)) {
		require.True(t, used[policy], "no field has %s", policy)
		fmt.Fprintf(&b, "| `%s` | %s |\n", policy, policies[policy])
	}
	b.WriteString("\n| field | may be | default |\n|---|---|---|\n" + where)
	b.WriteString("\nA `rollback.deadline` has no policy: a rollback that cannot be confirmed in that time ends as failed, and a person has to look.\n")
	current(t, "reference/tables.md", b.String())
}

// policyRows lists the fields of the schema that hold policies.
func policyRows(t *testing.T, defaults map[string]string, used map[string]bool) string {
	var root schema
	require.NoError(t, json.Unmarshal(config.Schema(), &root))
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(root.Defs)) {
		for _, p := range root.Defs[name].Properties {
			if !slices.ContainsFunc(p.schema.Enum, func(v string) bool { return policies[v] != "" }) {
				continue
			}
			for _, v := range p.schema.Enum {
				require.NotEmpty(t, policies[v], "%s.%s: %s", name, p.name, v)
				used[v] = true
			}
			fmt.Fprintf(&b, "| [%s](configuration.md#%s) `%s` | `%s` | %s |\n", title(name), strings.ToLower(title(name)), p.name,
				strings.Join(p.schema.Enum, "`, `"), defaultOf(t, name, p, defaults))
		}
	}
	return b.String()
}

// places are the paths in a document of the types that hold policies.
var places = map[string]string{
	"DecideABSpec": "Rollout `steps[].ab.decide.", "DecideGraySpec": "Rollout `steps[].gray.decide.", "DecideMirrorSpec": "Rollout `steps[].mirror.decide.",
	"DeploySpec": "Rollout `steps[].deploy.", "PromoteSpec": "Rollout `steps[].promote.", "VerifySpec": "Rollout `traffic.traefikFile.verify.",
	"WatchSpec": "Rollout `steps[].watch.", "WebhookSpec": "Rollout `steps[].webhook.",
}

// written says where in [everything] a field can be inserted if the settings do not show its default.
var written = map[string]string{
	"DeploySpec.onRollback": `- deploy: {deployment: feed-canary`, "PromoteSpec.expired": `"registry.example.com/feed:2"}}
    - gray: {weights: [50%]}
    - promote: {`,
	"WatchSpec.then": `- watch: {for: 2h`, "WebhookSpec.onFailure": `- webhook: {url: https://chat.example.com/hooks/releases`,
}

// defaultOf returns the default of a field: the one in the settings, or else the value that makes no difference when it is
// written out.
func defaultOf(t *testing.T, name string, p property, defaults map[string]string) string {
	if v, ok := defaults[places[name]+p.name+"`"]; ok {
		return "`" + v + "`"
	}
	at, ok := written[name+"."+p.name]
	if !ok {
		require.True(t, slices.Contains([]string{"ExpirySpec", "PatienceSpec"}, name), "%s.%s", name, p.name)
		return "none, it is required"
	}
	require.Contains(t, everything, at)
	separator := ", "
	if strings.HasSuffix(at, "{") {
		separator = ""
	}
	same := revisions(t, everything)
	for _, v := range p.schema.Enum {
		if slices.Equal(same, revisions(t, strings.Replace(everything, at, at+separator+p.name+": "+v, 1))) {
			return "`" + v + "`"
		}
	}
	require.Fail(t, "every value makes a difference", "%s.%s", name, p.name)
	return ""
}

// revisions returns the revisions of the rollouts in a text, which change with its meaning.
func revisions(t *testing.T, text string) (out []string) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "migrate.yaml"), []byte(aJob), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(text), 0o600))
	set, errs := config.Loader{}.Load(filepath.Join(dir, "all.yaml"))
	require.Empty(t, errs)
	for _, r := range set.Rollouts {
		out = append(out, r.Plan.Rollout.Revision)
	}
	return out
}
