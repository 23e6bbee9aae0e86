// Package store keeps what has happened: releases and their events, looks and the evidence they add up to, what was
// learned, who did what. It decides and interprets nothing. It uses SQLite (the default) or PostgreSQL, with one
// schema.
//
// It promises that a call that returns nil is durable, that a call that returns an error has written nothing at all,
// and that of two writers that have seen the same version of a release only one succeeds. There is one exception to the
// second promise: if a connection to PostgreSQL breaks during a commit, the write may have happened. Trying again is
// safe, since it is then refused as a conflict.
//
// Start reading at [Open], then release.go and look.go.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// lockTimeout is how long a statement waits for a lock that another transaction holds: longer than any transaction of
// Serin's, and short compared with a slot of looks, since a fail verdict waits behind looks that cannot be written.
const lockTimeout = time.Second

// maxName bounds a text in an index: an index entry of PostgreSQL has at most 2,704 bytes, and two names share one.
const maxName = 1000

// Store keeps everything in one database. Its methods may be called from several goroutines, and it implements the
// engine's interface of the same name, which has their contracts.
type Store struct {
	name  string    // for messages, without secrets
	write writer    // SQLite: one connection, so that writers queue here and not at the file's lock
	read  *sql.DB   // PostgreSQL: the same as the writer's
	lock  io.Closer // SQLite: no second daemon on the same file
}

// writer is the only way to change anything. It asks for leave first, so that no new method can forget to.
type writer struct {
	db  *sql.DB
	may func() error
}

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	lockTimeout time.Duration
	may         func() error
}

// WithLeave makes every write call may first; if that returns an error, nothing is written and the error is returned.
// Of several daemons with one store only the leader may write, and no longer once another has taken over.
func WithLeave(may func() error) Option {
	return func(o *options) { o.may = may }
}

// WithLockTimeout sets how long a statement waits for a lock that another process holds before it returns an error; the
// default is one second.
func WithLockTimeout(d time.Duration) Option {
	return func(o *options) { o.lockTimeout = d }
}

// Open opens a store, makes the database if there is none (SQLite), and brings its schema up to date. url is
// "sqlite:PATH" or "postgres://USER:PASSWORD@HOST:PORT/DATABASE?…". It returns an error if another process has the
// same SQLite file open, and if a newer Serin has changed the database.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	o := options{lockTimeout: lockTimeout, may: func() error { return nil }}
	for _, set := range opts {
		set(&o)
	}
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return openSQLite(ctx, path, o)
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(ctx, url, o)
	}
	return nil, errors.New("open the store: its URL has to begin with sqlite: or postgres://") // no echo: it may hold a password
}

// Close waits for what is being written and closes the store.
func (s *Store) Close() error {
	var errs []error
	if s.read != s.write.db {
		errs = append(errs, s.read.Close())
	}
	errs = append(errs, s.write.db.Close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.name, err)
	}
	return nil
}

// change runs f in one transaction that is written as a whole or not at all.
func (s *Store) change(ctx context.Context, f func(*sql.Tx) error) error {
	if err := s.write.may(); err != nil {
		return err
	}
	return transact(ctx, s.write.db, nil, f)
}

// exec runs one statement that changes something.
func (w writer) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := w.may(); err != nil {
		return nil, err
	}
	return w.db.ExecContext(ctx, query, args...)
}

// view runs f in a transaction that only reads and sees one state of the database throughout.
func (s *Store) view(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, s.read, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, f)
}

func transact(ctx context.Context, db *sql.DB, o *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; else the cause is the error that counts
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// collect reads all rows of a query.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close() //nolint:errcheck // Err tells
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// values is "($1, $2), ($3, $4), …" for rows rows of columns columns; both engines take it.
func values(rows, columns int) string {
	var b strings.Builder
	for n := range rows * columns {
		switch {
		case n%columns != 0:
			b.WriteString(", ")
		case n > 0:
			b.WriteString("), (")
		default:
			b.WriteByte('(')
		}
		fmt.Fprintf(&b, "$%d", n+1)
	}
	b.WriteByte(')')
	return b.String()
}

// named is a text with its name for messages.
type named struct{ what, text string }

// checkNames refuses what one of the two engines could not store unchanged.
func checkNames(names ...named) error {
	for _, n := range names {
		if len(n.text) > maxName {
			return fmt.Errorf("%s is longer than %d bytes", n.what, maxName)
		}
		if !utf8.ValidString(n.text) || strings.ContainsRune(n.text, 0) {
			return fmt.Errorf("%s %q is not UTF-8 text without NUL", n.what, n.text)
		}
	}
	return nil
}

// nanos is a time in its stored form; the zero time is NULL.
func nanos(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixNano(), Valid: !t.IsZero()}
}

// fromNanos is the inverse of nanos, in UTC.
func fromNanos(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}

// bytesOrNull distinguishes nil from empty.
func bytesOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
