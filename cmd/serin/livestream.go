package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/serindev/serin/server/client"
)

const (
	// calmEvery is how often the daemon is polled while its event stream is open: remaining times change without an
	// event.
	calmEvery = 5 * time.Second
	// streamEvery is how soon a stream that ended is opened again.
	streamEvery = 2 * time.Second
)

// live says when to poll the daemon: at once when its event stream reports a change, otherwise now and then.
type live struct {
	stirred chan struct{}
	open    atomic.Bool
	done    chan struct{}
	cancel  context.CancelFunc
}

// listen opens the event stream of a rollout, or of all of them for the empty name. If the daemon has no stream, or a proxy
// does not let it through, the daemon is polled. close ends the stream.
func listen(ctx context.Context, c *client.Client, rolloutName string) *live {
	l := &live{stirred: make(chan struct{}, 1), done: make(chan struct{})}
	ctx, l.cancel = context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			err := c.Watch(ctx, rolloutName, l.stir)
			l.open.Store(false)
			if !client.Temporary(err) {
				return
			}
			pause(ctx, streamEvery)
		}
	}()
	return l
}

func (l *live) stir() {
	l.open.Store(true)
	select {
	case l.stirred <- struct{}{}:
	default:
	}
}

// wait returns when something has happened, when it is time to poll anyway, or when ctx ends.
func (l *live) wait(ctx context.Context) {
	every := pollEvery
	if l.open.Load() {
		every = calmEvery
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.stirred:
	case <-timer.C:
	}
}

func (l *live) close() {
	l.cancel()
	<-l.done
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
