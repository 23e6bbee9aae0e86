package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"

	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Undo starts a release that takes the version of the last one out of service again: all traffic goes back to the
// version before it, at once and without a comparison. The author is req.By; the same req.Key returns the same release;
// req.ID is chosen here unless it is set. The parameters are those of the release whose version comes back. Errors:
// record.ErrNotFound, *record.ActiveError; rollout.ErrNotAllowed if it is not known, or no longer certain, what was in
// service before.
func (e *Engine) Undo(ctx context.Context, name, reason string, req rollout.StartRequest) (record.Release, error) {
	l, ok := e.loop(name)
	if !ok {
		return record.Release{}, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
	}
	return ask(ctx, l, func(ctx context.Context) (record.Release, error) { return l.undo(ctx, reason, req) })
}

func (l *loop) undo(ctx context.Context, reason string, req rollout.StartRequest) (record.Release, error) {
	known, err := l.mayFollow(ctx, req.Key)
	if err != nil {
		return record.Release{}, err
	}
	if known != nil {
		return *known, nil
	}
	last, before, err := l.past().lastTwo(ctx)
	if err != nil {
		return record.Release{}, err
	}
	plan := *l.plan
	plan.Rollout, err = l.undoing(last, before)
	if err != nil {
		return record.Release{}, err
	}
	if c := plan.Rollout.Cluster; c != nil && c.Undo != nil {
		plan.Gateway = plan.Gateway.WithCanary(c.Arms.Canary.Service)
	}
	if before != nil {
		started, err := l.past().started(ctx, before.ID)
		if err != nil {
			return record.Release{}, err
		}
		req.Parameters = started.Parameters
	}
	req.ID = cmp.Or(req.ID, ulid.MustNew(ulid.Now(), rand.Reader).String())
	return l.begin(ctx, plan, req, rollout.Started{Undoes: last.ID, Reason: reason}, nil)
}

// mayFollow checks that an undo or a retry of the last release may start now; known is the release that was already
// started with the key, or nil.
func (l *loop) mayFollow(ctx context.Context, key string) (known *record.Release, err error) {
	if l.plan == nil {
		return nil, fmt.Errorf("rollout %s: %w", l.name, record.ErrNotFound)
	}
	if err := l.know(ctx); err != nil {
		return nil, err
	}
	if key != "" {
		r, err := l.byKey(ctx, key)
		switch {
		case err == nil:
			return &r, nil
		case !errors.Is(err, record.ErrNotFound):
			return nil, err
		}
	}
	if l.running() != nil || l.waits() {
		return nil, &record.ActiveError{Rollout: l.name, ID: l.rel.record.ID}
	}
	return nil, nil
}

// undoing is the definition of the release that brings the previous version back.
func (l *loop) undoing(last record.Release, before *record.Release) (rollout.Definition, error) {
	d := &l.plan.Rollout
	if d.Cluster == nil {
		if err := l.stillThere(last); err != nil {
			return *d, err
		}
	}
	if before == nil {
		return d.Undoing(last.ID, nil)
	}
	then, err := planOf(*before)
	if err != nil {
		return *d, err
	}
	return d.Undoing(last.ID, &rollout.Before{ID: before.ID, Definition: then.Rollout})
}

// stillThere returns an error if the servers that were in service before may have another version by now. A rolled-back
// undo of the last release has not changed them.
func (l *loop) stillThere(last record.Release) error {
	if newest := l.rel; newest.record.ID != last.ID && newest.state.Undoes != last.ID {
		return fmt.Errorf("%w: after release %s another one, %s, was tried on the other servers: what was in service before may no longer be there",
			rollout.ErrNotAllowed, last.ID, newest.record.ID)
	}
	then, err := planOf(last)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(then.Rollout.Stable, l.plan.Rollout.Stable) || !reflect.DeepEqual(then.Rollout.Canary, l.plan.Rollout.Canary) {
		return fmt.Errorf("%w: the servers of the rollout differ from those of release %s", rollout.ErrNotAllowed, last.ID)
	}
	return nil
}
