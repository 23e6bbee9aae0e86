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

// wayBack is how traffic gets back to stable while the loop waits for something: a store that hangs, a cluster that
// does not answer. Whoever wants something of the release, and is not heard in time, ends what the loop asks of its
// gateway. Whoever wants it back, and is not heard for another reason, writes the traffic with their own hand. Until the
// loop has decided about the wish it advances nothing, and nothing but the wish's target is written.
type wayBack struct {
	// writing is held while traffic is written, so that nothing overtakes the way back.
	writing chan struct{}
	// hasty: somebody waits for what the loop asks of the gateway now. It is the loop's own.
	hasty bool

	mu      sync.Mutex         // guards what follows
	asking  context.CancelFunc // ends what the loop asks of the gateway; nil while it asks nothing
	waiting map[*wish]bool     // that the loop does not hear yet, although it was time
	router  Router             // the loop's; nil before it has one
	wishes  map[*wish]traffic.Target
}

func newWayBack() wayBack {
	return wayBack{writing: make(chan struct{}, 1), waiting: map[*wish]bool{}, wishes: map[*wish]traffic.Target{}}
}

// wish is what somebody wants of a release: most of the time that it goes back.
type wish struct {
	heard   bool // the loop is at it
	taken   bool // the traffic was written by hand
	decided bool
}

// errPressed is what a gateway has answered that the loop did not wait for any longer.
var errPressed = errors.New("it has not answered yet, and somebody who wants something else is heard first")

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
	for _, t := range w.wishes {
		return t, true
	}
	return traffic.Target{}, false
}

// ask is how the loop asks its gateway for anything: until it has answered, or somebody waits for the loop.
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
	err := f(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking = nil
	if len(w.waiting) > 0 && errors.Is(err, context.Canceled) {
		return errPressed
	}
	return err
}

// apply writes t, or what is wished for in its place, and says what it was.
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

// hurry makes the loop hear of a wish: it does not wait for its gateway any longer. It reports whether the loop is at
// the wish, or will be in a moment.
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

// hear begins a wish's turn.
func (w *wayBack) hear(by *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.heard = true
	delete(w.waiting, by)
}

// take goes back to t at once, unless the loop is at it meanwhile. An error is the loop's to find: it tries again.
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

// stand lets a wish stand until the loop has decided about it.
func (w *wayBack) stand(by *wish, t traffic.Target) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if by.heard || w.router == nil {
		return false
	}
	w.wishes[by] = t
	return true
}

// decide ends a wish: what the loop's state says counts again. It reports whether the traffic was written by hand.
func (w *wayBack) decide(by *wish) (taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by.decided = true
	delete(w.wishes, by)
	return by.taken
}

// backFrom is where an event sends the traffic of a release, by what can be seen of it; ok is false if the event does
// not send it back.
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

// ask runs f in the loop and waits for what it returns. A loop that waits for its gateway is not waited for longer than
// storeMoment.
func ask[T any](ctx context.Context, l *loop, f func(context.Context) (T, error)) (T, error) {
	return press(ctx, l, "", nil, f)
}

// press is [ask] for an event of a release that may send it back: if the loop waits for anything else than its gateway
// the traffic goes first.
func press[T any](ctx context.Context, l *loop, id string, event rollout.Event, f func(context.Context) (T, error)) (T, error) {
	by := &wish{}
	answered := post(l, func(ctx context.Context) (T, error) {
		l.way.hear(by)
		defer func() {
			if l.way.decide(by) {
				l.gw.applied, l.gw.overwritten = nil, true // whatever was written last, it was not by the loop
			}
		}()
		return f(ctx)
	})
	hand, stop := context.WithCancel(context.WithoutCancel(ctx)) // who has gone away still wants it
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

// retreat brings the traffic back although the loop has not decided about the event yet.
func (l *loop) retreat(ctx context.Context, id string, event rollout.Event, by *wish) {
	t, ok := backFrom(l.view.Load(), id, event)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	taken, err := l.way.take(ctx, by, t)
	switch {
	case errors.Is(err, context.Canceled): // the loop goes back itself
	case err != nil:
		l.log.Error("traffic cannot go back yet", "release", id, "err", err)
	case taken:
		l.log.Warn("the release is busy, traffic goes back before that is written", "release", id)
	}
}
