package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

// failing is the real engine with an answer that only a fault brings about.
type failing struct {
	server.Engine
	err   atomic.Pointer[error]
	panic atomic.Bool
}

func (f *failing) Act(context.Context, string, rollout.Event, string) (rollout.State, error) {
	if f.panic.Load() {
		panic("secret of the engine")
	}
	return rollout.State{Phase: rollout.RollingBack}, *f.err.Load()
}

// noAudit is a store whose audit log cannot be written.
type noAudit struct {
	server.Store
	broken atomic.Bool
}

func (n *noAudit) Audit(ctx context.Context, a record.AuditEntry) error {
	if n.broken.Load() {
		return errors.New("disk is full")
	}
	return n.Store.Audit(ctx, a)
}

// TestTheTableOfErrors walks every row.
func TestTheTableOfErrors(t *testing.T) {
	f := &failing{}
	d := newDaemon(t, func(o *server.Options) { f.Engine, o.Engine = o.Engine, f })
	id := d.start("shop")
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	cases := []struct {
		name   string
		err    error
		status int
		kind   string
		detail string
	}{
		{"not there", fmt.Errorf("release x: %w", record.ErrNotFound), 404, "urn:serin:not-found", "release x: not found"},
		{"not now", fmt.Errorf("%w: paused while ended", rollout.ErrNotAllowed), 409, "urn:serin:not-allowed", "not allowed: paused while ended"},
		{"answered", &rollout.AnsweredError{Gate: "g", By: "bob", At: at, Answer: rollout.Reject}, 409, "urn:serin:gate-answered", "gate g was answered by bob at 2026-01-05T09:00:00Z: reject"},
		{"active", &record.ActiveError{Rollout: "shop", ID: "R1"}, 409, "urn:serin:active-release", "rollout shop has an active release: R1"},
		{"key used", &record.StartedError{Key: "k", ID: "R1"}, 409, "urn:serin:key-used", `key "k" has already started release R1`},
		{"parameter", &record.ParameterError{Name: "image", Want: "is required"}, 422, "urn:serin:parameter", "parameter image: is required"},
		{"changed meanwhile", fmt.Errorf("append: %w", record.ErrConflict), 409, "urn:serin:changed-meanwhile", "append: the release has changed meanwhile"},
		{"forbidden", &server.ForbiddenError{Why: "not you"}, 403, "urn:serin:forbidden", "not you"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f.err.Store(&c.err)
			a := d.post("otto", "/releases/"+id+"/pause", `{}`)
			require.Equal(t, c.status, a.status)
			p := as[server.Problem](t, a)
			require.Equal(t, c.kind, p.Type)
			require.Equal(t, c.detail, p.Detail)
			require.Equal(t, http.StatusText(c.status), p.Title)
			require.Equal(t, c.detail, as[[]record.AuditEntry](t, d.get("vera", "/audit?limit=1"))[0].Refused)
		})
	}
}

// TestFaultsTellTheClientNoMoreThanItNeeds: texts of faults hold paths and addresses.
func TestFaultsTellTheClientNoMoreThanItNeeds(t *testing.T) {
	f := &failing{}
	d := newDaemon(t, func(o *server.Options) { f.Engine, o.Engine = o.Engine, f })
	id := d.start("shop")
	t.Run("what is not in the table goes to the log alone", func(t *testing.T) {
		err := errors.New("open /var/lib/serin/serin.db: secret")
		f.err.Store(&err)
		a := d.post("otto", "/releases/"+id+"/pause", `{}`)
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.NotContains(t, a.body, "secret")
		p := as[server.Problem](t, a)
		require.Equal(t, a.header.Get("X-Request-Id"), p.RequestID)
		require.Contains(t, p.Detail, p.RequestID)
		require.Regexp(t, p.RequestID+`.*secret`, d.logged())
		require.NotContains(t, d.get("vera", "/audit?limit=1").body, "secret")
	})
	t.Run("a panic is a 500, and the daemon goes on", func(t *testing.T) {
		f.panic.Store(true)
		defer f.panic.Store(false)
		a := d.post("otto", "/releases/"+id+"/pause", `{}`)
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.NotContains(t, a.body, "secret")
		require.Contains(t, d.logged(), "secret of the engine")
		require.Equal(t, http.StatusOK, d.get("vera", "/rollouts").status)
	})
	t.Run("a rollback that is carried out but not written is accepted with a warning", func(t *testing.T) {
		var err error = &record.NotWrittenError{Err: errors.New("disk is full at /secret")}
		f.err.Store(&err)
		a := d.post("otto", "/releases/"+id+"/rollback", `{"reason":"now"}`)
		require.Equal(t, http.StatusAccepted, a.status)
		result := as[server.ActionResult](t, a)
		require.Contains(t, result.Warning, "traffic goes back to stable")
		require.Equal(t, rollout.RollingBack, result.State.Phase)
		require.NotContains(t, a.body, "secret")
	})
}

func TestAnAuditLogThatCannotBeWrittenStopsNoRollback(t *testing.T) {
	n := &noAudit{}
	d := newDaemon(t, func(o *server.Options) { n.Store, o.Store = o.Store, n })
	id := d.start("shop")
	n.broken.Store(true)
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/rollback", `{}`).status)
	require.Contains(t, d.logged(), "disk is full")
	require.Contains(t, d.do(d.request("", http.MethodGet, "/metrics", "")).body, "serin_audit_errors_total 1")

	// Once the store works again it is there, with what came after it behind it.
	require.Equal(t, http.StatusConflict, d.post("otto", "/releases/"+id+"/rollback", `{}`).status)
	n.broken.Store(false)
	var kept []record.AuditEntry
	await.True(t, func() bool {
		var err error
		kept, err = n.AuditLog(t.Context(), record.AuditFilter{Rollout: "shop", Limit: 10})
		require.NoError(t, err)
		return len(kept) == 3
	})
	require.Equal(t, []string{"rollbackRelease", "rollbackRelease", "startRelease"}, []string{kept[0].Action, kept[1].Action, kept[2].Action})
	require.NotEmpty(t, kept[0].Refused, "the newest comes first: %+v", kept)
	require.Empty(t, kept[1].Refused)
}
