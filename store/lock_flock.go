//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// lockFile locks a file next to the database until it is closed. The kernel drops the lock with the process, however
// that ends, so a left-over file means nothing. It cannot lock the database itself: SQLite loses its own locks when
// anything in the process closes that file.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(inUse(f), f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The process id is a courtesy for the error message of the next daemon: on a full disk it is left out.
	f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) //nolint:errcheck,gosec // see above
	return lock{f}, nil
}

// lock is a file that is locked.
type lock struct{ *os.File }

// Close unlocks the file. Closing it alone would leave the lock for a moment with a child that is just being started, which
// has a copy of the file until it runs its program.
func (l lock) Close() error {
	return errors.Join(syscall.Flock(int(l.Fd()), syscall.LOCK_UN), l.File.Close())
}
