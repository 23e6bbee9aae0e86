package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/serindev/serin/server/client"
)

const (
	// calmEvery is how often the daemon is asked while its event stream is there: for times that are left, which are
	// no events.
	calmEvery = 5 * time.Second
	// streamEvery is how soon a stream that ended is opened anew.
	streamEvery = 2 * time.Second
)

// live tells when the daemon is worth asking: at once when its event stream says so, else now and then.
type live struct {
	stirred chan struct{}
	open    atomic.Bool
	done    chan struct{}
	cancel  context.CancelFunc
}

// listen opens the event stream of a rollout, or of all for the empty name. A daemon that has none, or a proxy that
// lets none through, is polled. close ends it.
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

// wait returns when something has happened, or when it is time to ask all the same, or when ctx ends.
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
