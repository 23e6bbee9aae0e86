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

// everything has every step and every source of a metric, and leaves out what it can.
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

// metricKinds are those of the metrics in [everything].
var metricKinds = []string{"`traefik-errors`", "`traefik-latency`", "a ratio of good ones", "a gauge"}

var index = regexp.MustCompile(`\[\d+\]`)

// defaults are the values of what a document leaves out, by the field's path.
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
			return // it follows from others
		case !known:
			rows = append(rows, path)
		case strings.Contains(path, "metrics[]"): // by the kind of the metric
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
				continue // the built-in one
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
	for path, value := range of { // the same for all kinds
		first, _, _ := strings.Cut(value, " (")
		if strings.Contains(path, "metrics[]") && strings.Count(value, first+" (") == len(metricKinds) {
			of[path] = first
		}
	}
	return rows, of
}

// daemonSettings are all that a daemon's document says once it has its defaults.
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

// policies are the words that say what happens once a condition has lasted too long, or something has failed.
var policies = map[string]string{
	"hold":     "nothing moves; it is said, once, and goes on by itself when the condition ends",
	"gate":     "a person is asked: go on, wait as long again, or go back",
	"rollback": "all traffic goes back to stable, and the release ends as rolled back",
	"cancel":   "the same as `rollback` once traffic has moved; before, the release ends as cancelled",
	"undo":     "the version that was in service before comes back",
	"ask":      "a person is asked whether it stays",
	"trust":    "what was written is taken for served",
	"fail":     "the release goes back",
	"ignore":   "the release goes on",
	"keep":     "the Deployment stays as the step has left it",
	"restore":  "the Deployment becomes what it was before the step",
}

// TestTheReferenceHasATableOfVariablesDefaultsAndPolicies: each is made from the code.
func TestTheReferenceHasATableOfVariablesDefaultsAndPolicies(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Written by `go generate ./docs` from the code; a test fails if it is stale. -->\n\n# Variables, defaults and policies\n\n" +
		"What is set where a document says nothing, what may stand in `${…}`, and what happens when time runs out. " +
		"`serin validate --show` says the same of your own documents; [the configuration](configuration.md) has every field.\n\n## Variables\n\n" +
		"In the queries of an [analysis](../analysis.md#what-tells-the-arms-apart), for each arm its own; `${NAME}` is a parameter of the rollout, the same for both.\n\n" +
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
		"## Defaults\n\nWhat a document leaves out. `[]` is every element of a list. What is in neither this table nor the document is off.\n\n| field | default |\n|---|---|\n")
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
	b.WriteString("\nA `rollback.deadline` has no policy: a way back that cannot be confirmed in that time ends as failed, and a person has to look.\n")
	current(t, "reference/tables.md", b.String())
}

// policyRows are the fields of the schema that hold policies.
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

// places are where a type with a policy stands in a document.
var places = map[string]string{
	"DecideABSpec": "Rollout `steps[].ab.decide.", "DecideGraySpec": "Rollout `steps[].gray.decide.", "DecideMirrorSpec": "Rollout `steps[].mirror.decide.",
	"DeploySpec": "Rollout `steps[].deploy.", "PromoteSpec": "Rollout `steps[].promote.", "VerifySpec": "Rollout `traffic.traefikFile.verify.",
	"WatchSpec": "Rollout `steps[].watch.", "WebhookSpec": "Rollout `steps[].webhook.",
}

// written is where in [everything] a field can be said whose default the settings do not show.
var written = map[string]string{
	"DeploySpec.onRollback": `- deploy: {deployment: feed-canary`, "PromoteSpec.expired": `"registry.example.com/feed:2"}}
    - gray: {weights: [50%]}
    - promote: {`,
	"WatchSpec.then": `- watch: {for: 2h`, "WebhookSpec.onFailure": `- webhook: {url: https://chat.example.com/hooks/releases`,
}

// defaultOf is a field's default: what the settings show, or the value that changes nothing when it is said.
func defaultOf(t *testing.T, name string, p property, defaults map[string]string) string {
	if v, ok := defaults[places[name]+p.name+"`"]; ok {
		return "`" + v + "`"
	}
	at, ok := written[name+"."+p.name]
	if !ok {
		require.True(t, slices.Contains([]string{"ExpirySpec", "PatienceSpec"}, name), "%s.%s", name, p.name)
		return "it has to be said"
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
	require.Fail(t, "no value changes nothing", "%s.%s", name, p.name)
	return ""
}

// revisions are those of the rollouts in a text, which change with what it means.
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
