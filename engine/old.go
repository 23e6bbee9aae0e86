package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// old is what a loop knows about the Deployment that keeps the version which was in service before the last release.
type old struct {
	// newest is the release, the loop's newest one, for which last is known.
	newest string
	last   *lastReleased
	// undeclared: the rollout is gone. While a daemon starts, its configuration may not be there yet.
	undeclared bool
	// asked is the target that was applied last, busy while that happens, at when to apply it again. ready: it is as asked.
	asked *workload.Target
	busy  bool
	at    time.Time
	ready bool
	// notes are what people should know about it.
	notes []string
}

// lastReleased is the release that brought what is in service.
type lastReleased struct {
	id    string
	def   rollout.Definition
	ended time.Time
}

// oldTarget is how the Deployment has to look that keeps the version before, and when that changes by itself. ok is false
// where there is none, while an undo has it, and before the last release has left its Deployments: then stable's
// remembers what it had.
func (l *loop) oldTarget(ctx context.Context) (t workload.Target, until time.Time, ok bool) {
	if l.plan == nil && !l.old.undeclared || !l.ready || l.rel == nil || l.e.o.Workloads == nil || !l.keepsOld() {
		return t, until, false
	}
	if _, leaving := l.leftTarget(); leaving || l.running() != nil && l.rel.state.Undoes != "" {
		return t, until, false
	}
	last, err := l.lastOne(ctx)
	if err != nil || last == nil {
		return t, until, false
	}
	return last.def.OldAfter(last.id, last.ended, time.Now(), l.declared())
}

// keepsOld tells whether the rollout keeps the version before, or has done so.
func (l *loop) keepsOld() bool {
	keeps := func(d *rollout.Definition) bool { return d != nil && d.Cluster != nil && d.Cluster.Old != nil }
	return keeps(l.declared()) || keeps(&l.rel.plan.Rollout) || l.old.last != nil && keeps(&l.old.last.def)
}

// declared is the configured definition; nil if the rollout is gone.
func (l *loop) declared() *rollout.Definition {
	if l.plan == nil {
		return nil
	}
	return &l.plan.Rollout
}

// lastOne is the release that brought what is in service; nil if none is known. It asks the store once for each release: the
// loop may have had no turn between the end of the one before and the beginning of this one.
func (l *loop) lastOne(ctx context.Context) (*lastReleased, error) {
	r := l.rel
	switch {
	case r.state.Ended() && r.state.Outcome == rollout.Released:
		if l.old.last == nil || l.old.last.id != r.record.ID {
			l.old.last = &lastReleased{r.record.ID, r.plan.Rollout, r.state.EndedAt}
		}
		l.old.newest = r.record.ID
		return l.old.last, nil
	case l.old.newest == r.record.ID:
		return l.old.last, nil
	}
	var last *lastReleased
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for past, err := range l.past().backwards(asking, mostReturning) {
		if err != nil {
			return nil, err
		}
		if past.record.Outcome != rollout.Released {
			if past.record.ID != l.old.newest {
				continue
			}
			last = l.old.last // nothing has been released since
			break
		}
		plan, err := planOf(past.record)
		if err != nil {
			return nil, err
		}
		last = &lastReleased{past.record.ID, plan.Rollout, past.record.EndedAt}
		break
	}
	l.old.newest, l.old.last = r.record.ID, last
	return last, nil
}

// keepOld brings the Deployment of the version before to where it has to be, alongside everything else the loop does.
// Nothing waits for it.
func (l *loop) keepOld(ctx context.Context) {
	want, until, ok := l.oldTarget(ctx)
	if !ok {
		if l.old.ready, l.old.notes = false, nil; !l.old.busy {
			l.old.asked = nil
		}
		delete(l.trouble, aboutOld)
		return
	}
	same := l.old.asked != nil && reflect.DeepEqual(*l.old.asked, want)
	if l.old.busy || same && (time.Now().Before(l.old.at) || l.old.ready && time.Now().After(until)) {
		return
	}
	l.old.asked, l.old.busy, l.old.ready = &want, true, false
	l.alongside(func() {
		observed, err := l.e.applyWork(ctx, want)
		if ctx.Err() == nil {
			l.send(func(context.Context) { l.keptOld(until, observed, err) })
		}
	})
}

// keptOld handles how far that Deployment has come.
func (l *loop) keptOld(until time.Time, observed workload.Observed, err error) {
	l.old.busy, l.old.at, l.old.notes = false, time.Now().Add(workSoon), observed.Notes
	phase, why := observed.Phase()
	if err == nil && phase == workload.Failed {
		err = errors.New(strings.Join(few(why), "; "))
	}
	if err != nil {
		err = fmt.Errorf("the version before cannot be kept, so that an undo takes longer: %w", err)
		l.old.at = time.Now().Add(workCalm)
	}
	if l.note(aboutOld, err); err == nil && phase == workload.Ready {
		l.old.ready, l.old.at = true, time.Now().Add(copyCalm)
		if left := time.Until(until); left > 0 {
			l.old.at = time.Now().Add(min(left, copyCalm))
		}
	}
}

// orders reports whether an order for that Deployment is under way and t has it too: the later order must come last.
func (o *old) orders(t workload.Target) bool {
	return o.busy && o.asked != nil &&
		slices.ContainsFunc(t.Deployments, func(d workload.Deployment) bool { return d.Name == o.asked.Deployments[0].Name })
}

// oldWake is when the loop has to turn for the version before; ok is false if it need not.
func (l *loop) oldWake() (at time.Time, ok bool) {
	if l.old.asked == nil || l.old.busy {
		return at, false
	}
	return l.old.at, !l.oldGone()
}

// oldGone tells whether the pods of the version before are gone for good: only another release changes that.
func (l *loop) oldGone() bool {
	if !l.old.ready || l.old.asked == nil {
		return l.old.asked == nil
	}
	r := l.old.asked.Deployments[0].Replicas
	return r.Of == nil && r.Count == 0
}

// oldNotes say until when the version before is kept, and what people should know about its pods; empty where it is not kept,
// or not yet.
func (l *loop) oldNotes() []string {
	if !l.old.ready || l.oldGone() {
		return nil
	}
	_, until, _ := l.old.last.def.OldAfter(l.old.last.id, l.old.last.ended, time.Now(), l.declared())
	kept := "the version before has its pods until " + until.UTC().Format("2006-01-02 15:04 MST") + ": an undo takes seconds"
	return append([]string{kept}, l.old.notes...)
}
