package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// packages lists the folders of the module with Go code, as paths from its root.
func packages(t *testing.T) (out []string) {
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "tools", "bin", "node_modules"}, name)):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go"):
			out = append(out, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../")))
		}
		return nil
	}))
	slices.Sort(out)
	return slices.Compact(out)
}

// docs/architecture.md lists every package once and no others, and puts each one of the product on a floor.
func TestEveryRoomIsOnThePlan(t *testing.T) {
	b, err := os.ReadFile("architecture.md")
	require.NoError(t, err)
	var rooms, onFloors []string
	floors := true
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if strings.HasPrefix(line, "| room") {
			floors = false
		}
		if len(cells) < 4 || !strings.HasPrefix(line, "| ") {
			continue
		}
		cell, list := cells[1], &rooms
		if floors {
			cell, list = cells[2], &onFloors
		}
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			*list = append(*list, m[1])
		}
	}
	all := packages(t)
	require.ElementsMatch(t, all, rooms, "the rooms with their questions")
	product := slices.DeleteFunc(slices.Clone(all), func(p string) bool {
		first, _, _ := strings.Cut(p, "/")
		return slices.Contains([]string{"internal", "e2e", "dashboards", "deploy", "docs"}, first) || strings.Contains(p, "test")
	})
	require.ElementsMatch(t, product, onFloors, "the floors")
}

// TestTheWingForSpinnakerCanBeCutOut: only the files that docs/architecture.md names import the wing's packages.
func TestTheWingForSpinnakerCanBeCutOut(t *testing.T) {
	b, err := os.ReadFile("architecture.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(b), "One wing serves Spinnaker only")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n")
	var folders, files []string
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		if strings.HasSuffix(m[1], ".go") {
			files = append(files, m[1])
		} else {
			folders = append(folders, m[1])
		}
	}
	require.NotEmpty(t, folders)
	inside := regexp.MustCompile(`(?m)^\s*(\w+ )?"github.com/serindev/serin/(` + strings.Join(folders, "|") + `)(/\w+)*"$`)
	var importing []string
	for _, p := range packages(t) {
		if slices.ContainsFunc(folders, func(f string) bool { return p == f || strings.HasPrefix(p, f+"/") }) {
			continue
		}
		all, err := filepath.Glob(filepath.Join("..", p, "*.go"))
		require.NoError(t, err)
		for _, path := range all {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			if !strings.HasSuffix(path, "_test.go") && inside.Match(b) {
				importing = append(importing, filepath.ToSlash(strings.TrimPrefix(path, "../")))
			}
		}
	}
	require.ElementsMatch(t, files, importing)
}
