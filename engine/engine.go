// Package engine carries out the decisions of the state machine: it is the only package in which time passes, and it
// decides nothing.
//
// One loop owns a rollout ([loop]): it gets the next event from the state machine, makes it durable, brings the gateway
// to the target and reports what is in force. Looks are taken in slots, for all releases together ([looks]), so that
// the number of queries depends on the number of different metrics, not of releases. Start reading at [Engine.Run] and
// [loop.run].
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// Router brings the traffic of one rollout to a target and reports what is in force.
type Router interface {
	// Apply writes t. It is idempotent and returns once the change is written, not once it is in force.
	// After an error the gateway has either the old configuration or the new one, never part of it.
	Apply(ctx context.Context, t traffic.Target) error
	// Observe asks the gateway itself. The result lists the replicas that do not answer; an error means that no replica
	// could be asked.
	Observe(ctx context.Context) (traffic.Observed, error)
	// Labels are the values of the gateway's service label for the versions on a lane; commas separate those of several
	// ports. The preview's lane has no stable version: there, stable is the main lane's.
	Labels(on traffic.Lane) (canary, stable string)
	// Watched reports whether [Options.WatchGateways] would currently notice an external change to what Apply has
	// written. Then the gateway is rarely queried between releases.
	Watched() bool
}

// Source answers the asks of analysis plans, one answer for each, in order. Each answer explains missing data.
type Source interface {
	Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer
}

// Call is one webhook to be called. Key is the same each time it is called.
type Call struct {
	Key     string
	Webhook rollout.Webhook
	Release record.Release
	State   rollout.State
}

// Options are what an engine needs.
type Options struct {
	Store  Store
	Source Source
	// Behind is by how much the source's clock is behind this daemon's (negative if it is ahead), if looks have to
	// follow the source's clock; nil if they never do.
	Behind func() time.Duration
	// NewRouter makes the router of a rollout from its plan's Gateway.
	NewRouter func(rolloutName string, g record.Gateway) (Router, error)
	// NewJudge makes a judge from its settings.
	NewJudge func(judge.Settings) (judge.Judge, error)
	// Call calls a webhook until it has an answer or the webhook's deadline has passed; an error is the answer "no".
	Call func(ctx context.Context, c Call) error
	// Workloads is nil in a daemon without a cluster.
	Workloads Workloads
	// Notice shows people something about a release at the object of its rollout; nil shows nothing. Nothing depends on
	// it.
	Notice func(ctx context.Context, rollout, release string, n workload.Notice)
	// WatchGateways calls changed, from any goroutine, whenever something may have changed on which the traffic of a
	// rollout depends, until ctx is done; its error ends the engine. If nil, gateways are only observed every
	// ObserveEvery.
	WatchGateways func(ctx context.Context, changed func(rollout string)) error
	Log           *slog.Logger
	// Registerer is where the metrics serin_* are registered.
	Registerer prometheus.Registerer
	// ObserveEvery is how often the gateway is compared with the target while a release is under way and the target is in
	// force; 0 is 5 s. Between releases it is asked less often, see restWatched.
	ObserveEvery time.Duration
	// House is when releases of any rollout may enter steps, in addition to each rollout's own calendar.
	House calendar.Calendar
	// Retention is how long the looks of ended releases are kept; 0 keeps them forever.
	Retention time.Duration
}

// Engine runs the releases of all rollouts.
type Engine struct {
	o       Options
	metrics *metrics
	looks   *looks
	feed    *feed
	queue   *queue
	resting chan struct{} // its length is how many idle rollouts are querying their Deployments

	mu    sync.Mutex // guards loops and what follows
	loops map[string]*loop
	group *errgroup.Group
	ctx   context.Context //nolint:containedctx // of Run: it also ends loops that begin later
	plans map[string]record.Plan
}

// New makes an engine; nothing happens before Run.
func New(o Options) *Engine {
	if o.ObserveEvery == 0 {
		o.ObserveEvery = 5 * time.Second
	}
	e := &Engine{o: o, loops: map[string]*loop{}, plans: map[string]record.Plan{}, metrics: newMetrics(o.Registerer),
		feed: newFeed(), queue: newQueue(),
		resting: make(chan struct{}, atOnce)}
	e.looks = newLooks(e)
	return e
}

// Run resumes every release that has not ended and runs until ctx is done. Releases in progress then stay as they are
// until the next Run resumes them.
func (e *Engine) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	active, err := e.active(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.group, e.ctx = group, ctx
	for _, r := range active {
		e.ensureLoop(r.Rollout)
	}
	for name := range e.plans {
		e.ensureLoop(name)
	}
	e.mu.Unlock()
	group.Go(func() error { return e.looks.run(ctx) })
	group.Go(func() error { e.prune(ctx); return nil })
	if e.o.Workloads != nil {
		group.Go(func() error { e.o.Workloads.Watch(ctx, e.clusterChanged); return nil })
	}
	if e.o.WatchGateways != nil {
		group.Go(func() error { return e.o.WatchGateways(ctx, e.gatewayChanged) })
	}
	err = group.Wait()
	e.feed.close()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// pruneEvery is how often old looks are removed, so that each time there is little to remove.
const pruneEvery = time.Hour

// prune removes looks beyond the retention, until ctx ends.
func (e *Engine) prune(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if e.o.Retention == 0 {
				continue
			}
			if err := e.o.Store.Prune(ctx, now.Add(-e.o.Retention)); err != nil && ctx.Err() == nil {
				e.o.Log.Warn("old looks could not be removed", "err", err)
			}
		}
	}
}

func (e *Engine) active(ctx context.Context) ([]record.Release, error) {
	var out []record.Release
	for _, phase := range []rollout.Phase{rollout.Active, rollout.RollingBack} {
		rs, err := e.o.Store.Releases(ctx, record.Filter{Phase: phase, Limit: 1000})
		if err != nil {
			return nil, fmt.Errorf("list %s releases: %w", phase, err)
		}
		out = append(out, rs...)
	}
	return out, nil
}

// ensureLoop starts the loop of a rollout unless it is running. The caller holds e.mu, and Run has begun.
func (e *Engine) ensureLoop(name string) *loop {
	l := e.loops[name]
	if l == nil {
		l = newLoop(e, name)
		if p, ok := e.plans[name]; ok {
			l.plan = &p
		}
		e.loops[name] = l
		e.group.Go(func() error { l.run(e.ctx); return nil })
	}
	return l
}

// SetPlans replaces the plans of all rollouts. Running releases keep theirs. The traffic of a removed rollout stays
// where it is.
func (e *Engine) SetPlans(plans map[string]record.Plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.plans
	e.plans = make(map[string]record.Plan, len(plans))
	for name, p := range plans {
		p.Rollout.House = e.o.House
		e.plans[name] = p
	}
	if e.group == nil {
		return
	}
	for name, p := range e.plans {
		if before, known := old[name]; known && e.loops[name] != nil && reflect.DeepEqual(before, p) {
			continue // usually one of a thousand rollouts has changed
		}
		l := e.ensureLoop(name)
		l.send(func(context.Context) { l.setPlan(&p) })
	}
	for name := range old {
		if _, stays := plans[name]; !stays {
			if l := e.loops[name]; l != nil {
				l.send(func(context.Context) { l.setPlan(nil) })
			}
		}
	}
}

func (e *Engine) loop(name string) (*loop, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.loops[name]
	return l, ok
}

// Rollouts are the views of all rollouts, by name.
func (e *Engine) Rollouts() []record.View {
	e.mu.Lock()
	loops := slices.SortedFunc(maps.Values(e.loops), func(a, b *loop) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
	e.mu.Unlock()
	var out []record.View
	for _, l := range loops {
		if v := l.view.Load(); v != nil && (v.Declared || v.Release != nil && !v.State.Ended()) {
			out = append(out, *v)
		}
	}
	return out
}

// Rollout is the view of one rollout; record.ErrNotFound if there is none.
func (e *Engine) Rollout(name string) (record.View, error) {
	if l, ok := e.loop(name); ok {
		if v := l.view.Load(); v != nil {
			return *v, nil
		}
	}
	return record.View{}, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
}

// Definition is the currently declared rollout, whatever release is under way; record.ErrNotFound if it is not
// declared.
func (e *Engine) Definition(name string) (*rollout.Definition, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.plans[name]
	if !ok {
		return nil, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
	}
	return &p.Rollout, nil
}

// Start starts a release of a rollout. The id is chosen here unless req has one. With supersede an active release
// goes back to stable first, and the new one starts once that has ended: Version is 0 until then.
// Errors: record.ErrNotFound, *record.ActiveError, *record.ParameterError. The same key returns the same release,
// without an error.
func (e *Engine) Start(ctx context.Context, name string, req rollout.StartRequest, supersede bool) (record.Release, error) {
	l, ok := e.loop(name)
	if !ok {
		return record.Release{}, fmt.Errorf("rollout %s: %w", name, record.ErrNotFound)
	}
	return ask(ctx, l, func(ctx context.Context) (record.Release, error) { return l.start(ctx, req, supersede) })
}

// Act applies an event to a release and returns the state after it. by is the user's name.
// Errors: record.ErrNotFound, rollout.ErrNotAllowed, *rollout.AnsweredError. A rollback that cannot be written is
// carried out all the same: the error then is *record.NotWrittenError.
func (e *Engine) Act(ctx context.Context, id string, event rollout.Event, by string) (rollout.State, error) {
	name := e.rolloutOf(id) // before asking the store, which may be failing: a rollback must get through
	if name == "" {
		r, err := e.o.Store.Release(ctx, id)
		if err != nil {
			return rollout.State{}, err
		}
		name = r.Rollout
	}
	l, ok := e.loop(name)
	if !ok {
		return rollout.State{}, fmt.Errorf("%w: release %s has ended", rollout.ErrNotAllowed, id)
	}
	return press(ctx, l, id, event, func(ctx context.Context) (rollout.State, error) { return l.act(ctx, id, event, by) })
}

// rolloutOf is the rollout whose newest release, or its successor, has the id; empty if there is none.
func (e *Engine) rolloutOf(id string) string {
	for _, v := range e.Rollouts() {
		if v.Release != nil && v.Release.ID == id || v.State.Successor != nil && v.State.Successor.ID == id {
			return v.Rollout
		}
	}
	return ""
}

// Release is the view of one release, running or ended; record.ErrNotFound if there is none.
func (e *Engine) Release(ctx context.Context, id string) (record.View, error) {
	if name := e.rolloutOf(id); name != "" {
		if v, err := e.Rollout(name); err == nil && v.Release != nil && v.Release.ID == id {
			if !v.State.Ended() {
				return v, nil
			}
			// The rollout's view has the currently declared plan; the ended release had its own.
			if own, err := e.stored(ctx, id); err == nil {
				v.Steps, v.Definition = own.Steps, own.Definition
			}
			return v, nil
		}
	}
	return e.stored(ctx, id)
}

// stored is the view of a release from the store.
func (e *Engine) stored(ctx context.Context, id string) (record.View, error) {
	r, err := e.o.Store.Release(ctx, id)
	if err != nil {
		return record.View{}, err
	}
	rel, err := e.restore(ctx, r)
	if err != nil {
		return record.View{}, err
	}
	return rel.view(time.Now()), nil
}

// Subscribe returns all updates until ctx ends. The channel of a subscriber that does not read fast enough is closed; it can
// catch up from the store.
func (e *Engine) Subscribe(ctx context.Context) <-chan record.Update { return e.feed.subscribe(ctx) }

// restore folds the events of a release.
func (e *Engine) restore(ctx context.Context, r record.Release) (*release, error) {
	plan, err := planOf(r)
	if err != nil {
		return nil, err
	}
	rel := &release{record: r, plan: plan}
	rel.plan.Rollout.House = e.o.House
	events, err := e.o.Store.Events(ctx, r.ID, 0)
	if err != nil {
		return nil, fmt.Errorf("read the events of release %s: %w", r.ID, err)
	}
	for _, ev := range events {
		if rel.state, err = rel.state.Apply(ev); err != nil {
			return nil, fmt.Errorf("fold the events of release %s: %w", r.ID, err)
		}
	}
	rel.record.Version = rel.state.Seq
	return rel, nil
}
