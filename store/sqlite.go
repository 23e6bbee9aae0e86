package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	// sqliteReaders is the number of readers alongside the one writer: enough for people's pages and the engine at the
	// same time.
	sqliteReaders = 4
	// sqliteCache of the writer, in KiB: the newest pages of some thousand releases' looks.
	sqliteCache = 32 << 10
	// sqliteJournal is what the write-ahead log shrinks to after a slot that made it large.
	sqliteJournal = 64 << 20
)

func openSQLite(ctx context.Context, path string, o options) (*Store, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "//") || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("open sqlite:%s: a path has to follow, such as sqlite:/var/lib/serin/serin.db", path)
	}
	s := &Store{name: "sqlite:" + path}
	err := s.openFile(ctx, path, o)
	if err == nil {
		err = migrate(ctx, goose.DialectSQLite3, s.write.db)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.name, errors.Join(err, s.discard()))
	}
	return s, nil
}

// openFile takes the lock first, so that nothing else touches the file from then on.
func (s *Store) openFile(ctx context.Context, path string, o options) error {
	path, err := realPath(path)
	if err != nil {
		return err
	}
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	if err := makeFile(path); err != nil {
		return err
	}
	s.write.may = o.may
	if s.write.db, err = sql.Open("sqlite", sqliteURL(path, o, url.Values{"_txlock": {"immediate"}})); err != nil {
		return err
	}
	s.write.db.SetMaxOpenConns(1)
	s.write.db.SetMaxIdleConns(1)
	if err := s.write.db.PingContext(ctx); err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", sqliteURL(path, o, url.Values{"_query_only": {"1"}})); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(sqliteReaders)
	s.read.SetMaxIdleConns(sqliteReaders)
	return nil
}

// discard closes everything that a failed opening has opened.
func (s *Store) discard() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// sqliteURL is the URL for the driver. synchronous=FULL syncs the write-ahead log at every commit: an event is on the
// disk before anything follows from it.
func sqliteURL(path string, o options, q url.Values) string {
	q["_pragma"] = []string{
		"busy_timeout(" + strconv.FormatInt(o.lockTimeout.Milliseconds(), 10) + ")",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"fullfsync(1)", // macOS: fsync alone leaves the data in the disk's own cache
		"foreign_keys(1)",
		"cache_size(-" + strconv.Itoa(sqliteCache) + ")",
		"journal_size_limit(" + strconv.Itoa(sqliteJournal) + ")",
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	return u.String()
}

// realPath follows links, so that one database has one lock by whatever path it is opened.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	found, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// makeFile makes an empty database that only its owner can access, and restricts an existing one in the same way;
// SQLite gives its mode to the files next to it. The folder is synced, so that the new file survives a crash.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// inUse is the error that a second daemon gets. The lock file names the first one, if it could be written.
func inUse(lock *os.File) error {
	owner := "another process"
	b := make([]byte, 32)
	n, _ := lock.ReadAt(b, 0) //nolint:errcheck // the id is a courtesy
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		owner = "process " + strconv.Itoa(pid)
	}
	return fmt.Errorf("%s has it open (it holds %s): only one Serin may use an SQLite file; several need PostgreSQL", owner, lock.Name())
}
