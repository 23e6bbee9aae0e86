package testbed_test

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// trimmed is a module of which Traefik is built with a smaller copy: see tools/README.md.
const trimmed = "github.com/go-acme/lego/v4"

// Every module in the build of a server, and the server's own, is the one in go.sum, whatever is left out of the build.
// A server from PATH was not built by us.
func TestTheServersAreThePinnedOnes(t *testing.T) {
	require.NoError(t, testbed.Reads("tools/traefik", "tools/prometheus"))
	for program, tool := range map[string]string{"traefik": "traefik", "prometheus": "prometheus", "promtool": "prometheus"} {
		info := built(t, program)
		if info == nil {
			continue
		}
		sums, mod := text(t, "tools", tool, "go.sum"), text(t, "tools", tool, "go.mod")
		for _, m := range append(info.Deps, &info.Main) {
			upstream(t, program, m, sums, mod)
		}
	}
}

// Modules that both use are compiled only once if the version is the same. Traefik's forks are exempt. `go get -C
// tools/traefik MODULE@VERSION` gives Traefik the version that Serin has.
func TestSerinAndTraefikShareTheirModules(t *testing.T) {
	info := built(t, "traefik")
	if info == nil {
		return
	}
	serin := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*(\S+) (v\S+)`).FindAllStringSubmatch(text(t, "go.mod"), -1) {
		serin[m[1]] = m[2]
	}
	require.NotEmpty(t, serin["k8s.io/client-go"])
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Path == m.Path {
			m = m.Replace
		}
		if want, both := serin[m.Path]; both && m.Replace == nil {
			require.Equal(t, want, m.Version, m.Path)
		}
	}
}

// built is what a server was built from; nil if we did not build it.
func built(t *testing.T, program string) *buildinfo.BuildInfo {
	t.Helper()
	path, err := testbed.Tool(program)
	require.NoError(t, err)
	if !strings.Contains(path, ".toolchain") {
		return nil
	}
	info, err := buildinfo.ReadFile(path)
	require.NoError(t, err)
	return info
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	root, err := testbed.Root()
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(b)
}

// standsIn reports whether a module is replaced by one of ours that does nothing: see tools/README.md.
func standsIn(m *debug.Module) bool {
	return m.Replace != nil && strings.HasPrefix(filepath.Base(filepath.Dir(m.Replace.Path)), "without")
}

func upstream(t *testing.T, program string, m *debug.Module, sums, mod string) {
	t.Helper()
	switch {
	case m.Path == trimmed:
		require.Contains(t, mod, m.Path+" "+m.Version, "%s: the copy has another version", program)
		return
	case standsIn(m):
		own := text(t, "tools", "traefik", "without", filepath.Base(m.Replace.Path), "go.mod")
		require.True(t, strings.HasPrefix(own, "module "+m.Path+"\n"), "%s: %s should stand in for %s", program, m.Replace.Path, m.Path)
		return
	case m.Replace != nil:
		require.Contains(t, mod, m.Path+" => "+m.Replace.Path+" "+m.Replace.Version,
			"%s replaces %s, which its go.mod does not", program, m.Path)
		m = m.Replace
	}
	require.Contains(t, sums, m.Path+" "+m.Version+" "+m.Sum, "%s is not built from the pinned %s", program, m.Path)
}
