package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

var (
	update   = flag.Bool("update", false, "write the generated files again")
	pictures = flag.Bool("pictures", false, "take the pictures of the README again")
)

func TestScripts(t *testing.T) {
	t.Parallel()
	program, err := testbed.Serin(t.TempDir())
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+e.Getenv("PATH"))
			port, err := testbed.FreePort() // for the scripts with a daemon
			e.Setenv("ADDRESS", fmt.Sprintf("127.0.0.1:%d", port))
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// only FILE…: the working directory holds only these files.
			"only": func(ts *testscript.TestScript, neg bool, args []string) {
				entries, err := os.ReadDir(ts.Getenv("WORK"))
				ts.Check(err)
				var names []string
				for _, e := range entries {
					if e.Name() != ".tmp" && e.Name() != "tmp" {
						names = append(names, e.Name())
					}
				}
				if got, want := strings.Join(names, " "), strings.Join(args, " "); neg || got != want {
					ts.Fatalf("the directory holds %q, not %q", got, want)
				}
			},
			// expand FILE: replaces environment variables in it.
			"expand": func(ts *testscript.TestScript, _ bool, args []string) {
				text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
			},
			// until PATTERN COMMAND…: repeats the command until its output matches.
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				pattern := regexp.MustCompile(args[0])
				for end := time.Now().Add(await.Patience); ; {
					err := ts.Exec(args[1], args[2:]...)
					if out := ts.ReadFile("stdout"); err == nil && pattern.MatchString(out) {
						return
					}
					if time.Now().After(end) {
						ts.Fatalf("it never said %s: %v", args[0], err)
					}
					time.Sleep(200 * time.Millisecond) // each poll starts a program
				}
			},
			// exits CODE COMMAND…: the command ends with this exit code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "exit status " + args[0]
				if neg || err == nil || err.Error() != got {
					ts.Fatalf("%v, not %s", err, got)
				}
			},
		},
	})
}

func TestTheReferenceMatchesTheCommands(t *testing.T) {
	const path = "../../docs/cli.md"
	want := reference(newRoot())
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // for everybody to read
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "stale: go generate ./cmd/serin")
}
