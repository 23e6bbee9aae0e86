package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/store"
)

func canaryConfig(id, name string, applications ...string) kept.Config {
	return kept.Config{ID: id, Name: name, Applications: applications, Body: json.RawMessage(fmt.Sprintf(`{"id": %q, "text": "é\u0000"}`, id))}
}

func canaryRun(id, application, status string) kept.Run {
	return kept.Run{ID: id, Kind: "canary", Application: application, Status: status, At: Start, Body: json.RawMessage(`{"a": "` + id + `"}`)}
}

func (d Database) canary(t *testing.T) {
	t.Run("configs", d.canaryConfigs)
	t.Run("runs", d.canaryRuns)
	t.Run("evidence", d.canaryEvidence)
}

func (d Database) canaryConfigs(t *testing.T) {
	t.Run("a canary config is created, read, updated, listed and deleted", func(t *testing.T) {
		s := d.open(t)
		ctx := t.Context()
		_, err := s.CanaryConfig(ctx, "b")
		require.ErrorIs(t, err, record.ErrNotFound)
		require.ErrorIs(t, s.UpdateCanaryConfig(ctx, canaryConfig("b", "x", "shop")), record.ErrNotFound)
		require.NoError(t, s.CreateCanaryConfig(ctx, canaryConfig("b", "x", "shop", "shop", "cart")))
		require.NoError(t, s.CreateCanaryConfig(ctx, canaryConfig("a", "x", "other")))
		got, err := s.CanaryConfig(ctx, "b")
		require.NoError(t, err)
		require.JSONEq(t, string(canaryConfig("b", "").Body), string(got))
		all, err := s.CanaryConfigs(ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.JSONEq(t, string(canaryConfig("a", "").Body), string(all[0]))
		changed := canaryConfig("b", "y", "shop")
		changed.Body = json.RawMessage(`{"new": true}`)
		require.NoError(t, s.UpdateCanaryConfig(ctx, changed))
		got, err = s.CanaryConfig(ctx, "b")
		require.NoError(t, err)
		require.JSONEq(t, `{"new": true}`, string(got))
		require.NoError(t, s.CreateCanaryConfig(ctx, canaryConfig("c", "x", "shop", "cart")), "the old name is free again")
		require.NoError(t, s.DeleteCanaryConfig(ctx, "b"))
		require.ErrorIs(t, s.DeleteCanaryConfig(ctx, "b"), record.ErrNotFound)
		_, err = s.CanaryConfig(ctx, "b")
		require.ErrorIs(t, err, record.ErrNotFound)
	})
	t.Run("a name belongs to one config in each application", func(t *testing.T) {
		s := d.open(t)
		ctx := t.Context()
		require.NoError(t, s.CreateCanaryConfig(ctx, canaryConfig("a", "x", "shop", "cart")))
		require.ErrorIs(t, s.CreateCanaryConfig(ctx, canaryConfig("a", "y", "shop")), record.ErrConflict)
		require.ErrorIs(t, s.CreateCanaryConfig(ctx, canaryConfig("b", "x", "new", "cart")), record.ErrConflict)
		_, err := s.CanaryConfig(ctx, "b")
		require.ErrorIs(t, err, record.ErrNotFound, "nothing of it was written")
		require.NoError(t, s.CreateCanaryConfig(ctx, canaryConfig("b", "x", "new")))
		require.ErrorIs(t, s.UpdateCanaryConfig(ctx, canaryConfig("b", "x", "shop")), record.ErrConflict)
		require.NoError(t, s.UpdateCanaryConfig(ctx, canaryConfig("a", "x", "shop", "cart")), "its own name is no conflict")
	})
	t.Run("of several that want one name, one gets it", func(t *testing.T) {
		a, b := d.pair(t)
		var errs [8]error
		var all sync.WaitGroup
		for i := range errs {
			s := []*store.Store{a, b}[i%2]
			all.Go(func() { errs[i] = s.CreateCanaryConfig(t.Context(), canaryConfig(fmt.Sprint(i), "x", "shop")) })
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, record.ErrConflict)
		}
		require.Equal(t, 1, won)
	})
	t.Run("what a database cannot keep is refused", func(t *testing.T) {
		s := d.open(t)
		require.ErrorContains(t, s.CreateCanaryConfig(t.Context(), canaryConfig("a\x00", "x", "shop")), "id")
		require.ErrorContains(t, s.CreateCanaryConfig(t.Context(), canaryConfig("a", "x", strings.Repeat("x", 1001))), "application")
		c := canaryConfig("a", "x")
		c.Body = json.RawMessage(`{`)
		require.ErrorContains(t, s.CreateCanaryConfig(t.Context(), c), "not JSON")
	})
}

func ids(runs []kept.Run) (out []string) {
	for _, r := range runs {
		out = append(out, r.ID)
	}
	return out
}

func (d Database) canaryRuns(t *testing.T) {
	t.Run("a canary run goes on until it is complete, and never after", func(t *testing.T) {
		s := d.open(t)
		ctx := t.Context()
		r := canaryRun("01A", "shop", "running")
		require.ErrorIs(t, s.UpdateCanaryRun(ctx, r, nil, nil), record.ErrConflict)
		require.NoError(t, s.CreateCanaryRun(ctx, r))
		require.ErrorIs(t, s.CreateCanaryRun(ctx, r), record.ErrConflict)
		got, err := s.CanaryRun(ctx, "01A")
		require.NoError(t, err)
		require.Equal(t, r, got)
		open, err := s.IncompleteCanaryRuns(ctx)
		require.NoError(t, err)
		require.Equal(t, []kept.Run{r}, open)
		r.Status, r.Complete, r.At = "succeeded", true, Start.Add(time.Hour)
		pairs := kept.Pairs{ID: "p", At: Start, Body: json.RawMessage(`[{"values": ["NaN"]}]`)}
		require.NoError(t, s.UpdateCanaryRun(ctx, r, &pairs, nil))
		got, err = s.CanaryRun(ctx, "01A")
		require.NoError(t, err)
		require.Equal(t, r, got)
		text, err := s.CanaryPairs(ctx, "p")
		require.NoError(t, err)
		require.JSONEq(t, string(pairs.Body), string(text))
		again := r
		again.Status, again.Complete = "canceled", true
		require.ErrorIs(t, s.UpdateCanaryRun(ctx, again, nil, nil), record.ErrConflict)
		open, err = s.IncompleteCanaryRuns(ctx)
		require.NoError(t, err)
		require.Empty(t, open)
		_, err = s.CanaryRun(ctx, "01B")
		require.ErrorIs(t, err, record.ErrNotFound)
		_, err = s.CanaryPairs(ctx, "q")
		require.ErrorIs(t, err, record.ErrNotFound)
		require.NoError(t, s.KeepCanaryPairs(ctx, kept.Pairs{ID: "q", At: Start, Body: json.RawMessage(`[]`)}))
	})
	t.Run("canary runs are listed by application, newest first, in pages", func(t *testing.T) {
		s := d.open(t)
		for i := range 6 {
			r := canaryRun(fmt.Sprintf("0%d", i), []string{"shop", "cart"}[i%2], []string{"running", "succeeded", "terminal"}[i%3])
			r.Complete = r.Status != "running"
			require.NoError(t, s.CreateCanaryRun(t.Context(), r))
		}
		for name, c := range map[string]struct {
			filter kept.Filter
			want   []string
		}{
			"all of one":     {kept.Filter{Application: "shop"}, []string{"04", "02", "00"}},
			"a page":         {kept.Filter{Application: "shop", Limit: 1, Offset: 1}, []string{"02"}},
			"by status":      {kept.Filter{Application: "shop", Statuses: []string{"running", "terminal"}}, []string{"02", "00"}},
			"nobody's":       {kept.Filter{Application: "nobody"}, nil},
			"an odd status":  {kept.Filter{Application: "shop", Statuses: []string{"x' OR 1=1 --"}}, nil},
			"beyond the end": {kept.Filter{Application: "shop", Offset: 7}, nil},
		} {
			c.filter.Kind = "canary"
			got, err := s.CanaryRuns(t.Context(), c.filter)
			require.NoError(t, err, name)
			require.Equal(t, c.want, ids(got), name)
		}
		got, err := s.CanaryRuns(t.Context(), kept.Filter{Kind: "other", Application: "shop"})
		require.NoError(t, err)
		require.Empty(t, got)
	})
	t.Run("what is old and complete is forgotten", func(t *testing.T) {
		s := d.open(t)
		ctx := t.Context()
		done, open, recent := canaryRun("01", "shop", "succeeded"), canaryRun("02", "shop", "running"), canaryRun("03", "shop", "succeeded")
		done.Complete, recent.Complete, recent.At = true, true, Start.Add(2*time.Hour)
		for _, r := range []kept.Run{done, open, recent} {
			require.NoError(t, s.CreateCanaryRun(ctx, r))
		}
		require.NoError(t, s.KeepCanaryPairs(ctx, kept.Pairs{ID: "p", At: Start, Body: json.RawMessage(`[]`)}))
		require.NoError(t, s.PruneCanary(ctx, Start.Add(time.Hour)))
		runs, err := s.CanaryRuns(ctx, kept.Filter{Kind: "canary", Application: "shop"})
		require.NoError(t, err)
		require.Equal(t, []string{"03", "02"}, ids(runs))
		_, err = s.CanaryPairs(ctx, "p")
		require.ErrorIs(t, err, record.ErrNotFound)
	})
}

func (d Database) canaryEvidence(t *testing.T) {
	s := d.open(t)
	ctx := t.Context()
	for _, id := range []string{"01", "02", "03"} {
		require.NoError(t, s.CreateCanaryRun(ctx, canaryRun(id, "shop", "running")))
	}
	_, err := s.CanaryEvidence(ctx, "e")
	require.ErrorIs(t, err, record.ErrNotFound)
	finish := func(id string, version int) error {
		r := canaryRun(id, "shop", "succeeded")
		r.Complete = true
		return s.UpdateCanaryRun(ctx, r, nil, &kept.Evidence{ID: "e", Version: version, At: Start, Body: fmt.Appendf([]byte{0}, "%d", version)})
	}
	require.NoError(t, finish("01", 1))
	require.ErrorIs(t, finish("02", 1), record.ErrConflict, "another writer was faster")
	r, err := s.CanaryRun(ctx, "02")
	require.NoError(t, err)
	require.False(t, r.Complete, "nothing of it was written")
	require.NoError(t, finish("02", 2))
	require.ErrorIs(t, finish("03", 4), record.ErrConflict, "one is missing between")
	e, err := s.CanaryEvidence(ctx, "e")
	require.NoError(t, err)
	require.Equal(t, kept.Evidence{ID: "e", Version: 2, At: Start, Body: []byte("\x002")}, e)
	require.NoError(t, s.PruneCanary(ctx, Start.Add(time.Second)))
	_, err = s.CanaryEvidence(ctx, "e")
	require.ErrorIs(t, err, record.ErrNotFound)
}
