package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
)

// rounds is how often a race is run: with two cores some of them are close.
const rounds = 30

func (d Database) concurrency(t *testing.T) {
	t.Run("of two writers at one version, one wins and the other gets a conflict", func(t *testing.T) {
		a, b := d.pair(t)
		r := Create(t, a, "01A", "shop", "")
		for version := 1; version <= rounds; version++ {
			won, lost := race(a, b, func(s *store.Store, who string) error {
				e := rollout.Paused{Meta: rollout.Meta{Seq: version + 1, At: Start, By: who}}
				return s.Append(t.Context(), r, version, e)
			})
			require.NotEmpty(t, won)
			require.ErrorIs(t, lost, record.ErrConflict)
			events, err := b.Events(t.Context(), "01A", version)
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Equal(t, won, events[0].Head().By)
		}
	})
	// starts lets two processes start a release of the same rollout, and calls winner with the id that won and what the
	// other one got.
	starts := func(t *testing.T, key string, winner func(id string, lost error)) {
		t.Helper()
		a, b := d.pair(t)
		for i := range rounds {
			name := fmt.Sprint("rollout", i)
			won, lost := race(a, b, func(s *store.Store, who string) error {
				r, first := Release(name+who, name, key)
				return s.Create(t.Context(), r, first)
			})
			winner(name+won, lost)
		}
	}
	t.Run("of two starts, one wins and the other learns which", func(t *testing.T) {
		starts(t, "", func(id string, lost error) {
			var active *record.ActiveError
			require.ErrorAs(t, lost, &active)
			require.Equal(t, id, active.ID)
		})
	})
	t.Run("of two starts with one key, one wins and the other learns which", func(t *testing.T) {
		starts(t, "key", func(id string, lost error) {
			var started *record.StartedError
			require.ErrorAs(t, lost, &started)
			require.Equal(t, id, started.ID)
		})
	})
	t.Run("of two slots with the same looks, one is written, in whatever order they come", func(t *testing.T) {
		a, b := d.pair(t)
		for i := range 5 {
			Create(t, a, fmt.Sprint("01", i), fmt.Sprint("rollout", i), "")
		}
		for n := 1; n <= rounds; n++ {
			_, lost := race(a, b, func(s *store.Store, who string) error {
				var slot []record.LookRecord
				for i := range 5 {
					if who == "b" {
						i = 4 - i
					}
					slot = append(slot, Look(fmt.Sprint("01", i), "gray", n))
				}
				return s.SaveLooks(t.Context(), slot)
			})
			require.ErrorIs(t, lost, record.ErrConflict)
		}
	})
	t.Run("readers see whole slots only", d.wholeSlots)
}

// race runs f on both at once. It returns who won, or "" unless exactly one did, and the other's error.
func race(a, b *store.Store, f func(s *store.Store, who string) error) (won string, lost error) {
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { errs[0] = f(a, "a") })
	both.Go(func() { errs[1] = f(b, "b") })
	both.Wait()
	switch {
	case errs[0] == nil && errs[1] != nil:
		return "a", errs[1]
	case errs[0] != nil && errs[1] == nil:
		return "b", errs[0]
	}
	return "", fmt.Errorf("there is not exactly one winner of two: %w", errors.Join(errs[0], errs[1], errors.New("see above")))
}

// wholeSlots reads evidence while slots are written: cursor, snapshot and looks always belong together.
func (d Database) wholeSlots(t *testing.T) {
	a, b := d.pair(t)
	Create(t, a, "01A", "shop", "")
	var errs [2]error
	var both sync.WaitGroup
	done := make(chan struct{})
	both.Go(func() {
		defer close(done)
		for n := 1; n <= 200 && errs[0] == nil; n++ {
			l := Look("01A", "gray", n)
			if n%10 == 0 {
				l.Snapshot = fmt.Appendf(nil, "after %d", n)
			}
			errs[0] = a.SaveLooks(t.Context(), []record.LookRecord{l})
		}
	})
	both.Go(func() {
		for errs[1] == nil {
			select {
			case <-done:
				return
			default:
			}
			e, err := b.Evidence(t.Context(), "01A", "gray")
			if newest := e.SnapshotLook + len(e.Since); err == nil && newest > 0 && string(e.Cursor) != fmt.Sprint("cursor ", newest) {
				err = fmt.Errorf("%q after %d looks since %d", e.Cursor, len(e.Since), e.SnapshotLook)
			}
			if err == nil && e.SnapshotLook > 0 && string(e.Snapshot) != fmt.Sprint("after ", e.SnapshotLook) {
				err = fmt.Errorf("%q at %d", e.Snapshot, e.SnapshotLook)
			}
			errs[1] = err
		}
	})
	both.Wait()
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
}
