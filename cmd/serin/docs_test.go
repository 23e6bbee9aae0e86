package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var (
	shellBlock = regexp.MustCompile("(?ms)^(?:```sh[^\n]*|<!-- sh)\n(.*?)^(?:```|-->)$")
	inline     = regexp.MustCompile("`(serin [^`]+)`")
	word       = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|[^\s"'])+`)
	ends       = regexp.MustCompile(`\s(?:#|\||&|>|2>|;|<).*$`)
)

// TestEveryCommandOfTheDocumentationExists also covers commands that no other test runs. In code blocks the arguments
// have to be right too; in a sentence they may be left out.
func TestEveryCommandOfTheDocumentationExists(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	pages = append(pages, "../../README.md", "../../examples/README.md", "../../dashboards/README.md", "../../CONTRIBUTING.md")
	n := 0
	for _, page := range pages {
		b, err := os.ReadFile(page) //nolint:gosec // of this repository
		require.NoError(t, err)
		for _, block := range shellBlock.FindAllStringSubmatch(string(b), -1) {
			for line := range strings.Lines(block[1]) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "serin ") {
					exists(t, page, line, true)
					n++
				}
			}
		}
		for _, m := range inline.FindAllStringSubmatch(string(b), -1) {
			exists(t, page, m[1], false)
			n++
		}
	}
	for _, c := range newRoot().Commands() {
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "serin ") {
				exists(t, "the example of "+c.Name(), line, true)
				n++
			}
		}
	}
	require.Greater(t, n, 80, "the commands are found")
}

// exists checks that a line is a command, with flags that it knows and as many arguments as it takes.
func exists(t *testing.T, where, line string, whole bool) {
	t.Helper()
	words := word.FindAllString(ends.ReplaceAllString(line, ""), -1)
	for i := range words {
		words[i] = strings.Trim(words[i], `"'`)
	}
	root := newRoot()
	cmd, rest, err := root.Find(words[1:])
	require.NoError(t, err, "%s: %s", where, line)
	require.NotEqual(t, root, cmd, "%s: %s", where, line)
	if err := cmd.ParseFlags(rest); !errors.Is(err, pflag.ErrHelp) {
		require.NoError(t, err, "%s: %s", where, line)
	}
	if whole {
		require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), "%s: %s", where, line)
	}
}
