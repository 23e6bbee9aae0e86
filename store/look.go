package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

const (
	// batchRows go into one statement: enough that a slot of 10,000 looks is some hundred round trips, and few
	// enough for the engines' limits of parameters (32,766 and 65,535).
	batchRows = 64
	// pruneRows are removed in one transaction, so that it takes milliseconds and other writers get in between.
	pruneRows = 500
)

// scopeKey identifies a body of evidence outside this package.
type scopeKey struct{ release, scope string }

// lookRow is a look on its way into the database.
type lookRow struct {
	scopeKey
	number int
	body   []byte
	record *record.LookRecord
}

// SaveLooks writes the looks of a slot in one transaction: the looks, each scope's newest cursor (nil keeps the
// previous one) and newest snapshot. The numbers of a scope's looks have to grow, also from call to call; if they do
// not, another daemon is taking looks at this release, and nothing is written: [record.ErrConflict]. Looks whose
// content cannot be written do not stop the others: the error is [*record.LooksError] then.
func (s *Store) SaveLooks(ctx context.Context, looks []record.LookRecord) error {
	if err := s.saveLooks(ctx, looks); err != nil {
		return fmt.Errorf("save %d looks: %w", len(looks), err)
	}
	return nil
}

func (s *Store) saveLooks(ctx context.Context, looks []record.LookRecord) error {
	rows := make([]lookRow, 0, len(looks))
	var bad *record.LooksError
	for i := range looks {
		l := &looks[i]
		if err := checkNames(named{"release", l.Release}, named{"scope", l.Scope}); err != nil {
			return err
		}
		body, err := encodeLook(*l)
		if err != nil {
			if bad == nil {
				bad = &record.LooksError{Err: err}
			}
			bad.Releases = append(bad.Releases, l.Release)
			continue
		}
		rows = append(rows, lookRow{scopeKey{l.Release, l.Scope}, l.Look.Number, body, l})
	}
	// In the same order everywhere, so that two daemons cannot wait for each other's rows.
	slices.SortFunc(rows, func(a, b lookRow) int {
		return cmp.Or(cmp.Compare(a.release, b.release), cmp.Compare(a.scope, b.scope), cmp.Compare(a.number, b.number))
	})
	if err := s.saveRows(ctx, rows); err != nil || bad == nil {
		return err
	}
	return bad
}

func (s *Store) saveRows(ctx context.Context, rows []lookRow) error {
	if len(rows) == 0 {
		return nil
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		for len(rows) > 0 {
			var layer []lookRow
			layer, rows = cutLayer(rows)
			if err := saveLayer(ctx, tx, layer); err != nil {
				return err
			}
		}
		return nil
	})
}

// cutLayer takes the first look of every scope off sorted rows, since one statement may change a scope only once. There
// is one layer, unless a slot has several looks at one scope.
func cutLayer(rows []lookRow) (layer, rest []lookRow) {
	for i, r := range rows {
		if i > 0 && r.scopeKey == rows[i-1].scopeKey {
			rest = append(rest, r)
		} else {
			layer = append(layer, r)
		}
	}
	return layer, rest
}

func saveLayer(ctx context.Context, tx *sql.Tx, layer []lookRow) error {
	ids, err := saveScopes(ctx, tx, layer)
	if err != nil {
		return err
	}
	insert := batch{tx: tx, columns: 3, before: `INSERT INTO looks (scope, number, body) VALUES `}
	defer insert.close()
	for part := range slices.Chunk(layer, batchRows) {
		args := make([]any, 0, 3*len(part))
		for _, r := range part {
			args = append(args, ids[r.scopeKey], r.number, r.body)
		}
		if err := insert.exec(ctx, len(part), args); err != nil {
			return err
		}
	}
	for _, r := range layer {
		if r.record.Snapshot == nil {
			continue
		}
		if err := saveSnapshot(ctx, tx, ids[r.scopeKey], r.number, r.record.Snapshot); err != nil {
			return fmt.Errorf("snapshot of %s/%s: %w", r.release, r.scope, err)
		}
	}
	return nil
}

// saveScopes sets cursors and newest looks, and returns the ids of the scopes.
func saveScopes(ctx context.Context, tx *sql.Tx, layer []lookRow) (map[scopeKey]int64, error) {
	upsert := batch{tx: tx, columns: 4,
		before: `INSERT INTO scopes (release, scope, last_look, read_to) VALUES `,
		after: ` ON CONFLICT (release, scope) DO UPDATE
			SET last_look = excluded.last_look, read_to = COALESCE(excluded.read_to, scopes.read_to)
			WHERE scopes.last_look < excluded.last_look
			RETURNING id, release, scope`}
	defer upsert.close()
	ids := make(map[scopeKey]int64, len(layer))
	for part := range slices.Chunk(layer, batchRows) {
		args := make([]any, 0, 4*len(part))
		for _, r := range part {
			args = append(args, r.release, r.scope, r.number, bytesOrNull(r.record.Cursor))
		}
		rows, err := upsert.query(ctx, len(part), args)
		if err != nil {
			return nil, err
		}
		if _, err := collect(rows, func(rows *sql.Rows) (struct{}, error) {
			var id int64
			var k scopeKey
			err := rows.Scan(&id, &k.release, &k.scope)
			ids[k] = id
			return struct{}{}, err
		}); err != nil {
			return nil, err
		}
	}
	for _, r := range layer {
		if _, ok := ids[r.scopeKey]; !ok {
			return nil, fmt.Errorf("look %d of %s/%s is not a new one: %w", r.number, r.release, r.scope, record.ErrConflict)
		}
	}
	return ids, nil
}

// batch is a statement over many rows, prepared again only when their number changes.
type batch struct {
	tx            *sql.Tx
	before, after string
	columns       int

	rows int
	stmt *sql.Stmt
}

func (b *batch) prepare(ctx context.Context, rows int) error {
	if b.rows == rows {
		return nil
	}
	b.close()
	stmt, err := b.tx.PrepareContext(ctx, b.before+values(rows, b.columns)+b.after)
	if err != nil {
		return err
	}
	b.rows, b.stmt = rows, stmt
	return nil
}

func (b *batch) exec(ctx context.Context, rows int, args []any) error {
	if err := b.prepare(ctx, rows); err != nil {
		return err
	}
	_, err := b.stmt.ExecContext(ctx, args...)
	return err
}

func (b *batch) query(ctx context.Context, rows int, args []any) (*sql.Rows, error) {
	if err := b.prepare(ctx, rows); err != nil {
		return nil, err
	}
	return b.stmt.QueryContext(ctx, args...) //nolint:rowserrcheck // the caller's
}

func (b *batch) close() {
	if b.stmt != nil {
		b.stmt.Close() //nolint:errcheck,gosec // its transaction ends right after
		b.rows, b.stmt = 0, nil
	}
}

// SaveSnapshot writes the evidence of a scope after look number look, 0 for before the first. A snapshot older than the
// stored one changes nothing.
func (s *Store) SaveSnapshot(ctx context.Context, release, scope string, look int, snapshot []byte) error {
	err := checkNames(named{"release", release}, named{"scope", scope})
	if err == nil {
		err = s.change(ctx, func(tx *sql.Tx) error {
			// An update that changes nothing makes RETURNING return the id of an existing row.
			var id int64
			err := tx.QueryRowContext(ctx, `INSERT INTO scopes (release, scope, last_look) VALUES ($1, $2, $3)
				ON CONFLICT (release, scope) DO UPDATE SET last_look = scopes.last_look RETURNING id`, release, scope, look).Scan(&id)
			if err != nil {
				return err
			}
			return saveSnapshot(ctx, tx, id, look, snapshot)
		})
	}
	if err != nil {
		return fmt.Errorf("save the snapshot of %s/%s after look %d: %w", release, scope, look, err)
	}
	return nil
}

func saveSnapshot(ctx context.Context, tx *sql.Tx, scope int64, look int, snapshot []byte) error {
	if snapshot == nil {
		return errors.New("there is no snapshot")
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO snapshots (scope, look, body) VALUES ($1, $2, $3)
		ON CONFLICT (scope) DO UPDATE SET look = excluded.look, body = excluded.body WHERE snapshots.look <= excluded.look`,
		scope, look, snapshot)
	return err
}

// Evidence of a scope as of one moment: the newest snapshot, the looks after it and the cursor. It is the zero
// value for a scope without any.
func (s *Store) Evidence(ctx context.Context, release, scope string) (record.Evidence, error) {
	var e record.Evidence
	err := s.view(ctx, func(tx *sql.Tx) error {
		var id int64
		var look sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT s.id, s.read_to, n.look, n.body FROM scopes s
			LEFT JOIN snapshots n ON n.scope = s.id WHERE s.release = $1 AND s.scope = $2`, release, scope).
			Scan(&id, &e.Cursor, &look, &e.Snapshot)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		e.SnapshotLook = int(look.Int64)
		rows, err := tx.QueryContext(ctx, `SELECT body FROM looks WHERE scope = $1 AND number > $2 ORDER BY number`, id, look.Int64)
		if err != nil {
			return err
		}
		e.Since, err = collect(rows, func(rows *sql.Rows) (judge.Look, error) {
			l, err := scanLook(rows, release, scope)
			return l.Look, err
		})
		return err
	})
	if err != nil {
		return record.Evidence{}, fmt.Errorf("read the evidence of %s/%s: %w", release, scope, err)
	}
	return e, nil
}

// Looks of a scope with numbers above after, in order, at most limit, without cursors and snapshots.
func (s *Store) Looks(ctx context.Context, release, scope string, after, limit int) ([]record.LookRecord, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT l.body FROM scopes s JOIN looks l ON l.scope = s.id
		WHERE s.release = $1 AND s.scope = $2 AND l.number > $3 ORDER BY l.number LIMIT $4`, release, scope, after, max(0, limit))
	if err != nil {
		return nil, fmt.Errorf("read the looks of %s/%s: %w", release, scope, err)
	}
	looks, err := collect(rows, func(rows *sql.Rows) (record.LookRecord, error) { return scanLook(rows, release, scope) })
	if err != nil {
		return nil, fmt.Errorf("read the looks of %s/%s: %w", release, scope, err)
	}
	return looks, nil
}

func scanLook(rows *sql.Rows, release, scope string) (record.LookRecord, error) {
	l := record.LookRecord{Release: release, Scope: scope}
	var body sql.RawBytes // decoded before the next row
	if err := rows.Scan(&body); err != nil {
		return l, err
	}
	return l, decodeLook(body, &l)
}

// Prune removes the looks, snapshots and cursors of releases that ended before a time; events, audit and what was
// learned stay. It works in small transactions, so an error leaves the rest for the next time.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	for {
		n, err := s.pruneScopes(ctx, before)
		if err != nil {
			return fmt.Errorf("prune what ended before %s: %w", before.UTC().Format(time.RFC3339), err)
		}
		if n == 0 {
			return nil
		}
	}
}

// pruneScopes removes some scopes and returns how many.
func (s *Store) pruneScopes(ctx context.Context, before time.Time) (int, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT s.id FROM releases r JOIN scopes s ON s.release = r.id
		WHERE r.phase = 'ended' AND r.ended_at < $1 LIMIT $2`, nanos(before), batchRows)
	if err != nil {
		return 0, err
	}
	ids, err := collect(rows, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) })
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		for more := true; more; {
			err := s.change(ctx, func(tx *sql.Tx) (err error) {
				more, err = pruneLooks(ctx, tx, id)
				return err
			})
			if err != nil {
				return 0, err
			}
		}
	}
	return len(ids), nil
}

// pruneLooks removes some looks of a scope, or the scope with its last looks; more reports whether looks remain.
func pruneLooks(ctx context.Context, tx *sql.Tx, scope int64) (more bool, err error) {
	done, err := tx.ExecContext(ctx, `DELETE FROM looks WHERE scope = $1 AND number IN
		(SELECT number FROM looks WHERE scope = $1 ORDER BY number LIMIT $2)`, scope, pruneRows)
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil || n == pruneRows {
		return true, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM snapshots WHERE scope = $1`, scope); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM scopes WHERE id = $1`, scope)
	return false, err
}
