package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/store"
)

// patience is the number of tries after which a message holds up no other.
const patience = 3

// outgoing is a message about event seq of a release.
func outgoing(release string, seq int, receiver string) record.Outgoing {
	at := Start.Add(time.Duration(seq) * time.Second)
	return record.Outgoing{
		Key: fmt.Sprintf("%s/%05d/%s", release, seq, receiver), Receiver: receiver, At: at,
		Body: json.RawMessage(`{"title": "é"}`), State: record.OutgoingWaiting, Due: at,
	}
}

func (d Database) outbox(t *testing.T) {
	t.Run("what has happened is delivered once, and stays delivered", d.untold)
	t.Run("a message whose key is known is left as it is", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		m := outgoing("01A", 1, "chat")
		require.NoError(t, s.Tell(t.Context(), "01A", 0, 0, []record.Outgoing{m, m}))
		got, _ := take(t, s, Start.Add(time.Hour))
		got.State = record.OutgoingSent
		require.NoError(t, s.Settle(t.Context(), *got))
		require.NoError(t, s.Tell(t.Context(), "01A", 0, 1, []record.Outgoing{m}))
		got, next := take(t, s, Start.Add(time.Hour))
		require.Nil(t, got)
		require.Zero(t, next)
	})
	t.Run("messages come in order, and one that waits holds up the others for a while", d.order)
	t.Run("a message is taken by one", d.taken)
	t.Run("what was taken and never settled is taken again after its lease, as after a crash", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		require.NoError(t, s.Tell(t.Context(), "01A", 0, 1, []record.Outgoing{outgoing("01A", 1, "chat")}))
		now := Start.Add(time.Hour)
		first, _ := take(t, s, now)
		require.NotNil(t, first)
		none, next := take(t, s, now.Add(lease-1))
		require.Nil(t, none)
		require.Equal(t, now.Add(lease), next)
		again, _ := take(t, s, now.Add(lease))
		require.Equal(t, first.Key, again.Key)
		require.Equal(t, 2, again.Tries)
	})
	t.Run("what waits is counted, and what is old is removed", func(t *testing.T) {
		s := d.open(t)
		Create(t, s, "01A", "shop", "")
		require.NoError(t, s.Tell(t.Context(), "01A", 0, 1,
			[]record.Outgoing{outgoing("01A", 1, "chat"), outgoing("01A", 2, "chat"), outgoing("01A", 2, "mail")}))
		n, oldest, err := s.Backlog(t.Context(), "chat")
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, Start.Add(time.Second), oldest)
		require.NoError(t, s.PruneOutbox(t.Context(), Start.Add(2*time.Second)))
		all, err := s.Outbox(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.JSONEq(t, `{"title": "é"}`, string(all[0].Body))
		n, oldest, err = s.Backlog(t.Context(), "nobody")
		require.NoError(t, err)
		require.Zero(t, n)
		require.Zero(t, oldest)
	})
}

const lease = time.Minute

func take(t *testing.T, s *store.Store, now time.Time) (*record.Outgoing, time.Time) {
	t.Helper()
	m, next, err := s.Take(t.Context(), "chat", now, now.Add(lease), patience)
	require.NoError(t, err)
	return m, next
}

func (d Database) untold(t *testing.T) {
	s := d.open(t)
	Create(t, s, "01A", "shop", "")
	Create(t, s, "01B", "blog", "")
	found, err := s.Untold(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "shop", found[0].Release.Rollout)
	require.Zero(t, found[0].Told)
	require.NotEmpty(t, found[0].Release.Plan)

	require.NoError(t, s.Tell(t.Context(), "01A", 0, 1, []record.Outgoing{outgoing("01A", 1, "chat")}))
	require.ErrorIs(t, s.Tell(t.Context(), "01A", 0, 1, []record.Outgoing{outgoing("01A", 9, "chat")}), record.ErrConflict)
	all, err := s.Outbox(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, all, 1, "a conflict writes nothing")
	found, err = s.Untold(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, found, 1)

	r, err := s.Release(t.Context(), "01A")
	require.NoError(t, err)
	End(t, s, r, false, Start)
	found, err = s.Untold(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "01A", found[0].Release.ID)
	require.Equal(t, 1, found[0].Told)
	require.Equal(t, 2, found[0].Release.Version)
}

func (d Database) order(t *testing.T) {
	s := d.open(t)
	Create(t, s, "01A", "shop", "")
	require.NoError(t, s.Tell(t.Context(), "01A", 0, 1, []record.Outgoing{
		outgoing("01A", 3, "chat"), outgoing("01A", 1, "chat"), outgoing("01A", 2, "chat"), outgoing("01A", 0, "mail"),
	}))
	now := Start.Add(time.Hour)
	for try := 1; try <= patience; try++ {
		first, _ := take(t, s, now)
		require.Equal(t, "01A/00001/chat", first.Key)
		require.Equal(t, try, first.Tries)
		first.Due, first.Detail = now.Add(time.Second), "connection refused"
		require.NoError(t, s.Settle(t.Context(), *first))
		if try < patience {
			none, next := take(t, s, now)
			require.Nil(t, none, "the others wait")
			require.Equal(t, first.Due, next)
			now = now.Add(time.Second)
		}
	}
	second, _ := take(t, s, now)
	require.Equal(t, "01A/00002/chat", second.Key, "no longer")
	second.State = record.OutgoingLost
	require.NoError(t, s.Settle(t.Context(), *second))
	third, _ := take(t, s, now)
	require.Equal(t, "01A/00003/chat", third.Key)
	third.State = record.OutgoingSent
	require.NoError(t, s.Settle(t.Context(), *third))
	none, next := take(t, s, now)
	require.Nil(t, none)
	late, _ := take(t, s, next)
	require.Equal(t, "01A/00001/chat", late.Key)
	require.Equal(t, "connection refused", late.Detail)
}

func (d Database) taken(t *testing.T) {
	a, b := d.pair(t)
	Create(t, a, "01A", "shop", "")
	const messages = 20
	var all []record.Outgoing
	for i := range messages {
		all = append(all, outgoing("01A", i, "chat"))
	}
	require.NoError(t, a.Tell(t.Context(), "01A", 0, 1, all))
	now := Start.Add(time.Hour)
	var mu sync.Mutex
	taken := map[string]int{}
	var group sync.WaitGroup
	errs := make(chan error, 4)
	for _, s := range []*store.Store{a, b, a, b} {
		group.Go(func() {
			for {
				m, next, err := s.Take(t.Context(), "chat", now, now.Add(lease), patience)
				if err != nil || m == nil && next.IsZero() {
					errs <- err
					return
				}
				if m == nil {
					continue // another one has the first message
				}
				mu.Lock()
				taken[m.Key]++
				mu.Unlock()
				m.State = record.OutgoingSent
				if err := s.Settle(t.Context(), *m); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, taken, messages)
	for key, n := range taken {
		require.Equal(t, 1, n, key)
	}
}
