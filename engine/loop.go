package engine

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// How often a loop tries again what did not work, and how soon it looks whether a write is in force. Traefik takes
// 0.1 s for a first change and up to 2 s for one within its throttle.
const (
	retryEvery   = time.Second
	confirmFirst = 50 * time.Millisecond
	confirmLast  = 500 * time.Millisecond
	// storeMoment is what a rollback waits for the store, and for a loop that waits for something, before the traffic
	// goes back all the same.
	storeMoment = 500 * time.Millisecond
	// storeTimeout bounds what a loop asks of the store at once. Traffic does not wait for it; all else of the rollout
	// does, so a store that never answers has to become an error.
	storeTimeout = 15 * time.Second
	// gatewayTimeout is the same for the gateway: longer than its own patience with what a write makes.
	gatewayTimeout = 30 * time.Second
	// answerMoment is what is waited for the gateway while somebody waits to be answered. What is not written by then
	// is tried again.
	answerMoment = 2 * time.Second
	// stirGap is the least time between two looks at a gateway that changes tell of: a Deployment that rolls makes many.
	stirGap = 200 * time.Millisecond
	// missesAllowed: one observation that a replica did not answer in time says nothing yet.
	missesAllowed = 2
)

// loop owns a rollout: its release, its traffic, and the order in which things happen to them. Others send it
// functions and read its view.
type loop struct {
	e    *Engine
	name string
	log  *slog.Logger
	view atomic.Pointer[record.View]

	mu     sync.Mutex // guards mail
	mail   []func(context.Context)
	signal chan struct{}
	beside sync.WaitGroup // what goes on beside the loop: Deployments, tasks

	// What follows belongs to the goroutine of run.
	plan    *record.Plan // as configured now; nil if it is gone
	rel     *release
	ready   bool // what the store knows has been taken up
	known   bool // it was, once
	swapped bool

	router    Router
	gateway   record.Gateway // what router was made from
	way       wayBack
	applied   *traffic.Target
	appliedAt time.Time
	// overwritten: something was written by hand since.
	overwritten bool
	served      bool // applied was seen to be written, so a difference is somebody else's
	observed    traffic.Observed
	confirmed   traffic.Confirmation
	misses      int
	observeAt   time.Time
	lookedAt    time.Time // when the gateway was asked last
	confirmGap  time.Duration
	trouble     trouble
	work        work
	triggers    triggers
	// doing is the key of the first of the tasks that are being done; stop ends them.
	doing string
	stop  context.CancelFunc
}

func newLoop(e *Engine, name string) *loop {
	return &loop{
		e: e, name: name, log: e.o.Log.With("rollout", name), signal: make(chan struct{}, 1), trouble: trouble{},
		way: newWayBack(),
	}
}

// send queues f for the loop. It never blocks: the mailbox holds what people and looks send, which is little.
func (l *loop) send(f func(context.Context)) {
	l.mu.Lock()
	l.mail = append(l.mail, f)
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// answer is what a function that was run in the loop has returned.
type answer[T any] struct {
	v   T
	err error
}

// post sends f to the loop; the channel gets what it returns.
func post[T any](l *loop, f func(context.Context) (T, error)) <-chan answer[T] {
	done := make(chan answer[T], 1)
	l.send(func(ctx context.Context) {
		v, err := f(ctx)
		done <- answer[T]{v, err}
	})
	return done
}

// run turns the wheel until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer l.beside.Wait()
	for ctx.Err() == nil {
		wake := l.turn(ctx)
		l.publish()
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
			f(ctx)
		}
	}
}

// turn does all that can be done now and returns when to do more.
func (l *loop) turn(ctx context.Context) time.Time {
	if r := l.running(); !l.ready && (r != nil && r.back != nil || r == nil && l.known) {
		l.reconcile(ctx) // stable keeps all traffic, or gets it back, whatever the store says
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
	l.deploy(ctx)
	l.trigger(ctx)
	l.runTasks(ctx)
	return l.wake()
}

// know takes up what the store knows, unless that is done.
func (l *loop) know(ctx context.Context) error {
	if l.ready {
		return nil
	}
	err := l.takeUp(ctx)
	l.note(aboutStore, err)
	l.ready = err == nil
	l.known = l.known || l.ready
	return err
}

// takeUp reads what the store knows of this rollout.
func (l *loop) takeUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	swapped, err := l.e.o.Store.Swapped(ctx, l.name)
	if err != nil {
		return err
	}
	l.swapped = swapped
	rel, err := l.newest(ctx)
	if err != nil || rel == nil {
		return err
	}
	rel.goOnBack(l.rel)
	l.rel = rel
	l.log.Info("release taken up", "release", rel.record.ID, "phase", l.rel.state.Phase, "step", l.rel.state.StepName)
	return nil
}

// newest is the release that is under way, else the last one; nil if there has been none. Where one has ended and another
// has taken its place, it is that one: clocks say nothing about which of the two came later.
func (l *loop) newest(ctx context.Context) (*release, error) {
	r, err := l.e.o.Store.Newest(ctx, l.name)
	for seen := map[string]bool{}; ; {
		if errors.Is(err, record.ErrNotFound) && len(seen) == 0 {
			return nil, nil //nolint:nilnil // none is none
		}
		if err != nil {
			return nil, err
		}
		rel, err2 := l.e.restore(ctx, r)
		if err2 != nil {
			return nil, err2
		}
		next := rel.state.Successor
		if seen[r.ID] = true; !rel.state.Ended() || next == nil || seen[next.ID] {
			return rel, nil
		}
		if r, err = l.e.o.Store.Release(ctx, next.ID); errors.Is(err, record.ErrNotFound) {
			return rel, nil // it has not begun
		}
	}
}

// running is the release that is not over, or nil.
func (l *loop) running() *release {
	if l.rel == nil || l.rel.state.Ended() {
		return nil
	}
	return l.rel
}

// advance makes durable what follows by itself; it reports whether anything did.
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
		// The state machine knows that time is over; the cluster says what was in the way.
		_, why := l.work.observed.Phase()
		late.Why = append(late.Why, why[:min(len(why), maxReasons)]...)
		event = late
	}
	_, err := l.append(ctx, event)
	return err == nil
}

// append makes an event durable and folds it. The event's head is the next one.
func (l *loop) append(ctx context.Context, event rollout.Event) (rollout.State, error) {
	r := l.rel
	next, err := r.state.Apply(event)
	if err != nil {
		return r.state, err
	}
	rec := r.record
	rec.Version, rec.Phase, rec.Outcome = next.Seq, next.Phase, ""
	if next.Ended() {
		rec.Outcome, rec.EndedAt = next.Outcome, next.EndedAt
	}
	if err := l.save(ctx, rec, event, next); err != nil {
		l.note(aboutStore, err)
		if errors.Is(err, record.ErrConflict) {
			l.ready = false // somebody else acts: read again before anything else
		}
		if turnsBack(r.state, next) && r.back == nil {
			// The one effect that need not wait for its event: traffic back to stable.
			l.log.Warn("rollback cannot be written yet, traffic goes back all the same", "release", rec.ID, "err", err)
			r.back = &pendingBack{event: event, state: next}
			return next, &record.NotWrittenError{Err: err}
		}
		return r.state, err
	}
	l.note(aboutStore, nil)
	if next.Turn != r.state.Turn {
		l.observeAt = time.Time{} // what is in force may be what is wanted already
	}
	l.tell(ctx, r.state, next, event)
	r.state, r.record, r.back = next, rec, nil
	l.happened(ctx, event)
	return next, nil
}

// save makes an event durable. A rollback does not wait for a store that is slow, as a locked one is: after a moment
// the traffic goes back, whatever becomes of the event.
func (l *loop) save(ctx context.Context, rec record.Release, event rollout.Event, next rollout.State) error {
	r := l.rel
	gateway := ctx
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !turnsBack(r.state, next) || r.back != nil {
		return l.e.o.Store.Append(ctx, rec, r.state.Seq, event)
	}
	done := make(chan error, 1)
	seq := r.state.Seq
	l.beside.Go(func() { done <- l.e.o.Store.Append(ctx, rec, seq, event) })
	timer := time.NewTimer(storeMoment)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	l.log.Warn("the store is slow, traffic goes back before the rollback is written", "release", rec.ID)
	if l.ensureRouter() {
		l.hastily(func() { l.write(gateway, next.Target(&r.plan.Rollout, rec.ID).Traffic) })
	}
	return <-done
}

// teach goes through a whole release again, so the loop does not wait for it.
func (l *loop) teach(ctx context.Context, r *release) {
	if err := l.e.looks.teach(ctx, r); err != nil {
		l.log.Warn("what the release taught about noise is lost", "release", r.record.ID, "err", err)
	}
}

func turnsBack(before, after rollout.State) bool {
	return before.Phase == rollout.Active && after.Phase == rollout.RollingBack
}

// writeBack tries again to write a rollback that is being carried out already.
func (l *loop) writeBack(ctx context.Context) {
	if r := l.running(); r != nil && r.back != nil {
		_, _ = l.append(ctx, r.back.event) // what went wrong is noted there
	}
}

// happened tells of an event that is durable, and does what belongs to no target.
func (l *loop) happened(ctx context.Context, event rollout.Event) {
	r := l.rel
	l.log.Info("event", "release", r.record.ID, "event", rollout.Kind(event), "by", event.Head().By,
		"step", r.state.StepName, "phase", r.state.Phase)
	l.e.metrics.event(l.name, event)
	if ended, ok := event.(rollout.Ended); ok {
		l.swapped = ended.Swapped
		l.e.looks.drop(r.record.ID)
		if ended.Outcome == rollout.Released {
			l.beside.Go(func() { l.teach(ctx, r) })
		}
	}
	l.publish() // who is told may ask at once
	l.e.feed.tell(record.Update{Rollout: l.name, Release: r.record.ID, Event: event})
}

// target is what the traffic has to be now.
func (l *loop) target() (traffic.Target, bool) {
	if t, ok := l.way.target(); ok {
		return t, true
	}
	if r := l.running(); r != nil {
		return r.now().Target(&r.plan.Rollout, r.record.ID).Traffic, true
	}
	switch {
	case l.plan == nil && l.rel != nil && l.overwritten:
		return l.rel.plan.Rollout.Idle(l.swapped), true // as the release that has ended left it
	case l.plan == nil || len(l.plan.Unsupported) > 0:
		return traffic.Target{}, false
	}
	return l.plan.Rollout.Idle(l.swapped), true
}

// reconcile brings the gateway to the target and reports what it sees; it reports whether the release has changed
// by that.
func (l *loop) reconcile(ctx context.Context) bool {
	now := time.Now()
	want, ok := l.target()
	if !ok {
		l.observeAt = now.Add(l.e.o.ObserveEvery)
		return false
	}
	if !l.ensureRouter() {
		l.observeAt = now.Add(retryEvery)
		return false
	}
	if l.applied == nil || !reflect.DeepEqual(*l.applied, want) {
		if now.Before(l.observeAt) && l.trouble[aboutGateway] != nil {
			return false // the last write failed a moment ago
		}
		l.write(ctx, want)
		if l.trouble[aboutGateway] == nil || l.way.hasty {
			return false
		}
		// It cannot be written. What is served meanwhile has to be known all the same.
		said := l.look(ctx, want) && l.report(ctx)
		l.observeAt = time.Now().Add(retryEvery)
		return said
	}
	if now.Before(l.observeAt) {
		return false
	}
	return l.observe(ctx, want)
}

func (l *loop) ensureRouter() bool {
	gateway, ok := l.gatewayOf()
	if !ok {
		return false
	}
	if l.router != nil && reflect.DeepEqual(gateway, l.gateway) {
		return true
	}
	router, err := l.e.o.NewRouter(l.name, gateway)
	if l.note(aboutGateway, err) {
		return false
	}
	l.router, l.gateway, l.applied = router, gateway, nil
	l.way.lead(router)
	return true
}

// gatewayOf is the gateway's part of the plan of the release that runs, else of the configured one, else of the release
// that was the last of a rollout that is configured no longer.
func (l *loop) gatewayOf() (record.Gateway, bool) {
	switch r := l.running(); {
	case r != nil:
		return r.plan.Gateway, true
	case l.plan != nil:
		return l.plan.Gateway, true
	case l.rel != nil:
		return l.rel.plan.Gateway, true
	}
	return record.Gateway{}, false
}

func (l *loop) write(ctx context.Context, want traffic.Target) {
	begin := time.Now()
	want, err := l.way.apply(ctx, l.router, want)
	l.e.metrics.wrote(l.name, err, time.Since(begin))
	if l.note(aboutGateway, err) {
		l.observeAt = time.Now().Add(retryEvery)
		if errors.Is(err, errPressed) {
			l.observeAt = time.Time{} // it did not fail: whoever is heard first may want it written at once
		}
		return
	}
	l.log.Info("traffic written", "weight", want.Weight, "cohort", want.Cohort != nil)
	l.applied, l.appliedAt, l.served, l.misses, l.overwritten = &want, time.Now(), false, 0, false
	l.lookedAt = l.appliedAt // of what was written just now it is told, too
	l.confirmed, l.confirmGap = traffic.NotServed, confirmFirst
	l.observeAt = time.Now().Add(l.confirmGap)
}

// hastily lets f ask the gateway while somebody waits.
func (l *loop) hastily(f func()) {
	l.way.hasty = true
	defer func() { l.way.hasty = false }()
	f()
}

// observe asks the gateway, corrects what somebody else has changed, and turns what it sees into events.
func (l *loop) observe(ctx context.Context, want traffic.Target) bool {
	if !l.look(ctx, want) {
		return false
	}
	if l.note(aboutConfiguration, unreadable(l.observed)) {
		return l.report(ctx) // what cannot be read has not been changed by anybody
	}
	drift := traffic.Drift(want, l.observed)
	switch {
	case len(drift) == 0:
		l.served = true
	case l.served && len(drift) == len(traffic.Broken(l.observed)):
		return l.broken(ctx, drift)
	case l.served:
		return l.drifted(ctx, drift)
	default:
		l.applied = nil // it was never seen as it was written: write it again
	}
	return l.report(ctx)
}

func unreadable(o traffic.Observed) error {
	if o.Unreadable == "" {
		return nil
	}
	return errors.New(o.Unreadable)
}

// look asks the gateway; it is false if the daemon stops, or somebody else is heard first: what was not asked to the end
// says nothing.
func (l *loop) look(ctx context.Context, want traffic.Target) bool {
	l.lookedAt = time.Now()
	var observed traffic.Observed
	err := l.way.ask(ctx, func(ctx context.Context) (err error) {
		observed, err = l.router.Observe(ctx)
		return err
	})
	if ctx.Err() != nil || errors.Is(err, errPressed) {
		return false
	}
	if err != nil {
		observed = traffic.Observed{Unreadable: err.Error()}
	}
	l.observed, l.confirmed = observed, traffic.Confirm(want, observed)
	return true
}

// drifted puts right what somebody else has changed, and tells of it.
func (l *loop) drifted(ctx context.Context, what []string) bool {
	l.log.Warn("gateway changed by somebody else, put right", "differences", what)
	l.e.metrics.drift.WithLabelValues(l.name).Inc()
	l.applied, l.observeAt = nil, time.Time{}
	r := l.running()
	if r == nil || r.back != nil || l.way.wanted() {
		return true
	}
	if len(what) > maxReasons {
		what = what[:maxReasons]
	}
	_, _ = l.append(ctx, r.event(rollout.Drifted{What: what}, "gateway"))
	return true
}

// broken writes anew what is written and cannot be served any more, as when the canary has lost its endpoints: the
// gateway knows what else can be. Nobody has changed anything, so the release says why it is not in force, and no more.
func (l *loop) broken(ctx context.Context, why []string) bool {
	l.log.Warn("what is written cannot be served any more", "why", why)
	l.applied, l.observeAt = nil, time.Time{}
	if r := l.running(); r != nil && r.back == nil && !l.way.wanted() && r.state.InForce {
		return l.say(ctx, rollout.NotInForce{Turn: r.state.Turn, Why: why[:min(len(why), maxReasons)]})
	}
	return true
}

// gatewayChanged lets a rollout's loop look at its gateway soon: what somebody else has changed, or an arm without
// endpoints, costs users requests until it is put right.
func (e *Engine) gatewayChanged(rolloutName string) {
	if l, ok := e.loop(rolloutName); ok {
		l.send(func(context.Context) {
			if soon := l.lookedAt.Add(stirGap); soon.Before(l.observeAt) {
				l.observeAt = soon
			}
		})
	}
}

// maxReasons bounds what an event says in words: a gateway with a hundred replicas may differ in a hundred ways.
const maxReasons = 8

// report turns a confirmation into an event, if it says something new.
func (l *loop) report(ctx context.Context) bool {
	r := l.running()
	silent := l.confirmed == traffic.Unconfirmed
	inForce := l.confirmed == traffic.InForce
	l.schedule(inForce || silent && len(l.observed.Replicas) == 0)
	if inForce {
		l.misses = 0
	} else {
		l.misses++
	}
	if r == nil || r.back != nil || l.way.wanted() {
		return false
	}
	s := r.state
	switch {
	case inForce && !s.InForce:
		l.e.metrics.inForce.WithLabelValues(l.name).Observe(time.Since(l.appliedAt).Seconds())
		return l.say(ctx, rollout.InForce{Turn: s.Turn, How: "api", Silent: l.silent()})
	case silent && len(l.observed.Replicas) == 0:
		// No API is configured: the share that looks see stands in, and trust after verify.for.
		return !s.InForce && s.UnconfirmedAt.IsZero() && l.say(ctx, rollout.NotInForce{Turn: s.Turn, Unconfirmed: true})
	case inForce || l.misses < missesAllowed:
		return false
	case s.InForce, silent && s.UnconfirmedAt.IsZero():
		return l.say(ctx, rollout.NotInForce{Turn: s.Turn, Unconfirmed: silent, Written: l.written(), Why: l.differences()})
	case s.Served != nil && l.written():
		return l.say(ctx, rollout.NotInForce{Turn: s.Turn, Written: true, Why: l.differences()})
	}
	return false
}

// written tells whether the target stands where the gateway reads it.
func (l *loop) written() bool {
	return l.applied != nil && reflect.DeepEqual(*l.applied, l.want()) && len(traffic.Drift(*l.applied, l.observed)) == 0
}

// want is the target of the traffic, the zero one where there is none.
func (l *loop) want() traffic.Target {
	t, _ := l.target()
	return t
}

// silent are the replicas that did not answer.
func (l *loop) silent() (out []string) {
	for _, r := range l.observed.Replicas {
		if r.Err != "" {
			out = append(out, r.Name)
		}
	}
	return out[:min(len(out), maxReasons)]
}

func (l *loop) differences() []string {
	var out []string
	if l.applied != nil {
		out = traffic.Differences(*l.applied, l.observed)
	}
	for _, r := range l.observed.Replicas {
		if r.Err != "" {
			out = append(out, r.Name+": "+r.Err)
		}
	}
	return out[:min(len(out), maxReasons)]
}

func (l *loop) say(ctx context.Context, event rollout.Event) bool {
	_, err := l.append(ctx, l.rel.event(event, "gateway"))
	return err == nil
}

// schedule sets when the gateway is asked next: soon and then less often while a write is on its way, at leisure
// while all is well.
func (l *loop) schedule(calm bool) {
	gap := l.e.o.ObserveEvery
	if !calm {
		l.confirmGap = min(2*l.confirmGap, confirmLast)
		gap = min(l.confirmGap, gap)
	}
	l.observeAt = time.Now().Add(gap)
}

// wake is when the loop has to turn again although nobody sends it anything.
func (l *loop) wake() time.Time {
	soon := time.Now().Add(retryEvery)
	switch {
	case !l.ready && l.trouble[aboutStore] != nil:
		return soon // reading works where writing does not, as on a full disk
	case !l.ready:
		return time.Now()
	}
	at := time.Now().Add(l.e.o.ObserveEvery)
	if l.observeAt.Before(at) {
		at = l.observeAt
	}
	if _, _, ok := l.workTarget(); ok && !l.work.busy && l.e.o.Workloads != nil && l.work.at.Before(at) {
		at = l.work.at
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

// setPlan takes over a plan from the configuration; nil if the rollout is gone from it. A release that runs keeps
// its own.
func (l *loop) setPlan(p *record.Plan) {
	l.plan = p
}
