package engine

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

// slots runs the slots of one interval. A late daemon skips slots and counts them.
func (k *looks) slots(ctx context.Context, interval time.Duration) {
	next, _ := nextSlot(time.Time{}, time.Now(), interval)
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		k.slot(ctx, interval, next)
		var missed int
		next, missed = nextSlot(next, time.Now(), interval)
		k.e.metrics.missed.Add(float64(missed))
	}
}

// nextSlot returns the slot after last, or the first one if last is zero, and how many slots are skipped because it is
// too late for them. After the clock was set back by more than a slot, a new grid begins instead of waiting for it to
// catch up.
func nextSlot(last, now time.Time, interval time.Duration) (next time.Time, missed int) {
	next = last.Add(interval)
	switch {
	case last.IsZero() || next.Sub(now) > 2*interval:
		return now.Truncate(interval).Add(interval), 0
	case next.Before(now):
		missed = int(now.Sub(next)/interval) + 1
	}
	return next.Add(time.Duration(missed) * interval), missed
}

// slot takes all looks that are due at one time.
func (k *looks) slot(ctx context.Context, interval time.Duration, at time.Time) {
	due := k.due(interval)
	if len(due) == 0 {
		return
	}
	begin, behind := time.Now(), k.behind()
	there := at.Add(-behind) // by the clock of the source
	asks, parts := []analysis.Ask(nil), make([]int, 0, len(due)+1)
	for _, s := range due {
		parts = append(parts, len(asks))
		if cursor, back := s.cursor.Until(there.Add(-s.settle)); back > interval {
			k.e.o.Log.Warn("the clock was set back; looks continue from the new time", "rollout", s.loop.name, "by", back)
			s.cursor = cursor
		}
		asks = append(asks, s.plan.Asks(s.cursor, there.Add(-s.settle))...)
	}
	parts = append(parts, len(asks))
	answers := k.e.o.Source.Fetch(ctx, asks)
	if ctx.Err() != nil {
		return // the daemon is stopping: the next one asks again
	}
	results := make([]taken, len(due))
	each(len(due), func(i int) {
		if err := contained(func() { results[i] = due[i].take(there, behind, answers[parts[i]:parts[i+1]]) }); err != nil {
			k.e.o.Log.Error("panic", "rollout", due[i].loop.name, "err", err, "stack", string(err.stack))
			results[i] = due[i].failed(there, err)
		}
	})
	records := make([]record.LookRecord, 0, len(due))
	for i, t := range results {
		records = append(records, due[i].unsaved...)
		if t.err == nil {
			records = append(records, t.record)
		}
	}
	saved := k.save(ctx, interval, at, due, results, records)
	var bad *record.LooksError
	errors.As(saved, &bad)
	for i, t := range results {
		mine := saved
		switch {
		case errors.Is(saved, record.ErrConflict):
			k.forget(due[i])
		case bad != nil && slices.Contains(bad.Releases, due[i].release):
			due[i].unsaved = nil // it can never be written, so the next look begins where this one began
		case bad != nil:
			mine = nil
			fallthrough
		default:
			due[i].goOn(t, mine)
		}
		k.deliver(ctx, due[i], t, mine)
	}
	k.e.metrics.looked(len(due), time.Since(begin))
}

// behind is by how much the source's clock is behind the daemon's, if looks follow it: see [Options.Behind].
func (k *looks) behind() time.Duration {
	var behind time.Duration
	if k.e.o.Behind != nil {
		behind = k.e.o.Behind()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.off != behind {
		k.e.o.Log.Warn("this daemon's clock and that of the source of metrics differ; looks follow the source's: "+
			"set the clocks right (NTP)", "behind", behind)
		k.off = behind
	}
	return behind
}

func (k *looks) due(interval time.Duration) []*subject {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*subject
	for _, s := range k.subjects {
		if s.interval == interval {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *subject) int { // a stable order, so that runs can be compared
		if a.release < b.release {
			return -1
		}
		return 1
	})
	return out
}

// each calls f for 0 to n-1 on all processors.
func each(n int, f func(int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	group.Wait()
}

// errSlow is used in place of the answer of a store that has not answered yet.
var errSlow = errors.New("the store has not written the looks yet")

// save writes the looks of a slot. It gives up before the next slot begins, so that a failing store costs no slots, but not
// before half an interval has passed. A fail verdict does not wait for a slow store.
func (k *looks) save(ctx context.Context, interval time.Duration, at time.Time, due []*subject, results []taken, records []record.LookRecord) error {
	patience := min(interval, storeTimeout)
	saving, cancel := context.WithTimeout(ctx, max(time.Until(at.Add(patience-patience/10)), patience/2))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- k.e.o.Store.SaveLooks(saving, records) }()
	timer := time.NewTimer(storeMoment)
	defer timer.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-timer.C:
			for i, t := range results {
				if t.err == nil && t.record.Verdict.Outcome == judge.Fail {
					k.deliver(ctx, due[i], t, errSlow)
				}
			}
		}
	}
}

// deliver sends a look to the release's loop. A look that sends the release back preempts the loop's current call.
func (k *looks) deliver(ctx context.Context, s *subject, t taken, saved error) {
	if t.err != nil {
		saved = &record.LooksError{Releases: []string{s.release}, Err: t.err}
	}
	l, res := s.loop, looked{
		release: s.release, scope: t.record.Scope, turn: t.record.Turn, from: t.from, behind: t.behind,
		look: t.record.Look, verdict: t.record.Verdict, saved: saved,
	}
	if res.verdict.Outcome != judge.Fail {
		l.send(func(ctx context.Context) { l.looked(ctx, res) })
		return
	}
	k.failing.Go(func() {
		_, _ = press(ctx, l, res.release, res.event(), func(ctx context.Context) (struct{}, error) {
			l.looked(ctx, res)
			return struct{}{}, nil
		})
	})
}
