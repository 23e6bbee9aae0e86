package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// KeepScraped stores a part of what was read from a source; at is the time of the part's newest sample. It removes
// parts older than before. The same part again replaces the first.
func (s *Store) KeepScraped(ctx context.Context, source string, at time.Time, body []byte, before time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		if err := forgetScraped(ctx, tx, before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO scraped (source, at, body) VALUES ($1, $2, $3)
			ON CONFLICT (source, at) DO UPDATE SET body = excluded.body`, legible(source), at.UnixNano(), body)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep what was scraped: %w", err)
	}
	return nil
}

// ForgetScraped removes what was read before a time, of all sources.
func (s *Store) ForgetScraped(ctx context.Context, before time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error { return forgetScraped(ctx, tx, before) })
	if err != nil {
		return fmt.Errorf("forget what was scraped: %w", err)
	}
	return nil
}

func forgetScraped(ctx context.Context, tx *sql.Tx, before time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM scraped WHERE at < $1`, before.UnixNano())
	return err
}

// Scraped returns the parts stored for a source, oldest first.
func (s *Store) Scraped(ctx context.Context, source string) ([][]byte, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT body FROM scraped WHERE source = $1 ORDER BY at`, legible(source))
	if err != nil {
		return nil, fmt.Errorf("read what was scraped: %w", err)
	}
	out, err := collect(rows, func(rows *sql.Rows) (body []byte, err error) { return body, rows.Scan(&body) })
	if err != nil {
		return nil, fmt.Errorf("read what was scraped: %w", err)
	}
	return out, nil
}
