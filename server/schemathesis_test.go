package server_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

// TestSchemathesisFindsNothing holds the running API against its own OpenAPI document: no answer is a 5xx, none is
// outside of what the document says of it, and wrong requests are refused.
func TestSchemathesisFindsNothing(t *testing.T) {
	root, err := testbed.Root()
	require.NoError(t, err)
	require.NoError(t, testbed.Reads("tools/schemathesis"))
	program := filepath.Join(root, ".toolchain", "bin", "schemathesis")
	require.FileExists(t, program, "run `make tools`")
	for _, who := range []string{"ada", "vera"} {
		t.Run(people[who][0], func(t *testing.T) {
			d := newDaemon(t)
			d.start("shop")
			cmd := exec.CommandContext(t.Context(), program, "run", d.url+"/openapi.json", "--no-color",
				"-H", "Authorization: Bearer "+d.secrets[who], "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1", "--no-shrink",
				"--continue-on-failure", "--request-timeout", "30", "--warnings", "off",
				"--exclude-path", "/api/v1/events", "--exclude-path", "/api/v1/releases/{id}/events/stream", // they do not end
				// A parameter that a rollout does not declare is in no document, so right requests may be refused. The path of a
				// run's cancellation by key is also one of a run, which has GET. After ten wrong tokens the answer is 429.
				"--exclude-checks", "positive_data_acceptance,allow_header_conformance,ignored_auth")
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.NotContains(t, d.logged(), "level=ERROR msg=panic")
		})
	}
}
