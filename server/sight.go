package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// Sight is what the caller in a context ([As]) may see. A rollout that the caller may not see does not exist for them:
// it is in no list, and asking for it by name gives the same error as one that does not exist.
type Sight struct {
	engine   Engine
	store    Store
	problems func() []ConfigProblem
}

// NewSight makes a Sight; problems is nil for a daemon without any.
func NewSight(e Engine, s Store, problems func() []ConfigProblem) Sight { return Sight{e, s, problems} }

// readAtOnce is how many rows are read at once where only some of them may be seen.
const readAtOnce = 1000

// sees tells whether the caller may see a rollout; an empty name asks about all of them.
func sees(ctx context.Context, rolloutName string) (bool, error) {
	return identity(ctx).May(ctx, VerbGet, rolloutName)
}

// Rollouts are those that the caller may see, by name.
func (s Sight) Rollouts(ctx context.Context) ([]record.View, error) {
	all := s.engine.Rollouts()
	if ok, err := sees(ctx, ""); ok || err != nil {
		return all, err
	}
	// Where rights are Kubernetes', each may be a question to the API server.
	may := make([]bool, len(all))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for i := range all {
		group.Go(func() (err error) {
			may[i], err = sees(asking, all[i].Rollout)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := []record.View{}
	for i, v := range all {
		if may[i] {
			out = append(out, v)
		}
	}
	return out, nil
}

// askedAtOnce is how many questions about rights are open at a time for one request.
const askedAtOnce = 32

// Rollout is one of them, or record.ErrNotFound.
func (s Sight) Rollout(ctx context.Context, name string) (record.View, error) {
	v, err := s.engine.Rollout(name)
	if err != nil {
		return record.View{}, err
	}
	return v, may(ctx, VerbGet, v.Rollout)
}

// Release is one release, running or ended, or record.ErrNotFound.
func (s Sight) Release(ctx context.Context, id string) (record.View, error) {
	v, err := s.engine.Release(ctx, id)
	if err != nil {
		return record.View{}, err
	}
	switch ok, err := sees(ctx, v.Rollout); {
	case err != nil:
		return record.View{}, err
	case !ok:
		return record.View{}, fmt.Errorf("read release %s: %w", id, record.ErrNotFound) // as the store says it
	}
	return v, nil
}

// Events of a release after a number, in order.
func (s Sight) Events(ctx context.Context, id string, after int) ([]rollout.Event, error) {
	if err := s.known(ctx, id); err != nil {
		return nil, err
	}
	return s.store.Events(ctx, id, after)
}

// Looks of a scope of a release after a number, in order.
func (s Sight) Looks(ctx context.Context, release, scope string, after, limit int) ([]record.LookRecord, error) {
	if err := s.known(ctx, release); err != nil {
		return nil, err
	}
	return s.store.Looks(ctx, release, scope, after, limit)
}

// known refuses a release that the caller may not see. For a caller who sees everything nothing is checked.
func (s Sight) known(ctx context.Context, id string) error {
	if ok, err := sees(ctx, ""); ok || err != nil {
		return err
	}
	_, err := s.Release(ctx, id)
	return err
}

// History lists releases with what each was started with, newest first.
func (s Sight) History(ctx context.Context, f record.Filter) ([]record.Past, error) {
	found, _, err := s.Search(ctx, f, "")
	return found, err
}

// mostSearched is how many releases are looked through for one answer, which takes a database about a second: a search for what
// is nowhere would read years of history otherwise.
const mostSearched = 10_000

// Search is History of the releases that have each word of a query ([tell.MatchesPast]). next is the release before which the
// search goes on, where it has looked through [mostSearched] of them without finding enough; empty otherwise. It is one that the
// caller may see.
func (s Sight) Search(ctx context.Context, f record.Filter, query string) (found []record.Past, next string, err error) {
	wanted := f.Limit
	read := func(limit int, last *record.Past) ([]record.Past, error) {
		f.Limit = limit
		if last != nil {
			f.Before = last.ID
		}
		return s.store.History(ctx, f)
	}
	may := func(p record.Past) (bool, error) {
		if !tell.MatchesPast(p, query) {
			return false, nil
		}
		return sees(ctx, p.Rollout)
	}
	if strings.TrimSpace(query) != "" {
		if f.Rollout != "" { // whether there is much to search says that it exists
			if ok, err := sees(ctx, f.Rollout); !ok || err != nil {
				return nil, "", err
			}
		}
		visible := map[string]bool{}
		found, last, err := picked(wanted, mostSearched, read, may, func(p record.Past) (bool, error) {
			ok, known := visible[p.Rollout]
			if known {
				return ok, nil
			}
			ok, err := sees(ctx, p.Rollout)
			visible[p.Rollout] = ok
			return ok, err
		})
		if last != nil {
			next = last.ID
		}
		return found, next, err
	}
	found, err = seen(ctx, f.Rollout, wanted, read, may)
	return found, "", err
}

// AuditLog lists who did what, newest first. Entries that concern no rollout are visible to callers who see everything,
// and to the one who acted.
func (s Sight) AuditLog(ctx context.Context, f record.AuditFilter) ([]record.AuditEntry, error) {
	return seen(ctx, f.Rollout, f.Limit, func(limit int, last *record.AuditEntry) ([]record.AuditEntry, error) {
		f.Limit = limit
		if last != nil {
			f.Before = last.ID
		}
		return s.store.AuditLog(ctx, f)
	}, func(a record.AuditEntry) (bool, error) {
		if a.Rollout == "" {
			return a.By == identity(ctx).Name, nil
		}
		return sees(ctx, a.Rollout)
	})
}

// seen reads until there are enough rows that the caller may see. Each of read's answers goes on after the last row of
// the one before.
func seen[T any](ctx context.Context, rolloutName string, limit int, read func(limit int, last *T) ([]T, error),
	may func(T) (bool, error)) ([]T, error) {
	if ok, err := sees(ctx, ""); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return read(limit, nil)
	}
	if rolloutName != "" {
		if ok, err := sees(ctx, rolloutName); !ok || err != nil {
			return nil, err
		}
	}
	out, _, err := picked(limit, math.MaxInt, read, may, nil)
	return out, err
}

// picked reads until there are enough rows that may be shown, or most have been read: then next is the last of them that is
// visible to the caller. While none of the last ones is, it reads on.
func picked[T any](limit, most int, read func(limit int, last *T) ([]T, error), may, visible func(T) (bool, error)) (out []T, next *T, err error) {
	for n := 0; ; {
		rows, err := read(readAtOnce, next)
		if err != nil {
			return nil, nil, err
		}
		for i := range rows {
			ok, err := may(rows[i])
			if err != nil {
				return nil, nil, err
			}
			if ok {
				out = append(out, rows[i])
			}
			if len(out) == limit {
				return out, nil, nil
			}
		}
		if len(rows) < readAtOnce {
			return out, nil, nil
		}
		n, next = n+len(rows), &rows[len(rows)-1]
		for i := len(rows) - 1; n >= most && i >= 0; i-- {
			if ok, err := visible(rows[i]); ok || err != nil {
				return out, &rows[i], err
			}
		}
	}
}

// Problems is what is wrong with the configuration now. A caller who sees only some rollouts gets the problems that
// keep these at an older version.
func (s Sight) Problems(ctx context.Context) ([]ConfigProblem, error) {
	if s.problems == nil {
		return nil, nil
	}
	all := s.problems()
	if ok, err := sees(ctx, ""); ok || err != nil {
		return all, err
	}
	var out []ConfigProblem
	for _, p := range all {
		var unknown error
		p.Rollouts = slices.DeleteFunc(slices.Clone(p.Rollouts), func(name string) bool {
			ok, err := sees(ctx, name)
			unknown = errors.Join(unknown, err)
			return !ok
		})
		if unknown != nil {
			return nil, unknown
		}
		if len(p.Rollouts) > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}
