package engine

import (
	"context"
	"errors"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

const (
	// storeMoment is how long a rollback waits for the store, or for a busy loop, before the traffic goes back all the
	// same.
	storeMoment = 500 * time.Millisecond
	// storeTimeout bounds one request of a loop to the store. Traffic does not wait for the store, but everything else
	// in the rollout does, so a store that never answers has to become an error.
	storeTimeout = 15 * time.Second
)

// know loads the rollout from the store, unless that is done.
func (l *loop) know(ctx context.Context) error {
	if l.ready {
		return nil
	}
	err := l.takeUp(ctx)
	l.note(aboutStore, err)
	l.ready = err == nil
	l.known = l.known || l.ready
	return err
}

// takeUp loads the rollout from the store.
func (l *loop) takeUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	swapped, err := l.e.o.Store.Swapped(ctx, l.name)
	if err != nil {
		return err
	}
	l.swapped = swapped
	rel, err := l.newest(ctx)
	if err != nil || rel == nil {
		return err
	}
	rel.goOnBack(l.rel)
	l.rel = rel
	l.log.Info("release loaded", "release", rel.record.ID, "phase", l.rel.state.Phase, "step", l.rel.state.StepName)
	return nil
}

// newest is the release under way, or else the last one; nil if there has been none. An ended release that another one
// has superseded is not the last one, whatever the clocks say.
func (l *loop) newest(ctx context.Context) (*release, error) {
	r, err := l.e.o.Store.Newest(ctx, l.name)
	for seen := map[string]bool{}; ; {
		if errors.Is(err, record.ErrNotFound) && len(seen) == 0 {
			return nil, nil //nolint:nilnil // not found means none
		}
		if err != nil {
			return nil, err
		}
		rel, err2 := l.e.restore(ctx, r)
		if err2 != nil {
			return nil, err2
		}
		next := rel.state.Successor
		if seen[r.ID] = true; !rel.state.Ended() || next == nil || seen[next.ID] {
			return rel, nil
		}
		if r, err = l.e.o.Store.Release(ctx, next.ID); errors.Is(err, record.ErrNotFound) {
			return rel, nil // the successor has not begun
		}
	}
}

// append makes an event durable and folds it. The event's head must be the next one.
func (l *loop) append(ctx context.Context, event rollout.Event) (rollout.State, error) {
	r := l.rel
	next, err := r.state.Apply(event)
	if err != nil {
		return r.state, err
	}
	rec := r.record
	rec.Version, rec.Phase, rec.Outcome = next.Seq, next.Phase, ""
	if next.Ended() {
		rec.Outcome, rec.EndedAt = next.Outcome, next.EndedAt
	}
	if err := l.save(ctx, rec, event, next); err != nil {
		l.note(aboutStore, err)
		if errors.Is(err, record.ErrConflict) {
			l.ready = false // another daemon acts on it: load it again before anything else
		}
		if turnsBack(r.state, next) && r.back == nil {
			// The one effect that does not wait for its event: traffic back to stable.
			l.log.Warn("rollback could not be written yet, traffic goes back all the same", "release", rec.ID, "err", err)
			r.back = &pendingBack{event: event, state: next}
			return next, &record.NotWrittenError{Err: err}
		}
		return r.state, err
	}
	l.note(aboutStore, nil)
	if next.Turn != r.state.Turn {
		l.gw.observeAt = time.Time{} // the new target may be in force already
	}
	l.tell(ctx, r.state, next, event)
	r.state, r.record, r.back = next, rec, nil
	l.happened(ctx, event)
	return next, nil
}

// save makes an event durable. A rollback does not wait for a slow store, such as a locked database: after storeMoment
// the traffic goes back, whatever happens to the event.
func (l *loop) save(ctx context.Context, rec record.Release, event rollout.Event, next rollout.State) error {
	r := l.rel
	gateway := ctx
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !turnsBack(r.state, next) || r.back != nil {
		return l.e.o.Store.Append(ctx, rec, r.state.Seq, event)
	}
	done := make(chan error, 1)
	seq := r.state.Seq
	l.alongside(func() {
		err := error(errSlow)
		defer func() { done <- err }()
		err = l.e.o.Store.Append(ctx, rec, seq, event)
	})
	timer := time.NewTimer(storeMoment)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	l.log.Warn("the store is slow, traffic goes back before the rollback is written", "release", rec.ID)
	if l.ensureRouter() {
		l.hastily(func() { l.write(gateway, next.Target(&r.plan.Rollout, rec.ID).Traffic) })
	}
	return <-done
}

// Replaying a whole release to learn its noise takes a while, so the loop does not wait for it.
func (l *loop) teach(ctx context.Context, r *release) {
	if err := l.e.looks.teach(ctx, r); err != nil {
		l.log.Warn("the noise learned from the release is lost", "release", r.record.ID, "err", err)
	}
}

func turnsBack(before, after rollout.State) bool {
	return before.Phase == rollout.Active && after.Phase == rollout.RollingBack
}

// writeBack tries again to write a rollback that is already being carried out.
func (l *loop) writeBack(ctx context.Context) {
	if r := l.running(); r != nil && r.back != nil {
		_, _ = l.append(ctx, r.back.event) // append notes the error
	}
}

// happened publishes a durable event, and does everything that is not part of a target.
func (l *loop) happened(ctx context.Context, event rollout.Event) {
	r := l.rel
	l.log.Info("event", "release", r.record.ID, "event", rollout.Kind(event), "by", event.Head().By,
		"step", r.state.StepName, "phase", r.state.Phase)
	l.e.metrics.event(l.name, event)
	if ended, ok := event.(rollout.Ended); ok {
		l.swapped = ended.Swapped
		l.e.looks.drop(r.record.ID)
		if ended.Outcome == rollout.Released {
			l.alongside(func() { l.teach(ctx, r) })
		}
	}
	l.show() // before the update: subscribers may query immediately
	l.e.feed.tell(record.Update{Rollout: l.name, Release: r.record.ID, Event: event})
}
