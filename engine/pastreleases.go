package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// pastReleases reads the releases of a rollout from the store. It knows nothing of the loop's state.
type pastReleases struct {
	store   Store
	rollout string
	newest  string // the newest release; empty if there has been none
}

// past returns the releases of the loop's rollout.
func (l *loop) past() pastReleases {
	p := pastReleases{store: l.e.o.Store, rollout: l.name}
	if l.rel != nil {
		p.newest = l.rel.record.ID
	}
	return p
}

// earlier is a past release with its first event.
type earlier struct {
	record  record.Release
	started rollout.Started
}

// backwards yields the newest release of the rollout and its predecessors, at most most of them. A release of the
// earliest versions of Serin does not name its predecessor and so ends the sequence, as an error does.
func (p pastReleases) backwards(ctx context.Context, most int) iter.Seq2[earlier, error] {
	return func(yield func(earlier, error) bool) {
		seen, id := map[string]bool{}, p.newest
		for id != "" && !seen[id] && len(seen) < most {
			seen[id] = true
			r, err := p.store.Release(ctx, id)
			past := earlier{record: r}
			if err == nil {
				past.started, err = p.started(ctx, id)
			}
			if !yield(past, err) || err != nil {
				return
			}
			id = past.started.After
		}
	}
}

// started returns the first event of a release.
func (p pastReleases) started(ctx context.Context, id string) (rollout.Started, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return p.store.Started(ctx, id)
}

// worse reports whether the last verdict on a release was a fail.
func (p pastReleases) worse(ctx context.Context, id string) (worse bool, err error) {
	events, err := p.store.Events(ctx, id, 0)
	for _, e := range events {
		if look, ok := e.(rollout.LookTaken); ok {
			worse = look.Verdict.Outcome == judge.Fail
		}
	}
	return worse, err
}

// mostReturning is how many releases are searched for one that brought a version into service.
const mostReturning = 200

// returns is the release that last brought the version of these parameters into service, if the version takes the plan
// for returning versions; empty if it does not.
func (p pastReleases) returns(ctx context.Context, returning *rollout.Returning, parameters map[string]string) (id string, err error) {
	if returning == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	past := func(yield func(rollout.Past) bool) {
		for e, failed := range p.backwards(ctx, mostReturning) {
			if err = failed; err != nil {
				return
			}
			of := rollout.Past{
				ID: e.record.ID, Parameters: e.started.Parameters, Outcome: e.record.Outcome, Undoes: e.started.Undoes, EndedAt: e.record.EndedAt,
			}
			if of.Outcome == rollout.Released && maps.Equal(of.Parameters, parameters) { // nobody asks about another version
				if of.Worse, err = p.worse(ctx, of.ID); err != nil {
					return
				}
			}
			if !yield(of) {
				return
			}
		}
	}
	id, _ = returning.Of(parameters, past, time.Now())
	return id, err
}

// farBack is how many releases are searched for the last two with outcome released.
const farBack = 20

// lastTwo returns the release that brought the current version into service, and the one before it, or nil if there is
// none. Each release names its predecessor. Releases of earlier versions of Serin do not, so only the clock tells their
// order.
func (p pastReleases) lastTwo(ctx context.Context) (last record.Release, before *record.Release, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var released []record.Release
	seen := map[string]bool{}
	for past, err := range p.backwards(ctx, farBack) {
		if err != nil {
			return last, nil, err
		}
		seen[past.record.ID] = true
		if past.record.Outcome == rollout.Released {
			released = append(released, past.record)
		}
		if len(released) == 2 {
			break
		}
	}
	if len(released) < 2 {
		older, err := p.store.Releases(ctx, record.Filter{Rollout: p.rollout, Outcome: rollout.Released, Limit: farBack})
		if err != nil {
			return last, nil, err
		}
		older = slices.DeleteFunc(older, func(r record.Release) bool { return seen[r.ID] })
		slices.SortStableFunc(older, func(a, b record.Release) int { return b.StartedAt.Compare(a.StartedAt) })
		released = append(released, older...)
	}
	switch len(released) {
	case 0:
		return last, nil, fmt.Errorf("%w: nothing has been released yet, so there is no previous version", rollout.ErrNotAllowed)
	case 1:
		return released[0], nil, nil
	}
	return released[0], &released[1], nil
}

// planOf is the plan with which a release was started.
func planOf(r record.Release) (plan record.Plan, err error) {
	if err := json.Unmarshal(r.Plan, &plan); err != nil {
		return plan, fmt.Errorf("decode the plan of release %s: %w", r.ID, err)
	}
	return plan, nil
}
