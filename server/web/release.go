package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

// Bounds of what is read for one page.
const (
	// maxLooks of a scope are drawn: a day of looks every ten seconds. Older ones are left out, and the page says so.
	maxLooks = 8640
	// looksAtOnce is how many looks are read from the store at once.
	looksAtOnce = 2000
	// newestEvents are listed on the page of a release, perEvents on each page with all of them: a release that waits for
	// weeks while someone edits the gateway has thousands.
	newestEvents = 60
	perEvents    = 200
)

// record reads a release with its looks. Pages that show [Record.Before] read that themselves.
func (s *site) record(ctx context.Context, id string) (Record, error) {
	r, err := s.outline(ctx, id)
	if err != nil {
		return Record{}, err
	}
	for _, scope := range Scopes(r.View) {
		looks, cut, err := s.looks(ctx, r.View, scope)
		if err != nil {
			return Record{}, err
		}
		r.Looks[scope], r.Cut = looks, r.Cut || cut
	}
	return r, nil
}

// outline is a record without its looks.
func (s *site) outline(ctx context.Context, id string) (Record, error) {
	v, err := s.sight.Release(ctx, id)
	if errors.Is(err, record.ErrNotFound) {
		return Record{}, &httpError{http.StatusNotFound, "There is no release " + id}
	}
	if err != nil {
		return Record{}, err
	}
	r := Record{View: v, Explanation: tell.Explain(v), Looks: map[string][]server.Look{}}
	if r.Events, err = s.sight.Events(ctx, id, 0); err != nil {
		return Record{}, fmt.Errorf("read the events of release %s: %w", id, err)
	}
	return r, nil
}

// looks reads the newest looks of a scope.
func (s *site) looks(ctx context.Context, v record.View, scope string) (out []server.Look, cut bool, err error) {
	after := 0
	if v.State.Scope == scope && v.Verdict != nil {
		after = max(0, v.Verdict.Look-maxLooks)
	}
	cut = after > 0
	for {
		page, err := s.sight.Looks(ctx, v.Release.ID, scope, after, looksAtOnce)
		if err != nil {
			return nil, false, fmt.Errorf("read the looks of %s: %w", scope, err)
		}
		for _, l := range page {
			out = append(out, server.NewLook(l))
		}
		if len(out) > maxLooks {
			out, cut = out[len(out)-maxLooks:], true
		}
		if len(page) < looksAtOnce {
			return out, cut, nil
		}
		after = page[len(page)-1].Look.Number
	}
}

type releasePage struct {
	Base
	Detail

	// From is the version before; empty if it is not known, or the same.
	From string
	// Dashboard is a link to Grafana; empty if its address is not known.
	Dashboard string
	Gate      *Gate
	Actions   []Ask
	Report    string
	Compare   string
}

// Gate is a question to a person.
type Gate struct {
	Name     string
	Question bool
	Since    time.Time
	Who      string
	// Approve and Reject are the texts of the buttons, which say what follows.
	Approve, Reject string
	// May is false for a reader who may not answer; Why says who may.
	May      bool
	Why      string
	Waiting  string
	Evidence []tell.MetricExplanation
	// Summary is the evidence in a few words: "errors pass, slow undecided".
	Summary string
}

// Ask is an action on offer: a button that opens a confirmation.
type Ask struct {
	Action, Button, Title, Text, Class string
	Reason                             bool
	// Key makes pressing the button twice do nothing more; empty for actions that need none.
	Key string
	// Needed: the reason is mandatory. Options are check boxes, with the names of their fields.
	Needed  bool
	Options []Pair

	verb server.Verb
}

func (s *site) release(w http.ResponseWriter, r *http.Request, sess *session) error {
	rec, err := s.outline(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	v := rec.View
	scopes, cut, err := s.drawn.scopes(r.Context(), v, s.looks)
	if err != nil {
		return err
	}
	rec.Cut = cut
	if rec.Before, err = s.before(r.Context(), v); err != nil {
		return err
	}
	if now, err := s.sight.Rollout(r.Context(), v.Rollout); err == nil {
		scopes = withQueries(v, now.Services, scopes, s.o.Prometheus, s.o.Grafana)
	}
	page := &releasePage{
		Base:   Base{Title: titleOf(v), Nav: "rollouts"},
		Detail: newDetail(rec, scopes, time.Now()), Gate: newGate(r.Context(), v, rec.Explanation, sess.who),
		Report: "/releases/" + v.Release.ID + "/report",
	}
	if err := s.zoom(r, rec, scopes, &page.Detail, time.Now()); err != nil {
		return err
	}
	if whole, ok := span(v, rec.Events, time.Now()); ok {
		page.Dashboard = s.o.Grafana.dashboard(v.Rollout, whole)
	}
	if rec.Before != rollout.Version(v.State.Parameters) {
		page.From = rec.Before
	}
	if len(page.Events) > newestEvents {
		page.Events, page.OlderEvents = page.Events[:newestEvents], "/releases/"+v.Release.ID+"/events"
	}
	if !v.State.Ended() {
		page.Live = address(server.LivePath, "release", v.Release.ID)
		page.Actions = slices.DeleteFunc(actionsFor(v), func(a Ask) bool {
			return !may(r.Context(), sess.who, a.verb, v.Rollout) || a.Action == string(tell.GoOn) && !mayOverride(r.Context(), sess.who, v)
		})
	}
	if may(r.Context(), sess.who, server.VerbRollback, v.Rollout) && s.undoable(r.Context(), v) {
		undo := newAsk(tell.UndoOffer(v))
		undo.Key = rand.Text()
		page.Actions = append(page.Actions, undo)
	}
	if retry, ok := s.retriable(r.Context(), v); ok && may(r.Context(), sess.who, server.VerbStart, v.Rollout) {
		page.Actions = append(page.Actions, retry)
	}
	if page.Compare, err = s.predecessor(r.Context(), v); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "release", sess, page)
}

// zoom draws the part of the time that a request asks for, and offers others.
func (s *site) zoom(r *http.Request, rec Record, scopes []Scope, d *Detail, now time.Time) error {
	whole, ok := span(rec.View, rec.Events, now)
	if !ok {
		return nil
	}
	q := r.URL.Query()
	part := zoomOf(q, whole)
	d.Zoom = zoomLinks("/releases/"+url.PathEscape(d.ID), q, whole, part)
	if part == whole {
		return nil
	}
	all, err := s.seriesIn(r.Context(), rec.View, scopes, part)
	if err == nil {
		d.Timeline = newTimeline(rec.View, rec.Events, all, part)
	}
	return err
}

// before is the version that was in service when a release began, as people call it; empty if no parameter says it.
func (s *site) before(ctx context.Context, v record.View) (string, error) {
	rs, err := s.sight.History(ctx, record.Filter{Rollout: v.Rollout, Outcome: rollout.Released, Before: v.Release.ID, Limit: 1})
	if err != nil || len(rs) == 0 {
		return "", err
	}
	return rollout.Version(rs[0].Parameters), nil
}

// titleOf names a release's page in a browser tab.
func titleOf(v record.View) string {
	name := v.Rollout
	if version := rollout.Version(v.State.Parameters); version != "" {
		name += " " + version
	}
	return name + ": " + tell.StateBadge(v).Text
}

type eventsPage struct {
	Base

	ID, Rollout string
	Events      []EventLine
	Newer       string
	OlderEvents string
	EventCount  int
}

// events shows everything that has happened to a release, page by page.
func (s *site) events(w http.ResponseWriter, r *http.Request, sess *session) error {
	rec, err := s.outline(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	v, all := rec.View, rec.Events
	here := "/releases/" + v.Release.ID + "/events"
	page := &eventsPage{
		Base: Base{Title: v.Rollout + ": what happened", Nav: "rollouts"}, ID: v.Release.ID, Rollout: v.Rollout, EventCount: len(all),
	}
	// Events are numbered from 1 without a gap. Without a number it is the newest page.
	if before, err := strconv.Atoi(r.URL.Query().Get("before")); err == nil && before >= 1 && before <= len(all) {
		all, page.Newer = all[:before-1], here
	}
	if len(all) > perEvents {
		all = all[len(all)-perEvents:]
		page.OlderEvents = address(here, "before", strconv.Itoa(all[0].Head().Seq))
	}
	page.Events = newEventLines(v, all)
	return s.show(w, r, http.StatusOK, "all-events", sess, page)
}

// predecessor returns the address of the comparison with the previous release; empty for the first one.
func (s *site) predecessor(ctx context.Context, v record.View) (string, error) {
	rs, err := s.sight.History(ctx, record.Filter{Rollout: v.Rollout, Before: v.Release.ID, Limit: 1})
	if err != nil || len(rs) == 0 {
		return "", err
	}
	return address("/compare", "a", rs[0].ID, "b", v.Release.ID), nil
}

// newGate returns the open question of a release; nil if there is none.
func newGate(ctx context.Context, v record.View, x tell.Explanation, who server.Identity) *Gate {
	if v.Gate == "" || v.Definition == nil || v.State.Ended() {
		return nil
	}
	g := &Gate{
		Name: v.Gate, Question: v.State.Question != nil, Since: v.GateSince, Who: enumerate(v.Approvers), Waiting: v.Waiting, Evidence: x.Metrics,
	}
	g.Approve, g.Reject = tell.Consequences(v)
	var words []string
	for _, m := range x.Metrics {
		words = append(words, m.Metric+" "+m.Badge.Text)
	}
	g.Summary = strings.Join(words, ", ")
	err := mayAnswer(ctx, who, v)
	if g.May = err == nil; err != nil {
		g.Why = err.Error()
	}
	return g
}

// verbs has the right that each deed needs.
var verbs = map[tell.Deed]server.Verb{
	tell.Dismiss: server.VerbPromote, tell.GoOn: server.VerbPromote, tell.PauseIt: server.VerbPause, tell.Resume: server.VerbPause,
	tell.Cancel: server.VerbRollback, tell.RollBack: server.VerbRollback, tell.Undo: server.VerbRollback, tell.Retry: server.VerbStart,
}

// actionsFor lists what an operator may ask of a running release.
func actionsFor(v record.View) []Ask {
	offers := tell.Offers(v)
	out := make([]Ask, len(offers))
	for i, o := range offers {
		out[i] = newAsk(o)
	}
	return out
}

// newAsk makes the form of an offer.
func newAsk(o tell.Offer) Ask {
	a := Ask{Action: string(o.Deed), Button: o.Button, Title: o.Title, Text: o.Text, Reason: o.Reason, Needed: o.Needed, verb: verbs[o.Deed]}
	switch o.Deed {
	case tell.RollBack, tell.Undo:
		a.Class = "danger"
	case tell.Resume, tell.Retry:
		a.Class = "primary"
	case tell.GoOn:
		a.Options = []Pair{{"full", "Do not wait for anything that is left, up to the next gate"},
			{"evenIfWorse", "Go on even if it is worse: stable is broken itself, and this repairs it"}}
	default:
	}
	return a
}

// mayOverride reports whether a person may let a release go on without waiting.
func mayOverride(ctx context.Context, who server.Identity, v record.View) bool {
	name, roles, err := who.Approver(ctx, server.VerbPromote, v.Rollout)
	return err == nil && (v.Definition == nil || v.Definition.MayOverride(name, roles, v.State.StartedBy) == nil)
}

// retriable offers to try the version of a release again, if the release is the newest one and ended without it.
func (s *site) retriable(ctx context.Context, v record.View) (Ask, bool) {
	now, err := s.sight.Rollout(ctx, v.Rollout)
	if err != nil || now.Release == nil || now.Release.ID != v.Release.ID {
		return Ask{}, false
	}
	offer, ok := tell.RetryOffer(now)
	ask := newAsk(offer)
	ask.Key = rand.Text()
	if now.State.KnownWorse() { // a retry is possible, but not the obvious thing to do
		ask.Class = ""
	}
	return ask, ok
}

// undoable reports whether a release is the newest one, is over, and the version before the one in service can come back.
// If this release succeeded, it brought the version in service. Otherwise an earlier one did, and that can be undone only if
// versions are deployed: without Kubernetes the newest release has used the other set of servers.
func (s *site) undoable(ctx context.Context, v record.View) bool {
	if !v.State.Ended() {
		return false
	}
	now, err := s.sight.Rollout(ctx, v.Rollout)
	if err != nil || !now.Declared || now.Release == nil || now.Release.ID != v.Release.ID {
		return false
	}
	if v.State.Outcome == rollout.Released {
		return true
	}
	deploys := slices.ContainsFunc(now.Steps, func(step rollout.Step) bool { _, ok := step.(rollout.Deploy); return ok })
	if !deploys {
		return false
	}
	released, err := s.sight.History(ctx, record.Filter{Rollout: v.Rollout, Outcome: rollout.Released, Limit: 1})
	return err == nil && len(released) > 0
}
