package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

// release is one release as its loop holds it.
type release struct {
	record record.Release
	plan   record.Plan
	state  rollout.State
	// back is a rollback that is being carried out but could not be written yet.
	back *pendingBack
	// verdict of the newest look, whether or not it was news.
	verdict *judge.Verdict
}

type pendingBack struct {
	event rollout.Event
	state rollout.State
}

// now is the state to act on.
func (r *release) now() rollout.State {
	if r.back != nil {
		return r.back.state
	}
	return r.state
}

// forgotten is the event of a rollback that the store has lost, or nil. A database that failed over to a standby that
// was behind loses its newest events, which must not send users to the canary again.
func (r *release) forgotten(before *release) rollout.Event {
	s := before.state
	if r.state.Seq >= s.Seq || r.state.Phase != rollout.Active || s.Phase == rollout.Active || s.Outcome == rollout.Released {
		return nil
	}
	by := rollout.Meta{By: s.WhyBy}
	if s.Successor != nil {
		return rollout.Superseded{Meta: by, Next: *s.Successor}
	}
	return rollout.RollbackRequested{Meta: by, Reason: s.Why + " (requested before; the store had lost it)"}
}

// goOnBack continues an unwritten rollback of before, the same release before it was loaded again because another
// daemon had acted or the answer to a write was lost. If the release is going back already, or has ended, there is
// nothing to continue.
func (r *release) goOnBack(before *release) {
	if before == nil || before.record.ID != r.record.ID {
		return
	}
	back := r.forgotten(before)
	if before.back != nil {
		back = before.back.event
	}
	if back == nil {
		return
	}
	event := r.event(back, back.Head().By)
	if next, err := r.state.Apply(event); err == nil {
		r.back = &pendingBack{event: event, state: next}
	}
}

// event gives an event the next head.
func (r *release) event(e rollout.Event, by string) rollout.Event {
	return e.With(rollout.Meta{Seq: r.state.Seq + 1, At: time.Now().UTC(), By: by})
}

// view is the release's part of a view.
func (r *release) view(now time.Time) record.View {
	rec, s, d := r.record, r.now(), &r.plan.Rollout
	said := s
	if r.verdict != nil && s.Look != nil && r.verdict.Look > s.Look.Look {
		said.Look = r.verdict // the explanation is about the newest look, even if that is no news
	}
	v := record.View{
		Rollout: rec.Rollout, Declared: true, Release: &rec, State: s, Steps: d.Steps, Definition: d,
		About: r.plan.About.Of(s.Parameters), Namespace: r.plan.Namespace(),
		Swapped: s.SwappedNow(),
		Target:  s.Target(d, rec.ID).Traffic, Verdict: r.verdict, Waiting: tell.Waiting(said, d, now),
	}
	v.Verdict = v.LastVerdict()
	if gate := s.OpenGate(); gate != "" {
		v.Gate, v.Approvers, v.GateSince = gate, d.Approvers(gate), s.StepAt.Add(s.PausedFor)
		if s.Question != nil {
			v.GateSince = s.Question.Since
		}
	}
	return v
}

// publish makes the loop's view visible to others, and notifies them if the traffic or the errors have changed, which
// no event reports between releases.
func (l *loop) publish() {
	before, now := l.view.Load(), l.show()
	if before != nil && (before.Confirmation != now.Confirmation || !slices.Equal(before.Trouble, now.Trouble) || revision(before) != revision(now)) {
		l.e.feed.tell(record.Update{Rollout: l.name})
	}
}

// revision is that of the rollout as a view shows it.
func revision(v *record.View) string {
	if v.Definition == nil || !v.Declared {
		return ""
	}
	return v.Definition.Revision
}

// show makes the loop's view visible to others without notifying them.
func (l *loop) show() *record.View {
	now := time.Now()
	v := record.View{Rollout: l.name, Swapped: l.swapped}
	if l.rel != nil {
		v = l.rel.view(now)
		if l.rel.state.Ended() {
			v.Swapped = l.swapped
		}
	}
	if v.Declared = l.plan != nil; v.Declared {
		v.About, v.Namespace = l.plan.About.Of(v.State.Parameters), l.plan.Namespace()
		if l.running() == nil {
			v.Steps, v.Definition, v.Target = l.plan.Rollout.Steps, &l.plan.Rollout, l.plan.Rollout.Idle(l.swapped)
			if want, _ := l.atRestTraffic(); l.gw.holds(want) { // an unwritten target is not the confirmed one
				v.Target = want
			}
		}
	}
	v.Confirmation, v.Workloads = cmp.Or(l.gw.confirmed, traffic.NotServed), l.work.observed.Deployments
	v.Differences, v.Replicas = l.gw.differences(), l.gw.observed.Replicas
	if l.gw.router != nil {
		v.Services = &record.Services{}
		v.Services.Canary, v.Services.Stable = l.gw.router.Labels(traffic.MainLane)
		v.Services.CohortCanary, v.Services.CohortStable = l.gw.router.Labels(traffic.CohortLane)
		v.Services.MirrorCanary, v.Services.MirrorStable = l.gw.router.Labels(traffic.MirrorLane)
	}
	v.Trouble, v.Notes = l.trouble.words(), slices.Concat(l.work.observed.Notes, l.oldNotes())
	if l.rel != nil && l.rel.back != nil {
		v.Trouble = append(v.Trouble, "the rollback is being carried out but could not be written yet")
	}
	l.view.Store(&v)
	l.e.metrics.show(l.name, v, now)
	return &v
}

// start starts a release, or supersedes the active one for it.
func (l *loop) start(ctx context.Context, req rollout.StartRequest, supersede bool) (record.Release, error) {
	if l.plan == nil {
		return record.Release{}, fmt.Errorf("rollout %s: %w", l.name, record.ErrNotFound)
	}
	if err := l.know(ctx); err != nil {
		return record.Release{}, err
	}
	if l.waits() { // it was requested first, and its caller expects it to start
		if err := l.succeed(ctx); err != nil {
			return record.Release{}, err
		}
		if err := l.know(ctx); err != nil {
			return record.Release{}, err
		}
	}
	if req.Key != "" {
		if r, err := l.byKey(ctx, req.Key); !errors.Is(err, record.ErrNotFound) {
			return r, err
		}
	}
	if r := l.running(); r != nil && req.Key != "" && r.state.Successor != nil && r.state.Successor.Key == req.Key {
		next := r.state.Successor
		return record.Release{ID: next.ID, Rollout: l.name, Key: next.Key, StartedBy: next.By}, nil
	}
	params, err := checkParameters(l.plan.Rollout.Parameters, req.Parameters)
	if err != nil {
		return record.Release{}, err
	}
	if err := l.stands(); err != nil {
		return record.Release{}, err
	}
	req.Parameters = params
	if req.ID == "" {
		req.ID = ulid.MustNew(ulid.Now(), rand.Reader).String()
	}
	if r := l.running(); r != nil {
		undoes := r.state.Undoes != "" // going back would give users the version that was taken out of service
		if undoes || !supersede && (!r.state.Watching() || r.state.Successor != nil) {
			return record.Release{}, &record.ActiveError{Rollout: l.name, ID: r.record.ID}
		}
		if _, err := l.append(ctx, r.event(rollout.Superseded{Next: req}, req.By)); err != nil {
			return record.Release{}, err
		}
		return record.Release{ID: req.ID, Rollout: l.name, Key: req.Key, StartedBy: req.By}, nil
	}
	return l.create(ctx, *l.plan, req, nil)
}

// byKey is the release that was started with a key.
func (l *loop) byKey(ctx context.Context, key string) (record.Release, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return l.e.o.Store.ByKey(ctx, l.name, key)
}

// create starts a release. If it was cancelled while it waited it ends at once, so that it can be found by its id and
// key like any other.
func (l *loop) create(ctx context.Context, p record.Plan, req rollout.StartRequest, cancelled *rollout.SuccessorCancelled) (record.Release, error) {
	returns := ""
	if cancelled == nil && !req.AllSteps {
		var err error
		if returns, err = l.past().returns(ctx, p.Rollout.Returning, req.Parameters); err != nil {
			return record.Release{}, err
		}
	}
	if returns != "" {
		p = p.ForReturning()
	}
	return l.begin(ctx, p, req, rollout.Started{Returns: returns}, cancelled)
}

// begin is create with further fields of the first event.
func (l *loop) begin(ctx context.Context, p record.Plan, req rollout.StartRequest, first rollout.Started,
	cancelled *rollout.SuccessorCancelled) (record.Release, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return record.Release{}, fmt.Errorf("encode the plan of %s: %w", l.name, err)
	}
	first.Meta = rollout.Meta{Seq: 1, At: time.Now().UTC(), By: req.By}
	first.Rollout, first.Revision, first.Parameters = l.name, p.Rollout.Revision, req.Parameters
	first.Key, first.Swapped = req.Key, l.swapped
	if l.rel != nil {
		first.After = l.rel.record.ID
	}
	events, states, err := beginning(&p.Rollout, first, req.Urgent, cancelled)
	if err != nil {
		return record.Release{}, err
	}
	state := states[len(states)-1]
	rec := record.Release{
		ID: req.ID, Rollout: l.name, Revision: state.Revision, Plan: plan, Key: req.Key, Version: state.Seq,
		Phase: state.Phase, Outcome: state.Outcome, StartedBy: req.By, StartedAt: state.StartedAt, EndedAt: state.EndedAt,
	}
	creating, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.e.o.Store.Create(creating, rec, events...); err != nil {
		l.note(aboutStore, err)
		l.ready = false // this release may have been written all the same, or another one: load before anything else
		return record.Release{}, err
	}
	l.note(aboutStore, nil)
	l.leave(ctx)
	l.rel, l.gw.observeAt = &release{record: rec, plan: p}, time.Time{}
	for i, event := range events {
		before := l.rel.state
		l.rel.state = states[i]
		l.tell(ctx, before, states[i], event)
		l.happened(ctx, event)
	}
	return rec, nil
}

// beginning returns the first events of a release, with the state after each.
func beginning(d *rollout.Definition, first rollout.Started, urgent *rollout.Urgency,
	cancelled *rollout.SuccessorCancelled) ([]rollout.Event, []rollout.State, error) {
	state, err := rollout.State{}.Apply(first)
	events, states := []rollout.Event{first}, []rollout.State{state}
	var next rollout.Event
	switch meta := (rollout.Meta{Seq: state.Seq + 1, At: first.At, By: first.By}); {
	case err != nil || cancelled == nil && urgent == nil:
		return events, states, err
	case cancelled != nil:
		meta.By = cancelled.By
		next = rollout.CancelRequested{Meta: meta, Reason: cancelled.Reason}
	default:
		next = rollout.WentOn{Meta: meta, Full: true, Reason: urgent.Reason, EvenIfWorse: urgent.EvenIfWorse}
		state, err = state.Apply(next)
		return append(events, next), append(states, state), err
	}
	for more := true; more; next, more = state.Next(d, first.At) {
		if state, err = state.Apply(next); err != nil {
			return nil, nil, err
		}
		events, states = append(events, next), append(states, state)
	}
	return events, states, nil
}

// waits reports whether a release is waiting to replace an ended one, and can start. It cannot while its rollout is not
// declared.
func (l *loop) waits() bool {
	if l.rel == nil || !l.rel.state.Ended() || l.rel.state.Successor == nil {
		return false
	}
	return l.rel.state.SuccessorCancelled != nil || l.plan != nil
}

// succeed starts the release that waits.
func (l *loop) succeed(ctx context.Context) error {
	plan, cancelled := l.plan, l.rel.state.SuccessorCancelled
	if plan == nil {
		plan = &l.rel.plan // it is cancelled and does nothing, so any plan will do
	}
	next := *l.rel.state.Successor
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if _, err := l.e.o.Store.Release(asking, next.ID); err == nil {
		l.ready = false // it was started before this daemon was restarted: load it
		return nil
	}
	if params, err := checkParameters(plan.Rollout.Parameters, next.Parameters); err == nil {
		next.Parameters = params
	} else if cancelled == nil { // they matched the rollout at the time of the request
		cancelled = &rollout.SuccessorCancelled{Meta: rollout.Meta{By: rollout.Serin}, ID: next.ID, Reason: "the rollout has changed: " + err.Error()}
	}
	_, err := l.create(ctx, *plan, next, cancelled)
	return err
}

// checkParameters fills in defaults. It refuses parameters that are undeclared, missing or do not match.
func checkParameters(declared []rollout.Parameter, given map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range declared {
		v, ok := given[p.Name]
		if !ok && p.Required {
			return nil, &record.ParameterError{Name: p.Name, Want: "is required"}
		}
		if !ok {
			v = p.Default
		}
		if p.Pattern != "" && ok && v != p.Default { // a default need not match, even if it was filled in earlier
			re, err := regexp.Compile(`^(?:` + p.Pattern + `)$`)
			if err != nil || !re.MatchString(v) {
				return nil, &record.ParameterError{Name: p.Name, Want: "has to match " + p.Pattern}
			}
		}
		out[p.Name] = v
	}
	for name := range given {
		if _, ok := out[name]; !ok {
			return nil, &record.ParameterError{Name: name, Want: "is not declared by the rollout"}
		}
	}
	return out, nil
}

// act applies a person's event to the release.
func (l *loop) act(ctx context.Context, id string, event rollout.Event, by string) (rollout.State, error) {
	if l.rel != nil && l.rel.state.Successor != nil && l.rel.state.Successor.ID == id {
		defer l.publish()
		return l.actOnNext(ctx, event, by)
	}
	if l.rel == nil || l.rel.record.ID != id {
		if err := l.know(ctx); err != nil { // the release may be under way
			return rollout.State{}, err
		}
	}
	if l.rel == nil || l.rel.record.ID != id {
		return rollout.State{}, fmt.Errorf("%w: release %s has ended", rollout.ErrNotAllowed, id)
	}
	r := l.rel
	if r.back != nil {
		return r.now(), fmt.Errorf("%w: the release is going back already", rollout.ErrNotAllowed)
	}
	s, err := l.append(ctx, r.event(event, by))
	if err == nil || errors.As(err, new(*record.NotWrittenError)) {
		// Traffic first, so that the answer shows it as written. The caller does not wait long for a gateway that does
		// not answer: the event is durable, so its effect will follow.
		l.advance(ctx)
		l.hastily(func() { l.reconcile(ctx) })
	}
	l.publish()
	return s, err
}

// actOnNext applies a person's event to the release that waits for this one to go back. It can only be cancelled; a
// rollback of a release that has not begun is the same.
func (l *loop) actOnNext(ctx context.Context, event rollout.Event, by string) (rollout.State, error) {
	r, cancelled := l.rel, rollout.SuccessorCancelled{ID: l.rel.state.Successor.ID}
	switch event := event.(type) {
	case rollout.CancelRequested:
		cancelled.Reason = event.Reason
	case rollout.RollbackRequested:
		cancelled.Reason = event.Reason
	default:
		return rollout.State{}, fmt.Errorf("%w: release %s has not begun; it can be cancelled", rollout.ErrNotAllowed, cancelled.ID)
	}
	switch {
	case r.back != nil:
		return rollout.State{}, fmt.Errorf("%w: the previous release could not be written yet; try again", rollout.ErrNotAllowed)
	case r.state.SuccessorCancelled != nil:
		return rollout.State{}, fmt.Errorf("%w: release %s is cancelled already", rollout.ErrNotAllowed, cancelled.ID)
	case !r.state.Ended():
		if _, err := l.append(ctx, r.event(cancelled, by)); err != nil {
			return rollout.State{}, err
		}
		return rollout.State{Rollout: l.name, Phase: rollout.PhaseEnded, Outcome: rollout.Cancelled, Why: "cancelled before it began", WhyBy: by}, nil
	}
	// The previous release has ended, but this one could not be started so far.
	plan := l.plan
	if plan == nil {
		plan = &r.plan
	}
	cancelled.By = by
	_, err := l.create(ctx, *plan, *r.state.Successor, &cancelled)
	if err != nil {
		return rollout.State{}, err
	}
	return l.rel.state, nil
}
