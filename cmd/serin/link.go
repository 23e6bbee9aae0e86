package main

import (
	"context"
	"sync"

	"github.com/serindev/serin/server/client"
)

// link is the daemon for a command that lasts. Where the daemon is reached through a forwarded port, which ends with the pod
// that it leads to, another port is forwarded.
type link struct {
	app     *app
	rollout string // whose events are listened to; empty for those of all

	mu   sync.Mutex // guards what follows
	c    *client.Client
	live *live
}

func (a *app) link(ctx context.Context, c *client.Client, rolloutName string) *link {
	return &link{app: a, rollout: rolloutName, c: c, live: listen(ctx, c, rolloutName)}
}

func (l *link) client() *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c
}

// close ends the event stream.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.close()
}

// answered takes the error of a request. If the daemon was not reached, the pod that the port led to may be gone: a port is
// forwarded to another one. It is called from one goroutine.
func (l *link) answered(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || !client.Temporary(err) || !l.app.forwards() {
		return
	}
	c, err := l.app.client()
	if err != nil {
		return // the next request tries again
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.close()
	l.c, l.live = c, listen(ctx, c, l.rollout)
}

// wait returns as [live.wait] does.
func (l *link) wait(ctx context.Context) {
	l.mu.Lock()
	now := l.live
	l.mu.Unlock()
	now.wait(ctx)
}
