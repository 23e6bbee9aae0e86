//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALockThatIsClosedIsFreeWhileProcessesAreStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	defer starting.Wait()
	defer cancel()
	for range 8 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "true").Run() // the last one is cancelled
			}
		})
	}
	path := filepath.Join(t.TempDir(), "serin.db.lock")
	for range 500 {
		lock, err := lockFile(path)
		require.NoError(t, err)
		require.NoError(t, lock.Close())
	}
}
