package engine

import (
	"context"
	"sync"
	"time"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// wayBack is how traffic gets back to stable while the loop waits for something: a store that hangs, a cluster that
// does not answer. Whoever wants the release back, and is not heard in time, writes the traffic with their own hand.
// Until the loop has decided about the wish it advances nothing, and nothing but the wish's target is written.
type wayBack struct {
	mu     sync.Mutex // guards what follows; held while traffic is written, so that nothing overtakes the way back
	router Router     // the loop's; nil before it has one
	wishes map[*wish]traffic.Target
}

// wish is that a release goes back.
type wish struct{ decided bool }

// lead tells which router leads back.
func (w *wayBack) lead(r Router) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.router = r
}

// wanted tells whether a wish stands that the loop has not decided about.
func (w *wayBack) wanted() bool {
	_, ok := w.target()
	return ok
}

// target of the wishes that stand. They are about one release, so they want the same.
func (w *wayBack) target() (traffic.Target, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wished()
}

func (w *wayBack) wished() (traffic.Target, bool) {
	for _, t := range w.wishes {
		return t, true
	}
	return traffic.Target{}, false
}

// apply writes t, or what is wished for in its place, and says what it was.
func (w *wayBack) apply(ctx context.Context, r Router, t traffic.Target) (traffic.Target, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if back, ok := w.wished(); ok {
		t = back
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	return t, r.Apply(ctx, t)
}

// take goes back to t at once, unless the loop has decided meanwhile. An error is the loop's to find: it tries again.
func (w *wayBack) take(ctx context.Context, by *wish, t traffic.Target) (taken bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if by.decided || w.router == nil {
		return false, nil
	}
	if w.wishes == nil {
		w.wishes = map[*wish]traffic.Target{}
	}
	w.wishes[by] = t
	return true, w.router.Apply(ctx, t)
}

// decide ends a wish: what the loop's state says counts again.
func (w *wayBack) decide(by *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.decided = true
	delete(w.wishes, by)
}

// backFrom is where an event sends the traffic of a release, by what can be seen of it; ok is false if the event does
// not send it back.
func backFrom(v *rollout.View, id string, event rollout.Event) (t traffic.Target, ok bool) {
	if v == nil || v.Release == nil || v.Release.ID != id || v.Definition == nil {
		return t, false
	}
	head := rollout.Meta{Seq: v.State.Seq + 1, At: time.Now().UTC(), By: event.Head().By}
	next, err := v.State.Apply(event.With(head))
	if err != nil || !turnsBack(v.State, next) {
		return t, false
	}
	return next.Target(v.Definition, id).Traffic, true
}

// press is [ask] for an event of a release that may send it back. A loop that has not decided within storeMoment is not
// waited for: the traffic goes first.
func press[T any](ctx context.Context, l *loop, id string, event rollout.Event, f func(context.Context) (T, error)) (T, error) {
	by := &wish{}
	timer := time.NewTimer(storeMoment)
	defer timer.Stop()
	answered := post(l, func(ctx context.Context) (T, error) {
		defer l.way.decide(by)
		return f(ctx)
	})
	for {
		select {
		case a := <-answered:
			return a.v, a.err
		case <-timer.C:
			l.retreat(ctx, id, event, by)
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
}

// retreat brings the traffic back although the loop has not decided about the event yet.
func (l *loop) retreat(ctx context.Context, id string, event rollout.Event, by *wish) {
	t, ok := backFrom(l.view.Load(), id, event)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatewayTimeout)
	defer cancel()
	taken, err := l.way.take(ctx, by, t)
	switch {
	case err != nil:
		l.log.Error("traffic cannot go back yet", "release", id, "err", err)
	case taken:
		l.log.Warn("the release is busy, traffic goes back before that is written", "release", id)
	}
}
