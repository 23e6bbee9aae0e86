package storetest

import (
	"database/sql"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/store"
)

// RaiseSchema makes a database look as if a newer Serin had changed it.
func RaiseSchema(t testing.TB, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	require.NoError(t, err)
}

func (d Database) opening(t *testing.T) {
	t.Run("a database that is opened again has everything, and nothing twice", func(t *testing.T) {
		url := d.New(t)
		for i := range 3 {
			s, err := store.Open(t.Context(), url)
			require.NoError(t, err)
			if i == 0 {
				Create(t, s, "01A", "shop", "")
				save(t, s, "01A", "gray", 1, 2)
			}
			r, err := s.Release(t.Context(), "01A")
			require.NoError(t, err)
			require.Equal(t, 1, r.Version)
			e, err := s.Evidence(t.Context(), "01A", "gray")
			require.NoError(t, err)
			require.Equal(t, []int{1, 2}, numbers(e.Since))
			require.NoError(t, s.Close())
		}
	})
	t.Run("an empty database that several open at once becomes one store, or is refused to all but one", func(t *testing.T) {
		url := d.New(t)
		var stores [4]*store.Store
		var errs [4]error
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() { stores[i], errs[i] = store.Open(t.Context(), url) })
		}
		all.Wait()
		opened := 0
		for i, s := range stores {
			if errs[i] != nil {
				require.False(t, d.Shared, errs[i])
				require.ErrorContains(t, errs[i], "only one Serin")
				continue
			}
			opened++
			_, err := s.Release(t.Context(), "01A")
			require.ErrorContains(t, err, "not found")
			require.NoError(t, s.Close())
		}
		require.Positive(t, opened)
	})
}
