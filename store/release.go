package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

const (
	// defaultLimit and maxLimit of a list, as [record.Filter] says.
	defaultLimit = 100
	maxLimit     = 1000
)

const releaseColumns = `id, rollout, revision, plan, start_key, version, phase, outcome, started_by, started_at, ended_at`

// Create writes a release with its first events in one transaction: one event, or all of them if the release has ended
// already. It returns *record.StartedError if the key has started a release of this rollout before, else
// *record.ActiveError if the rollout has an active one, else [record.ErrConflict] if the id is taken.
func (s *Store) Create(ctx context.Context, r record.Release, events ...rollout.Event) error {
	if err := s.create(ctx, r, events); err != nil {
		return fmt.Errorf("create release %s of %s: %w", r.ID, r.Rollout, err)
	}
	return nil
}

func (s *Store) create(ctx context.Context, r record.Release, events []rollout.Event) error {
	err := checkNames(named{"id", r.ID}, named{"rollout", r.Rollout}, named{"key", r.Key},
		named{"revision", r.Revision}, named{"startedBy", r.StartedBy})
	if err != nil {
		return err
	}
	if !json.Valid(r.Plan) {
		return errors.New("its plan is not JSON")
	}
	if len(events) == 0 {
		return errors.New("it has no first event")
	}
	rows, err := encodeEvents(r.ID, 0, events)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO releases (`+releaseColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
			r.ID, r.Rollout, r.Revision, strings.ToValidUTF8(string(r.Plan), "\uFFFD"), r.Key, len(events), string(r.Phase),
			string(r.Outcome), r.StartedBy, nanos(r.StartedAt), nanos(r.EndedAt))
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, inTheWay(ctx, tx, r))
		}
		return addEvents(ctx, tx, r.ID, rows, events)
	})
}

// inTheWay returns an error that says why r cannot be created, and names the release that prevents it.
func inTheWay(ctx context.Context, tx *sql.Tx, r record.Release) error {
	var id string
	err := tx.QueryRowContext(ctx, `SELECT id FROM releases WHERE rollout = $1 AND start_key = $2 AND start_key <> ''`,
		r.Rollout, r.Key).Scan(&id)
	if err == nil {
		return &record.StartedError{Key: r.Key, ID: id}
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = tx.QueryRowContext(ctx, `SELECT id FROM releases WHERE rollout = $1 AND phase <> 'ended'`, r.Rollout).Scan(&id)
	if err == nil {
		return &record.ActiveError{Rollout: r.Rollout, ID: id}
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return record.ErrConflict // its id is taken, or the release in the way has just ended
}

// Append adds events to a release whose newest event is version, all or none, and stores r's phase, outcome and end.
// The events have to be numbered from version+1. An Ended among them also sets which set of the rollout is live. It
// returns [record.ErrConflict] if the newest event has another number, and [record.ErrNotFound] if there is no such
// release.
func (s *Store) Append(ctx context.Context, r record.Release, version int, events ...rollout.Event) error {
	if err := s.append(ctx, r, version, events); err != nil {
		return fmt.Errorf("append to release %s at version %d: %w", r.ID, version, err)
	}
	return nil
}

func (s *Store) append(ctx context.Context, r record.Release, version int, events []rollout.Event) error {
	if len(events) == 0 {
		return errors.New("there is no event to append")
	}
	rows, err := encodeEvents(r.ID, version, events)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx,
			`UPDATE releases SET version = $1, phase = $2, outcome = $3, ended_at = $4 WHERE id = $5 AND version = $6`,
			version+len(events), string(r.Phase), string(r.Outcome), nanos(r.EndedAt), r.ID, version)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, whyNotAppended(ctx, tx, r.ID))
		}
		return addEvents(ctx, tx, r.ID, rows, events)
	})
}

// addEvents writes the events of a release and, if an Ended is among them, which set of the rollout is live.
func addEvents(ctx context.Context, tx *sql.Tx, id string, rows []eventRow, events []rollout.Event) error {
	if err := insertEvents(ctx, tx, rows); err != nil {
		return err
	}
	for _, e := range events {
		if ended, ok := e.(rollout.Ended); ok {
			return setLive(ctx, tx, id, ended.Swapped)
		}
	}
	return nil
}

func whyNotAppended(ctx context.Context, tx *sql.Tx, id string) error {
	var version int
	err := tx.QueryRowContext(ctx, `SELECT version FROM releases WHERE id = $1`, id).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return record.ErrNotFound
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("its version is %d: %w", version, record.ErrConflict)
}

// setLive takes the rollout's name from the release as it was created.
func setLive(ctx context.Context, tx *sql.Tx, id string, swapped bool) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO live (rollout, swapped, release)
		SELECT rollout, CAST($1 AS BOOLEAN), id FROM releases WHERE id = $2
		ON CONFLICT (rollout) DO UPDATE SET swapped = excluded.swapped, release = excluded.release`, swapped, id)
	return err
}

// eventRow is one row of the table events.
type eventRow struct {
	release string
	seq     int
	body    string
}

// encodeEvents also checks that they are numbered from version+1, and converts their times to UTC.
func encodeEvents(release string, version int, events []rollout.Event) ([]eventRow, error) {
	rows := make([]eventRow, len(events))
	for i, e := range events {
		if e == nil {
			return nil, fmt.Errorf("event %d is missing", version+1+i)
		}
		head := e.Head()
		if head.Seq != version+1+i {
			return nil, fmt.Errorf("%s has number %d, not %d", rollout.Kind(e), head.Seq, version+1+i)
		}
		head.At = head.At.UTC()
		body, err := rollout.EncodeEvent(e.With(head))
		if err != nil {
			return nil, err
		}
		rows[i] = eventRow{release, head.Seq, string(body)}
	}
	return rows, nil
}

func insertEvents(ctx context.Context, tx *sql.Tx, rows []eventRow) error {
	for _, r := range rows {
		_, err := tx.ExecContext(ctx, `INSERT INTO events (release, seq, body) VALUES ($1, $2, $3)`, r.release, r.seq, r.body)
		if err != nil {
			return fmt.Errorf("insert event %d: %w", r.seq, err)
		}
	}
	return nil
}

// Release returns one release, or [record.ErrNotFound].
func (s *Store) Release(ctx context.Context, id string) (record.Release, error) {
	r, err := s.release(ctx, `WHERE id = $1`, id)
	if err != nil {
		return record.Release{}, fmt.Errorf("read release %s: %w", id, err)
	}
	return r, nil
}

// ByKey returns the release of a rollout that was started with a key, or [record.ErrNotFound]. The empty key finds
// none.
func (s *Store) ByKey(ctx context.Context, rolloutName, key string) (record.Release, error) {
	r, err := s.release(ctx, `WHERE rollout = $1 AND start_key = $2 AND start_key <> ''`, rolloutName, key)
	if err != nil {
		return record.Release{}, fmt.Errorf("read the release of %s with key %q: %w", rolloutName, key, err)
	}
	return r, nil
}

func (s *Store) release(ctx context.Context, where string, args ...any) (record.Release, error) {
	found, err := s.releases(ctx, where, args...)
	if err != nil {
		return record.Release{}, err
	}
	if len(found) == 0 {
		return record.Release{}, record.ErrNotFound
	}
	return found[0], nil
}

// Newest returns the release of a rollout that has not ended, whatever its id, else the one that ended last. Neither
// ids nor start times tell which one that is: both come from a clock, which may have been ahead.
func (s *Store) Newest(ctx context.Context, rolloutName string) (record.Release, error) {
	found, err := s.releases(ctx, `WHERE rollout = $1
		ORDER BY phase = 'ended', id = (SELECT release FROM live WHERE live.rollout = $1) DESC, started_at DESC, id DESC LIMIT 1`, rolloutName)
	switch {
	case err != nil:
		return record.Release{}, fmt.Errorf("find the newest release of %s: %w", rolloutName, err)
	case len(found) == 0:
		return record.Release{}, fmt.Errorf("newest release of %s: %w", rolloutName, record.ErrNotFound)
	}
	return found[0], nil
}

// Releases lists those that match, the newest (by id) first.
func (s *Store) Releases(ctx context.Context, f record.Filter) ([]record.Release, error) {
	where, args := []string{}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	text := func(condition, arg string) {
		if arg != "" {
			add(condition, arg)
		}
	}
	moment := func(condition string, at time.Time) {
		if !at.IsZero() {
			add(condition, nearest(at))
		}
	}
	text(`rollout = $%d`, f.Rollout)
	text(`phase = $%d`, string(f.Phase))
	text(`outcome = $%d`, string(f.Outcome))
	text(`start_key = $%d`, f.Key)
	text(`started_by = $%d`, f.By)
	moment(`started_at >= $%d`, f.Since)
	moment(`started_at < $%d`, f.Until)
	text(`id < $%d`, f.Before)
	tail := ""
	if len(where) > 0 {
		tail = `WHERE ` + strings.Join(where, ` AND `)
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	args = append(args, min(f.Limit, maxLimit))
	tail += fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args))
	found, err := s.releases(ctx, tail, args...)
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	return found, nil
}

// History is [Store.Releases] with each release's parameters, and why it ended.
func (s *Store) History(ctx context.Context, f record.Filter) ([]record.Past, error) {
	found, err := s.Releases(ctx, f)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	out, at := make([]record.Past, len(found)), make(map[string]*record.Past, len(found))
	places, args := make([]string, len(found)), make([]any, len(found))
	for i, r := range found {
		out[i] = record.Past{Release: r}
		at[r.ID], places[i], args[i] = &out[i], fmt.Sprintf("$%d", i+1), r.ID
	}
	const ends = `SELECT e.release, e.body FROM releases r JOIN events e ON e.release = r.id AND (e.seq = 1 OR e.seq = r.version) WHERE r.id IN (`
	rows, err := s.read.QueryContext(ctx, ends+strings.Join(places, ", ")+`)`, args...) //nolint:gosec // places are ours
	if err != nil {
		return nil, fmt.Errorf("read how releases began and ended: %w", err)
	}
	_, err = collect(rows, func(rows *sql.Rows) (struct{}, error) {
		var id string
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return struct{}{}, err
		}
		e, err := rollout.DecodeEvent(body)
		if err != nil {
			return struct{}{}, fmt.Errorf("release %s: %w", id, err)
		}
		switch e := e.(type) {
		case rollout.Started:
			at[id].Parameters = e.Parameters
		case rollout.Ended:
			at[id].Why = e.Why
		default: // it runs: its last event is not its end
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how releases began and ended: %w", err)
	}
	return out, nil
}

// nearest is t in nanoseconds since 1970, limited to the range of an int64.
func nearest(t time.Time) int64 {
	switch year := t.UTC().Year(); {
	case year < 1970:
		return 0
	case year > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// releases reads rows; tail is SQL of ours, never a user's.
func (s *Store) releases(ctx context.Context, tail string, args ...any) ([]record.Release, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+releaseColumns+` FROM releases `+tail, args...) //nolint:gosec // ours
	if err != nil {
		return nil, err
	}
	return collect(rows, func(rows *sql.Rows) (record.Release, error) {
		var r record.Release
		var plan string
		var started, ended sql.NullInt64
		err := rows.Scan(&r.ID, &r.Rollout, &r.Revision, &plan, &r.Key, &r.Version, &r.Phase, &r.Outcome, &r.StartedBy, &started, &ended)
		r.Plan, r.StartedAt, r.EndedAt = json.RawMessage(plan), fromNanos(started), fromNanos(ended)
		return r, err
	})
}

// Started returns the first event of a release, or [record.ErrNotFound].
func (s *Store) Started(ctx context.Context, id string) (first rollout.Started, err error) {
	var body []byte
	err = s.read.QueryRowContext(ctx, `SELECT body FROM events WHERE release = $1 AND seq = 1`, id).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		err = record.ErrNotFound
	}
	if err != nil {
		return first, fmt.Errorf("read how release %s was started: %w", id, err)
	}
	event, err := rollout.DecodeEvent(body)
	if err != nil {
		return first, fmt.Errorf("read how release %s was started: %w", id, err)
	}
	first, ok := event.(rollout.Started)
	if !ok {
		return first, fmt.Errorf("the first event of release %s is of kind %s", id, rollout.Kind(event))
	}
	return first, nil
}

// Events of a release with numbers above after, in order; none for an unknown release. An event that this version of
// Serin does not know is an error.
func (s *Store) Events(ctx context.Context, id string, after int) ([]rollout.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT seq, body FROM events WHERE release = $1 AND seq > $2 ORDER BY seq`, id, after)
	if err != nil {
		return nil, fmt.Errorf("read events of release %s: %w", id, err)
	}
	events, err := collect(rows, func(rows *sql.Rows) (rollout.Event, error) {
		var seq int
		var body []byte
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, err
		}
		e, err := rollout.DecodeEvent(body)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", seq, err)
		}
		return e, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read events of release %s: %w", id, err)
	}
	return events, nil
}

// Swapped reports whether the set declared as canary is the live one; false for a rollout that has never ended a
// release.
func (s *Store) Swapped(ctx context.Context, rolloutName string) (bool, error) {
	var swapped bool
	err := s.read.QueryRowContext(ctx, `SELECT swapped FROM live WHERE rollout = $1`, rolloutName).Scan(&swapped)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("read which set of %s is live: %w", rolloutName, err)
	}
	return swapped, nil
}
