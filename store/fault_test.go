package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/store/storetest"
)

// childRole is the environment variable that makes this binary a child with a job.
const childRole = "SERIN_STORE_TEST_CHILD"

// runChild does the given job; its arguments are those after the test binary's name.
func runChild(role string) error {
	ctx := context.Background()
	switch role {
	case "append":
		return appendForever(ctx, os.Args[1])
	case "small-disk":
		return onSmallDisk(ctx, os.Args[1])
	case "small-file":
		return withSmallFiles(ctx, os.Args[1])
	}
	return fmt.Errorf("no job %q", role)
}

// child is this binary with a job. It dies with us.
func child(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// appendForever appends events and saves looks to the release 01A, and prints each number once it is acknowledged.
func appendForever(ctx context.Context, url string) error {
	s, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	r, err := s.Release(ctx, "01A")
	if err != nil {
		return err
	}
	for version := r.Version; ; version++ {
		e := rollout.Paused{Meta: rollout.Meta{Seq: version + 1, At: storetest.Start}, Reason: strings.Repeat("x", version%5000)}
		if err := s.Append(ctx, r, version, e); err != nil {
			return err
		}
		fmt.Println("event", version+1)
		l := storetest.Look("01A", "gray", version)
		if version%5 == 0 {
			l.Snapshot = fmt.Append(nil, version)
		}
		if err := s.SaveLooks(ctx, []record.LookRecord{l}); err != nil {
			return err
		}
		fmt.Println("look", version)
	}
}

func TestWhatWasAcknowledgedIsThereAfterKill9(t *testing.T) {
	t.Parallel()
	url := newSQLite(t)
	s, err := store.Open(t.Context(), url)
	require.NoError(t, err)
	storetest.Create(t, s, "01A", "shop", "")
	require.NoError(t, s.Close())
	for life := range 5 {
		acknowledged := liveAndDie(t, url, 40+17*life)
		s, err := store.Open(t.Context(), url)
		require.NoError(t, err, "the lock went away with its owner")
		require.NoError(t, intact(t.Context(), s, acknowledged["event"], acknowledged["look"]))
		require.NoError(t, s.Close())
	}
}

// liveAndDie lets a child append, kills it after some lines, and returns the highest number acknowledged of each kind.
func liveAndDie(t *testing.T, url string, lines int) map[string]int {
	t.Helper()
	cmd := child(t, "append", url)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	acknowledged := map[string]int{}
	read := bufio.NewScanner(out)
	for n := 1; read.Scan(); n++ {
		kind, number, _ := strings.Cut(read.Text(), " ")
		acknowledged[kind], err = strconv.Atoi(number)
		require.NoError(t, err)
		if n == lines {
			require.NoError(t, cmd.Process.Kill()) // lines still in the pipe count too
		}
	}
	require.Error(t, cmd.Wait())
	require.Positive(t, acknowledged["event"])
	return acknowledged
}

// whole returns an error unless 01A has at least that many events and looks, and everything stored is consistent.
func whole(ctx context.Context, s *store.Store, events, looks int) error {
	log, err := s.Events(ctx, "01A", 0)
	if err != nil {
		return err
	}
	r, err := s.Release(ctx, "01A")
	if err != nil {
		return err
	}
	if len(log) < events || r.Version != len(log) {
		return fmt.Errorf("%d events at version %d, %d were acknowledged", len(log), r.Version, events)
	}
	for i, e := range log {
		if e.Head().Seq != i+1 {
			return fmt.Errorf("event %d at place %d", e.Head().Seq, i+1)
		}
	}
	e, err := s.Evidence(ctx, "01A", "gray")
	if err != nil {
		return err
	}
	newest := e.SnapshotLook + len(e.Since)
	if newest < looks || newest > 0 && string(e.Cursor) != fmt.Sprint("cursor ", newest) {
		return fmt.Errorf("%d looks with cursor %q, %d were acknowledged", newest, e.Cursor, looks)
	}
	if e.SnapshotLook > 0 && string(e.Snapshot) != fmt.Sprint(e.SnapshotLook) {
		return fmt.Errorf("snapshot %q after look %d", e.Snapshot, e.SnapshotLook)
	}
	return nil
}

// intact is whole for SQLite, which can also check its file.
func intact(ctx context.Context, s *store.Store, events, looks int) error {
	verdict, err := s.Pragma(ctx, "integrity_check")
	if err == nil && verdict != "ok" {
		err = errors.New(verdict)
	}
	return errors.Join(err, whole(ctx, s, events, looks))
}

func TestAKilledPostgreSQLIsAnErrorAndHasEverythingAfterwards(t *testing.T) {
	t.Parallel()
	server := testbed.NewPostgres(t, testbed.PostgresConfig{})
	s := storetest.Open(t, server.URL)
	r := storetest.Create(t, s, "01A", "shop", "")
	version, look := 1, 0
	for range 3 {
		var err error
		for range 5 {
			version, look, err = step(t.Context(), s, r, version, look)
			require.NoError(t, err)
		}
		require.NoError(t, server.Kill())
		for err == nil { // a connection's own process may live a moment longer
			version, look, err = step(t.Context(), s, r, version, look)
		}
		require.NoError(t, server.Restart(t.Context()))
		require.NoError(t, whole(t.Context(), s, version, look))
	}
}

func TestASecondDaemonOnTheSameFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	s := storetest.Open(t, "sqlite:"+path)
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		_, err := store.Open(t.Context(), "sqlite:"+name)
		require.ErrorContains(t, err, fmt.Sprintf("process %d has it open", os.Getpid()))
	}
	storetest.Create(t, s, "01A", "shop", "")
}

func TestFilesOfSQLiteAreForTheirOwnerOnly(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "serin.db")
	require.NoError(t, os.WriteFile(path, nil, 0o644)) //nolint:gosec // to see it closed
	storetest.Create(t, storetest.Open(t, "sqlite:"+path), "01A", "shop", "")
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, 4, "database, journal, shared memory, lock")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
}

func TestSQLiteSyncsEveryCommit(t *testing.T) {
	s := storetest.Open(t, newSQLite(t))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "1000"} {
		got, err := s.Pragma(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}

func TestALockedDatabaseIsAnErrorAndWorksAgainAfterwards(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		driver string
		make   func(testing.TB) string
		dsn    func(string) string
		lock   []string
		want   string
	}{
		"sqlite": {
			"sqlite", newSQLite, func(u string) string { return u[len("sqlite:"):] + "?_txlock=exclusive" }, nil, "database is locked"},
		"postgres": {"pgx", newPostgres(t), func(u string) string { return u },
			[]string{`LOCK TABLE releases IN ACCESS EXCLUSIVE MODE`, `LOCK TABLE scopes IN ACCESS EXCLUSIVE MODE`}, "lock timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.make(t)
			s := storetest.Open(t, url, store.WithLockTimeout(50*time.Millisecond))
			r := storetest.Create(t, s, "01A", "shop", "")
			db, err := sql.Open(c.driver, c.dsn(url))
			require.NoError(t, err)
			defer db.Close() //nolint:errcheck // looked at enough
			e := rollout.Paused{Meta: rollout.Meta{Seq: 2, At: storetest.Start}}
			slot := []record.LookRecord{storetest.Look("01A", "gray", 1)}
			for range 2 {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				for _, lock := range c.lock {
					_, err := tx.ExecContext(t.Context(), lock)
					require.NoError(t, err)
				}
				require.ErrorContains(t, s.Append(t.Context(), r, 1, e), c.want)
				require.ErrorContains(t, s.SaveLooks(t.Context(), slot), c.want)
				other, first := storetest.Release("01B", "blog", "")
				require.ErrorContains(t, s.Create(t.Context(), other, first), c.want)
				require.NoError(t, tx.Rollback())
			}
			require.NoError(t, s.Append(t.Context(), r, 1, e))
			require.NoError(t, s.SaveLooks(t.Context(), slot))
		})
	}
}

func TestAWaitForALockEndsWithItsContext(t *testing.T) {
	url := newSQLite(t)
	s := storetest.Open(t, url, store.WithLockTimeout(time.Hour))
	r := storetest.Create(t, s, "01A", "shop", "")
	db, err := sql.Open("sqlite", url[len("sqlite:"):]+"?_txlock=exclusive")
	require.NoError(t, err)
	defer db.Close() //nolint:errcheck // looked at enough
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	e := rollout.Paused{Meta: rollout.Meta{Seq: 2, At: storetest.Start}}
	require.ErrorIs(t, s.Append(ctx, r, 1, e), context.DeadlineExceeded)
	require.NoError(t, tx.Rollback())
	require.NoError(t, s.Append(t.Context(), r, 1, e))
}

// errNotPermitted is what a child that may not mount prints.
var errNotPermitted = errors.New("not permitted")

func TestAFullDiskIsAnErrorAndWorksAgainWithSpace(t *testing.T) {
	t.Run("a file that may not grow", func(t *testing.T) {
		out, err := child(t, "small-file", t.TempDir()).Output()
		require.NoError(t, err)
		require.Equal(t, "done\n", string(out))
	})
	t.Run("a disk without space", func(t *testing.T) {
		cmd := child(t, "small-disk", t.TempDir())
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.Output()
		if errors.Is(err, syscall.EPERM) || string(out) == errNotPermitted.Error()+"\n" {
			t.Log("this machine permits no mounts: the file that may not grow stands in")
			return
		}
		require.NoError(t, err)
		require.Equal(t, "done\n", string(out))
	})
}

// onSmallDisk mounts a disk of a few MiB that only this child sees, and fills it.
func onSmallDisk(ctx context.Context, folder string) error {
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m")
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		fmt.Println(errNotPermitted)
		return nil
	}
	if err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	filler := filepath.Join(folder, "filler")
	fill := func() error {
		f, err := os.Create(filler) //nolint:gosec // in our own folder
		if err != nil {
			return err
		}
		_, err = io.Copy(f, zeros{})
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("fill the disk: %w", err)
		}
		return f.Close()
	}
	return fullAndFree(ctx, folder, fill, func() error { return os.Remove(filler) }, "disk is full")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// withSmallFiles limits how large this child's files may grow.
func withSmallFiles(ctx context.Context, folder string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	limit := func(cur uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: cur, Max: was.Max})
	}
	return fullAndFree(ctx, folder, func() error { return limit(200_000) }, func() error { return limit(was.Cur) }, "")
}

// fullAndFree writes until there is no space, checks that nothing is half written, and continues once there is space;
// twice.
func fullAndFree(ctx context.Context, folder string, fill, free func() error, want string) error {
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(folder, "serin.db"))
	if err != nil {
		return err
	}
	r, first := storetest.Release("01A", "shop", "")
	if err := s.Create(ctx, r, first); err != nil {
		return err
	}
	version, look := 1, 0
	for range 2 {
		if err := fill(); err != nil {
			return err
		}
		failed := error(nil)
		for failed == nil {
			if version > 1000 {
				return errors.New("the disk does not become full")
			}
			version, look, failed = step(ctx, s, r, version, look)
		}
		if !strings.Contains(failed.Error(), want) {
			return fmt.Errorf("not %q: %w", want, failed)
		}
		for range 3 { // writes still fail, and reads still work
			if _, _, err := step(ctx, s, r, version, look); err == nil {
				return errors.New("it is not an error any more")
			}
			if err := intact(ctx, s, version, look); err != nil {
				return err
			}
		}
		if err := free(); err != nil {
			return err
		}
		if version, look, err = step(ctx, s, r, version, look); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
		if err := intact(ctx, s, version, look); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// step appends a large event and two looks, and counts what was acknowledged.
func step(ctx context.Context, s *store.Store, r record.Release, version, look int) (int, int, error) {
	e := rollout.Paused{Meta: rollout.Meta{Seq: version + 1, At: storetest.Start}, Reason: strings.Repeat("x", 20_000)}
	next := rollout.Paused{Meta: rollout.Meta{Seq: version + 2, At: storetest.Start}}
	if err := s.Append(ctx, r, version, e, next); err != nil {
		return version, look, err
	}
	a, b := storetest.Look("01A", "gray", look+1), storetest.Look("01A", "gray", look+2)
	if err := s.SaveLooks(ctx, []record.LookRecord{a, b}); err != nil {
		return version + 2, look, err
	}
	return version + 2, look + 2, nil
}
