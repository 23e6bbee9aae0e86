package store

import (
	"bytes"
	"compress/flate"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
)

// CreateCanaryConfig keeps a new config. It returns [record.ErrConflict] if the id is taken, or if one of its
// applications has a config of this name.
func (s *Store) CreateCanaryConfig(ctx context.Context, c kept.Config) error {
	err := s.writeCanaryConfig(ctx, c, func(tx *sql.Tx) (sql.Result, error) {
		return tx.ExecContext(ctx, `INSERT INTO canary_configs (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING`, c.ID, text(c.Body))
	}, record.ErrConflict)
	if err != nil {
		return fmt.Errorf("create canary config %s: %w", c.ID, err)
	}
	return nil
}

// UpdateCanaryConfig replaces a config. It returns [record.ErrNotFound] if there is none, and [record.ErrConflict]
// if one of its applications has another config of this name.
func (s *Store) UpdateCanaryConfig(ctx context.Context, c kept.Config) error {
	err := s.writeCanaryConfig(ctx, c, func(tx *sql.Tx) (sql.Result, error) {
		return tx.ExecContext(ctx, `UPDATE canary_configs SET body = $2 WHERE id = $1`, c.ID, text(c.Body))
	}, record.ErrNotFound)
	if err != nil {
		return fmt.Errorf("update canary config %s: %w", c.ID, err)
	}
	return nil
}

// writeCanaryConfig writes a config with its names; untouched is the error to return if write changed nothing.
func (s *Store) writeCanaryConfig(ctx context.Context, c kept.Config, write func(*sql.Tx) (sql.Result, error), untouched error) error {
	names := []named{{"id", c.ID}, {"name", c.Name}}
	for _, a := range c.Applications {
		names = append(names, named{"application", a})
	}
	if err := checkNames(names...); err != nil {
		return err
	}
	if !json.Valid(c.Body) {
		return errors.New("its body is not JSON")
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		done, err := write(tx)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, untouched)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM canary_config_names WHERE config = $1`, c.ID); err != nil {
			return err
		}
		apps := slices.Clone(c.Applications)
		slices.Sort(apps)
		for _, a := range slices.Compact(apps) {
			done, err := tx.ExecContext(ctx, `INSERT INTO canary_config_names (application, name, config) VALUES ($1, $2, $3)
				ON CONFLICT DO NOTHING`, a, c.Name, c.ID)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, record.ErrConflict)
			}
		}
		return nil
	})
}

// text is JSON in a form that both engines can store.
func text(body []byte) string { return strings.ToValidUTF8(string(body), "\uFFFD") }

// CanaryConfig is the body of a config, or [record.ErrNotFound].
func (s *Store) CanaryConfig(ctx context.Context, id string) (json.RawMessage, error) {
	var body []byte
	err := s.read.QueryRowContext(ctx, `SELECT body FROM canary_configs WHERE id = $1`, id).Scan(&body)
	if err != nil {
		return nil, fmt.Errorf("read canary config %s: %w", id, orNotFound(err))
	}
	return body, nil
}

// CanaryConfigs are the bodies of all configs, by id.
func (s *Store) CanaryConfigs(ctx context.Context) ([]json.RawMessage, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT body FROM canary_configs ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list canary configs: %w", err)
	}
	all, err := collect(rows, func(rows *sql.Rows) (b json.RawMessage, err error) {
		err = rows.Scan((*[]byte)(&b))
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("list canary configs: %w", err)
	}
	return all, nil
}

// DeleteCanaryConfig removes a config, or returns [record.ErrNotFound]. Runs keep the config that they had.
func (s *Store) DeleteCanaryConfig(ctx context.Context, id string) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM canary_config_names WHERE config = $1`, id); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `DELETE FROM canary_configs WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, record.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete canary config %s: %w", id, err)
	}
	return nil
}

// CreateCanaryRun keeps a new run, or returns [record.ErrConflict] if its id is taken.
func (s *Store) CreateCanaryRun(ctx context.Context, r kept.Run) error {
	err := checkNames(named{"id", r.ID}, named{"kind", r.Kind}, named{"application", r.Application}, named{"status", r.Status})
	var body []byte
	if err == nil {
		body, err = deflate(r.Body)
	}
	if err == nil {
		var done sql.Result
		done, err = s.write.exec(ctx, `INSERT INTO canary_runs (id, kind, application, status, complete, at, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`, r.ID, r.Kind, r.Application, r.Status, r.Complete, r.At.UnixNano(), body)
		if err == nil {
			if n, nErr := done.RowsAffected(); nErr != nil || n == 0 {
				err = errors.Join(nErr, record.ErrConflict)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("create canary run %s: %w", r.ID, err)
	}
	return nil
}

// UpdateCanaryRun writes a run's status and body, with what was measured and what follows from it, all or nothing;
// pairs and evidence may be nil. It returns [record.ErrConflict] if the run is complete or does not exist, and if the
// evidence's version is not the next one.
func (s *Store) UpdateCanaryRun(ctx context.Context, r kept.Run, pairs *kept.Pairs, evidence *kept.Evidence) error {
	body, err := deflate(r.Body)
	if err == nil {
		err = s.change(ctx, func(tx *sql.Tx) error {
			done, err := tx.ExecContext(ctx, `UPDATE canary_runs SET status = $2, complete = $3, at = $4, body = $5 WHERE id = $1 AND NOT complete`,
				r.ID, r.Status, r.Complete, r.At.UnixNano(), body)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, record.ErrConflict)
			}
			if pairs != nil {
				if err := insertCanaryPairs(ctx, tx, *pairs); err != nil {
					return err
				}
			}
			if evidence != nil {
				return writeCanaryEvidence(ctx, tx, *evidence)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("update canary run %s: %w", r.ID, err)
	}
	return nil
}

func insertCanaryPairs(ctx context.Context, tx *sql.Tx, p kept.Pairs) error {
	body, err := deflate(p.Body)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO canary_pairs (id, at, body) VALUES ($1, $2, $3)`, p.ID, p.At.UnixNano(), body)
	}
	if err != nil {
		return fmt.Errorf("keep pairs %s: %w", p.ID, err)
	}
	return nil
}

func writeCanaryEvidence(ctx context.Context, tx *sql.Tx, e kept.Evidence) error {
	done, err := tx.ExecContext(ctx, `INSERT INTO canary_evidence (id, version, at, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, at = excluded.at, body = excluded.body
		WHERE canary_evidence.version = excluded.version - 1`, e.ID, e.Version, e.At.UnixNano(), e.Body)
	if err != nil {
		return fmt.Errorf("keep evidence %s: %w", e.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("keep version %d of evidence %s: %w", e.Version, e.ID, errors.Join(err, record.ErrConflict))
	}
	return nil
}

// KeepCanaryPairs keeps pairs that no run has measured.
func (s *Store) KeepCanaryPairs(ctx context.Context, p kept.Pairs) error {
	if err := checkNames(named{"id", p.ID}); err != nil {
		return fmt.Errorf("keep pairs: %w", err)
	}
	return s.change(ctx, func(tx *sql.Tx) error { return insertCanaryPairs(ctx, tx, p) })
}

const canaryRunColumns = `id, kind, application, status, complete, at, body`

func scanCanaryRun(row interface{ Scan(...any) error }) (r kept.Run, err error) {
	var at int64
	var body []byte
	if err = row.Scan(&r.ID, &r.Kind, &r.Application, &r.Status, &r.Complete, &at, &body); err != nil {
		return r, err
	}
	r.At = time.Unix(0, at).UTC()
	r.Body, err = reflate(body)
	return r, err
}

// CanaryRun is a run, or [record.ErrNotFound].
func (s *Store) CanaryRun(ctx context.Context, id string) (kept.Run, error) {
	r, err := scanCanaryRun(s.read.QueryRowContext(ctx, `SELECT `+canaryRunColumns+` FROM canary_runs WHERE id = $1`, id))
	if err != nil {
		return kept.Run{}, fmt.Errorf("read canary run %s: %w", id, orNotFound(err))
	}
	return r, nil
}

// CanaryRuns lists runs, newest first.
func (s *Store) CanaryRuns(ctx context.Context, f kept.Filter) ([]kept.Run, error) {
	if f.Limit <= 0 || f.Limit > maxLimit {
		f.Limit = maxLimit
	}
	args := []any{f.Kind, f.Application, f.Limit, max(f.Offset, 0)}
	where := ""
	if len(f.Statuses) > 0 {
		places := make([]string, len(f.Statuses))
		for i, status := range f.Statuses {
			args = append(args, status)
			places[i] = fmt.Sprintf("$%d", len(args))
		}
		where = ` AND status IN (` + strings.Join(places, ", ") + `)`
	}
	return s.canaryRuns(ctx, `SELECT `+canaryRunColumns+` FROM canary_runs WHERE kind = $1 AND application = $2`+where+ //nolint:gosec // placeholders only
		` ORDER BY id DESC LIMIT $3 OFFSET $4`, args...)
}

// IncompleteCanaryRuns are all runs that are not complete, oldest first.
func (s *Store) IncompleteCanaryRuns(ctx context.Context) ([]kept.Run, error) {
	return s.canaryRuns(ctx, `SELECT `+canaryRunColumns+` FROM canary_runs WHERE NOT complete ORDER BY id`)
}

func (s *Store) canaryRuns(ctx context.Context, query string, args ...any) ([]kept.Run, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list canary runs: %w", err)
	}
	all, err := collect(rows, func(rows *sql.Rows) (kept.Run, error) { return scanCanaryRun(rows) })
	if err != nil {
		return nil, fmt.Errorf("list canary runs: %w", err)
	}
	return all, nil
}

// CanaryPairs are the pairs of an id, or [record.ErrNotFound].
func (s *Store) CanaryPairs(ctx context.Context, id string) (json.RawMessage, error) {
	var body []byte
	err := s.read.QueryRowContext(ctx, `SELECT body FROM canary_pairs WHERE id = $1`, id).Scan(&body)
	if err == nil {
		body, err = reflate(body)
	}
	if err != nil {
		return nil, fmt.Errorf("read canary pairs %s: %w", id, orNotFound(err))
	}
	return body, nil
}

// CanaryEvidence is the evidence of an id, or [record.ErrNotFound].
func (s *Store) CanaryEvidence(ctx context.Context, id string) (kept.Evidence, error) {
	e := kept.Evidence{ID: id}
	var at int64
	err := s.read.QueryRowContext(ctx, `SELECT version, at, body FROM canary_evidence WHERE id = $1`, id).Scan(&e.Version, &at, &e.Body)
	if err != nil {
		return kept.Evidence{}, fmt.Errorf("read canary evidence %s: %w", id, orNotFound(err))
	}
	e.At = time.Unix(0, at).UTC()
	return e, nil
}

// PruneCanary removes complete runs, pairs and evidence that were last changed before a time. Configs stay.
func (s *Store) PruneCanary(ctx context.Context, before time.Time) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{
			`DELETE FROM canary_runs WHERE complete AND at < $1`,
			`DELETE FROM canary_pairs WHERE at < $1`,
			`DELETE FROM canary_evidence WHERE at < $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, before.UnixNano()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune canary runs: %w", err)
	}
	return nil
}

func orNotFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return record.ErrNotFound
	}
	return err
}

// deflate compresses JSON; samples shrink to a third.
func deflate(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errors.New("its body is not JSON")
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(text); err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

func reflate(b []byte) ([]byte, error) { return io.ReadAll(flate.NewReader(bytes.NewReader(b))) }
