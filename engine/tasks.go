package engine

import (
	"context"
	"errors"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// runTasks starts the tasks of the target that this daemon has not started, and stops those that are no longer part of
// it. An earlier daemon may have started them as well, which their keys make harmless.
func (l *loop) runTasks(ctx context.Context) {
	var tasks []rollout.Task
	r := l.running()
	if r != nil && r.back == nil {
		tasks = r.state.Target(&r.plan.Rollout, r.record.ID).Tasks
	}
	key := ""
	if len(tasks) > 0 {
		key = tasks[0].Key
	}
	if key == l.doing {
		return
	}
	if l.stop != nil {
		l.stop()
	}
	delete(l.trouble, aboutJob)
	l.doing, l.stop = key, nil
	if key == "" {
		return
	}
	ctx, l.stop = context.WithCancel(ctx)
	rec, state := r.record, r.state
	l.alongside(func() {
		var answer rollout.Event
		for _, t := range tasks {
			answer = l.do(ctx, t, rec, state)
		}
		if ctx.Err() == nil {
			l.send(func(ctx context.Context) { l.taskDone(ctx, rec.ID, tasks[0], answer) })
		}
	})
}

// do does one task and returns the event of its outcome, or nil if ctx is done.
func (l *loop) do(ctx context.Context, t rollout.Task, rec record.Release, state rollout.State) rollout.Event {
	if t.Job != nil {
		return l.runJob(ctx, t)
	}
	err := l.e.o.Call(ctx, Call{Key: t.Key, Webhook: t.Webhook, Release: rec, State: state})
	if err != nil {
		return rollout.WebhookAnswered{Step: t.Step, Detail: err.Error()}
	}
	return rollout.WebhookAnswered{Step: t.Step, OK: true}
}

// taskDone makes the outcome of a task durable. If that fails, the task is repeated, with the same key. During cleanup the
// outcomes do not matter.
func (l *loop) taskDone(ctx context.Context, id string, t rollout.Task, answer rollout.Event) {
	r := l.running()
	if r == nil || r.record.ID != id || l.doing != t.Key {
		return
	}
	by := "webhook"
	if t.Job != nil {
		by = "cluster"
	}
	if r.state.Phase == rollout.RollingBack {
		answer = rollout.CleanedUp{}
	}
	if _, err := l.append(ctx, r.event(answer, by)); err != nil && !errors.Is(err, rollout.ErrNotAllowed) {
		l.doing = ""
	}
}
