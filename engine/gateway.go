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

// How soon a loop checks whether a write is in force, and how the intervals grow. Traefik takes 0.1 s for a first
// change and up to 2 s for one within its throttle.
const (
	confirmFirst = 50 * time.Millisecond
	confirmLast  = 500 * time.Millisecond
	// gatewayTimeout bounds one request of a loop to its gateway. It is longer than the gateway's own timeouts for the
	// effects of a write.
	gatewayTimeout = 30 * time.Second
	// answerMoment is how long a caller waits for the gateway. What is not written by then is tried again.
	answerMoment = 2 * time.Second
	// stirGap is the least time between two observations caused by changes: a rolling Deployment causes many.
	stirGap = 200 * time.Millisecond
)

// How often a gateway is queried while its rollout is at rest: no release is under way, and the last write was
// confirmed. An external change is then noticed at once if a watch reports it, and otherwise within restUnwatched. A
// difference in a single replica of Traefik is noticed within these bounds as well.
const (
	restWatched   = 5 * time.Minute
	restUnwatched = 30 * time.Second
)

// errTurn is why the gateway of a rollout at rest is not written yet: see [queue].
var errTurn = errors.New("other rollouts are written first")

// maxReasons bounds the reasons in an event: a gateway with a hundred replicas may differ in a hundred ways.
const maxReasons = 8

// gatewaySide is the gateway of a rollout as its loop knows it: what was written, what was confirmed, and when to query
// it again. It belongs to the loop's goroutine.
type gatewaySide struct {
	router Router
	from   record.Gateway // what router was made from
	failed error          // why the last write failed, or there is no router; nil if it succeeded

	applied   *traffic.Target // the last write; nil if it has to be repeated
	appliedAt time.Time
	// overwritten: something was written outside the loop since.
	overwritten bool
	// granted: it is this rollout's turn in the queue.
	granted   bool
	seen      bool // applied was confirmed as written, so a difference comes from an external writer
	observed  traffic.Observed
	confirmed traffic.Confirmation
	misses    int // how often in a row applied was not seen in force

	observeAt  time.Time
	lookedAt   time.Time // when the gateway was last queried
	confirmGap time.Duration
}

// wrote records a write.
func (g *gatewaySide) wrote(t traffic.Target) {
	g.applied, g.appliedAt, g.seen, g.misses, g.overwritten = &t, time.Now(), false, 0, false
	g.lookedAt = g.appliedAt // the watch also reports our own write
	g.confirmed, g.confirmGap = traffic.NotServed, confirmFirst
	g.observeAt = g.appliedAt.Add(g.confirmGap)
}

// again makes the loop write the target again at once.
func (g *gatewaySide) again() { g.applied, g.observeAt = nil, time.Time{} }

// holds reports whether t is the last write.
func (g *gatewaySide) holds(t traffic.Target) bool {
	return g.applied != nil && reflect.DeepEqual(*g.applied, t)
}

// sight is the last observation of t, the current target.
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

// differences returns why the last write is not in force, as far as that is known.
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

// schedule sets the next query: in growing intervals after a write, and every calm, on the grid of often, while all is
// well. last is the longest interval while it is not.
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
		gap -= now.Sub(now.Truncate(often)) // computed on the monotonic clock: a change of the time of day delays no query
	}
	g.observeAt = now.Add(gap)
}

// target is the current target of the traffic.
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

// reconcile brings the gateway to the target and makes events of what it observes; it reports whether these have
// changed the release.
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
		// The write failed. What is served meanwhile has to be known all the same.
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

// gatewayOf is the gateway of the running release's plan, or else of the configured plan, or else of the last release
// of a rollout that is no longer configured.
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

// hastily lets f query the gateway while a caller waits.
func (l *loop) hastily(f func()) {
	l.way.hasty = true
	defer func() { l.way.hasty = false }()
	f()
}

// observe queries the gateway, reverts external changes, and turns its observations into events.
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
		l.gw.applied = nil // it was never confirmed as written: write it again
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

// look queries the gateway; ok is false if the daemon stops or another request comes first, since an interrupted
// observation says nothing.
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

// affected is the release whose event an observation becomes; nil if there is none, or its rollback comes first.
func (l *loop) affected() *release {
	if r := l.running(); r != nil && r.back == nil && !l.way.wanted() {
		return r
	}
	return nil
}

// drifted reverts an external change, and records it.
func (l *loop) drifted(ctx context.Context, what []string) bool {
	l.log.Warn("external change of the gateway's configuration, reverting it", "differences", what)
	l.e.metrics.drifted(l.name)
	l.gw.again()
	if l.affected() != nil {
		l.say(ctx, rollout.Drifted{What: few(what)})
	}
	return true
}

// broken repeats a write that can no longer be served, for example because the canary has lost its endpoints: the
// gateway may have a substitute. It is no external change, so the release only records why the target is not in force.
func (l *loop) broken(ctx context.Context, why []string) bool {
	l.log.Warn("the gateway can no longer serve its configuration", "why", why)
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

// atRest reports whether no release is under way, and the gateway was confirmed as written.
func (l *loop) atRest() bool {
	return l.ready && l.running() == nil && !l.waits() && !l.way.wanted() && l.gw.applied != nil && l.gw.seen
}

// report turns an observation into an event, if it says something new.
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
