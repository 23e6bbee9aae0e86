package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Retry starts a release of the last release's version, which was not released: with the parameters of that release and
// the currently declared rollout. Jobs that succeeded are not run again if their effect certainly still exists
// ([rollout.Definition.Retrying]). The author is req.By; the same req.Key returns the same release; req.ID is chosen
// here unless it is set. Errors: record.ErrNotFound, *record.ActiveError, *record.ParameterError; rollout.ErrNotAllowed
// if there is nothing to retry.
func (e *Engine) Retry(ctx context.Context, name, reason string, req rollout.StartRequest) (record.Release, error) {
	l, ok := e.loop(name)
	if !ok {
		return record.Release{}, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
	}
	return ask(ctx, l, func(ctx context.Context) (record.Release, error) { return l.retry(ctx, reason, req) })
}

func (l *loop) retry(ctx context.Context, reason string, req rollout.StartRequest) (record.Release, error) {
	known, err := l.mayFollow(ctx, req.Key)
	if err != nil {
		return record.Release{}, err
	}
	if known != nil {
		return *known, nil
	}
	if l.rel == nil {
		return record.Release{}, fmt.Errorf("%w: the rollout has had no release", rollout.ErrNotAllowed)
	}
	last := rollout.Attempt{ID: l.rel.record.ID, Definition: l.rel.plan.Rollout, State: l.rel.state}
	done, err := l.plan.Rollout.Retrying(last)
	if err != nil {
		return record.Release{}, err
	}
	if last.State.KnownWorse() && reason == "" {
		return record.Release{}, fmt.Errorf("%w: the version of release %s was found worse: say "+
			"why it is to be tried again", rollout.ErrNotAllowed, last.ID)
	}
	if req.Parameters, err = checkParameters(l.plan.Rollout.Parameters, last.State.Parameters); err != nil {
		return record.Release{}, err
	}
	if err := l.stands(); err != nil {
		return record.Release{}, err
	}
	req.ID = cmp.Or(req.ID, ulid.MustNew(ulid.Now(), rand.Reader).String())
	return l.begin(ctx, *l.plan, req, rollout.Started{Retries: last.ID, Done: done, Worse: last.State.KnownWorse(), Reason: reason}, nil)
}
