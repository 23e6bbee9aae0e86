package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic/traefikapi"
)

// checking reads documents with the checks of the gateway's own parsers, as the daemon does.
func checking() Loader { return Loader{Rule: traefikapi.ParseRule, Guards: traefikapi.ValidateGuards} }

// What people who release with Traefik and Prometheus tried to write, and what newcomers got wrong, each with its whole
// answer: it is right, or refused for a reason that says what to do.
func TestWhatPeopleHaveTriedIsRightOrRefusedWithTheReason(t *testing.T) {
	for _, folder := range []string{"field", "mistakes"} {
		files, err := filepath.Glob("testdata/" + folder + "/*.yaml")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			name := strings.TrimSuffix(file, ".yaml")
			t.Run(strings.TrimPrefix(name, "testdata/"), func(t *testing.T) {
				report, _ := checking().Validate(file)
				if *update {
					require.NoError(t, os.WriteFile(name+".txt", []byte(report), 0o600))
					return
				}
				want, err := os.ReadFile(name + ".txt") //nolint:gosec // a golden file
				require.NoError(t, err)
				require.Equal(t, string(want), report)
			})
		}
	}
}
