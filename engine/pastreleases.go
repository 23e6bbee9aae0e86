package engine

import (
	"context"
	"iter"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// earlier is a past release with its first event; worse is whether its last verdict was a fail.
type earlier struct {
	record  record.Release
	started rollout.Started
	worse   bool
}

// backwards yields the newest release of the rollout and those before it, at most so many. Each release names its
// predecessor; those of the earliest versions of Serin do not, and end the sequence. So does an error.
func (l *loop) backwards(ctx context.Context, most int) iter.Seq2[earlier, error] {
	return func(yield func(earlier, error) bool) {
		seen, id := map[string]bool{}, ""
		if l.rel != nil {
			id = l.rel.record.ID
		}
		for id != "" && !seen[id] && len(seen) < most {
			seen[id] = true
			r, err := l.e.o.Store.Release(ctx, id)
			past := earlier{record: r}
			if err == nil {
				past.started, past.worse, err = l.story(ctx, id)
			}
			if !yield(past, err) || err != nil {
				return
			}
			id = past.started.After
		}
	}
}

// story is the first event of a release, and whether its last verdict was a fail.
func (l *loop) story(ctx context.Context, id string) (started rollout.Started, worse bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	events, err := l.e.o.Store.Events(ctx, id, 0)
	for _, e := range events {
		switch e := e.(type) {
		case rollout.Started:
			started = e
		case rollout.LookTaken:
			worse = e.Verdict.Outcome == judge.Fail
		default:
		}
	}
	return started, worse, err
}

// mostReturning is how many releases are searched for one that brought a version into service.
const mostReturning = 200

// returns is the release that last had the version of these parameters in service, if the version takes the plan for those
// that return; empty if it does not.
func (l *loop) returns(ctx context.Context, p *record.Plan, parameters map[string]string) (id string, err error) {
	if p.Rollout.Returning == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	past := func(yield func(rollout.Past) bool) {
		for e, failed := range l.backwards(ctx, mostReturning) {
			if err = failed; err != nil {
				return
			}
			if !yield(rollout.Past{ID: e.record.ID, Parameters: e.started.Parameters, Outcome: e.record.Outcome, Undoes: e.started.Undoes, EndedAt: e.record.EndedAt, Worse: e.worse}) {
				return
			}
		}
	}
	id, _ = p.Rollout.Returning.Of(parameters, past, time.Now())
	return id, err
}
