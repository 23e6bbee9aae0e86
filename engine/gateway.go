package engine

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// How soon a loop looks whether a write is in force, and less often then. Traefik takes 0.1 s for a first change and up to
// 2 s for one within its throttle.
const (
	confirmFirst = 50 * time.Millisecond
	confirmLast  = 500 * time.Millisecond
	// gatewayTimeout bounds one request of a loop to its gateway: longer than the gateway's own patience with what a
	// write causes.
	gatewayTimeout = 30 * time.Second
	// answerMoment is how long a caller waits for the gateway. What is not written by then is tried again.
	answerMoment = 2 * time.Second
	// stirGap is the least time between two observations caused by changes: a rolling Deployment causes many.
	stirGap = 200 * time.Millisecond
)

// How often a gateway is asked while its rollout is at rest: no release is under way, and what was written last was
// seen. An external change to what Serin wrote is then noticed at once where a watch reports it, and otherwise within
// restUnwatched. A difference in a single replica of Traefik is noticed within these bounds as well.
const (
	restWatched   = 5 * time.Minute
	restUnwatched = 30 * time.Second
)

// errTurn is why the gateway of a rollout at rest is not written yet: see [queue].
var errTurn = errors.New("other rollouts are written first")

// maxReasons bounds what an event says in words: a gateway with a hundred replicas may differ in a hundred ways.
const maxReasons = 8

// gatewaySide is the gateway of a rollout as its loop knows it: what was written, what was seen of that, and when to ask
// again. It belongs to the loop's goroutine.
type gatewaySide struct {
	router Router
	from   record.Gateway // what router was made from
	failed error          // why the last write did not work, or there is no router; nil if it worked

	applied   *traffic.Target // what was written last; nil if it has to be written again
	appliedAt time.Time
	// overwritten: something was written outside the loop since.
	overwritten bool
	// granted: it is this rollout's turn in the queue.
	granted   bool
	seen      bool // applied was seen as it was written, so a difference is an external writer's
	observed  traffic.Observed
	confirmed traffic.Confirmation
	misses    int // how often in a row applied was not seen in force

	observeAt  time.Time
	lookedAt   time.Time // when the gateway was asked last
	confirmGap time.Duration
}

// wrote takes over what was written.
func (g *gatewaySide) wrote(t traffic.Target) {
	g.applied, g.appliedAt, g.seen, g.misses, g.overwritten = &t, time.Now(), false, 0, false
	g.lookedAt = g.appliedAt // the watch also reports our own write
	g.confirmed, g.confirmGap = traffic.NotServed, confirmFirst
	g.observeAt = g.appliedAt.Add(g.confirmGap)
}

// again lets the target be written at once, although it was.
func (g *gatewaySide) again() { g.applied, g.observeAt = nil, time.Time{} }

// holds tells whether t is what was written last.
func (g *gatewaySide) holds(t traffic.Target) bool {
	return g.applied != nil && reflect.DeepEqual(*g.applied, t)
}

// sight is what was seen of t, the current target.
func (g *gatewaySide) sight(t traffic.Target) rollout.Sight {
	s := rollout.Sight{
		Confirmed: g.confirmed, Asks: len(g.observed.Replicas) > 0, Misses: g.misses, Why: g.differences(),
		Written: g.holds(t) && len(traffic.Drift(t, g.observed)) == 0,
	}
	for _, r := range g.observed.Replicas {
		if r.Err != "" {
			s.Silent = append(s.Silent, r.Name)
		}
	}
	s.Silent = few(s.Silent)
	return s
}

// differences are why what was written last is not in force, as far as that is known.
func (g *gatewaySide) differences() []string {
	var out []string
	if g.applied != nil {
		out = traffic.Differences(*g.applied, g.observed)
	}
	for _, r := range g.observed.Replicas {
		if r.Err != "" {
			out = append(out, r.Name+": "+r.Err)
		}
	}
	return few(out)
}

func few(words []string) []string { return words[:min(len(words), maxReasons)] }

// schedule sets when the gateway is asked next: soon and then less often while a write is on its way, every calm while all
// is well, on the grid of often. Last is the longest gap while it is not.
func (g *gatewaySide) schedule(often, calm, last time.Duration) {
	gap := calm
	if g.confirmed == traffic.InForce {
		g.misses = 0
	} else {
		g.misses++
	}
	if g.confirmed != traffic.InForce && (g.confirmed != traffic.Unconfirmed || len(g.observed.Replicas) > 0) {
		g.confirmGap = min(2*g.confirmGap, last)
		gap = min(g.confirmGap, gap)
	}
	now := time.Now()
	if gap == calm { // at the same time as other rollouts, so that one answer of a replica can serve all of them
		gap -= now.Sub(now.Truncate(often)) // computed on the monotonic clock: a change of the time of day delays no look
	}
	g.observeAt = now.Add(gap)
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
	case l.plan == nil && l.rel != nil && l.gw.overwritten:
		return l.rel.plan.Rollout.Idle(l.swapped), true // as the ended release left it
	case l.plan == nil:
		return traffic.Target{}, false
	}
	return l.atRestTraffic()
}

// reconcile brings the gateway to the target and reports what it sees; it reports whether the release has changed
// by that.
func (l *loop) reconcile(ctx context.Context) bool {
	now := time.Now()
	want, ok := l.target()
	if !ok {
		l.gw.observeAt = now.Add(l.e.o.ObserveEvery)
		return false
	}
	if !l.ensureRouter() {
		l.gw.observeAt = now.Add(retryEvery)
		return false
	}
	if !l.gw.holds(want) {
		if now.Before(l.gw.observeAt) && l.gw.failed != nil && !errors.Is(l.gw.failed, errTurn) {
			return false // the last write failed a moment ago
		}
		l.write(ctx, want)
		if l.gw.failed == nil || l.way.hasty || errors.Is(l.gw.failed, errTurn) {
			return false
		}
		// It cannot be written. What is served meanwhile has to be known all the same.
		said := l.look(ctx, want) && l.report(ctx, want)
		l.gw.observeAt = time.Now().Add(retryEvery)
		return said
	}
	if now.Before(l.gw.observeAt) {
		return false
	}
	return l.observe(ctx, want)
}

func (l *loop) ensureRouter() bool {
	from, ok := l.gatewayOf()
	if !ok {
		return false
	}
	if l.gw.router != nil && reflect.DeepEqual(from, l.gw.from) {
		return true
	}
	router, err := l.e.o.NewRouter(l.name, from)
	l.gw.failed = err
	if l.note(aboutGateway, err) {
		return false
	}
	l.gw.router, l.gw.from, l.gw.applied = router, from, nil
	l.way.lead(router)
	return true
}

// gatewayOf is the gateway's part of the plan of the release that runs, else of the configured one, else of the last
// release of a rollout that is no longer configured.
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
	over, ok := l.turnToWrite()
	if !ok {
		l.gw.failed, l.gw.observeAt = errTurn, time.Now().Add(restUnwatched) // it is called earlier
		return
	}
	defer over()
	begin := time.Now()
	want, err := l.way.apply(ctx, l.gw.router, want)
	l.e.metrics.wrote(l.name, err, time.Since(begin))
	l.gw.failed = err
	if l.note(aboutGateway, err) {
		l.gw.observeAt = time.Now().Add(retryEvery)
		if errors.Is(err, errPressed) {
			l.gw.observeAt = time.Time{} // not a failure: the request that came first may want it written at once
		}
		return
	}
	l.log.Info("traffic written", "weight", want.Weight, "cohort", want.Cohort != nil)
	l.gw.wrote(want)
}

// hastily lets f ask the gateway while a caller waits.
func (l *loop) hastily(f func()) {
	l.way.hasty = true
	defer func() { l.way.hasty = false }()
	f()
}

// observe asks the gateway, corrects what an external writer has changed, and turns what it sees into events.
func (l *loop) observe(ctx context.Context, want traffic.Target) bool {
	if !l.look(ctx, want) {
		return false
	}
	found, how := traffic.Find(want, l.gw.observed, l.gw.seen)
	l.note(aboutConfiguration, unreadable(l.gw.observed))
	switch found {
	case traffic.FoundBroken:
		return l.broken(ctx, how)
	case traffic.FoundChanged:
		return l.drifted(ctx, how)
	case traffic.FoundWritten:
		l.gw.seen = true
	case traffic.FoundNever:
		l.gw.applied = nil // it was never seen as it was written: write it again
	case traffic.FoundUnreadable: // that is no external change
	}
	return l.report(ctx, want)
}

func unreadable(o traffic.Observed) error {
	if o.Unreadable == "" {
		return nil
	}
	return errors.New(o.Unreadable)
}

// look asks the gateway; it is false if the daemon stops or another request comes first, since an interrupted observation
// says nothing.
func (l *loop) look(ctx context.Context, want traffic.Target) bool {
	l.gw.lookedAt = time.Now()
	var observed traffic.Observed
	err := l.way.ask(ctx, func(ctx context.Context) (err error) {
		observed, err = l.gw.router.Observe(ctx)
		return err
	})
	if ctx.Err() != nil || errors.Is(err, errPressed) {
		return false
	}
	if err != nil {
		observed = traffic.Observed{Unreadable: err.Error()}
	}
	l.gw.observed, l.gw.confirmed = observed, traffic.Confirm(want, observed)
	return true
}

// affected is the release that an observation is an event of; nil where there is none, or its way back comes first.
func (l *loop) affected() *release {
	if r := l.running(); r != nil && r.back == nil && !l.way.wanted() {
		return r
	}
	return nil
}

// drifted reverts an external change, and records it.
func (l *loop) drifted(ctx context.Context, what []string) bool {
	l.log.Warn("external change of the gateway's configuration, reverting it", "differences", what)
	l.e.metrics.drift.WithLabelValues(l.name).Inc()
	l.gw.again()
	if l.affected() != nil {
		l.say(ctx, rollout.Drifted{What: few(what)})
	}
	return true
}

// broken writes the target again that is written and can no longer be served, for example because the canary has lost its
// endpoints: the gateway may have a substitute. It is no external change, so the release only records why it is not in
// force.
func (l *loop) broken(ctx context.Context, why []string) bool {
	l.log.Warn("what is written cannot be served any more", "why", why)
	l.gw.again()
	if r := l.affected(); r != nil && r.state.InForce {
		return l.say(ctx, rollout.NotInForce{Turn: r.state.Turn, Why: few(why)})
	}
	return true
}

// gatewayChanged lets a rollout's loop observe its gateway soon: an external change, or an arm without endpoints, costs
// users requests until it is corrected.
func (e *Engine) gatewayChanged(rolloutName string) {
	if l, ok := e.loop(rolloutName); ok {
		l.send(func(context.Context) {
			if soon := l.gw.lookedAt.Add(stirGap); soon.Before(l.gw.observeAt) {
				l.gw.observeAt = soon
			}
		})
	}
}

// schedule sets when the gateway is asked next.
func (l *loop) schedule() {
	often := l.e.o.ObserveEvery
	switch {
	case !l.atRest():
		l.gw.schedule(often, often, confirmLast)
	case l.gw.router.Watched():
		l.gw.schedule(often, max(often, restWatched), often)
	default:
		l.gw.schedule(often, max(often, restUnwatched), often)
	}
}

// atRest tells whether nothing is under way, and the gateway was seen as it was written.
func (l *loop) atRest() bool {
	return l.ready && l.running() == nil && !l.waits() && !l.way.wanted() && l.gw.applied != nil && l.gw.seen
}

// report turns what was seen into an event, if it says something new.
func (l *loop) report(ctx context.Context, want traffic.Target) bool {
	l.schedule()
	l.leaves()
	r := l.affected()
	if r == nil {
		return false
	}
	event, ok := r.state.Saw(l.gw.sight(want))
	if !ok {
		return false
	}
	if _, inForce := event.(rollout.InForce); inForce {
		l.e.metrics.inForce.WithLabelValues(l.name).Observe(time.Since(l.gw.appliedAt).Seconds())
	}
	return l.say(ctx, event)
}

func (l *loop) say(ctx context.Context, event rollout.Event) bool {
	_, err := l.append(ctx, l.rel.event(event, "gateway"))
	return err == nil
}
