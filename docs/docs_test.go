// Package docs answers the question whether the pages are right. It has tests only: they validate every YAML document of
// Serin's, and run the shell blocks of each page in order, in a folder with the files that the page shows.
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

// elsewhere lists the blocks that are not run here, by their beginnings, and says where they are tested. All others are run
// here. A test in cmd/serin checks that all commands and flags on the pages exist.
var elsewhere = map[string]string{
	"../README.md: make demo":                "this test and the demo are run by make",
	"../README.md: serin validate":           "the tutorial has the same commands and is run here",
	"../README.md: serin plan":               "margins.md, with fewer simulated releases",
	"../README.md: serin analyze":            "cmd/serin: analyses an hour of a real Prometheus and judges golden requests",
	"without-kubernetes.md: sudo ":           "changes the machine; cmd/serin tests where the token is found",
	"what-if.md: serin start shop --server":  "needs two daemons in two clusters; without-kubernetes.md has a start with --wait",
	"high-availability.md: ":                 "e2e: kills a daemon, and another one takes over",
	"first-cluster.md: ":                     "e2e/cluster: every line except those for Docker and registries, with the files of examples/first-cluster",
	"kubernetes.md: kubectl create":          "deploy: Helm installs and uninstalls with the page's values on a real API server; there is no kubectl, so the API does its lines",
	"kubernetes.md: kubectl -n serin port-f": "needs kubectl and a browser",
	"kubernetes.md: kubectl -n pro get depl": "deploy: lists by the API what Serin made for a canary; there is no kubectl",
	"kubernetes.md: kubectl -n pro apply":    "e2e/cluster and resource/kube: the same with another rollout",
	"kubernetes.md: kubectl -n pro patch":    "e2e/cluster: leaves a rollout with one Deployment this way, under load",
	"kubernetes.md: ln -s":                   "e2e/cluster: kubectl calls the plugin, with another rollout",
	"kubernetes.md: kubectl -n pro wait":     "e2e/cluster and resource/kube: the same with another rollout",
	"install.md: ":                           "e2e: makes a release, checks its checksums and opens its archives; the rest needs GitHub and a registry",
	"analysis.md: serin validate --live":     "e2e and e2e/cluster: run --live with a real Prometheus, Traefik and API server",
	"migration.md: ":                         "e2e/cluster: runs every command on a real API server, with the other controller's objects and under load",
}

// block is a fenced block of a page, or one for the test only, in a comment: <!-- sh … -->.
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

// ports replaces each loopback port of a page by a free one, so that pages do not interfere with each other.
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

// preamble defines functions for the blocks. It also ends the background processes of a page if the test is killed and
// cannot end the process group itself.
const preamble = `set -eu -o pipefail
test=$PPID
(while kill -0 "$test" 2>/dev/null; do sleep 1; done; kill -KILL 0) >/dev/null 2>&1 &
disown
until_says() { # PATTERN COMMAND…: repeats the command until its output matches, for up to five minutes
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

func TestTheShellBlocksOfThePagesWork(t *testing.T) {
	for _, page := range pages(t) {
		if page == "cli.md" { // generated, and shows help texts only
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
		require.NotEqual(t, "elsewhere", b.info, "%s:%d: no test runs it", page, b.line)
		if b.language == "text" {
			require.NotRegexp(t, `(?m)^(serin|kubectl|helm|make|curl) `, b.text, "%s:%d: a command needs the language sh", page, b.line)
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

// runScript runs a script in its own process group, ends the group with it, and returns the output.
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
	said, err := os.Create(filepath.Join(dir, ".said")) // not a pipe, which background processes would keep open
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	failed := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // background processes
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

// parts are the documents around parts that pages show, as in ```yaml part=rollout. The part replaces the same keys of the
// spec.
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

// whole puts a part of a spec into its document.
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

func TestTheYAMLOfThePagesIsValid(t *testing.T) {
	for _, page := range pages(t) {
		var all strings.Builder // the files of a page may refer to each other
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

// checkPrometheus has promtool check a configuration of Prometheus. The rules that it names are those of the dashboards.
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

// Nobody finds a page that is not listed.
func TestEveryPageIsInTheTableOfContents(t *testing.T) {
	contents, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, page := range pages(t) {
		if page != "README.md" && !strings.HasPrefix(page, "../") {
			require.Contains(t, string(contents), "]("+page+")", "docs/README.md links to it")
		}
	}
}

// links matches links to files of the repository.
var links = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

func TestNoLinkIsDead(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page) //nolint:gosec // of this repository
		require.NoError(t, err)
		for _, m := range links.FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), m[1]))
			require.NoError(t, err, "%s links to %s", page, m[1])
		}
	}
}
