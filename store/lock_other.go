//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package store

import (
	"errors"
	"io"
)

// lockFile refuses: without flock(2) two daemons on one file would not notice each other.
func lockFile(string) (io.Closer, error) {
	return nil, errors.New("this system has no flock(2): use PostgreSQL")
}
