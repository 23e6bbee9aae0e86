package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// snapshotEvery is the number of looks between snapshots of the evidence, and so the most that a restart has to fold.
const snapshotEvery = 64

// looks takes the looks of all releases, in slots: everything that is due in a slot is queried together and written in one
// transaction.
type looks struct {
	e *Engine

	mu       sync.Mutex // guards subjects
	subjects map[string]*subject
	changed  chan struct{}
	failing  sync.WaitGroup // fail verdicts that are being delivered
	// rehearsals bounds how many releases query stable's history at once.
	rehearsals chan struct{}
}

// subject is one release that looks are taken of.
type subject struct {
	loop     *loop
	release  string
	interval time.Duration
	settle   time.Duration
	plan     analysis.Plan
	judge    judge.Judge

	mu     sync.Mutex // guards follow and taught
	follow follow
	// taught is what stable's history has shown and the evidence does not contain yet.
	taught map[string][]judge.Past

	// pasts are what earlier releases have taught. Stable's history is queried once, before anything is judged; asked belongs
	// to looks.run.
	pasts   map[string][]judge.Past
	history analysis.History
	asked   bool

	// What follows belongs to the slot under way. unsaved are looks that are folded but could not be written yet: they are
	// written with the next ones.
	unsaved  []record.LookRecord
	cursor   analysis.Cursor
	evidence judge.Evidence
	number   int
	weight   *float64 // of the newest settled look; nil if none is known
	judged   bool     // a look was judged: stable's history comes too late to be used
}

// follow is what a look needs to know about its release.
type follow struct {
	scope  string
	turn   int
	weight float64
	cohort bool
	// standing says what windows may count towards.
	standing analysis.Standing
}

// looked is what the release's loop learns from a look.
type looked struct {
	release string
	scope   string
	turn    int
	from    time.Time // beginning of the window of its requests
	look    judge.Look
	verdict judge.Verdict
	// saved is why it could not be written; then nothing but a rollback may follow from it.
	saved error
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

// unlooked clears the trouble of looks where none are taken.
func (l *loop) unlooked() {
	delete(l.trouble, aboutLooks)
	delete(l.trouble, aboutAnalysis)
}

func (k *looks) follow(ctx context.Context, l *loop, r *release, t rollout.Target) error {
	f := follow{scope: t.Analyse, turn: t.Turn, weight: float64(t.Exposure), cohort: t.Cohort}
	def := r.plan.Analyses[t.Analyse].Defaults()
	f.standing.Warm = r.state.Warm(*def.WarmUp, time.Now())
	settled, ok := r.state.Settled(def.Settle)
	f.standing.Settled, f.standing.Unsettled = settled, !ok
	k.mu.Lock()
	s := k.subjects[r.record.ID]
	k.mu.Unlock()
	if s != nil && s.follow.scope == f.scope && s.follow.cohort == f.cohort {
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

// begin makes a subject from what the store has of its scope.
func (k *looks) begin(ctx context.Context, l *loop, r *release, f follow, def analysis.Definition) (*subject, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if f.cohort && f.weight >= 1 {
		def.Split.Off = true // the whole cohort is on the canary: there is no split to test
	}
	j, err := k.e.o.NewJudge(def.Judge(len(r.plan.Rollout.Scopes)))
	if err != nil {
		return nil, err
	}
	sides := arms(l.gw.router, r.state.Parameters, f)
	nameServers(&sides, r.state.Target(&r.plan.Rollout, r.record.ID).Traffic)
	if err := k.e.nameWorkloads(ctx, &sides, def, r.plan.Rollout.Cluster); err != nil {
		return nil, err
	}
	plan, err := analysis.NewPlan(def, sides)
	if err != nil {
		return nil, err
	}
	s := &subject{
		loop: l, release: r.record.ID, interval: def.Interval, settle: def.Settle, plan: plan, judge: j, follow: f,
		cursor: analysis.NewCursor(time.Now().Add(-def.Settle)),
	}
	stored, err := k.e.o.Store.Evidence(ctx, s.release, f.scope)
	if err != nil {
		return nil, err
	}
	if stored.Snapshot != nil {
		if err := s.restore(stored); err != nil {
			return nil, err
		}
	}
	if stored.Snapshot != nil && s.judged {
		return s, nil
	}
	learned, err := k.e.o.Store.Learned(ctx, r.record.Rollout)
	if err != nil {
		return nil, err
	}
	s.pasts = pasts(def, learned)
	if s.history, err = analysis.NewHistory(def, sides.Baseline); err != nil {
		return nil, err
	}
	if stored.Snapshot != nil {
		return s, nil
	}
	return s, k.fresh(ctx, s)
}

// fresh begins evidence from what earlier releases have taught.
func (k *looks) fresh(ctx context.Context, s *subject) error {
	s.evidence = s.judge.Begin(s.pasts)
	snapshot, err := s.evidence.Encode()
	if err != nil {
		return err
	}
	return k.e.o.Store.SaveSnapshot(ctx, s.release, s.follow.scope, 0, snapshot)
}

// restore folds the looks since the newest snapshot. The judge is pure, so the result is the evidence as it was.
func (s *subject) restore(stored record.Evidence) error {
	var err error
	if s.evidence, err = s.judge.Decode(stored.Snapshot); err != nil {
		return fmt.Errorf("decode evidence: %w", err)
	}
	s.number = stored.SnapshotLook
	s.judged = stored.SnapshotLook > 0
	for _, look := range stored.Since {
		s.evidence, _ = judge.Take(s.judge, s.evidence, look)
		s.number, s.weight = look.Number, &look.Weight
		s.judged = s.judged || look.Excluded == ""
	}
	if stored.Cursor == nil {
		return nil
	}
	if err := json.Unmarshal(stored.Cursor, &s.cursor); err != nil {
		return fmt.Errorf("decode cursor: %w", err)
	}
	return nil
}

// arms are the names of both sides in their metrics.
func arms(r Router, parameters map[string]string, f follow) analysis.Arms {
	canary, stable := r.Labels(f.cohort)
	if f.cohort && f.weight >= 1 {
		_, stable = r.Labels(false) // the whole cohort is on the canary: all other users are the baseline
	}
	names := func(arm, service string) analysis.Names {
		vars := map[string][]string{"arm": {arm}}
		for name, value := range parameters {
			vars[name] = []string{value}
		}
		return analysis.Names{Service: service, Vars: vars}
	}
	return analysis.Arms{Canary: names("canary", canary), Baseline: names("stable", stable)}
}

// drop ends the looks of a release.
func (k *looks) drop(release string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.subjects, release)
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

// nextSlot is the slot after last, or the first one if last is zero, and how many slots are skipped because it is too late
// for them. After the clock was set back by more than a slot, a new grid begins instead of waiting for it to catch up.
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
	begin := time.Now()
	asks, parts := []analysis.Ask(nil), make([]int, 0, len(due)+1)
	for _, s := range due {
		parts = append(parts, len(asks))
		if cursor, back := s.cursor.Until(at.Add(-s.settle)); back > interval {
			k.e.o.Log.Warn("the clock was set back; looks continue from the new time", "rollout", s.loop.name, "by", back)
			s.cursor = cursor
		}
		asks = append(asks, s.plan.Asks(s.cursor, at.Add(-s.settle))...)
	}
	parts = append(parts, len(asks))
	answers := k.e.o.Source.Fetch(ctx, asks)
	if ctx.Err() != nil {
		return // the daemon stops: the next one asks again
	}
	results := make([]taken, len(due))
	each(len(due), func(i int) { results[i] = due[i].take(at, answers[parts[i]:parts[i+1]]) })
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
			due[i].unsaved = nil // it can never be written; the next look begins where this one began
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

// errSlow stands for the answer of a store that has not answered yet.
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

// forget lets the loop load a subject from the store again, which has looks that the subject does not know: of another
// daemon, or of this one if the store's answer was lost.
func (k *looks) forget(s *subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.subjects[s.release] == s {
		delete(k.subjects, s.release)
	}
}

// maxUnsaved bounds the looks of one release that wait for a failing store.
const maxUnsaved = 1000

// goOn moves the subject past a look. One that could not be written is kept: nothing advances by it, but a fault has to be
// found even while the disk is full.
func (s *subject) goOn(t taken, saved error) {
	switch {
	case saved == nil:
		s.unsaved = nil
	case len(s.unsaved) >= maxUnsaved:
		return // the next look begins where this one began
	}
	if t.err != nil {
		return
	}
	if saved != nil {
		s.unsaved = append(s.unsaved, t.record)
	}
	s.cursor, s.evidence, s.number, s.weight = t.cursor, t.evidence, t.record.Look.Number, &t.record.Look.Weight
	s.judged = s.judged || t.record.Look.Excluded == ""
	if t.taught {
		s.mu.Lock()
		s.taught = nil
		s.mu.Unlock()
	}
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

// taken is a look that is not written yet; the subject moves past it once it is.
type taken struct {
	cursor   analysis.Cursor
	evidence judge.Evidence
	record   record.LookRecord
	from     time.Time
	taught   bool // the evidence begins with stable's history
	err      error
}

// take folds the answers of one slot; the subject stays as it is.
func (s *subject) take(at time.Time, answers []analysis.Answer) taken {
	s.mu.Lock()
	f, taught := s.follow, s.taught
	s.mu.Unlock()
	t := taken{from: s.plan.RequestsFrom(s.cursor)}
	before := s.evidence
	if taught != nil && !s.judged {
		before, t.taught = s.judge.Begin(taught), true
	}
	in := analysis.FoldInput{Number: s.number + 1, At: at.Add(-s.settle), Weight: f.weight, Standing: f.standing}
	var look judge.Look
	t.cursor, look = s.plan.Fold(s.cursor, answers, in)
	if look.Unsettled && s.weight != nil {
		look.Weight = *s.weight
	}
	t.record = record.LookRecord{Release: s.release, Scope: f.scope, Turn: f.turn, Look: look}
	t.evidence, t.record.Verdict = judge.Take(s.judge, before, look)
	if t.record.Cursor, t.err = json.Marshal(t.cursor); t.err != nil {
		return t
	}
	if look.Number%snapshotEvery == 0 || t.taught {
		t.record.Snapshot, t.err = t.evidence.Encode()
	}
	return t
}

// deliver sends a look to the release's loop. A look that sends the release back preempts what the loop waits for.
func (k *looks) deliver(ctx context.Context, s *subject, t taken, saved error) {
	if t.err != nil {
		saved = &record.LooksError{Releases: []string{s.release}, Err: t.err}
	}
	l, res := s.loop, looked{
		release: s.release, scope: t.record.Scope, turn: t.record.Turn, from: t.from,
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

// event is the event of a look that is news.
func (k looked) event() rollout.LookTaken {
	return rollout.LookTaken{Meta: rollout.Meta{By: "judge"}, Scope: k.scope, Turn: k.turn, Verdict: k.verdict}
}

// looked handles a look. It becomes an event only if it is news.
func (l *loop) looked(ctx context.Context, k looked) {
	r := l.running()
	if r == nil || r.record.ID != k.release || r.back != nil || !r.state.Watches(k.scope) {
		return
	}
	if r.state.Turn != k.turn && k.verdict.Outcome != judge.Fail {
		return
	}
	var kept *record.LooksError
	if errors.As(k.saved, &kept) && k.verdict.Outcome != judge.Fail {
		k.verdict = unusable(k.verdict, kept) // it never will be written: the release has seen nothing
	}
	r.verdict = &k.verdict
	l.e.metrics.verdict(l.name, k.verdict)
	l.e.feed.tell(record.Update{Rollout: l.name, Release: k.release})
	if l.note(aboutLooks, k.saved) && k.verdict.Outcome != judge.Fail && kept == nil {
		return // an unwritten look must not advance anything
	}
	l.standIn(ctx, k)
	if !rollout.News(r.state.Look, k.verdict, k.look.Unsettled) {
		return
	}
	_, _ = l.append(ctx, r.event(k.event(), "judge"))
}

// unusable is the verdict of a look that cannot be kept because of what is in it: the source might as well not have
// answered.
func unusable(v judge.Verdict, why error) judge.Verdict {
	v.Outcome, v.Reason, v.Enough, v.Leaning, v.SampleRatio = judge.Inconclusive, judge.Unreachable, false, false, nil
	v.Metrics = slices.Clone(v.Metrics)
	for i := range v.Metrics {
		m := &v.Metrics[i]
		*m = judge.MetricVerdict{Metric: m.Metric, Kind: m.Kind, Optional: m.Optional, DryRun: m.DryRun, Outcome: v.Outcome, Reason: v.Reason, Detail: why.Error()}
	}
	if len(v.Metrics) > 0 {
		v.Decisive = v.Metrics[0].Metric
	}
	return v
}

// standIn puts a target in force by how requests were split, where no API of the gateway is configured.
func (l *loop) standIn(ctx context.Context, k looked) {
	want, _ := l.target()
	if l.gw.confirmed != traffic.Unconfirmed || len(l.gw.observed.Replicas) > 0 || k.look.Requests == nil || !l.gw.holds(want) {
		return
	}
	r := l.rel
	seen := rollout.Requests{Turn: k.turn, From: k.from, Canary: k.look.Requests.Canary, Baseline: k.look.Requests.Baseline}
	if r.state.StandsIn(r.state.Target(&r.plan.Rollout, k.release).Exposure, seen, l.gw.appliedAt) {
		l.say(ctx, rollout.InForce{Turn: k.turn, How: "metrics"})
	}
}
