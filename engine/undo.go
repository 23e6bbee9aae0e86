package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Undo starts a release that takes the version of the last one out of service again: all traffic goes back to what was in
// service before, at once and without being compared. It is a release of its own. by is the user's name.
// Errors: record.ErrNotFound, *record.ActiveError, *record.UnsupportedError; rollout.ErrNotAllowed where it is not known,
// or not sure any more, what was in service before.
func (e *Engine) Undo(ctx context.Context, name, reason, by string) (record.Release, error) {
	l, ok := e.loop(name)
	if !ok {
		return record.Release{}, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
	}
	return ask(ctx, l, func(ctx context.Context) (record.Release, error) { return l.undo(ctx, reason, by) })
}

func (l *loop) undo(ctx context.Context, reason, by string) (record.Release, error) {
	if l.plan == nil {
		return record.Release{}, fmt.Errorf("rollout %s: %w", l.name, record.ErrNotFound)
	}
	if err := l.know(ctx); err != nil {
		return record.Release{}, err
	}
	if len(l.plan.Unsupported) > 0 {
		return record.Release{}, &record.UnsupportedError{Why: l.plan.Unsupported}
	}
	if r := l.running(); r != nil || l.waits() {
		id := l.rel.record.ID
		return record.Release{}, &record.ActiveError{Rollout: l.name, ID: id}
	}
	last, before, err := l.lastTwo(ctx)
	if err != nil {
		return record.Release{}, err
	}
	plan, err := l.wayBack(ctx, last, before)
	if err != nil {
		return record.Release{}, err
	}
	req := rollout.StartRequest{ID: ulid.MustNew(ulid.Now(), rand.Reader).String(), By: by}
	if before != nil {
		if req.Parameters, err = l.startedWith(ctx, before.ID); err != nil {
			return record.Release{}, err
		}
	}
	return l.begin(ctx, plan, req, rollout.Started{Undoes: last.ID, Reason: reason}, nil)
}

// ofClocks is among how many releases the last two are looked for: they are listed by their ids, and the clock that an id
// is of can have been ahead.
const ofClocks = 20

// lastTwo are the release that brought the version in service, and the one before it; before is nil if there is none.
func (l *loop) lastTwo(ctx context.Context) (last record.Release, before *record.Release, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	released, err := l.e.o.Store.Releases(ctx, record.Filter{Rollout: l.name, Outcome: rollout.Released, Limit: ofClocks})
	if err != nil {
		return last, nil, err
	}
	slices.SortStableFunc(released, func(a, b record.Release) int { return b.StartedAt.Compare(a.StartedAt) })
	if len(released) == 0 {
		return last, nil, fmt.Errorf("%w: nothing has been released yet, so there is no version before", rollout.ErrNotAllowed)
	}
	if len(released) > 1 {
		before = &released[1]
	}
	return released[0], before, nil
}

// wayBack is the plan of the release that brings the version before back, without anything that would be waited for.
func (l *loop) wayBack(ctx context.Context, last record.Release, before *record.Release) (record.Plan, error) {
	plan := *l.plan
	if plan.Rollout.Cluster == nil {
		plan.Rollout.Steps = slices.DeleteFunc(slices.Clone(plan.Rollout.Steps), func(step rollout.Step) bool { return !promotes(step) })
		return plan, l.stillThere(ctx, last)
	}
	promote := plan.Rollout.Steps[slices.IndexFunc(plan.Rollout.Steps, promotes)]
	if promote.(rollout.Promote).Strategy == rollout.AwaitStable {
		return plan, fmt.Errorf("%w: in this rollout something else, as Git, brings stable's Deployment to a version: undo it there", rollout.ErrNotAllowed)
	}
	if before == nil {
		return plan, fmt.Errorf("%w: only one version has been released, so the one before is not known", rollout.ErrNotAllowed)
	}
	then, err := l.planOf(ctx, before.ID)
	if err != nil {
		return plan, err
	}
	if then.Rollout.Cluster == nil || then.Rollout.Cluster.Arms != plan.Rollout.Cluster.Arms {
		return plan, fmt.Errorf("%w: the Deployments of the rollout are others than those of release %s", rollout.ErrNotAllowed, before.ID)
	}
	// What was deployed stands in the plan of then: the one of now may name the images that are to go.
	var steps rollout.Steps
	deploys := false
	for _, step := range then.Rollout.Steps {
		switch step := step.(type) {
		case rollout.Deploy:
			deploys = deploys || step.Deployment == plan.Rollout.Cluster.Arms.Canary.Deployment
			steps = append(steps, step)
		case rollout.Promote:
			steps = append(steps, promote)
		case rollout.AB, rollout.Gray, rollout.Gate, rollout.Wait, rollout.Webhook, rollout.Job:
		}
	}
	if !deploys {
		return plan, fmt.Errorf("%w: no step of this rollout deployed the version before, so Serin does not know it: start a release of it", rollout.ErrNotAllowed)
	}
	plan.Rollout.Steps = steps
	return plan, nil
}

func promotes(step rollout.Step) bool {
	_, ok := step.(rollout.Promote)
	return ok
}

// stillThere refuses where the servers that had been in service before may have another version by now. A release that
// was to undo the last one, and went back, has put nothing on them.
func (l *loop) stillThere(ctx context.Context, last record.Release) error {
	if newest := l.rel; newest.record.ID != last.ID && newest.state.Undoes != last.ID {
		return fmt.Errorf("%w: after release %s another one, %s, was tried on the other servers: what was in service before may not be there any more",
			rollout.ErrNotAllowed, last.ID, newest.record.ID)
	}
	then, err := l.planOf(ctx, last.ID)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(then.Rollout.Stable, l.plan.Rollout.Stable) || !reflect.DeepEqual(then.Rollout.Canary, l.plan.Rollout.Canary) {
		return fmt.Errorf("%w: the servers of the rollout are others than those of release %s", rollout.ErrNotAllowed, last.ID)
	}
	return nil
}

// planOf is the plan that a release was started with.
func (l *loop) planOf(ctx context.Context, id string) (plan record.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kept, err := l.e.o.Store.Release(ctx, id)
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal(kept.Plan, &plan); err != nil {
		return plan, fmt.Errorf("decode the plan of release %s: %w", id, err)
	}
	return plan, nil
}

// startedWith are the parameters of a release.
func (l *loop) startedWith(ctx context.Context, id string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	events, err := l.e.o.Store.Events(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e, ok := e.(rollout.Started); ok {
			return e.Parameters, nil
		}
	}
	return nil, nil
}
