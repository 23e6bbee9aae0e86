package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// The site is built as by `make docs`. A link to a missing page or heading fails the build.
func TestTheSiteIsBuilt(t *testing.T) {
	t.Parallel()
	require.NoError(t, testbed.Reads("docs", "examples", "dashboards", "deploy", "tools/mkdocs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"))
	site := filepath.Join(t.TempDir(), "site")
	cmd := exec.CommandContext(t.Context(), "../tools/mkdocs/site", site)
	cmd.Env = append(os.Environ(), "VERSION=v1.2.3")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)

	pages := 0
	require.NoError(t, filepath.WalkDir(site, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".html" {
			return err
		}
		pages++
		text, err := os.ReadFile(path) //nolint:gosec // of this test
		require.NoError(t, err)
		require.Contains(t, string(text), "Serin v1.2.3", "%s has no version", path)
		require.NotContains(t, string(text), `<script src="http`, "%s loads something from elsewhere", path)
		require.NotContains(t, string(text), `rel="stylesheet" href="http`, "%s loads something from elsewhere", path)
		return nil
	}))
	own, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.Greater(t, pages, len(own))
	require.FileExists(t, filepath.Join(site, "examples", "minimal.yaml"), "files that pages link to are part of the site")

	text, err := os.ReadFile(filepath.Join(site, "search", "search_index.json")) //nolint:gosec // of this test
	require.NoError(t, err)
	var index struct {
		Docs []struct{ Location, Text string }
	}
	require.NoError(t, json.Unmarshal(text, &index))
	found := false
	for _, d := range index.Docs {
		found = found || strings.HasPrefix(d.Location, "docs/margins/") && strings.Contains(d.Text, "margin")
	}
	require.True(t, found, "the search finds a page")
}
