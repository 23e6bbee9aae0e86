package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
)

func (d Database) releases(t *testing.T) {
	t.Run("a release comes back as it was created", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "build-7")
		got, err := s.Release(t.Context(), "01A")
		require.NoError(t, err)
		require.Equal(t, r, got)
		got, err = s.ByKey(t.Context(), "shop", "build-7")
		require.NoError(t, err)
		require.Equal(t, r, got)
	})
	t.Run("what does not exist is not found", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		_, err := s.Release(t.Context(), "01B")
		require.ErrorIs(t, err, record.ErrNotFound)
		_, err = s.ByKey(t.Context(), "shop", "build-7")
		require.ErrorIs(t, err, record.ErrNotFound)
		_, err = s.ByKey(t.Context(), "shop", "")
		require.ErrorIs(t, err, record.ErrNotFound, "an empty key is no key")
	})
	t.Run("the history says what releases were started with and why they ended", d.history)
	t.Run("the live set changes with the end of a release only", func(t *testing.T) {
		s := d.open(t)
		requireSwapped(t, s, "shop", false)
		r := Create(t, s, "01A", "shop", "")
		requireSwapped(t, s, "shop", false)
		End(t, s, r, true, Start)
		requireSwapped(t, s, "shop", true)
		requireSwapped(t, s, "blog", false)
		End(t, s, Create(t, s, "01B", "shop", ""), false, Start)
		requireSwapped(t, s, "shop", false)
	})
	t.Run("lists are filtered, paged and newest first", d.lists)
	t.Run("the newest release is the one that has not ended, whatever its id, else the one that ended last", d.newest)
}

// starts are what may be created while there are other releases.
func (d Database) starts(t *testing.T) {
	t.Run("a rollout has one active release", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "")
		second, first := Release("01B", "shop", "")
		var active *record.ActiveError
		require.ErrorAs(t, s.Create(t.Context(), second, first), &active)
		require.Equal(t, &record.ActiveError{Rollout: "shop", ID: "01A"}, active)
		requireNoTrace(t, s, "01B")

		r.Phase = rollout.RollingBack
		require.NoError(t, s.Append(t.Context(), r, 1, rollout.RollbackRequested{Meta: rollout.Meta{Seq: 2, At: Start}}))
		require.ErrorAs(t, s.Create(t.Context(), second, first), &active, "one that goes back is active too")

		r.Version = 2
		End(t, s, r, false, Start)
		require.NoError(t, s.Create(t.Context(), second, first))
		Create(t, s, "01C", "another rollout", "")
	})
	t.Run("a release can have ended with its beginning", func(t *testing.T) {
		s := d.open(t)
		r, first := Release("01A", "shop", "build-7")
		require.ErrorContains(t, s.Create(t.Context(), r), "no first event")
		end := rollout.Ended{Meta: rollout.Meta{Seq: 2, At: Start, By: "serin"}, Outcome: rollout.Cancelled, Swapped: true}
		r.Version, r.Phase, r.Outcome, r.EndedAt = 2, rollout.PhaseEnded, rollout.Cancelled, Start
		require.NoError(t, s.Create(t.Context(), r, first, end))
		got, err := s.Release(t.Context(), "01A")
		require.NoError(t, err)
		require.Equal(t, r.Version, got.Version)
		require.Equal(t, rollout.Cancelled, got.Outcome)
		events, err := s.Events(t.Context(), "01A", 0)
		require.NoError(t, err)
		require.Equal(t, []rollout.Event{first, end}, events)
		requireSwapped(t, s, "shop", true)
		Create(t, s, "01B", "shop", "")
	})
	t.Run("a key starts one release, however often and even after its end", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "build-7")
		again, first := Release("01B", "shop", "build-7")
		for range 2 {
			var started *record.StartedError
			require.ErrorAs(t, s.Create(t.Context(), again, first), &started)
			require.Equal(t, &record.StartedError{Key: "build-7", ID: "01A"}, started)
			if r.Version == 1 {
				r = End(t, s, r, false, Start)
			}
		}
		requireNoTrace(t, s, "01B")
		Create(t, s, "01C", "another rollout", "build-7")
	})
	t.Run("an id is used once", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		r, first := Release("01A", "blog", "")
		require.ErrorIs(t, s.Create(t.Context(), r, first), record.ErrConflict)
	})
}

func (d Database) history(t *testing.T) {
	s := d.open(t)
	none, err := s.History(t.Context(), record.Filter{})
	require.NoError(t, err)
	require.Empty(t, none)
	r, _ := Release("01A", "shop", "")
	first := rollout.Started{Meta: rollout.Meta{Seq: 1, At: Start, By: "ann"}, Rollout: "shop", Parameters: map[string]string{"image": "shop:1.4.2"}}
	require.NoError(t, s.Create(t.Context(), r, first))
	require.NoError(t, s.Append(t.Context(), r, 1, rollout.Drained{Meta: rollout.Meta{Seq: 2, At: Start}}))
	running, err := s.History(t.Context(), record.Filter{Rollout: "shop"})
	require.NoError(t, err)
	require.Len(t, running, 1)
	require.Empty(t, running[0].Why)
	r.Phase, r.Outcome, r.EndedAt = rollout.PhaseEnded, rollout.RolledBack, Start
	require.NoError(t, s.Append(t.Context(), r, 2,
		rollout.Ended{Meta: rollout.Meta{Seq: 3, At: Start}, Outcome: rollout.RolledBack, Why: "the canary is worse: errors"}))
	Create(t, s, "01B", "cart", "")
	all, err := s.History(t.Context(), record.Filter{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "01B", all[0].ID, "the newest first")
	require.Equal(t, map[string]string{"image": "shop:1.4.2"}, all[1].Parameters)
	require.Equal(t, "the canary is worse: errors", all[1].Why)
}

func (d Database) newest(t *testing.T) {
	s := d.open(t)
	_, err := s.Newest(t.Context(), "shop")
	require.ErrorIs(t, err, record.ErrNotFound)
	end := func(id string) {
		r, err := s.Release(t.Context(), id)
		require.NoError(t, err)
		seq := r.Version + 1
		r.Version, r.Phase, r.Outcome = seq, rollout.PhaseEnded, rollout.RolledBack
		require.NoError(t, s.Append(t.Context(), r, seq-1, rollout.Ended{Meta: rollout.Meta{Seq: seq}, Outcome: rollout.RolledBack}))
	}
	newest := func() string {
		r, err := s.Newest(t.Context(), "shop")
		require.NoError(t, err)
		return r.ID
	}
	Create(t, s, "01Z", "shop", "")
	Create(t, s, "01Q", "cart", "")
	end("01Z")
	require.Equal(t, "01Z", newest())
	Create(t, s, "01B", "shop", "")
	require.Equal(t, "01B", newest())
	end("01B")
	require.Equal(t, "01B", newest(), "they were started at one time")
	ahead, first := Release("01Y", "shop", "")
	ahead.StartedAt = Start.Add(time.Hour)
	require.NoError(t, s.Create(t.Context(), ahead, first))
	end("01Y")
	Create(t, s, "01A", "shop", "")
	end("01A")
	require.Equal(t, "01A", newest(), "the clock was ahead when 01Y was started")
}

func (d Database) lists(t *testing.T) {
	s := d.open(t)
	for i := range 12 {
		r, first := Release(fmt.Sprintf("01%02d", i), []string{"shop", "blog"}[i%2], fmt.Sprintf("key %d", i/2))
		r.StartedBy, r.StartedAt = []string{"ann", "bob", "ci"}[i%3], Start.Add(time.Duration(i)*24*time.Hour)
		require.NoError(t, s.Create(t.Context(), r, first))
		if i < 10 {
			End(t, s, r, false, Start.Add(time.Duration(i)*time.Second))
		}
	}
	for name, c := range map[string]struct {
		f    record.Filter
		want []string
	}{
		"the newest":           {record.Filter{Limit: 3}, []string{"0111", "0110", "0109"}},
		"those of one rollout": {record.Filter{Rollout: "shop", Limit: 3}, []string{"0110", "0108", "0106"}},
		"those in a phase":     {record.Filter{Phase: rollout.Active}, []string{"0111", "0110"}},
		"those with an outcome, on the next page": {
			record.Filter{Outcome: rollout.Released, Before: "0104", Rollout: "blog"}, []string{"0103", "0101"}},
		"the one that a key has started": {record.Filter{Rollout: "blog", Key: "key 3"}, []string{"0107"}},
		"those started by one person":    {record.Filter{By: "bob"}, []string{"0110", "0107", "0104", "0101"}},
		"those from a time on":           {record.Filter{Since: Start.Add(9 * 24 * time.Hour)}, []string{"0111", "0110", "0109"}},
		"those before a time":            {record.Filter{Until: Start.Add(2 * 24 * time.Hour)}, []string{"0101", "0100"}},
		"one person's of one day": {
			record.Filter{By: "ann", Since: Start.Add(3 * 24 * time.Hour), Until: Start.Add(4 * 24 * time.Hour)}, []string{"0103"}},
		"those in a distant future": {
			record.Filter{
				Since: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 1,
			}, []string{"0111"}},
		"none": {record.Filter{Rollout: "nobody"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := s.Releases(t.Context(), c.f)
			require.NoError(t, err)
			var ids []string
			for _, r := range found {
				ids = append(ids, r.ID)
			}
			require.Equal(t, c.want, ids)
		})
	}
	all, err := s.Releases(t.Context(), record.Filter{})
	require.NoError(t, err)
	require.Len(t, all, 12)
	one, err := s.Release(t.Context(), all[5].ID)
	require.NoError(t, err)
	require.Equal(t, one, all[5], "a list has whole releases")
}

func requireNoTrace(t *testing.T, s *store.Store, id string) {
	t.Helper()
	_, err := s.Release(t.Context(), id)
	require.ErrorIs(t, err, record.ErrNotFound)
	events, err := s.Events(t.Context(), id, 0)
	require.NoError(t, err)
	require.Empty(t, events)
}

func requireSwapped(t *testing.T, s *store.Store, rolloutName string, want bool) {
	t.Helper()
	got, err := s.Swapped(t.Context(), rolloutName)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func (d Database) events(t *testing.T) {
	t.Run("every kind of event comes back exactly, with nanoseconds", d.everyEvent)
	t.Run("an append at an old or future version is a conflict and leaves no trace", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "")
		require.NoError(t, s.Append(t.Context(), r, 1, paused(2)))
		r.Phase, r.Outcome = rollout.PhaseEnded, rollout.Failed
		for _, version := range []int{0, 1, 3} {
			require.ErrorIs(t, s.Append(t.Context(), r, version, paused(version+1)), record.ErrConflict)
		}
		got, err := s.Release(t.Context(), "01A")
		require.NoError(t, err)
		require.Equal(t, 2, got.Version)
		require.Equal(t, rollout.Active, got.Phase)
		events, err := s.Events(t.Context(), "01A", 0)
		require.NoError(t, err)
		require.Len(t, events, 2)
	})
	t.Run("an append to no release is not found", func(t *testing.T) {
		r, _ := Release("01A", "shop", "")
		require.ErrorIs(t, d.open(t).Append(t.Context(), r, 1, paused(2)), record.ErrNotFound)
	})
	t.Run("several events are appended all or none", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "")
		require.NoError(t, s.Append(t.Context(), r, 1, paused(2), paused(3), paused(4)))
		require.Error(t, s.Append(t.Context(), r, 4, paused(5), paused(7)), "a gap in the numbers")
		require.Error(t, s.Append(t.Context(), r, 4), "nothing to append")
		require.Error(t, s.Append(t.Context(), r, 4, nil))
		events, err := s.Events(t.Context(), "01A", 2)
		require.NoError(t, err)
		require.Equal(t, []rollout.Event{paused(3), paused(4)}, events)
		got, err := s.Release(t.Context(), "01A")
		require.NoError(t, err)
		require.Equal(t, 4, got.Version)
	})
	t.Run("a call whose context has ended writes nothing", func(t *testing.T) {
		s := d.open(t)
		r := Create(t, s, "01A", "shop", "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Append(ctx, r, 1, paused(2)), context.Canceled)
		_, err := s.Events(ctx, "01A", 0)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, s.Append(t.Context(), r, 1, paused(2)))
	})
}

func paused(seq int) rollout.Event {
	return rollout.Paused{Meta: rollout.Meta{Seq: seq, At: Start.Add(time.Duration(seq)), By: "bob"}, Reason: "lunch"}
}

func (d Database) everyEvent(t *testing.T) {
	s := d.open(t)
	r, first := Release("01A", "shop", "")
	verdict := Look("01A", "gray", 7).Verdict
	rest := []rollout.Event{
		rollout.StepEntered{Step: 1, Stage: 2, Name: "gray", What: rollout.StageGray, Scope: "gray"},
		rollout.InForce{Turn: 2, How: "api"},
		rollout.NotInForce{Turn: 2, Unconfirmed: true, Why: []string{"replica 3 does not answer"}},
		rollout.Drifted{What: []string{"weight 7 instead of 5"}},
		rollout.LookTaken{Scope: "gray", Turn: 2, Verdict: verdict},
		rollout.AlarmDismissed{Reason: "known"},
		rollout.GateAnswered{Gate: "go?", Answer: rollout.Approve, Reason: "fine"},
		rollout.WebhookAnswered{Step: 3, OK: true, Detail: "200"},
		rollout.DeadlinePassed{Which: rollout.NoDataFor, Then: rollout.PolicyGate},
		rollout.Paused{Reason: "lunch"},
		rollout.Resumed{},
		rollout.RollbackRequested{Reason: "smells"},
		rollout.CancelRequested{},
		rollout.Superseded{Next: rollout.StartRequest{ID: "01B", Parameters: map[string]string{"a": "b"}, By: "ann"}},
		rollout.Drained{},
		rollout.CleanedUp{},
		rollout.Ended{Outcome: rollout.Released, Why: "every step is done", Swapped: true},
	}
	for i, e := range rest {
		rest[i] = e.With(rollout.Meta{Seq: i + 2, At: Start.Add(time.Duration(i) * time.Nanosecond), By: "bob"})
	}
	require.NoError(t, s.Create(t.Context(), r, first))
	require.NoError(t, s.Append(t.Context(), r, 1, rest...))
	got, err := s.Events(t.Context(), "01A", 0)
	require.NoError(t, err)
	require.Equal(t, append([]rollout.Event{first}, rest...), got)
	started, err := s.Started(t.Context(), "01A")
	require.NoError(t, err)
	require.Equal(t, first, started)
	_, err = s.Started(t.Context(), "01B")
	require.ErrorIs(t, err, record.ErrNotFound)

	berlin := time.FixedZone("CEST", 2*60*60)
	require.NoError(t, s.Append(t.Context(), r, len(rest)+1,
		rollout.Resumed{Meta: rollout.Meta{Seq: len(rest) + 2, At: Start.In(berlin)}}))
	got, err = s.Events(t.Context(), "01A", len(rest)+1)
	require.NoError(t, err)
	require.Equal(t, Start, got[0].Head().At, "another zone comes back as UTC")
}

func (d Database) text(t *testing.T) {
	odd := []string{
		`'; DROP TABLE events; --`, `" OR 1=1`, "Ümläut 漢字 🦀", "line\nbreak\ttab", `back\slash %s $1 ?`, "\u202ertl", "nul\\u0000", " ",
	}
	t.Run("odd names stay data", func(t *testing.T) {
		s := d.open(t)
		for i, name := range odd {
			id := fmt.Sprintf("01%02d %s", i, name)
			r := Create(t, s, id, name, name)
			l := Look(id, name, 1)
			require.NoError(t, s.SaveLooks(t.Context(), []record.LookRecord{l}))
			require.NoError(t, s.Learn(t.Context(), []record.Learned{{Rollout: name, Release: id, Metric: name, Baseline: name}}))
			require.NoError(t, s.Audit(t.Context(), record.AuditEntry{By: name, Rollout: name, Detail: name}))
			End(t, s, r, true, Start)
		}
		for i, name := range odd {
			id := fmt.Sprintf("01%02d %s", i, name)
			r, err := s.ByKey(t.Context(), name, name)
			require.NoError(t, err)
			require.Equal(t, id, r.ID)
			events, err := s.Events(t.Context(), id, 0)
			require.NoError(t, err)
			require.Equal(t, name, events[0].(rollout.Started).Rollout)
			looks, err := s.Looks(t.Context(), id, name, 0, 9)
			require.NoError(t, err)
			require.Len(t, looks, 1)
			learned, err := s.Learned(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, name, learned[0].Metric)
			audit, err := s.AuditLog(t.Context(), record.AuditFilter{Rollout: name, Limit: 9})
			require.NoError(t, err)
			require.Len(t, audit, 1)
			require.Equal(t, name, audit[0].Detail)
			requireSwapped(t, s, name, true)
		}
	})
	t.Run("what one of the engines could not keep is refused by both", func(t *testing.T) {
		s := d.open(t)
		for _, bad := range []string{"nul\x00", "\xff", string(make([]byte, 1001))} {
			r, first := Release("01A", bad, "")
			require.Error(t, s.Create(t.Context(), r, first))
			r, first = Release("01A", "shop", bad)
			require.Error(t, s.Create(t.Context(), r, first))
		}
		r, first := Release("01A", "shop", "")
		r.Plan = json.RawMessage(`{`)
		require.Error(t, s.Create(t.Context(), r, first))
		requireNoTrace(t, s, "01A")
	})
	t.Run("a large event and a large plan come back", func(t *testing.T) {
		s := d.open(t)
		r, first := Release("01A", "shop", "")
		big, err := json.Marshal(string(make([]byte, 1<<20)))
		require.NoError(t, err)
		r.Plan = big
		require.NoError(t, s.Create(t.Context(), r, first))
		e := rollout.Paused{Meta: rollout.Meta{Seq: 2, At: Start}, Reason: string(big)}
		require.NoError(t, s.Append(t.Context(), r, 1, e))
		got, err := s.Events(t.Context(), "01A", 1)
		require.NoError(t, err)
		require.Equal(t, []rollout.Event{e}, got)
		same, err := s.Release(t.Context(), "01A")
		require.NoError(t, err)
		require.Equal(t, r.Plan, same.Plan)
	})
}
