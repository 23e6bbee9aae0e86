package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// SignOut records the end of a session until the session would have expired anyway. It removes the records of sessions
// that have expired by now.
func (s *Store) SignOut(ctx context.Context, session string, until, now time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM signed_out WHERE until <= $1`, now.UnixNano()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO signed_out (session, until) VALUES ($1, $2) ON CONFLICT (session) DO NOTHING`,
			legible(session), until.UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("remember the end of a session: %w", err)
	}
	return nil
}

// SignedOut lists the sessions that were ended and would not have expired by now, with their time of expiry.
func (s *Store) SignedOut(ctx context.Context, now time.Time) (map[string]time.Time, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT session, until FROM signed_out WHERE until > $1`, now.UnixNano())
	if err != nil {
		return nil, fmt.Errorf("read the ended sessions: %w", err)
	}
	out := map[string]time.Time{}
	_, err = collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var session string
		var until int64
		err := rows.Scan(&session, &until)
		out[session] = time.Unix(0, until).UTC()
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ended sessions: %w", err)
	}
	return out, nil
}
