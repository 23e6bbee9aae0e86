package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/serindev/serin/workload"
)

// atOnce is how many rollouts at rest may write their gateway or their Deployments at the same time. Without that limit
// a daemon that starts with a thousand of them would divide its requests to the API server among so many that none
// finishes in time, and a rollback would have to wait among them.
const atOnce = 16

// queue grants turns to loops at rest, in the order in which they asked. Releases under way do not use it.
type queue struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting []*loop
}

func newQueue() *queue { return &queue{free: atOnce} }

// take reports whether l may go ahead. Otherwise l is called when it is its turn, see [gatewaySide.granted].
func (q *queue) take(l *loop) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return true
	}
	if !slices.Contains(q.waiting, l) {
		q.waiting = append(q.waiting, l)
	}
	return false
}

// give hands a turn to the next loop.
func (q *queue) give() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.free++
		return
	}
	next := q.waiting[0]
	q.waiting = q.waiting[1:]
	next.send(func(context.Context) { next.gw.granted, next.gw.observeAt = true, time.Time{} })
}

// turnToWrite reports whether the gateway may be written now; over has to be called afterwards.
func (l *loop) turnToWrite() (over func(), ok bool) {
	switch {
	case l.running() != nil || l.way.wanted():
		return func() {}, true // users may be on a bad version
	case l.gw.granted:
		l.gw.granted = false
		return l.e.queue.give, true
	case l.e.queue.take(l):
		return l.e.queue.give, true
	}
	return nil, false
}

// yield passes on an unneeded turn.
func (l *loop) yield() {
	if l.gw.granted {
		l.gw.granted = false
		l.e.queue.give()
	}
}

// applyWork brings Deployments to a target. Rollouts at rest wait until only a few others are doing the same.
func (e *Engine) applyWork(ctx context.Context, want workload.Target) (workload.Observed, error) {
	if want.Release == "" {
		select {
		case e.resting <- struct{}{}:
			defer func() { <-e.resting }()
		case <-ctx.Done():
			return workload.Observed{}, ctx.Err()
		}
	}
	asking, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	return e.o.Workloads.Apply(asking, want)
}
