package docs

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// foreignWords matches words that a native reader stumbles over.
var foreignWords = regexp.MustCompile(`(?i)\b(an` + `ew|for e` + `ver|bes` + `ide|whoso` + `ever|who` + `ever|men` + `ded|in v` + `ain|somebody el` + `se's|belie` + `ved)\b`)

// Comments, strings and pages avoid foreignWords. Use again, forever, next to or alongside, anyone who, fixed, for
// nothing, another's or external, trusted or assumed. Stored forms and records of decisions are exempt.
func TestWordsAreThoseOfANativeReader(t *testing.T) {
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, "../"))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if path != ".." && strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "node_modules", "bin"}, d.Name()) || name == "docs/decisions" {
				return filepath.SkipDir
			}
			return nil
		case name == "CHANGELOG.md" || !slices.Contains([]string{".go", ".md", ".html"}, filepath.Ext(name)):
			return nil
		}
		b, err := os.ReadFile(path) //nolint:gosec // a file of this repository
		text := string(b)
		if strings.HasSuffix(name, ".go") {
			text = words(b)
		}
		for _, m := range foreignWords.FindAllString(text, -1) {
			t.Errorf("%s: %q is not what a native speaker would write", name, m)
		}
		return err
	}))
}

// words returns the comments and string literals of a Go file, except field tags.
func words(source []byte) string {
	var s scanner.Scanner
	set := token.NewFileSet()
	s.Init(set.AddFile("", set.Base(), len(source)), source, nil, scanner.ScanComments)
	var b strings.Builder
	for {
		_, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return b.String()
		case kind == token.COMMENT, kind == token.STRING && !strings.HasPrefix(literal, "`json:"):
			b.WriteString(literal + "\n")
		}
	}
}
