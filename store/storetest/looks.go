package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/store"
)

func (d Database) looks(t *testing.T) {
	t.Run("an unknown scope has no evidence", func(t *testing.T) {
		s := d.open(t)
		e, err := s.Evidence(t.Context(), "01A", "gray")
		require.NoError(t, err)
		require.Equal(t, record.Evidence{}, e)
		looks, err := s.Looks(t.Context(), "01A", "gray", 0, 10)
		require.NoError(t, err)
		require.Empty(t, looks)
	})
	t.Run("evidence is the newest snapshot, the looks after it, and the newest cursor", d.evidence)
	t.Run("looks come back as they were, page by page", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		save(t, s, "01A", "gray", 1, 7)
		save(t, s, "01A", "ab", 1, 3)
		looks, err := s.Looks(t.Context(), "01A", "gray", 2, 3)
		require.NoError(t, err)
		require.Len(t, looks, 3)
		for i, l := range looks {
			want := Look("01A", "gray", 3+i)
			want.Cursor = nil
			require.Equal(t, want, l)
		}
		looks, err = s.Looks(t.Context(), "01A", "gray", 2, 0)
		require.NoError(t, err)
		require.Empty(t, looks)
	})
}

// slots are the looks of several releases that are written together.
func (d Database) slots(t *testing.T) {
	t.Run("a slot of many scopes, some with several looks, is written as a whole", func(t *testing.T) {
		s := d.open(t)
		var slot []record.LookRecord
		for i := range 200 {
			id := fmt.Sprintf("01%03d", i)
			Create(t, s, id, id, "")
			slot = append(slot, Look(id, "gray", 2), Look(id, "ab", 1), Look(id, "gray", 1))
		}
		require.NoError(t, s.SaveLooks(t.Context(), slot))
		for i := range 200 {
			e, err := s.Evidence(t.Context(), fmt.Sprintf("01%03d", i), "gray")
			require.NoError(t, err)
			require.Equal(t, []int{1, 2}, numbers(e.Since))
			require.Equal(t, "cursor 2", string(e.Cursor))
		}
	})
	t.Run("a look whose contents cannot be written does not keep others from being written", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		Create(t, s, "01B", "cart", "")
		bad := Look("01A", "gray", 1)
		bad.Verdict.Metrics[0].Ratio = math.Inf(1)
		err := s.SaveLooks(t.Context(), []record.LookRecord{bad, Look("01B", "gray", 1)})
		var which *record.LooksError
		require.ErrorAs(t, err, &which)
		require.Equal(t, []string{"01A"}, which.Releases)
		looks, err := s.Looks(t.Context(), "01B", "gray", 0, 10)
		require.NoError(t, err)
		require.Len(t, looks, 1)
	})
	t.Run("an empty slot writes nothing", func(t *testing.T) {
		require.NoError(t, d.open(t).SaveLooks(t.Context(), nil))
	})
	t.Run("a look that is there already is a conflict, and its slot is not written", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		Create(t, s, "01B", "blog", "")
		save(t, s, "01A", "gray", 1, 3)
		before, err := s.Evidence(t.Context(), "01A", "gray")
		require.NoError(t, err)
		old := Look("01A", "gray", 3)
		old.Cursor, old.Snapshot = []byte("back"), []byte("back")
		for _, slot := range [][]record.LookRecord{
			{Look("01B", "gray", 1), old},
			{Look("01A", "gray", 2), Look("01B", "gray", 1)},
			{Look("01B", "gray", 1), Look("01B", "gray", 1)},
		} {
			require.ErrorIs(t, s.SaveLooks(t.Context(), slot), record.ErrConflict)
		}
		after, err := s.Evidence(t.Context(), "01A", "gray")
		require.NoError(t, err)
		require.Equal(t, before, after)
		none, err := s.Evidence(t.Context(), "01B", "gray")
		require.NoError(t, err)
		require.Equal(t, record.Evidence{}, none)
	})
	t.Run("looks without a release are refused, and so is their slot", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		require.Error(t, s.SaveLooks(t.Context(), []record.LookRecord{Look("01A", "gray", 1), Look("01X", "gray", 1)}))
		require.Error(t, s.SaveSnapshot(t.Context(), "01X", "gray", 0, []byte("x")))
		e, err := s.Evidence(t.Context(), "01A", "gray")
		require.NoError(t, err)
		require.Equal(t, record.Evidence{}, e)
	})
	t.Run("a slot whose context has ended writes nothing", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.SaveLooks(ctx, []record.LookRecord{Look("01A", "gray", 1)}), context.Canceled)
		save(t, s, "01A", "gray", 1, 1)
	})
}

func (d Database) evidence(t *testing.T) {
	s := d.open(t)
	Create(t, s, "01A", "shop", "")
	require.NoError(t, s.SaveSnapshot(t.Context(), "01A", "gray", 0, []byte("begin")))
	requireEvidence := func(snapshot string, look int, cursor string, since ...int) {
		t.Helper()
		e, err := s.Evidence(t.Context(), "01A", "gray")
		require.NoError(t, err)
		require.Equal(t, snapshot, string(e.Snapshot))
		require.Equal(t, look, e.SnapshotLook)
		require.Equal(t, cursor, string(e.Cursor))
		require.Equal(t, since, numbers(e.Since))
		for _, l := range e.Since {
			require.Equal(t, Look("01A", "gray", l.Number).Look, l)
		}
	}
	requireEvidence("begin", 0, "")
	require.NoError(t, s.SaveSnapshot(t.Context(), "01A", "gray", 0, []byte("again")))
	requireEvidence("again", 0, "")
	save(t, s, "01A", "gray", 1, 2)
	requireEvidence("again", 0, "cursor 2", 1, 2)

	l := Look("01A", "gray", 3)
	l.Cursor, l.Snapshot = nil, bytes.Repeat([]byte{0, 255}, 50_000)
	require.NoError(t, s.SaveLooks(t.Context(), []record.LookRecord{l}))
	requireEvidence(string(l.Snapshot), 3, "cursor 2")
	save(t, s, "01A", "gray", 4, 5)
	requireEvidence(string(l.Snapshot), 3, "cursor 5", 4, 5)
	require.NoError(t, s.SaveSnapshot(t.Context(), "01A", "gray", 0, []byte("late")))
	requireEvidence(string(l.Snapshot), 3, "cursor 5", 4, 5)
	require.Error(t, s.SaveSnapshot(t.Context(), "01A", "gray", 5, nil))
	requireEvidence(string(l.Snapshot), 3, "cursor 5", 4, 5)
}

// save writes looks from one number to another, each in a slot of its own.
func save(t testing.TB, s *store.Store, release, scope string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		require.NoError(t, s.SaveLooks(t.Context(), []record.LookRecord{Look(release, scope, n)}))
	}
}

func numbers(looks []judge.Look) []int {
	var n []int
	for _, l := range looks {
		n = append(n, l.Number)
	}
	return n
}

func (d Database) prune(t *testing.T) {
	t.Run("looks and evidence of releases that ended long ago go, all else stays", func(t *testing.T) {
		s := d.open(t)
		for i, name := range []string{"old", "new", "active"} {
			r := Create(t, s, name, name, "")
			require.NoError(t, s.SaveSnapshot(t.Context(), name, "gray", 0, []byte("begin")))
			save(t, s, name, "gray", 1, 2)
			require.NoError(t, s.Learn(t.Context(), []record.Learned{{Rollout: name, Release: name, Metric: "errors"}}))
			require.NoError(t, s.Audit(t.Context(), record.AuditEntry{Rollout: name}))
			if name != "active" {
				End(t, s, r, false, Start.Add(time.Duration(i)*time.Hour))
			}
		}
		for range 2 {
			require.NoError(t, s.Prune(t.Context(), Start.Add(time.Hour)))
			for name, want := range map[string]int{"old": 0, "new": 2, "active": 2} {
				e, err := s.Evidence(t.Context(), name, "gray")
				require.NoError(t, err)
				require.Len(t, e.Since, want, name)
				require.Equal(t, want == 0, e.Snapshot == nil && e.Cursor == nil, name)
				learned, err := s.Learned(t.Context(), name)
				require.NoError(t, err)
				require.Len(t, learned, 1)
				audit, err := s.AuditLog(t.Context(), record.AuditFilter{Rollout: name, Limit: 9})
				require.NoError(t, err)
				require.Len(t, audit, 1)
			}
		}
		events, err := s.Events(t.Context(), "old", 0)
		require.NoError(t, err)
		require.Len(t, events, 2)
	})
	t.Run("more than a batch goes too", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "")
		var looks []record.LookRecord
		for scope := range 70 {
			looks = append(looks, Look("01A", fmt.Sprint("ab", scope), 1))
		}
		for n := range 1200 {
			looks = append(looks, Look("01A", "gray", n+1))
		}
		require.NoError(t, s.SaveLooks(t.Context(), looks))
		End(t, s, r, false, Start)
		require.NoError(t, s.Prune(t.Context(), Start.Add(1)))
		for _, scope := range []string{"gray", "ab0", "ab69"} {
			e, err := s.Evidence(t.Context(), "01A", scope)
			require.NoError(t, err)
			require.Equal(t, record.Evidence{}, e)
		}
	})
}

func (d Database) memory(t *testing.T) {
	t.Run("what was learned comes back, oldest first, and the same again replaces it", func(t *testing.T) {
		s := d.open(t)
		var all []record.Learned
		for i := range 3 {
			all = append(all, record.Learned{
				Rollout: "shop", Release: fmt.Sprint("01", 9-i), Metric: "errors", Baseline: "concurrent", Weight: 0.1 * float64(i+1),
				At: Start.Add(time.Duration(i)), Past: judge.Past{Release: true, Rate: 0.1 + 0.2, Blocks: [3]judge.Blocks{{Squares: 1.5, Count: 64}}},
			})
		}
		require.NoError(t, s.Learn(t.Context(), []record.Learned{all[2], all[0]}))
		require.NoError(t, s.Learn(t.Context(), all))
		got, err := s.Learned(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, all, got)
		got, err = s.Learned(t.Context(), "blog")
		require.NoError(t, err)
		require.Empty(t, got)
	})
	t.Run("of each weight the newest 16 are kept", func(t *testing.T) {
		s := d.open(t)
		for i := range 20 {
			l := record.Learned{Rollout: "shop", Release: fmt.Sprint(99 - i), Metric: "errors", Weight: 0.5, At: Start.Add(time.Duration(i))}
			other := l
			other.Weight = float64(i) / 100
			require.NoError(t, s.Learn(t.Context(), []record.Learned{l, other}))
		}
		got, err := s.Learned(t.Context(), "shop")
		require.NoError(t, err)
		require.Len(t, got, 36)
		require.Equal(t, Start.Add(19), got[35].At)
	})
	t.Run("the audit log is newest first, numbered, and complete whatever is in it", func(t *testing.T) {
		s := d.open(t)
		a := record.AuditEntry{
			At: Start, By: "ann", From: "192.0.2.1", Action: "approve", Rollout: "shop", Release: "01A", Detail: "gate go?", Refused: "403",
		}
		require.NoError(t, s.Audit(t.Context(), a))
		require.NoError(t, s.Audit(t.Context(), record.AuditEntry{At: Start, Rollout: "blog", Detail: "\x00\xff"}))
		require.NoError(t, s.Audit(t.Context(), record.AuditEntry{At: Start, Rollout: string(make([]byte, 5000))}))
		all, err := s.AuditLog(t.Context(), record.AuditFilter{})
		require.NoError(t, err)
		require.Len(t, all, 3)
		require.Greater(t, all[0].ID, all[1].ID)
		require.Greater(t, all[1].ID, all[2].ID)
		require.Equal(t, "\uFFFD\uFFFD", all[1].Detail)
		shop, err := s.AuditLog(t.Context(), record.AuditFilter{Rollout: "shop", Limit: 1})
		require.NoError(t, err)
		a.ID = all[2].ID
		require.Equal(t, []record.AuditEntry{a}, shop)
		newest, err := s.AuditLog(t.Context(), record.AuditFilter{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, all[:1], newest)
		older, err := s.AuditLog(t.Context(), record.AuditFilter{Before: all[0].ID, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, all[1:2], older)
		anns, err := s.AuditLog(t.Context(), record.AuditFilter{By: "ann"})
		require.NoError(t, err)
		require.Equal(t, all[2:], anns)
		require.NoError(t, s.Audit(t.Context(), record.AuditEntry{At: Start.Add(time.Hour), By: "ann", Action: "signIn"}))
		for _, c := range []struct {
			f    record.AuditFilter
			want int
		}{
			{record.AuditFilter{Actions: []string{"approve"}}, 1}, {record.AuditFilter{Actions: []string{"approve", "signIn"}}, 2},
			{record.AuditFilter{Except: []string{"signIn"}}, 3}, {record.AuditFilter{Since: Start.Add(time.Second)}, 1},
			{record.AuditFilter{Since: Start, Until: Start.Add(time.Second)}, 3}, {record.AuditFilter{Until: Start}, 0},
		} {
			got, err := s.AuditLog(t.Context(), c.f)
			require.NoError(t, err)
			require.Len(t, got, c.want, c.f)
		}
		none, err := s.AuditLog(t.Context(), record.AuditFilter{By: "ann", Rollout: "shop", Before: all[2].ID})
		require.NoError(t, err)
		require.Empty(t, none)
	})
}
