package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// wayBack brings traffic back to stable while the loop waits for something: a store that hangs, a cluster that does not
// answer. A request that the loop does not handle in time cancels the loop's call to its gateway. If the loop is
// blocked by something else, a request to go back writes the traffic directly. Until the loop has handled such a
// request it advances nothing, and only the request's target is written.
type wayBack struct {
	// writing is held while traffic is written, so that no older write can overtake the way back.
	writing chan struct{}
	// hasty: a caller waits for the loop's current call to the gateway. Only the loop uses it.
	hasty bool

	mu      sync.Mutex         // guards what follows
	asking  context.CancelFunc // cancels the loop's call to the gateway; nil without one
	waiting map[*wish]bool     // overdue, and not yet accepted by the loop
	router  Router             // that of the loop; nil before it has one
	wishes  map[*wish]traffic.Target
}

func newWayBack() wayBack {
	return wayBack{writing: make(chan struct{}, 1), waiting: map[*wish]bool{}, wishes: map[*wish]traffic.Target{}}
}

// wish is a request to a release, usually to go back.
type wish struct {
	heard   bool // the loop is handling it
	taken   bool // the traffic was written directly
	decided bool // the loop has handled it
}

// errPressed is the error of a call to the gateway that was cancelled in favour of a request.
var errPressed = errors.New("it has not answered yet, and another request comes first")

// lead sets the router that writes the way back.
func (w *wayBack) lead(r Router) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.router = r
}

// wanted reports whether there is a request to go back that the loop has not handled.
func (w *wayBack) wanted() bool {
	_, ok := w.target()
	return ok
}

// target is the target of the open requests to go back. They are about one release, so they agree.
func (w *wayBack) target() (traffic.Target, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.wishes {
		return t, true
	}
	return traffic.Target{}, false
}

// ask makes a call to the loop's gateway. It ends early if an overdue request waits for the loop.
func (w *wayBack) ask(ctx context.Context, f func(context.Context) error) error {
	most := gatewayTimeout
	if w.hasty {
		most = answerMoment
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	w.mu.Lock()
	if len(w.waiting) > 0 {
		w.mu.Unlock()
		return errPressed
	}
	w.asking = cancel
	w.mu.Unlock()
	defer w.asked()
	err := f(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 && errors.Is(err, context.Canceled) {
		return errPressed
	}
	return err
}

// asked ends a call to the gateway.
func (w *wayBack) asked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking = nil
}

// apply writes t or the target of an open request to go back, and returns the one that it wrote.
func (w *wayBack) apply(ctx context.Context, r Router, t traffic.Target) (traffic.Target, error) {
	err := w.ask(ctx, func(ctx context.Context) error {
		if err := w.lock(ctx); err != nil {
			return err
		}
		defer w.unlock()
		if back, ok := w.target(); ok {
			t = back
		}
		return r.Apply(ctx, t)
	})
	return t, err
}

func (w *wayBack) lock(ctx context.Context) error {
	select {
	case w.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another write goes on: %w", ctx.Err())
	}
}

func (w *wayBack) unlock() { <-w.writing }

// hurry preempts the loop's call to its gateway in favour of a request. It reports whether the loop is handling the
// request, or will shortly.
func (w *wayBack) hurry(by *wish) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if by.heard {
		return true
	}
	w.waiting[by] = true
	if w.asking == nil {
		return false
	}
	w.asking()
	return true
}

// hear marks a request as being handled by the loop.
func (w *wayBack) hear(by *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.heard = true
	delete(w.waiting, by)
}

// take writes t directly, unless the loop has handled the request meanwhile. The loop writes it again, so it sees an
// error as well.
func (w *wayBack) take(ctx context.Context, by *wish, t traffic.Target) (taken bool, err error) {
	if !w.stand(by, t) {
		return false, nil
	}
	if err := w.lock(ctx); err != nil {
		return false, err
	}
	defer w.unlock()
	w.mu.Lock()
	by.taken = !by.decided
	taken, r := by.taken, w.router
	w.mu.Unlock()
	if !taken {
		return false, nil
	}
	return true, r.Apply(ctx, t)
}

// stand keeps a request open until the loop has handled it; it is false if the loop is already handling it, or has no
// router.
func (w *wayBack) stand(by *wish, t traffic.Target) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if by.heard || w.router == nil {
		return false
	}
	w.wishes[by] = t
	return true
}

// decide closes a request: the loop's state counts again. It reports whether the traffic was written directly.
func (w *wayBack) decide(by *wish) (taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.decided = true
	delete(w.wishes, by)
	return by.taken
}

// backFrom is the target of traffic after an event, by the release's view; ok is false if the event does not send the
// release back.
func backFrom(v *record.View, id string, event rollout.Event) (t traffic.Target, ok bool) {
	if event == nil || v == nil || v.Release == nil || v.Release.ID != id || v.Definition == nil {
		return t, false
	}
	head := rollout.Meta{Seq: v.State.Seq + 1, At: time.Now().UTC(), By: event.Head().By}
	next, err := v.State.Apply(event.With(head))
	if err != nil || !turnsBack(v.State, next) {
		return t, false
	}
	return next.Target(v.Definition, id).Traffic, true
}

// ask runs f in the loop and waits for its result. After storeMoment it preempts the loop's call to its gateway.
func ask[T any](ctx context.Context, l *loop, f func(context.Context) (T, error)) (T, error) {
	return press(ctx, l, "", nil, f)
}

// press is [ask] for an event that may send the release back: if the loop is blocked by anything but its gateway, the
// traffic goes back directly.
func press[T any](ctx context.Context, l *loop, id string, event rollout.Event, f func(context.Context) (T, error)) (T, error) {
	by := &wish{}
	answered := post(l, func(ctx context.Context) (T, error) {
		l.way.hear(by)
		defer func() {
			if l.way.decide(by) {
				l.gw.applied, l.gw.overwritten = nil, true // the last write was not the loop's
			}
		}()
		return f(ctx)
	})
	hand, stop := context.WithCancel(context.WithoutCancel(ctx)) // it holds even if the caller has gone
	defer stop()
	var retreating sync.WaitGroup
	defer retreating.Wait()
	tick := time.NewTicker(storeMoment)
	defer tick.Stop()
	for tried := false; ; {
		select {
		case a := <-answered:
			stop()
			return a.v, a.err
		case <-tick.C:
			if !l.way.hurry(by) && !tried {
				tried = true
				retreating.Go(func() { l.retreat(hand, id, event, by) })
			}
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
}

// retreat writes the traffic of an event directly, before the loop has handled the event.
func (l *loop) retreat(ctx context.Context, id string, event rollout.Event, by *wish) {
	t, ok := backFrom(l.view.Load(), id, event)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	taken, err := l.way.take(ctx, by, t)
	switch {
	case errors.Is(err, context.Canceled): // the loop writes it
	case err != nil:
		l.log.Error("traffic could not be sent back yet", "release", id, "err", err)
	case taken:
		l.log.Warn("the release is busy, traffic goes back before the event is written", "release", id)
	}
}
