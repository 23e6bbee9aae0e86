package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/serindev/serin/record"
)

// keepPasts is the number kept for one metric, baseline and weight: the judge takes the mean over three, and a few more
// remain for people to see where the numbers come from.
const keepPasts = 16

const auditColumns = `id, at, by_whom, remote, action, rollout, release, detail, refused`

// Learn stores what was learned from a release, and replaces what was learned from it before. For each metric, kind of
// baseline and weight, the newest 16 of a rollout are kept.
func (s *Store) Learn(ctx context.Context, l []record.Learned) error {
	err := s.change(ctx, func(tx *sql.Tx) error {
		for _, one := range l {
			if err := learn(ctx, tx, one); err != nil {
				return fmt.Errorf("%s of release %s: %w", one.Metric, one.Release, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep what was learned: %w", err)
	}
	return nil
}

func learn(ctx context.Context, tx *sql.Tx, l record.Learned) error {
	if err := checkNames(named{"rollout", l.Rollout}, named{"release", l.Release}, named{"metric", l.Metric},
		named{"baseline", l.Baseline}); err != nil {
		return err
	}
	if math.IsNaN(l.Weight) || math.IsInf(l.Weight, 0) {
		return fmt.Errorf("weight %v is not a number", l.Weight)
	}
	past, err := json.Marshal(l.Past)
	if err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, `INSERT INTO learned (rollout, release, metric, baseline, weight, at, past)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (rollout, metric, baseline, weight, release) DO UPDATE SET at = excluded.at, past = excluded.past`,
		l.Rollout, l.Release, l.Metric, l.Baseline, l.Weight, nanos(l.At), string(past)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM learned WHERE rollout = $1 AND metric = $2 AND baseline = $3 AND weight = $4
		AND release NOT IN (SELECT release FROM learned WHERE rollout = $1 AND metric = $2 AND baseline = $3 AND weight = $4
			ORDER BY at DESC, release DESC LIMIT $5)`, l.Rollout, l.Metric, l.Baseline, l.Weight, keepPasts)
	return err
}

// Learned returns what is stored for a rollout, oldest first.
func (s *Store) Learned(ctx context.Context, rolloutName string) ([]record.Learned, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT release, metric, baseline, weight, at, past FROM learned
		WHERE rollout = $1 ORDER BY at, release, metric, baseline, weight`, rolloutName)
	if err != nil {
		return nil, fmt.Errorf("read what %s has learned: %w", rolloutName, err)
	}
	all, err := collect(rows, func(rows *sql.Rows) (record.Learned, error) {
		l := record.Learned{Rollout: rolloutName}
		var at sql.NullInt64
		var past []byte
		if err := rows.Scan(&l.Release, &l.Metric, &l.Baseline, &l.Weight, &at, &past); err != nil {
			return l, err
		}
		l.At = fromNanos(at)
		return l, json.Unmarshal(past, &l.Past)
	})
	if err != nil {
		return nil, fmt.Errorf("read what %s has learned: %w", rolloutName, err)
	}
	return all, nil
}

// Audit appends to the audit log, which gives the entry its ID. Invalid UTF-8 and NUL are replaced, and the rollout's
// name is cut after 1,000 bytes: an entry must not be lost because of odd content.
func (s *Store) Audit(ctx context.Context, a record.AuditEntry) error {
	_, err := s.write.exec(ctx, `INSERT INTO audit (at, by_whom, remote, action, rollout, release, detail, refused)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, nanos(a.At), legible(a.By), legible(a.From), legible(a.Action), name(a.Rollout),
		legible(a.Release), legible(a.Detail), legible(a.Refused))
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	return nil
}

func legible(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// name makes a text fit for an index.
func name(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// AuditLog lists the newest entries that match a filter, newest first.
func (s *Store) AuditLog(ctx context.Context, f record.AuditFilter) ([]record.AuditEntry, error) {
	limit := f.Limit
	if limit <= 0 || limit > maxLimit {
		limit = maxLimit
	}
	var where []string
	args := []any{limit}
	only := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf("%s $%d", condition, len(args)))
	}
	if f.Rollout != "" {
		only("rollout =", name(f.Rollout))
	}
	if f.By != "" {
		only("by_whom =", legible(f.By))
	}
	if f.Before > 0 {
		only("id <", f.Before)
	}
	if !f.Since.IsZero() {
		only("at >=", nearest(f.Since))
	}
	if !f.Until.IsZero() {
		only("at <", nearest(f.Until))
	}
	among := func(condition string, values []string) {
		if len(values) == 0 {
			return
		}
		places := make([]string, len(values))
		for i, v := range values {
			args = append(args, legible(v))
			places[i] = fmt.Sprintf("$%d", len(args))
		}
		where = append(where, condition+" ("+strings.Join(places, ", ")+")")
	}
	among("action IN", f.Actions)
	among("action NOT IN", f.Except)
	query := `SELECT ` + auditColumns + ` FROM audit`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, ` AND `) //nolint:gosec // of the texts above; values are arguments
	}
	query += ` ORDER BY id DESC LIMIT $1`
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	all, err := collect(rows, func(rows *sql.Rows) (record.AuditEntry, error) {
		var a record.AuditEntry
		var at sql.NullInt64
		err := rows.Scan(&a.ID, &at, &a.By, &a.From, &a.Action, &a.Rollout, &a.Release, &a.Detail, &a.Refused)
		a.At = fromNanos(at)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return all, nil
}
