package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/serindev/serin/rollout"
)

// looks takes the looks of all releases, in slots: everything that is due in a slot is queried together and written in one
// transaction.
type looks struct {
	e *Engine

	mu       sync.Mutex // guards subjects and off
	subjects map[string]*subject
	off      time.Duration // the last result of behind
	changed  chan struct{}
	failing  sync.WaitGroup // fail verdicts that are being delivered
	// rehearsals bounds how many releases query stable's history at once.
	rehearsals chan struct{}
}

func newLooks(e *Engine) *looks {
	return &looks{
		e: e, subjects: map[string]*subject{}, changed: make(chan struct{}, 1), rehearsals: make(chan struct{}, rehearsing),
	}
}

// follow keeps the looks in step with the state of the loop's release.
func (l *loop) follow(ctx context.Context) {
	r := l.running()
	if r == nil {
		l.unlooked()
		return
	}
	target := r.now().Target(&r.plan.Rollout, r.record.ID)
	if target.Analyse == "" {
		l.e.looks.drop(r.record.ID)
		l.unlooked()
		return
	}
	err := l.e.looks.follow(ctx, l, r, target)
	l.note(aboutAnalysis, err)
}

// unlooked clears the errors of looks when none are taken.
func (l *loop) unlooked() {
	delete(l.trouble, aboutLooks)
	delete(l.trouble, aboutClock)
	delete(l.trouble, aboutAnalysis)
}

func (k *looks) follow(ctx context.Context, l *loop, r *release, t rollout.Target) error {
	f := follow{scope: t.Analyse, turn: t.Turn, weight: float64(t.Exposure), on: t.Lane, before: t.Before}
	if t.Before == 0 && l.trouble[aboutCluster] == nil { // otherwise a restart may be missed
		f.ready = l.work.readyPods(r.plan.Rollout.Cluster)
	}
	def := r.plan.Analyses[t.Analyse].Defaults()
	f.standing.Warm = r.state.Warm(*def.WarmUp, time.Now())
	settled, ok := r.state.Settled(def.Settle)
	f.standing.Settled, f.standing.Unsettled = settled, !ok
	k.mu.Lock()
	s := k.subjects[r.record.ID]
	k.mu.Unlock()
	if s != nil && s.follow.scope == f.scope && s.follow.on == f.on {
		s.mu.Lock()
		s.follow = f
		s.mu.Unlock()
		return nil
	}
	s, err := k.begin(ctx, l, r, f, def)
	if err != nil {
		return fmt.Errorf("begin the looks of %s: %w", f.scope, err)
	}
	k.mu.Lock()
	k.subjects[r.record.ID] = s
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default:
	}
	return nil
}

// drop ends the looks of a release.
func (k *looks) drop(release string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.subjects, release)
}

// follows reports whether looks at a subject are still taken.
func (k *looks) follows(s *subject) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.subjects[s.release] == s
}

// forget makes the loop load a subject from the store again, because the store has looks that the subject lacks: those
// of another daemon, or its own if the store's answer was lost.
func (k *looks) forget(s *subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.subjects[s.release] == s {
		delete(k.subjects, s.release)
	}
}

// run takes looks until ctx ends, with one goroutine for each interval in use.
func (k *looks) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer func() { running.Wait(); k.failing.Wait() }()
	begun := map[time.Duration]bool{}
	for {
		k.mu.Lock()
		for _, s := range k.subjects {
			if interval := s.interval; !begun[interval] {
				begun[interval] = true
				running.Go(func() { k.slots(ctx, interval) })
			}
			if !s.asked {
				s.asked = true
				running.Go(func() { k.rehearse(ctx, s) })
			}
		}
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-k.changed:
		}
	}
}
