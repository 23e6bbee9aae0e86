package e2e

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// fill uses up the store's file system, and returns a function that frees it.
func (w *world) fill(t *testing.T) (free func()) {
	t.Helper()
	path := filepath.Join(w.store, "external")
	f, err := os.Create(path) //nolint:gosec // the test's own folder
	require.NoError(t, err)
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	require.ErrorContains(t, err, "no space left")
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}

// lock locks the database, as a hung backup would, and returns a function that unlocks it.
func (w *world) lock(t *testing.T) (free func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.store, "serin.db")+"?_pragma=busy_timeout(30000)")
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)
	free = func() {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, db.Close())
	}
	return free
}

// kill kills the database server, and returns a function that restarts it.
func (w *world) kill(t *testing.T) (free func()) {
	t.Helper()
	require.NoError(t, w.postgres.Kill())
	return func() { require.NoError(t, w.postgres.Restart(t.Context())) }
}

// freeze makes the database server accept requests without answering, as if its disk hung.
func (w *world) freeze(t *testing.T) (free func()) {
	t.Helper()
	require.NoError(t, w.postgres.SignalAll(syscall.SIGSTOP))
	free = func() { require.NoError(t, w.postgres.SignalAll(syscall.SIGCONT)) }
	t.Cleanup(func() {
		if t.Failed() {
			_ = w.postgres.SignalAll(syscall.SIGCONT) // it may already be running; while frozen it could not end
		}
	})
	return free
}

func troubled(v view) bool { return len(v.Trouble) > 0 }

// storeFault is one way in which writes to the store fail.
type storeFault struct {
	name     string
	tmpfs    string
	postgres bool
	begin    func(*world, *testing.T) (end func())
	// looks is how many looks take longer than a hold: fewer if each waits for a lock or an answer.
	looks float64
}

var storeFaults = []storeFault{
	{name: "the disk is full", tmpfs: "4m", begin: (*world).fill, looks: 6},
	{name: "the database is locked", begin: (*world).lock, looks: 2},
	{name: "PostgreSQL has died", postgres: true, begin: (*world).kill, looks: 6},
	{name: "PostgreSQL answers nothing", postgres: true, begin: (*world).freeze, looks: 2},
}

func TestAReleaseHoldsOrGoesBackWhileTheStoreCannotBeWritten(t *testing.T) {
	for _, fault := range storeFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{tmpfs: fault.tmpfs, postgres: fault.postgres, documents: func(w *world) string {
				return quick("quick", "") + w.document("shop", "quick", slow)
			}})
			loads := w.users(t, "shop")
			holdsAndGoesOn(t, w, fault)
			goesBackByHand(t, w, fault)
			noRequestFailed(t, loads)
			goesBackByVerdict(t, w, fault)
		})
	}
}

// holdsAndGoesOn checks that the release does not advance while nothing can be written, says so, and continues
// afterwards. It stops at the gate, since goesBackByHand comes next.
func holdsAndGoesOn(t *testing.T, w *world, fault storeFault) {
	w.start(t, "shop")
	w.wait(t, "shop", "the first weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	end := fault.begin(w, t)
	before := w.wait(t, "shop", "the trouble is shown", troubled)
	t.Logf("shown: %q", before.Trouble)
	w.looks(t, fault.looks)
	v, err := w.view("shop")
	require.NoError(t, err)
	require.Equal(t, before.State.Seq, v.State.Seq, "nothing has advanced")
	require.True(t, at(0, 0)(v))
	share, err := w.share("shop")
	require.NoError(t, err)
	require.Equal(t, 20, share)
	end()
	v = w.wait(t, "shop", "the gate is open", func(v view) bool { return atGate(v) && !troubled(v) })
	require.Zero(t, count(w.events(t, v.Release.ID), "rollbackRequested"))
}

func goesBackByHand(t *testing.T, w *world, fault storeFault) {
	id := w.wait(t, "shop", "the gate is open", atGate).Release.ID
	end := fault.begin(w, t)
	w.wait(t, "shop", "the trouble is shown", troubled)
	begin := time.Now()
	answered := make(chan int, 1)
	go func() {
		status, _ := w.rollback(id)
		answered <- status
	}()
	w.waitShare(t, "shop", 0)
	t.Logf("%v from a person's rollback until it is in force in Traefik, while %s", time.Since(begin), fault.name)
	require.Equal(t, http.StatusAccepted, <-answered)
	v := w.wait(t, "shop", "it says that the rollback is not written", func(v view) bool {
		return slices.ContainsFunc(v.Trouble, func(s string) bool { return strings.Contains(s, "could not be written") })
	})
	require.Equal(t, "rollingBack", v.State.Phase)
	end()
	v = w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
	require.Equal(t, 1, count(w.events(t, id), "rollbackRequested"))
	w.wait(t, "shop", "the trouble is over", func(v view) bool { return !troubled(v) })
	await.Until(t, "the audit log has it, if late", func() string {
		var entries []struct{ Action, Release, Detail string }
		_, text := w.get("/api/v1/audit", &entries)
		for _, e := range entries {
			if e.Action == "rollbackRelease" && e.Release == id && e.Detail == "by hand" {
				return ""
			}
		}
		return text
	})
}

func goesBackByVerdict(t *testing.T, w *world, fault storeFault) {
	id := w.start(t, "shop")
	w.wait(t, "shop", "the first weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	end := fault.begin(w, t)
	w.wait(t, "shop", "the trouble is shown", troubled)
	begin := time.Now()
	w.green.Set(func(b *testbed.Behaviour) { b.ErrorRate = 0.8 })
	w.waitShare(t, "shop", 0)
	t.Logf("%v from the first bad answer until stable is in force in Traefik, while %s", time.Since(begin), fault.name)
	end()
	v := w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	events := w.events(t, id)
	require.Zero(t, count(events, "rollbackRequested"), "nobody has requested it: %+v", events)
}
