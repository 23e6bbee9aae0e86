package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// shown is the demo's report of what happened.
type shown struct {
	Source               string
	Good, Bad            shownEnd
	Requests, Failed     int
	TookNanoseconds      int64
	Afterwards, StillBad int
}

type shownEnd struct {
	Outcome, Why, Verdict string
	Canary, Baseline      struct{ Bad, Total float64 }
}

// TestTheDemoShowsWhatItPromises runs `make demo` both ways, unchanged except for a longer time limit for busy
// machines.
func TestTheDemoShowsWhatItPromises(t *testing.T) {
	t.Parallel()
	demo, err := testbed.Program(t.TempDir(), "internal/demo")
	require.NoError(t, err)
	for name, c := range map[string]struct{ prometheus, source string }{
		"Serin reads Traefik's metrics itself": {"", "scrape"},
		"a Prometheus reads them":              {"1", "prometheus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "result.json")
			cmd := exec.CommandContext(t.Context(), demo, "-serin", serin, "-result", file, "-patience", "10m")
			cmd.Env = append(os.Environ(), "PROMETHEUS="+c.prometheus, "KEEP=")
			said, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", said)
			text, err := os.ReadFile(file) //nolint:gosec // of this test
			require.NoError(t, err)
			var got shown
			require.NoError(t, json.Unmarshal(text, &got))
			require.Equal(t, c.source, got.Source)

			require.Equal(t, "released", got.Good.Outcome, "%s", said)
			require.Equal(t, "rolledBack", got.Bad.Outcome, "%s", said)
			require.Equal(t, "fail", got.Bad.Verdict, "%s", said)
			require.Contains(t, got.Bad.Why, "the canary is worse: errors")
			require.Greater(t, got.Bad.Canary.Bad/got.Bad.Canary.Total, got.Bad.Baseline.Bad/got.Bad.Baseline.Total)

			require.Positive(t, got.TookNanoseconds)
			require.GreaterOrEqual(t, got.Failed, int(got.Bad.Canary.Bad), "its users saw at least the failures that are in the evidence")
			require.Greater(t, got.Requests, got.Failed)
			require.Positive(t, got.Afterwards)
			require.Zero(t, got.StillBad, "after the rollback no request reaches it: %s", said)
			require.Contains(t, string(said), "Everything that was started has been stopped and removed")
		})
	}
}
