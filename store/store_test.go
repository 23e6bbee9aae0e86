package store_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to inspect databases from outside
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/store/storetest"
)

var _ engine.Store = (*store.Store)(nil)

// TestMain also runs the children that tests kill or give a small disk.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := runChild(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func newSQLite(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "serin.db") }

func TestSQLitePassesTheSuiteOfStores(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Database{New: newSQLite})
}

func TestPostgreSQLPassesTheSuiteOfStores(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Database{New: newPostgres(t), Shared: true})
}

// newPostgres starts a server and returns a function that makes databases in it.
func newPostgres(t testing.TB) func(testing.TB) string {
	server := testbed.NewPostgres(t, testbed.PostgresConfig{})
	var n atomic.Int64
	return func(t testing.TB) string {
		t.Helper()
		url, err := server.CreateDatabase(t.Context(), fmt.Sprintf("serin%d", n.Add(1)))
		require.NoError(t, err)
		return url
	}
}

func TestANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		driver string
		make   func(testing.TB) string
		dsn    func(string) string
	}{
		"sqlite":   {"sqlite", newSQLite, func(u string) string { return u[len("sqlite:"):] }},
		"postgres": {"pgx", newPostgres(t), func(u string) string { return u }},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.make(t)
			s, err := store.Open(t.Context(), url)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			db, err := sql.Open(c.driver, c.dsn(url))
			require.NoError(t, err)
			storetest.RaiseSchema(t, db)
			for range 2 {
				_, err = store.Open(t.Context(), url)
				require.ErrorContains(t, err, "version 9999, this Serin knows")
			}
			_, err = db.ExecContext(t.Context(), `DELETE FROM goose_db_version WHERE version_id = 9999`)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			storetest.Open(t, url)
		})
	}
}

func TestOpenRefusesWhatItCannotOpen(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	require.NoError(t, os.WriteFile(text, []byte("this is text, long enough to be read as the header of a database, and not one"), 0o600))
	for name, c := range map[string]struct{ url, want string }{
		"no URL":                        {"", "sqlite: or postgres://"},
		"another engine":                {"mysql://u:secret@h/d", "sqlite: or postgres://"},
		"no path":                       {"sqlite:", "a path has to follow"},
		"memory, which is not durable":  {"sqlite::memory:", "a path has to follow"},
		"a URL where a path is meant":   {"sqlite://serin.db", "a path has to follow"},
		"a folder that does not exist":  {"sqlite:" + filepath.Join(folder, "none", "serin.db"), "no such file"},
		"a folder":                      {"sqlite:" + folder, "is a directory"},
		"a file that is something else": {"sqlite:" + text, "not a database"},
		"a server that does not exist":  {"postgres://u:secret@127.0.0.1:1/d?sslmode=disable", "open postgres 127.0.0.1:1/d"},
		"a port that is not a number":   {"postgres://u:secret@127.0.0.1:port/d", "port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), c.url)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestOddPathsAreOnlyPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "ü%41.db", "a?mode=memory", "a#b", "file:x", "q'\"`$"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			storetest.Create(t, storetest.Open(t, "sqlite:"+path), "01A", "shop", "")
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

func TestASessionOfPostgreSQLCommitsToTheDisk(t *testing.T) {
	t.Parallel()
	fresh := newPostgres(t) // its default is synchronous_commit=off
	u, err := url.Parse(fresh(t))
	require.NoError(t, err)
	for set, want := range map[string]string{"off": "on", "on": "on", "remote_apply": "remote_apply"} {
		q := u.Query()
		q.Set("synchronous_commit", set)
		u.RawQuery = q.Encode()
		s := storetest.Open(t, u.String())
		got, err := s.SynchronousCommit(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
