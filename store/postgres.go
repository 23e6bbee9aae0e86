package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// postgresConns is for one daemon: a server takes 100 connections by default, and several daemons share it.
	postgresConns = 8
	// postgresMigration is the key of the advisory lock under which the schema is changed: "serin" in ASCII.
	postgresMigration = 0x736572696e
)

func openPostgres(ctx context.Context, url string, o options) (*Store, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err) // pgx leaves the password out
	}
	c.RuntimeParams["application_name"] = "serin"
	c.RuntimeParams["lock_timeout"] = strconv.FormatInt(o.lockTimeout.Milliseconds(), 10)
	db := stdlib.OpenDB(*c, stdlib.OptionAfterConnect(durable), stdlib.OptionShouldPing(always))
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	s := &Store{name: fmt.Sprintf("postgres %s:%d/%s", c.Host, c.Port, c.Database), write: writer{db, o.may}, read: db}
	if err := migratePostgres(ctx, db); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.name, errors.Join(err, db.Close()))
	}
	return s, nil
}

// always pings a connection before it is used again, so that the first call after a restart of the server succeeds. It
// costs a round trip; the store is asked a few times a second.
func always(context.Context, stdlib.ShouldPingParams) bool { return true }

// durable makes commits of this session wait for the disk even if the server's default is not to wait: an event is
// durable before anything follows from it. Stricter settings stay.
func durable(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// migratePostgres lets one daemon at a time change the schema; the others wait, and then find it changed.
func migratePostgres(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	// Wait as long as the other migration takes; ctx ends the wait.
	if _, err := conn.ExecContext(ctx, `SELECT set_config('lock_timeout', '0', false)`); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(postgresMigration)); err != nil {
		return fmt.Errorf("wait for another Serin's migration: %w", err)
	}
	err = migrate(ctx, goose.DialectPostgres, db)
	_, unlock := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(postgresMigration))
	_, reset := conn.ExecContext(context.WithoutCancel(ctx), `RESET lock_timeout`)
	return errors.Join(err, unlock, reset)
}
