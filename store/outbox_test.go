package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/store/storetest"
)

func TestEventsFromBeforeTheOutboxCauseNoMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"))
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), 1)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO releases (id, rollout, revision, plan, start_key, version, phase, outcome, started_by)
		VALUES ('01A', 'shop', 'a1', '{}', '', 7, 'active', '', 'ann')`)
	require.NoError(t, err)
	require.NoError(t, db.Close())

	s := storetest.Open(t, "sqlite:"+path)
	found, err := s.Untold(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, found)
}
