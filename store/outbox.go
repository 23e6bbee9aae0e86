package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/record"
)

const outgoingColumns = `key, receiver, at, body, state, tries, due, detail`

// Untold lists releases with events not yet turned into messages, the oldest (by id) first; at most limit.
func (s *Store) Untold(ctx context.Context, limit int) ([]record.Untold, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, told FROM releases WHERE told < version ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list the events without messages: %w", err)
	}
	found, err := collect(rows, func(rows *sql.Rows) (u record.Untold, err error) {
		err = rows.Scan(&u.Release.ID, &u.Told)
		return u, err
	})
	for i := range found {
		if err == nil {
			found[i].Release, err = s.Release(ctx, found[i].Release.ID)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the events without messages: %w", err)
	}
	return found, nil
}

// Tell records that the events of a release up to number to have been handled, and stores their messages, all in one
// transaction. A message whose key is known is left as it is. It returns [record.ErrConflict], and writes nothing, if
// the events were handled up to a number other than from: another daemon does the same.
func (s *Store) Tell(ctx context.Context, release string, from, to int, messages []record.Outgoing) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE releases SET told = $1 WHERE id = $2 AND told = $3`, to, release, from)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, record.ErrConflict)
		}
		for _, m := range messages {
			if err := insertOutgoing(ctx, tx, m); err != nil {
				return fmt.Errorf("message %s: %w", m.Key, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell of release %s: %w", release, err)
	}
	return nil
}

func insertOutgoing(ctx context.Context, tx *sql.Tx, m record.Outgoing) error {
	if err := checkNames(named{"key", m.Key}, named{"receiver", m.Receiver}); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO outbox (`+outgoingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (key) DO NOTHING`, m.Key, m.Receiver, m.At.UnixNano(), strings.ToValidUTF8(string(m.Body), "\uFFFD"),
		string(m.State), m.Tries, m.Due.UnixNano(), legible(m.Detail))
	return err
}

// Take returns the message to send to a receiver now, and reserves it until lease; its Tries includes this one.
// Messages go out in order: one that waits for its next try holds up later ones until it has been tried patience times.
// Without a message it returns nil; next is when to ask again, zero if only a new message can change that.
func (s *Store) Take(ctx context.Context, receiver string, now, lease time.Time, patience int) (taken *record.Outgoing, next time.Time, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		taken, next = nil, time.Time{}
		for _, which := range []string{`tries < $2 ORDER BY at, key`, `tries >= $2 ORDER BY due, key`} {
			m, err := firstOutgoing(ctx, tx, which, receiver, patience)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				continue
			case err != nil:
				return err
			case m.Due.After(now):
				if next.IsZero() || m.Due.Before(next) {
					next = m.Due
				}
				continue
			}
			done, err := tx.ExecContext(ctx, `UPDATE outbox SET tries = tries + 1, due = $1 WHERE key = $2 AND due = $3 AND state = 'waiting'`,
				lease.UnixNano(), m.Key, m.Due.UnixNano())
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			if m.Tries++; n == 1 {
				m.Due, taken = lease.UTC(), &m
			} else {
				next = lease // another daemon was quicker
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("take a message to %s: %w", receiver, err)
	}
	return taken, next, nil
}

// firstOutgoing is the first waiting message; which is SQL of ours.
func firstOutgoing(ctx context.Context, tx *sql.Tx, which, receiver string, patience int) (record.Outgoing, error) {
	row := tx.QueryRowContext(ctx, `SELECT `+outgoingColumns+` FROM outbox WHERE receiver = $1 AND state = 'waiting' AND `+which+` LIMIT 1`, //nolint:gosec // ours
		receiver, patience)
	return scanOutgoing(row)
}

func scanOutgoing(row interface{ Scan(dest ...any) error }) (m record.Outgoing, err error) {
	var at, due int64
	var body []byte
	err = row.Scan(&m.Key, &m.Receiver, &at, &body, &m.State, &m.Tries, &due, &m.Detail)
	m.At, m.Due, m.Body = time.Unix(0, at).UTC(), time.Unix(0, due).UTC(), body
	return m, err
}

// Settle records the outcome of a try: the message's state, when it is due, and the detail.
func (s *Store) Settle(ctx context.Context, m record.Outgoing) error {
	_, err := s.write.exec(ctx, `UPDATE outbox SET state = $1, due = $2, detail = $3 WHERE key = $4`,
		string(m.State), m.Due.UnixNano(), legible(m.Detail), m.Key)
	if err != nil {
		return fmt.Errorf("settle message %s: %w", m.Key, err)
	}
	return nil
}

// Backlog is how many messages wait for a receiver, and since when the oldest does; zero if none does.
func (s *Store) Backlog(ctx context.Context, receiver string) (waiting int, oldest time.Time, err error) {
	var at sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT COUNT(*), MIN(at) FROM outbox WHERE receiver = $1 AND state = 'waiting'`, receiver).Scan(&waiting, &at)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the messages to %s: %w", receiver, err)
	}
	return waiting, fromNanos(at), nil
}

// Outbox lists messages in any state, the newest event first; at most limit.
func (s *Store) Outbox(ctx context.Context, limit int) ([]record.Outgoing, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+outgoingColumns+` FROM outbox ORDER BY at DESC, key DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list the outbox: %w", err)
	}
	all, err := collect(rows, func(rows *sql.Rows) (record.Outgoing, error) { return scanOutgoing(rows) })
	if err != nil {
		return nil, fmt.Errorf("list the outbox: %w", err)
	}
	return all, nil
}

// PruneOutbox removes messages about events before a time, whatever their state.
func (s *Store) PruneOutbox(ctx context.Context, before time.Time) error {
	if _, err := s.write.exec(ctx, `DELETE FROM outbox WHERE at < $1`, before.UnixNano()); err != nil {
		return fmt.Errorf("prune the outbox: %w", err)
	}
	return nil
}
