package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The cost of reading a folder with many rollouts for the first time, and again after a single file has changed.
func BenchmarkLoad(b *testing.B) {
	const rollouts = 1000
	dir := b.TempDir()
	for i := range rollouts {
		name := fmt.Sprintf("shop-%d", i)
		require.NoError(b, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(rolloutYAML(name, short)), 0o600))
	}
	files := Loader{}.read([]string{dir})
	first := Loader{}.next(files, nil)
	require.Empty(b, first.Errors)
	require.Len(b, first.Rollouts, rollouts)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			Loader{}.next(Loader{}.read([]string{dir}), nil)
		}
	})
	b.Run("one-changed", func(b *testing.B) {
		require.NoError(b, os.WriteFile(files[0].name, []byte(strings.ReplaceAll(rolloutYAML("shop-0", short), "5%", "6%")), 0o600))
		for b.Loop() {
			Loader{}.next(Loader{}.read([]string{dir}), first)
		}
	})
}
