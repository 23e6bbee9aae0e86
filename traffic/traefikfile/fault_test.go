package traefikfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikfile"
	"github.com/serindev/serin/traffic/traffictest"
)

// target has a cohort and guards, so that every kind of object exists.
func target() traffic.Target {
	return traffic.Target{
		Stable: traffic.Backend{Servers: []string{"http://127.0.0.1:1"}}, Canary: traffic.Backend{Servers: []string{"http://127.0.0.1:2"}}, Weight: 0.1,
		Cohort: &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5, Sticky: "one"},
		Guards: traffic.Guards{
			CircuitBreaker: &traffic.CircuitBreaker{Expression: "NetworkErrorRatio() > 0.5"}, RateLimit: &traffic.RateLimit{Average: 1000, Burst: 500, By: "X-User"},
		},
	}
}

func newRouter(t *testing.T, file string, replicas ...traefikfile.Replica) *traefikfile.Router {
	t.Helper()
	return routerWithin(t, time.Minute, file, replicas...)
}

// routerWithin makes a router with a timeout for each replica.
func routerWithin(t *testing.T, timeout time.Duration, file string, replicas ...traefikfile.Replica) *traefikfile.Router {
	t.Helper()
	r, err := traefikfile.New(traefikfile.Config{
		Rollout: "shop", File: file, Route: traffic.Route{Rule: "PathPrefix(`/`)", EntryPoints: []string{"web"}},
		Replicas: replicas, Timeout: timeout,
	})
	require.NoError(t, err)
	return r
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(data)
}

func TestTheFileHasNoFieldThatOlderVersionsOfTraefikRefuse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, newRouter(t, file).Apply(t.Context(), target()))
	text := read(t, file)
	require.Contains(t, text, "cookie:")
	mirrored := target()
	mirrored.Weight, mirrored.Cohort, mirrored.Mirror = 0, nil, &traffic.Mirror{Share: 1}
	require.NoError(t, newRouter(t, file).Apply(t.Context(), mirrored))
	text += read(t, file)
	require.Contains(t, text, "mirroring:")
	for _, field := range []string{"strategy:", "path:", "mirrorBody:"} {
		require.NotContains(t, text, field)
	}
}

func TestTraefikMayStopAndStartAgain(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	r := newRouter(t, filepath.Join(traefik.Directory, "shop.yaml"), traefikfile.Replica{URL: traefik.API})
	require.NoError(t, r.Apply(t.Context(), target()))
	traffictest.Await(t, r, target(), traffic.InForce)

	require.NoError(t, traefik.Stop())
	o := traffictest.Await(t, r, target(), traffic.Unconfirmed)
	require.Contains(t, o.Replicas[0].Err, "connection refused")
	changed := target()
	changed.Weight = 0
	require.NoError(t, r.Apply(t.Context(), changed), "what is written now is served when it comes back")
	require.NoError(t, traefik.Restart(t.Context()))
	traffictest.Await(t, r, changed, traffic.InForce)
}

func TestAHangingTraefikIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	r := routerWithin(t, time.Second, filepath.Join(traefik.Directory, "shop.yaml"), traefikfile.Replica{URL: traefik.API})
	require.NoError(t, r.Apply(t.Context(), target()))
	traffictest.Await(t, r, target(), traffic.InForce)
	require.NoError(t, traefik.Signal(syscall.SIGSTOP))
	o := traffictest.Await(t, r, target(), traffic.Unconfirmed)
	require.Contains(t, o.Replicas[0].Err, "deadline exceeded")
	require.NoError(t, traefik.Signal(syscall.SIGCONT))
	traffictest.Await(t, r, target(), traffic.InForce)
}

func TestManualEditsAreReportedAndReverted(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, with, 1) }
	}
	line := func(old, with string) func(string) string { // replaces lines and keeps their indentation
		return func(text string) string {
			at := strings.Index(text, old+"\n")
			require.Positive(t, at, old)
			indent := text[strings.LastIndex(text[:at], "\n")+1 : at]
			if with == "" {
				return text[:at-len(indent)] + text[at+len(old)+1:]
			}
			return text[:at] + strings.ReplaceAll(with, "\n", "\n"+indent) + text[at+len(old):]
		}
	}
	for name, c := range map[string]struct {
		edit func(string) string
		says string
	}{
		"a priority":           {replace("priority: 15", "priority: 7"), "router shop: priority is 7, not 15"},
		"an entry point":       {line("- web", "- web\n- other"), `router shop: entryPoints is ["web","other"], not ["web"]`},
		"the main rule":        {replace("rule: PathPrefix(`/`)", "rule: PathPrefix(`/x`)"), "router shop: rule is \"PathPrefix(`/x`)\", not \"PathPrefix(`/`)\""},
		"the cohort's matcher": {replace("`beta`", "`gamma`"), "cohort route matches Header(`X-Group`, `gamma`), not Header(`X-Group`, `beta`)"},
		"the cohort's rule":    {replace("(PathPrefix(`/`)) &&", "(PathPrefix(`/`)) ||"), "router shop-ab: rule is"},
		"a weight":             {replace("weight: 10\n", "weight: 11\n"), "main route: canary's weight is 10.891089%, not 10%"},
		"a weight taken away":  {line("weight: 10", ""), "main route: canary's weight is 1.098901%, not 10%"},
		"a server":             {replace("http://127.0.0.1:2", "http://127.0.0.1:3"), "canary is served by [http://127.0.0.1:3], not [http://127.0.0.1:2]"},
		"stickiness":           {replace("name: serin-shop-ab-one", "name: other"), "service shop-ab: weighted.sticky.cookie.name is \"other\", not \"serin-shop-ab-…\""},
		"a limit":              {replace("average: 1000", "average: 1"), "rateLimit is {Average:1 "},
		"a guard taken away":   {line("- shop-rate-limit", ""), "guards are [circuitBreaker], not [circuitBreaker rateLimit]"},
		"a field added":        {line("passHostHeader: true", "passHostHeader: true\nserversTransport: mine@file"), `loadBalancer.serversTransport is "mine@file", and should not be there`},
		"a field not known":    {replace("passHostHeader: true", "passHostHaeder: true"), "field not found, node: passHostHaeder"},
		"no YAML any more":     {replace("services:", "services"), "yaml: line"},
		"cut off":              {func(text string) string { return text[:len(text)/2] }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.yaml")
			r := newRouter(t, file)
			require.NoError(t, r.Apply(t.Context(), target()))
			good := read(t, file)
			edit(t, file, c.edit)
			o, err := r.Observe(t.Context())
			require.NoError(t, err)
			require.Equal(t, traffic.NotServed, traffic.Confirm(target(), o))
			require.Contains(t, strings.Join(traffic.Differences(target(), o), "\n"), c.says)
			require.NoError(t, r.Apply(t.Context(), target()))
			require.Equal(t, good, read(t, file))
			o, err = r.Observe(t.Context())
			require.NoError(t, err)
			require.Empty(t, traffic.Differences(target(), o))
		})
	}
}

func TestARemovedOrEmptiedFileIsWrittenAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	r := newRouter(t, file)
	for _, gone := range []func() error{
		func() error { return os.RemoveAll(file) }, func() error { return os.WriteFile(file, []byte(" \n"), 0o600) },
	} {
		require.NoError(t, gone())
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Nil(t, o.Configured)
		require.Equal(t, []string{"configuration: nothing is written"}, traffic.Differences(target(), o))
		require.NoError(t, r.Apply(t.Context(), target()))
		o, err = r.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, traffic.Unconfirmed, traffic.Confirm(target(), o))
	}
}

func TestAForeignFileIsRefusedAndLeftAlone(t *testing.T) {
	const mark = "# serin.dev/rollout: shop\n"
	for name, c := range map[string]struct{ text, says string }{
		"no comment":              {"http: {}\n", `it does not begin with the comment "# serin.dev/rollout: shop"`},
		"the comment too late":    {"http: {}\n" + mark, "it does not begin with the comment"},
		"not even YAML":           {"{{{", "it does not begin with the comment"},
		"another rollout's":       {"# serin.dev/rollout: other\nhttp: {}\n", "it belongs to the rollout other"},
		"a second document":       {mark + "http: {}\n---\nhttp: {}\n", "it has a second document"},
		"a template":              {mark + "http: {} # {{ env \"HOME\" }}\n", "it has actions of a template"},
		"larger than any of ours": {mark + strings.Repeat("#\n", 1<<19), "it is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			r := newRouter(t, file)
			err := r.Apply(t.Context(), target())
			require.ErrorIs(t, err, traefikfile.ErrForeign)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, file)
			require.Equal(t, c.text, read(t, file))
			_, err = r.Observe(t.Context())
			require.ErrorContains(t, err, c.says, "without a replica there is nothing to ask")

			traefik := newRouter(t, file, traefikfile.Replica{URL: fake(t, answer404)})
			o, err := traefik.Observe(t.Context())
			require.NoError(t, err, "a replica could be asked")
			require.Contains(t, o.Unreadable, c.says)
			require.Equal(t, traffic.NotServed, traffic.Confirm(target(), o))
		})
	}
}

// Foreign entries in Serin's file stop a release but never a rollback, and are served as before.
func TestForeignEntriesStayAndDoNotStopARollback(t *testing.T) {
	for name, c := range map[string]struct{ add, says string }{
		"a router":        {"http:\n  routers:\n    mine: {rule: Host(`a`), service: shop}\n", `it has "http.routers.mine"`},
		"a service":       {"http:\n  services:\n    shop-extra:\n      # a comment\n      loadBalancer: {servers: [{url: http://127.0.0.1:3}]}\n", `it has "http.services.shop-extra"`},
		"a middleware":    {"http:\n  middlewares:\n    auth: {basicAuth: {users: [\"a:b\"]}}\n", `it has "http.middlewares.auth"`},
		"another kind":    {"http:\n  serversTransports:\n    shop: {insecureSkipVerify: true}\n", `it has "http.serversTransports"`},
		"another section": {"tls:\n  options: {strict: {minVersion: VersionTLS13}}\n", `it has "tls"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "shop.yaml")
			r := newRouter(t, file)
			require.NoError(t, r.Apply(t.Context(), target()))
			var ours, theirs map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(read(t, file)), &ours))
			require.NoError(t, yaml.Unmarshal([]byte(c.add), &theirs))
			both, err := yaml.Marshal(merged(ours, theirs))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, append([]byte("# serin.dev/rollout: shop\n"), both...), 0o600))
			edited := read(t, file)

			more := target()
			more.Weight = 0.5
			err = r.Apply(t.Context(), more)
			require.ErrorIs(t, err, traefikfile.ErrForeign)
			require.ErrorContains(t, err, c.says)
			require.Equal(t, edited, read(t, file))
			o, err := r.Observe(t.Context())
			require.NoError(t, err)
			require.Contains(t, o.Unreadable, c.says, "it is reported")
			require.Equal(t, traffic.Unconfirmed, traffic.Confirm(target(), o), "and Serin's part is known")

			back := target()
			back.Weight, back.Cohort = 0, nil
			require.NoError(t, r.Apply(t.Context(), back))
			o, err = r.Observe(t.Context())
			require.NoError(t, err)
			require.Contains(t, o.Unreadable, c.says)
			require.Equal(t, traffic.Unconfirmed, traffic.Confirm(back, o), "%v", traffic.Differences(back, o))
			var now map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(read(t, file)), &now))
			require.Subset(t, flat("", now), flat("", theirs), "all foreign entries are kept")
			written := read(t, file)
			require.NoError(t, r.Apply(t.Context(), back))
			require.Equal(t, written, read(t, file), "and it is not written again")
		})
	}
}

// merged returns a with everything added that only b has.
func merged(a, b map[string]any) map[string]any {
	for k, v := range b {
		into, both := a[k].(map[string]any)
		from, maps := v.(map[string]any)
		if both && maps {
			v = merged(into, from)
		}
		a[k] = v
	}
	return a
}

// flat returns a line for each value.
func flat(path string, v any) (out []string) {
	m, ok := v.(map[string]any)
	if !ok {
		return []string{fmt.Sprint(path, "=", v)}
	}
	for k, v := range m {
		out = append(out, flat(path+"."+k, v)...)
	}
	return out
}

// Traefik serves nothing from a file that it refuses because of foreign entries, so the way back has to drop them.
func TestAFileThatTraefikRefusesDoesNotStopARollback(t *testing.T) {
	for _, broken := range []string{"    mine: {priority: x}\n", "    mine: {rules: typo}\n"} {
		file := filepath.Join(t.TempDir(), "shop.yaml")
		r := newRouter(t, file)
		require.NoError(t, r.Apply(t.Context(), target()))
		edited := strings.Replace(read(t, file), "\n  routers:\n", "\n  routers:\n"+broken, 1)
		require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
		back, more := target(), target()
		more.Weight = 0.5
		require.ErrorIs(t, r.Apply(t.Context(), more), traefikfile.ErrForeign)
		back.Weight, back.Cohort = 0, nil
		require.NoError(t, r.Apply(t.Context(), back))
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Empty(t, o.Unreadable)
		require.Equal(t, traffic.Unconfirmed, traffic.Confirm(back, o))
		require.Equal(t, edited, read(t, filepath.Join(filepath.Dir(file), ".serin", "shop.yaml.refused")))
	}
}

func TestAFileWithAliasesIsLeftAlone(t *testing.T) {
	const text = "# serin.dev/rollout: shop\nhttp:\n  routers:\n    shop: &a {rule: a, service: shop}\n    mine: *a\n"
	file := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	back := target()
	back.Weight, back.Cohort = 0, nil
	err := newRouter(t, file).Apply(t.Context(), back)
	require.ErrorIs(t, err, traefikfile.ErrForeign)
	require.ErrorContains(t, err, "aliases")
	require.Equal(t, text, read(t, file))
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	changed := target()
	changed.Weight = 0.2
	t.Run("no room for the file", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "shop.yaml")
		r := newRouter(t, file)
		require.NoError(t, r.Apply(t.Context(), target()))
		before := read(t, file)
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), fullEnv+"="+file)
		out, err := child.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), syscall.EFBIG.Error())
		require.Equal(t, before, read(t, file))
		require.Equal(t, []string{"shop.yaml"}, filesIn(t, dir), "no partial file is left behind")
		require.NoError(t, r.Apply(t.Context(), changed))
		require.NotEqual(t, before, read(t, file))
	})
	t.Run("the folder is a file", func(t *testing.T) {
		parent := filepath.Join(t.TempDir(), "parent")
		require.NoError(t, os.WriteFile(parent, nil, 0o600))
		require.ErrorIs(t, newRouter(t, filepath.Join(parent, "shop.yaml")).Apply(t.Context(), target()), syscall.ENOTDIR)
	})
	t.Run("the folder is missing", func(t *testing.T) {
		require.ErrorIs(t, newRouter(t, filepath.Join(t.TempDir(), "none", "shop.yaml")).Apply(t.Context(), target()), fs.ErrNotExist)
	})
	t.Run("the file is a link", func(t *testing.T) {
		dir := t.TempDir()
		file, behind := filepath.Join(dir, "shop.yaml"), filepath.Join(dir, "real")
		require.NoError(t, os.WriteFile(behind, nil, 0o600))
		require.NoError(t, os.Symlink(behind, file))
		require.ErrorContains(t, newRouter(t, file).Apply(t.Context(), target()), "is not a regular file")
		require.Empty(t, read(t, behind))
	})
	t.Run("the file is a folder", func(t *testing.T) {
		require.Error(t, newRouter(t, filepath.Join(t.TempDir(), "shop.yaml")+"/.yaml").Apply(t.Context(), target()))
	})
}

func TestTheFileKeepsItsModeAndIsReadableByOthersFromTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.yaml")
	r := newRouter(t, file)
	old := syscall.Umask(0o077)
	err := r.Apply(t.Context(), target())
	syscall.Umask(old)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(filepath.Dir(file), ".serin"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|0o755, info.Mode(), "a Traefik that cannot read a folder ignores the files next to it too")
	info, err = os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode())
	require.NoError(t, os.Chmod(file, 0o600))
	changed := target()
	changed.Cohort = nil
	require.NoError(t, r.Apply(t.Context(), changed))
	info, err = os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
}

func TestApplyDoesNotTouchAFileThatIsUpToDate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.yaml")
	r := newRouter(t, file)
	require.NoError(t, r.Apply(t.Context(), target()))
	before, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), target()))
	require.NoError(t, newRouter(t, file).Apply(t.Context(), target()), "nor does a router that has just started")
	after, err := os.Stat(file)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
	require.Equal(t, before.ModTime(), after.ModTime())
}

// filesIn returns all files below a folder.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	return out
}

// crashEnv names the file that a child process writes until it is killed, and fullEnv a file for which there is no
// space.
const (
	crashEnv = "SERIN_TEST_CRASH_FILE"
	fullEnv  = "SERIN_TEST_FULL_FILE"
)

func TestMain(m *testing.M) {
	var err error
	if file := os.Getenv(crashEnv); file != "" {
		err = writeForever(file)
	} else if file := os.Getenv(fullEnv); file != "" {
		signal.Ignore(syscall.SIGXFSZ)
		err = errors.Join(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}), writeForever(file))
	} else {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// writeForever writes two targets in turn until it cannot.
func writeForever(file string) error {
	r, err := traefikfile.New(traefikfile.Config{Rollout: "shop", File: file, Route: traffic.Route{Rule: "PathPrefix(`/`)", EntryPoints: []string{"web"}}})
	if err != nil {
		return err
	}
	for x := target(); ; x.Weight = 0.3 - x.Weight { // 0.2 and 0.1
		x.Weight = share.Share(math.Round(float64(x.Weight)*10) / 10)
		if err := r.Apply(context.Background(), x); err != nil {
			return err
		}
		fmt.Println("written")
	}
}

func TestACrashLeavesTheOldFileOrTheNewOne(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	r := newRouter(t, file)
	for crash := range 20 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), crashEnv+"="+file)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewReader(out)
		for range 1 + crash%4 { // it is killed while it writes the next one
			_, err := lines.ReadString('\n')
			require.NoError(t, err)
		}
		require.NoError(t, child.Process.Kill())
		_, err = io.Copy(io.Discard, lines)
		require.NoError(t, err)
		require.Error(t, child.Wait())
		o, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Empty(t, o.Configured.Foreign)
		require.Contains(t, []float64{0.1, 0.2}, float64(o.Configured.Main.Weight))
	}
	other := target()
	other.Weight = 0.5
	require.NoError(t, r.Apply(t.Context(), other))
	require.Equal(t, []string{"shop.yaml"}, filesIn(t, filepath.Dir(file)), "what the crashes left is removed")
}

func TestTemplateSyntaxReachesTraefikUnchanged(t *testing.T) {
	t.Parallel()
	canary := testbed.NewBackend(t, testbed.Behaviour{Version: "v2"})
	stable := testbed.NewBackend(t, testbed.Behaviour{Version: "v1"})
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	r := newRouter(t, filepath.Join(traefik.Directory, "shop.yaml"), traefikfile.Replica{URL: traefik.API})
	const value = "{{ env `HOME` }} {{{ \"x\" }}"
	x := traffic.Target{
		Stable: traffic.Backend{Servers: []string{stable.URL}}, Canary: traffic.Backend{Servers: []string{canary.URL}},
		Cohort: &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: value}}, Split: 1},
	}
	require.NoError(t, r.Apply(t.Context(), x))
	traffictest.Await(t, r, x, traffic.InForce)
	load := testbed.LoadConfig{URL: traefik.URL("web"), Requests: 10, Workers: 1, Header: http.Header{"X-Group": {value}}}
	require.Equal(t, 10, testbed.NewLoad(t, load).Wait().Answered("v2"))

	metrics, err := http.Get(traefik.Metrics) //nolint:noctx // a test's
	require.NoError(t, err)
	defer metrics.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(metrics.Body)
	require.NoError(t, err)
	cohort, _ := r.Labels(traffic.CohortLane)
	main, _ := r.Labels(traffic.MainLane)
	label := `service="` + cohort + `"`
	require.Contains(t, string(text), "traefik_service_requests_total{code=\"200\",method=\"GET\",protocol=\"http\","+label+"} 10", "the cohort has metrics of its own")
	require.NotContains(t, string(text), `service="`+main+`"`)
}
