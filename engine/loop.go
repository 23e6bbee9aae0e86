package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// retryEvery is how often a loop retries what failed.
const retryEvery = time.Second

// loop owns a rollout: its release, its traffic, and the order in which things happen to them. Other goroutines send it
// functions and read its view.
type loop struct {
	e    *Engine
	name string
	log  *slog.Logger
	view atomic.Pointer[record.View]

	mu     sync.Mutex // guards mail
	mail   []func(context.Context)
	signal chan struct{}
	quiet  atomic.Bool // nothing here depends on a Deployment
	// dependsOn are the Deployments whose changes it must be notified of; nil before its first turn.
	dependsOn atomic.Pointer[[]workload.Name]
	helpers   sync.WaitGroup // goroutines alongside the loop: Deployments, tasks

	// The fields below belong to the goroutine of run: the release and its state in the store (durable.go), the gateway
	// (gateway.go), the Deployments (deployments.go), the tasks (tasks.go).
	plan    *record.Plan // the configured one; nil if the rollout is gone
	rel     *release
	ready   bool // loaded from the store, and still current
	known   bool // has been loaded at least once
	swapped bool

	gw       gatewaySide
	way      wayBack
	trouble  trouble
	defects  []time.Time // when this program failed while handling the rollout, within [defectsOver]
	work     work
	copied   copied
	old      old
	triggers triggers
	// doing is the key of the first running task; stop ends the running tasks.
	doing string
	stop  context.CancelFunc
}

func newLoop(e *Engine, name string) *loop {
	return &loop{
		e: e, name: name, log: e.o.Log.With("rollout", name), signal: make(chan struct{}, 1), trouble: trouble{},
		way: newWayBack(),
	}
}

// send queues f for the loop. It never blocks: the mailbox is unbounded, but people and looks send little.
func (l *loop) send(f func(context.Context)) {
	l.mu.Lock()
	l.mail = append(l.mail, f)
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// answer is the result of a function that ran in the loop.
type answer[T any] struct {
	v   T
	err error
}

// errDefect is the answer of a function that panicked.
var errDefect = errors.New("a defect of Serin: its log says where")

// post sends f to the loop; the channel gets what it returns.
func post[T any](l *loop, f func(context.Context) (T, error)) <-chan answer[T] {
	done := make(chan answer[T], 1)
	l.send(func(ctx context.Context) {
		a := answer[T]{err: errDefect}
		defer func() { done <- a }()
		a.v, a.err = f(ctx)
	})
	return done
}

// run drives the control loop until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer l.helpers.Wait()
	for ctx.Err() == nil {
		wake := time.Now().Add(retryEvery)
		l.safely(ctx, func() {
			wake = l.turn(ctx)
			l.publish()
		})
		l.yield()
		l.depends()
		l.quiet.Store(l.atRest() && !l.triggered() && !l.hasWork() && l.oldGone())
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.signal:
		}
		timer.Stop()
		l.mu.Lock()
		mail := l.mail
		l.mail = nil
		l.mu.Unlock()
		for _, f := range mail {
			l.safely(ctx, func() { f(ctx) })
		}
		l.recovered(time.Now())
	}
}

// turn does everything that can be done now, and returns when to continue.
func (l *loop) turn(ctx context.Context) time.Time {
	if r := l.running(); !l.ready && (r != nil && r.back != nil || r == nil && l.known) {
		l.reconcile(ctx) // stable keeps all traffic, or gets it back, even if the store fails
	}
	if l.know(ctx) != nil {
		return time.Now().Add(retryEvery)
	}
	for {
		l.writeBack(ctx)
		advanced := l.advance(ctx)
		moved := l.reconcile(ctx)
		if ctx.Err() != nil || !l.ready || !advanced && !moved {
			break
		}
	}
	l.follow(ctx)
	l.forgetCopy()
	l.deploy(ctx)
	l.keepOld(ctx)
	l.trigger(ctx)
	l.runTasks(ctx)
	return l.wake()
}

// running is the release that has not ended, or nil.
func (l *loop) running() *release {
	if l.rel == nil || l.rel.state.Ended() {
		return nil
	}
	return l.rel
}

// advance makes the next event of the state machine durable; it reports whether there was one.
func (l *loop) advance(ctx context.Context) bool {
	r := l.running()
	if r == nil {
		return l.waits() && l.succeed(ctx) == nil
	}
	if r.back != nil || l.way.wanted() {
		return false
	}
	event, ok := r.state.Next(&r.plan.Rollout, time.Now())
	if !ok {
		return false
	}
	if late, ok := event.(rollout.DeploymentFailed); ok {
		// The state machine knows that the time has run out; only the cluster knows why.
		_, why := l.work.observed.Phase()
		late.Why = append(late.Why, few(why)...)
		event = late
	}
	_, err := l.append(ctx, event)
	return err == nil
}

// wake is when the loop has to turn again even without mail.
func (l *loop) wake() time.Time {
	soon := time.Now().Add(retryEvery)
	switch {
	case !l.ready && l.trouble[aboutStore] != nil:
		return soon // reading may work while writing fails, as on a full disk
	case !l.ready:
		return time.Now()
	}
	at := time.Now().Add(l.e.o.ObserveEvery)
	if l.atRest() && len(l.trouble) == 0 {
		at = l.gw.observeAt
		if l.triggered() && !l.triggers.busy && l.triggers.at.Before(at) {
			at = l.triggers.at
		}
	}
	if l.gw.observeAt.Before(at) {
		at = l.gw.observeAt
	}
	if l.hasWork() && !l.work.busy && l.work.at.Before(at) {
		at = l.work.at
	}
	if old, ok := l.oldWake(); ok && old.Before(at) {
		at = old
	}
	r := l.running()
	if r == nil {
		return at
	}
	if d, ok := r.now().Deadline(&r.plan.Rollout, time.Now()); ok && d.Before(at) {
		at = d
	}
	if r.back != nil || l.trouble[aboutStore] != nil {
		at = soon
	}
	return at
}

// setPlan sets the configured plan; nil if the rollout is gone. A running release keeps its own.
func (l *loop) setPlan(p *record.Plan) {
	l.plan, l.old.undeclared = p, p == nil
	l.forgetCopy()
}
