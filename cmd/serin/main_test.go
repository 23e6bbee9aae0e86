package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what is generated anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"serin": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// only FILE…: the working directory holds these files and nothing else.
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
			// exits CODE COMMAND…: the command ends with exactly this exit code.
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

func TestTheReferenceIsTheOneOfTheCommands(t *testing.T) {
	const path = "../../docs/cli.md"
	want := reference(newRoot())
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // for everybody to read
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "stale: go generate ./cmd/serin")
}
