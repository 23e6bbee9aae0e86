package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each bad file has its complete report next to it. For a new message, begin with a file here.
func TestEveryBadFileGetsAllItsErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			report, ok := Loader{}.Validate(file)
			require.False(t, ok, "it is bad: %s", report)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(report), 0o600))
				return
			}
			want, err := os.ReadFile(golden) //nolint:gosec // a golden file
			require.NoError(t, err)
			require.Equal(t, string(want), report)
			for _, jargon := range []string{"oneOf", "minProperties", "additionalProp", "instance ", "schema", "object", "array", "json:"} {
				require.NotContains(t, report, jargon, "messages are for people who have never heard of JSON Schema")
			}
		})
	}
}
