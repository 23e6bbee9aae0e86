// Package docs holds no code: its test runs what the pages say. Every YAML of Serin's is validated, every shell block
// of a page is run, in order, in a folder that holds the files which the page shows.
package docs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/serindev/serin/internal/testbed"
)

// serin is the program, built once.
var serin string

func TestMain(m *testing.M) { testbed.Main(m, &serin) }

// elsewhere are the blocks, by how they begin, that are not run here, and who does. All others are. That their commands
// and flags exist is seen to in cmd/serin.
var elsewhere = map[string]string{
	"../README.md: make demo":                "they are how this test and the demo are run",
	"../README.md: serin validate":           "the tutorial's commands, which are run there",
	"../README.md: serin plan":               "margins.md, with fewer simulated releases",
	"../README.md: serin analyze":            "cmd/serin: an hour of a real Prometheus is analysed, golden questions are judged",
	"without-kubernetes.md: sudo ":           "changes the machine; where the token is found is tested in cmd/serin",
	"what-if.md: serin start shop --server":  "two daemons of two clusters; a start with --wait is run in without-kubernetes.md",
	"high-availability.md: ":                 "e2e: a daemon is killed and another one takes over",
	"first-cluster.md: ":                     "e2e/cluster: every line but those for Docker and registries, with the files of examples/first-cluster",
	"kubernetes.md: kubectl create":          "deploy: Helm installs and uninstalls with the page's values before a real API server; there is no kubectl, so its lines are done by the API",
	"kubernetes.md: kubectl -n serin port-f": "needs kubectl and a browser",
	"kubernetes.md: kubectl -n pro get depl": "deploy: what it lists, by the API, of what Serin has made for a canary; there is no kubectl",
	"kubernetes.md: kubectl -n pro apply":    "e2e/cluster and resource/kube: the same by kubectl, with a rollout of its own",
	"kubernetes.md: kubectl -n pro patch":    "e2e/cluster: a rollout with one Deployment is left by it, with users",
	"kubernetes.md: ln -s":                   "e2e/cluster: the plugin is called by kubectl, with a rollout of its own",
	"kubernetes.md: kubectl -n pro wait":     "e2e/cluster and resource/kube: the same by kubectl, with a rollout of its own",
	"install.md: ":                           "e2e: a release is made, its checksums are checked and its archives opened; the rest needs GitHub and a registry",
	"analysis.md: serin validate --live":     "e2e and e2e/cluster: --live is run with a real Prometheus, Traefik and API server",
	"migration.md: ":                         "e2e/cluster: every command runs there on a real API server, with the other controller's objects and with users",
}

// block is a fenced part of a page, or what stands in a comment for the test alone: <!-- sh … -->.
type block struct {
	page, language, info, text string
	line                       int
}

var (
	fence  = regexp.MustCompile("^```([a-z]*) ?(.*)$")
	hidden = regexp.MustCompile(`^<!-- sh$`)
)

// blocks reads a page.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page) //nolint:gosec // of this repository
	require.NoError(t, err)
	var out []block
	var in *block
	end := ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case in != nil && line == end:
			out = append(out, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		case fence.MatchString(line):
			m := fence.FindStringSubmatch(line)
			in, end = &block{page: page, language: m[1], info: m[2], line: i + 1}, "```"
		case hidden.MatchString(line):
			in, end = &block{page: page, language: "sh", line: i + 1}, "-->"
		}
	}
	require.Nil(t, in, "%s: a block does not end", page)
	return out
}

func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return append(all, "../README.md", "../dashboards/README.md")
}

// ports gives each loopback port of a page a free one, so that pages do not get into each other's way.
type ports map[string]string

var address = regexp.MustCompile(`127\.0\.0\.1:(\d{4,5})`)

func (p ports) replace(t *testing.T, text string) string {
	t.Helper()
	return address.ReplaceAllStringFunc(text, func(a string) string {
		if p[a] == "" {
			port, err := testbed.FreePort()
			require.NoError(t, err)
			p[a] = fmt.Sprintf("127.0.0.1:%d", port)
		}
		return p[a]
	})
}

// preamble is what hidden blocks may use.
// What a page leaves in the background has to end with the test, however that ends: if it is killed, nobody ends the group.
const preamble = `set -eu -o pipefail
test=$PPID
(while kill -0 "$test" 2>/dev/null; do sleep 1; done; kill -KILL 0) >/dev/null 2>&1 &
disown
until_says() { # PATTERN COMMAND…: the command comes to say it within five minutes
	local pattern=$1 out end=$((SECONDS + 300))
	shift
	while [ "$SECONDS" -lt "$end" ]; do
		out=$("$@" 2>&1) || true
		if grep -Eq -- "$pattern" <<<"$out"; then return; fi
		sleep 0.5 # each try starts a program
	done
	echo "never said $pattern: $* said: $out"
	return 1
}
`

func TestWhatPagesTellToDoWorks(t *testing.T) {
	for _, page := range pages(t) {
		if page == "cli.md" { // generated; what it shows is help
			continue
		}
		t.Run(page, func(t *testing.T) { runPage(t, page) })
	}
}

func runPage(t *testing.T, page string) {
	dir, p := t.TempDir(), ports{}
	script, commands := preamble, 0
	for _, b := range blocks(t, page) {
		text := p.replace(t, b.text)
		if name, ok := strings.CutPrefix(b.info, "file="); ok {
			path := filepath.Join(dir, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		}
		if isElsewhere(b) {
			continue
		}
		require.NotEqual(t, "elsewhere", b.info, "%s:%d: nobody runs it", page, b.line)
		if b.language == "text" {
			require.NotRegexp(t, `(?m)^(serin|kubectl|helm|make|curl) `, b.text, "%s:%d: a command is of language sh", page, b.line)
		}
		if b.language == "sh" {
			commands++
			script += fmt.Sprintf("echo '== %s:%d'\n%s", page, b.line, text)
		}
	}
	if commands == 0 {
		return
	}
	out := runScript(t, dir, script, p.replace(t, "http://127.0.0.1:7474"))
	t.Logf("%s", out)
}

func isElsewhere(b block) bool {
	for begin := range elsewhere {
		if strings.HasPrefix(b.page+": "+b.text, begin) {
			return true
		}
	}
	return false
}

// runScript runs it in a process group of its own, which is ended with it, and returns what it said.
func runScript(t *testing.T, dir, script, server string) string {
	t.Helper()
	root, err := testbed.Root()
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("deploy", "examples"))
	bin := filepath.Join(dir, ".bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	require.NoError(t, os.Symlink(serin, filepath.Join(bin, "serin")))
	for _, tool := range []string{"traefik", "prometheus", "promtool"} {
		path, err := testbed.Tool(tool)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, tool)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SERIN_SERVER="+server, "NO_COLOR=1", "SOURCE="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, err := os.Create(filepath.Join(dir, ".said")) // a file: what stays in the background would keep a pipe open
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	failed := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left in the background
	require.NoError(t, said.Close())
	out, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	var tails strings.Builder
	for _, l := range logs {
		b, _ := os.ReadFile(l) //nolint:gosec // of this test
		fmt.Fprintf(&tails, "== %s\n%s\n", filepath.Base(l), b[max(0, len(b)-2000):])
	}
	require.NoError(t, failed, "%s\n%s", out, tails.String())
	return string(out)
}

// parts are wholes around what pages show a part of: ```yaml part=steps. What is shown takes the place of the same
// keys.
var parts = map[string]string{
	"daemon":   "apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  prometheus: {url: http://127.0.0.1:9090}\n",
	"analysis": "apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: part}\nspec:\n  metrics:\n    - {name: errors, preset: traefik-errors, margin: {relative: 25%}}\n",
	"rollout": `apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: part}
spec:
  traffic:
    traefikFile: {path: /etc/traefik/dynamic/part.yaml, rule: PathPrefix("/"), entryPoints: [web]}
  stable: {servers: [http://127.0.0.1:8081]}
  canary: {servers: [http://127.0.0.1:8082]}
  analysis: traefik-web
  steps: [{gray: {weights: [5%]}}, {promote: {}}]
`,
}

// whole puts a part of a spec into its whole.
func whole(t *testing.T, b block) string {
	t.Helper()
	name, _ := strings.CutPrefix(b.info, "part=")
	require.Contains(t, parts, name, "%s:%d", b.page, b.line)
	var doc, part map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(parts[name]), &doc))
	require.NoError(t, yaml.Unmarshal([]byte(b.text), &part), "%s:%d", b.page, b.line)
	maps.Copy(doc["spec"].(map[string]any), part)
	out, err := yaml.Marshal(doc)
	require.NoError(t, err)
	return string(out)
}

func TestTheYAMLOfThePagesIsRight(t *testing.T) {
	for _, page := range pages(t) {
		var all strings.Builder // documents of a page may name each other
		for _, b := range blocks(t, page) {
			if b.language != "yaml" {
				continue
			}
			at, ours := fmt.Sprintf("%s:%d", page, b.line), false
			if strings.HasPrefix(b.info, "part=") {
				b.text = whole(t, b)
			}
			for d := yaml.NewDecoder(strings.NewReader(b.text)); ; {
				var v struct {
					APIVersion string `yaml:"apiVersion"`
				}
				err := d.Decode(&v)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err, at)
				ours = ours || strings.HasPrefix(v.APIVersion, "serin.dev/")
			}
			if !ours {
				checkPrometheus(t, at, b.text)
				continue
			}
			if strings.HasPrefix(b.info, "file=") {
				all.WriteString("---\n" + b.text)
				continue
			}
			validate(t, at, b.text)
		}
		if all.Len() > 0 {
			validate(t, page, all.String())
		}
	}
}

// checkPrometheus has promtool look at what is a configuration of Prometheus; the rules that it names are ours.
func checkPrometheus(t *testing.T, at, text string) {
	t.Helper()
	if !strings.Contains(text, "scrape_configs:") {
		return
	}
	dir := t.TempDir()
	rules, err := os.ReadFile("../dashboards/rules.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), rules, 0o600))
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	promtool, err := testbed.Tool("promtool")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), promtool, "check", "config", file).CombinedOutput()
	require.NoError(t, err, "%s: %s", at, out)
}

func validate(t *testing.T, at, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	out, err := exec.CommandContext(t.Context(), serin, "validate", file).CombinedOutput()
	require.NoError(t, err, "%s: %s", at, out)
}

// TestEveryPageIsInTheTableOfContents: a page that nobody finds is not there.
func TestEveryPageIsInTheTableOfContents(t *testing.T) {
	contents, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, page := range pages(t) {
		if page != "README.md" && !strings.HasPrefix(page, "../") {
			require.Contains(t, string(contents), "]("+page+")", "docs/README.md links to it")
		}
	}
}

// links are those to files of the repository.
var links = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page) //nolint:gosec // of this repository
		require.NoError(t, err)
		for _, m := range links.FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), m[1]))
			require.NoError(t, err, "%s links to %s", page, m[1])
		}
	}
}
