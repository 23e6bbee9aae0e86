package testbed_test

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// trimmed is the only module that a server is built with another copy of: tools/README.md.
const trimmed = "github.com/go-acme/lego/v4"

// TestTheServersAreThePinnedOnes: whatever is left out of their build, every module of it is the one that go.sum has,
// and that includes the server's own. A server from PATH is nobody's build of ours.
func TestTheServersAreThePinnedOnes(t *testing.T) {
	root, err := testbed.Root()
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("tools/traefik", "tools/prometheus"))
	for program, tool := range map[string]string{"traefik": "traefik", "prometheus": "prometheus", "promtool": "prometheus"} {
		path, err := testbed.Tool(program)
		require.NoError(t, err)
		if !strings.Contains(path, ".toolchain") {
			continue
		}
		info, err := buildinfo.ReadFile(path)
		require.NoError(t, err)
		sums, err := os.ReadFile(filepath.Join(root, "tools", tool, "go.sum")) //nolint:gosec // of this repository
		require.NoError(t, err)
		mod, err := os.ReadFile(filepath.Join(root, "tools", tool, "go.mod")) //nolint:gosec // of this repository
		require.NoError(t, err)
		for _, m := range append(info.Deps, &info.Main) {
			upstream(t, program, m, string(sums), string(mod))
		}
	}
}

func upstream(t *testing.T, program string, m *debug.Module, sums, mod string) {
	t.Helper()
	if m.Path == trimmed {
		require.Contains(t, mod, m.Path+" "+m.Version, "%s: the version of the copy", program)
		return
	}
	if m.Replace != nil {
		require.Contains(t, mod, m.Path+" => "+m.Replace.Path+" "+m.Replace.Version, "%s replaces a module that its go.mod does not", program)
		m = m.Replace
	}
	require.Contains(t, sums, m.Path+" "+m.Version+" "+m.Sum, "%s is built from another %s than the pinned one", program, m.Path)
}
