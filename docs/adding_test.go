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

// exampleKinds match the code that names the example of each section of adding-a-kind.md.
var exampleKinds = map[string]string{
	"A step":                `\brollout\.Wait\b|\bWaitSpec\b|\b(s|step)\.Wait\b|(?m)(^|[^\w.])Wait[,:\]{)]`,
	"A gateway":             `\btraefikfile\.|\bTraefikFile(Spec)?\b|\bg\.File\b`,
	"A preset of a metric":  `"traefik-latency"`,
	"A source of documents": `\bNewWatcher\b|fsnotify`,
	"A notification":        `enum=drift|\bDrift +Kind\b`,
	"A judge":               `\bsequential\.New\(`,
	"A command":             `\bstatusCmd\b`,
}

var comment = regexp.MustCompile(`(?m)//.*$`)

// naming lists the files of the product that match outside of comments.
func naming(t *testing.T, what string) (out []string) {
	pattern := regexp.MustCompile(what)
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "tools", "bin", "internal", "e2e"}, name)):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && pattern.Match(comment.ReplaceAll(b, nil)) {
			out = append(out, filepath.ToSlash(strings.TrimPrefix(path, "../")))
		}
		return err
	}))
	return out
}

func TestTheGuideListsTheFilesThatNameAKind(t *testing.T) {
	b, err := os.ReadFile("adding-a-kind.md")
	require.NoError(t, err)
	sections := strings.Split(string(b), "\n## ")[1:]
	require.Len(t, sections, len(exampleKinds))
	for _, section := range sections {
		title, text, _ := strings.Cut(section, "\n")
		t.Run(title, func(t *testing.T) {
			var listed []string
			for line := range strings.Lines(text) {
				if m := quoted.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, "| `") {
					listed = append(listed, m[1])
				}
			}
			require.Contains(t, exampleKinds, title)
			require.ElementsMatch(t, naming(t, exampleKinds[title]), listed)
		})
	}
}
