package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

// snapshotEvery is the number of looks between snapshots of the evidence, and so the most that a restart has to fold.
const snapshotEvery = 64

// subject is one release whose looks are taken.
type subject struct {
	loop     *loop
	release  string
	interval time.Duration
	settle   time.Duration
	plan     analysis.Plan
	judge    judge.Judge

	mu     sync.Mutex // guards follow, taught and judged
	follow follow
	// taught is noise learned from stable's history that the evidence does not contain yet.
	taught map[string][]judge.Past
	judged bool // a look with data was judged, so stable's history comes too late to be used

	// pasts holds the noise learned from earlier releases. Stable's history is queried once, before anything is judged, and
	// then both are let go; asked belongs to looks.run.
	pasts   map[string][]judge.Past
	history analysis.History
	asked   bool

	// The fields below belong to the current slot. unsaved are looks that were folded but could not be written yet;
	// they are written along with the next ones.
	unsaved  []record.LookRecord
	cursor   analysis.Cursor
	evidence judge.Evidence
	number   int
	weight   *float64 // of the newest settled look; nil if none is known
}

// follow is what a look needs to know about its release.
type follow struct {
	scope  string
	turn   int
	weight float64
	on     traffic.Lane // the lane whose requests are compared
	// before is how far back the baseline has to lie at least while a release is watched; 0 otherwise.
	before time.Duration
	// standing determines which windows count.
	standing analysis.Standing
	// ready is when the canary's pods became ready, by the daemon's clock; nil where that is not known.
	ready []time.Time
}

// replicas are the canary's at the end of a look, by a clock that is behind the daemon's: its pods, which are supposed to have
// the same share of the requests, or where there are none what the look itself says.
func (f follow) replicas(l judge.Look, behind time.Duration) (out []judge.Replica) {
	if len(f.ready) == 0 {
		return l.Replicas
	}
	for _, at := range f.ready {
		if age := l.At.Sub(at.Add(-behind)); age >= 0 { // or it came later
			out = append(out, judge.Replica{Age: age.Seconds(), Total: 1})
		}
	}
	return out
}

// telling reports whether the number or the age of a look's replicas may matter: in the first looks, where the weight has
// changed, and where one has just started.
func telling(l judge.Look, first bool) bool {
	return first || slices.ContainsFunc(l.Replicas, func(r judge.Replica) bool { return r.Age <= l.Length.Seconds() })
}

// begin makes a subject from its scope's data in the store.
func (k *looks) begin(ctx context.Context, l *loop, r *release, f follow, def analysis.Definition) (*subject, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	def = def.Before(f.before)
	if f.on == traffic.CohortLane && f.weight >= 1 {
		def.Split.Off = true // the whole cohort is on the canary: there is no split to test
	}
	j, err := k.e.o.NewJudge(def.Judge(len(r.plan.Rollout.Scopes)))
	if err != nil {
		return nil, err
	}
	sides := arms(l.gw.router, r.state.Parameters, f)
	nameServers(&sides, onTrial(r.state.Target(&r.plan.Rollout, r.record.ID).Traffic, f))
	if err := k.e.nameWorkloads(ctx, &sides, def, r.plan.Rollout.Cluster, f.before > 0); err != nil {
		return nil, err
	}
	plan, err := analysis.NewPlan(def, sides)
	if err != nil {
		return nil, err
	}
	s := &subject{
		loop: l, release: r.record.ID, interval: def.Interval, settle: def.Settle, plan: plan, judge: j, follow: f,
		cursor: analysis.NewCursor(time.Now().Add(-def.Settle - k.behind())),
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
	s.pasts = pasts(def, learned, f.on == traffic.MirrorLane)
	if s.history, err = analysis.NewHistory(def, sides.Baseline); err != nil {
		return nil, err
	}
	if stored.Snapshot != nil {
		return s, nil
	}
	return s, k.fresh(ctx, s)
}

// fresh begins evidence from the noise learned from earlier releases.
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
		s.judged = s.judged || shows(look)
	}
	if stored.Cursor == nil {
		return nil
	}
	if err := json.Unmarshal(stored.Cursor, &s.cursor); err != nil {
		return fmt.Errorf("decode cursor: %w", err)
	}
	return nil
}

// onTrial returns the traffic with the version on trial as the canary: after a promotion it is served by stable.
func onTrial(t traffic.Target, f follow) traffic.Target {
	if f.before > 0 {
		t.Canary, t.Stable = t.Stable, t.Canary
	}
	return t
}

// arms returns the names of both arms in their metrics.
func arms(r Router, parameters map[string]string, f follow) analysis.Arms {
	canary, stable := r.Labels(f.on)
	if f.before > 0 {
		canary = stable // the new version is in service, as the previous one was then
	}
	if f.on == traffic.CohortLane && f.weight >= 1 {
		_, stable = r.Labels(traffic.MainLane) // the whole cohort is on the canary: all other users are the baseline
	}
	names := func(arm, service string) analysis.Names {
		vars := map[string][]string{"arm": {arm}}
		for name, value := range parameters {
			vars[name] = []string{value}
		}
		return analysis.Names{Service: service, Vars: vars}
	}
	onTrial := "canary"
	if f.before > 0 {
		onTrial = "stable"
	}
	return analysis.Arms{Canary: names(onTrial, canary), Baseline: names("stable", stable)}
}

// taken is a look that is not written yet; once it is, the subject moves past it.
type taken struct {
	cursor   analysis.Cursor
	evidence judge.Evidence
	record   record.LookRecord
	from     time.Time     // by the daemon's clock
	behind   time.Duration // see [looks.behind]
	taught   bool          // the evidence begins with stable's history
	err      error
}

// take folds the answers of one slot without changing the subject. at is a time of the source's clock, which is behind
// the daemon's by behind.
func (s *subject) take(at time.Time, behind time.Duration, answers []analysis.Answer) taken {
	s.mu.Lock()
	f, taught, judged := s.follow, s.taught, s.judged
	s.mu.Unlock()
	t := taken{from: s.plan.RequestsFrom(s.cursor).Add(behind), behind: behind}
	before := s.evidence
	if taught != nil && !judged {
		before, t.taught = s.judge.Begin(taught), true
	}
	in := analysis.FoldInput{Number: s.number + 1, At: at.Add(-s.settle), Weight: f.weight, Standing: f.standing.Earlier(behind)}
	var look judge.Look
	t.cursor, look = s.plan.Fold(s.cursor, answers, in)
	if look.Unsettled && s.weight != nil {
		look.Weight = *s.weight
	}
	look.Replicas = f.replicas(look, behind)
	if !telling(look, !judged || s.weight == nil || *s.weight != look.Weight) {
		look.Replicas = nil
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

// maxUnsaved bounds the looks of one release that wait for a failing store.
const maxUnsaved = 1000

// goOn moves the subject past a look. A look that could not be written is kept: the release does not advance on it, but
// a fault has to be found even while the disk is full.
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
	weight := t.record.Look.Weight // a copy: a pointer into the look would keep all of it in memory
	s.cursor, s.evidence, s.number, s.weight = t.cursor, t.evidence, t.record.Look.Number, &weight
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judged = s.judged || shows(t.record.Look)
	if t.taught || s.judged {
		s.taught = nil // it is in the evidence, or came too late
	}
}

// shows reports whether a look has anything to judge.
func shows(l judge.Look) bool {
	return l.Excluded == "" && slices.ContainsFunc(l.Observations, func(o judge.Observation) bool {
		return o.Absent == "" || o.Absent == judge.WarmingUp
	})
}
