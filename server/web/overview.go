package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

// perPage is how many rollouts a page has: few enough to be quick. Those that need a person come first.
const perPage = 100

type overviewPage struct {
	Base

	Groups []rolloutGroup
	Sums   []sumOf
	Total  int
	Query  string
	// Filters narrow the list with a click.
	Filters        []filter
	Page, Pages    int
	Previous, Next string
}

// sumOf is how many rollouts are in a group.
type sumOf struct {
	ID, Text string
	N        int
}

// filter is a word with a link to the rollouts that have it; On: it is the current query, and the link leads back to all.
type filter struct {
	Text, Link string
	On         bool
}

// mostFilters is how many filters are offered at most: with more, typing is quicker.
const mostFilters = 24

// filtersOf returns the namespaces, owners and labels of the rollouts, if there are several rollouts.
func filtersOf(views []record.View, query string) []filter {
	var words []string
	for _, v := range views {
		words = append(append(words, v.About.Owner, v.Namespace), v.About.Words()...)
	}
	slices.Sort(words)
	words = slices.DeleteFunc(slices.Compact(words), func(w string) bool { return w == "" })
	if len(views) < 2 || len(words) > mostFilters {
		return nil
	}
	var out []filter
	for _, w := range words {
		f := filter{Text: w, Link: address("/", "q", w), On: w == query}
		if f.On {
			f.Link = "/"
		}
		out = append(out, f)
	}
	return out
}

type rolloutGroup struct {
	ID, Title string
	Rows      []rolloutRow
}

type rolloutRow struct {
	Name, Release string
	About         record.About
	Version       string
	State         Pill
	Headline      Headline
	// More says what a release that has ended meant for users.
	More    string
	Steps   []Step
	Weight  string
	Verdict *Pill
	// Act says who has to do what; Yours is set if the reader may do it.
	Act   string
	Yours bool
	Text  string

	group tell.Urgency
}

// groups are the overview's: the anchor of each on the page, and the word after its count. [tell.Urgencies] has the titles.
var groups = [...]struct{ id, count string }{
	tell.OnFire:      {"fire", "need attention"},
	tell.NeedsPerson: {"people", "waiting for a person"},
	tell.UnderWay:    {"way", "under way"},
	tell.Lately:      {"lately", "released in the last 24 hours"},
	tell.AtRest:      {"rest", "at rest"},
}

func (s *site) overview(w http.ResponseWriter, r *http.Request, sess *session) error {
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		n = 1
	}
	page, err := s.newOverview(r.Context(), strings.TrimSpace(r.URL.Query().Get("q")), n, sess.who, time.Now())
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "overview", sess, page)
}

// newOverview makes page n of the rollouts that match a query ([tell.Matches]), as a person sees them at a time.
func (s *site) newOverview(ctx context.Context, query string, n int, who server.Identity, now time.Time) (*overviewPage, error) {
	rollouts, err := s.sight.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	page := &overviewPage{Base: Base{Title: "Rollouts", Nav: "rollouts", Live: server.LivePath}, Query: query}
	page.Filters = filtersOf(rollouts, query)
	counts := make([]int, len(groups))
	var list []rolloutRow
	for _, v := range rollouts {
		if !tell.Matches(v, query) {
			continue
		}
		row := newRolloutRow(ctx, v, who, now)
		counts[row.group]++
		list = append(list, row)
	}
	// By name within a group, except that releases that have ended are sorted by their end, the latest first.
	slices.SortStableFunc(list, func(a, b rolloutRow) int {
		ended := 0
		if a.group == tell.OnFire || a.group == tell.Lately {
			ended = b.Headline.Since.Compare(a.Headline.Since)
		}
		return cmp.Or(cmp.Compare(a.group, b.group), ended)
	})
	for i, g := range groups {
		page.Sums = append(page.Sums, sumOf{ID: g.id, Text: g.count, N: counts[i]})
	}
	page.Total = len(list)
	page.Pages = max(1, (len(list)+perPage-1)/perPage)
	page.Page = min(max(n, 1), page.Pages)
	page.Previous, page.Next = s.pageLinks(query, page.Page, page.Pages)
	page.Groups = grouped(list[(page.Page-1)*perPage : min(len(list), page.Page*perPage)])
	return page, nil
}

func (s *site) pageLinks(query string, page, pages int) (previous, next string) {
	at := func(n int) string { return address("/", "q", query, "page", strconv.Itoa(n)) }
	if page > 1 {
		previous = at(page - 1)
	}
	if page < pages {
		next = at(page + 1)
	}
	return previous, next
}

func grouped(list []rolloutRow) []rolloutGroup {
	out := make([]rolloutGroup, len(groups))
	for i, g := range groups {
		out[i] = rolloutGroup{ID: g.id, Title: tell.Urgencies[i]}
	}
	for _, row := range list {
		out[row.group].Rows = append(out[row.group].Rows, row)
	}
	return slices.DeleteFunc(out, func(g rolloutGroup) bool { return len(g.Rows) == 0 })
}

func newRolloutRow(ctx context.Context, v record.View, who server.Identity, now time.Time) rolloutRow {
	row := rolloutRow{
		Name: v.Rollout, About: v.About, Version: rollout.Version(v.State.Parameters), State: tell.StateBadge(v),
		Headline: tell.HeadlineOf(v, now), group: tell.UrgencyOf(v, now),
	}
	row.Act = tell.WhoActs(v)
	row.Yours = row.Act != "" && isActor(ctx, v, who)
	if row.Yours && v.Gate != "" && len(v.Trouble) == 0 {
		row.Act = "" // the headline asks the question already
	}
	if v.Release != nil {
		row.Release = v.Release.ID
		if v.State.Ended() {
			row.More = tell.ForUsers(v)
		} else {
			row.Steps = tell.PlanOf(v, nil, now)
			row.Weight, _ = weight(v)
			if verdict := v.LastVerdict(); verdict != nil {
				p := tell.VerdictBadge(verdict.Outcome, verdict.Reason)
				row.Verdict = &p
			}
		}
	}
	return row
}

// isActor reports whether a person may do what [tell.WhoActs] asks for.
func isActor(ctx context.Context, v record.View, who server.Identity) bool {
	switch {
	case who.Name == "":
		return false
	case len(v.Trouble) > 0:
		return may(ctx, who, server.VerbRollback, v.Rollout)
	case v.Gate != "":
		return v.Definition != nil && mayAnswer(ctx, who, v) == nil
	case v.State.Alarm && !v.State.Dismissed:
		return may(ctx, who, server.VerbPromote, v.Rollout)
	}
	return may(ctx, who, server.VerbPause, v.Rollout)
}

type rolloutPage struct {
	Base

	View     record.View
	State    Pill
	Brings   string
	Headline Headline
	More     string
	Link     string
	Steps    []Step
	// Calendar says which versions take another plan, and when a release may go on, if not always.
	Calendar   []string
	Parameters []rollout.Parameter
	Releases   []releaseRow
	MayStart   bool
	// Outdated are the errors because of which a start would use the last good version of the document.
	Outdated []server.ConfigProblem
	Active   string
}

// rollout shows one rollout: what it would do, what it has done, and how to start it.
func (s *site) rollout(w http.ResponseWriter, r *http.Request, sess *session) error {
	v, err := s.sight.Rollout(r.Context(), r.PathValue("name"))
	if errors.Is(err, record.ErrNotFound) {
		return &httpError{http.StatusNotFound, "There is no rollout " + r.PathValue("name")}
	}
	if err != nil {
		return err
	}
	rs, err := s.sight.History(r.Context(), record.Filter{Rollout: v.Rollout, Limit: 20})
	if err != nil {
		return err
	}
	page := &rolloutPage{
		Base: Base{Title: v.Rollout, Nav: "rollouts", Live: address(server.LivePath, "rollout", v.Rollout)},
		View: v, State: tell.StateBadge(v), Brings: rollout.Version(v.State.Parameters),
		Headline: tell.HeadlineOf(v, time.Now()), Steps: planOf(v), Calendar: notesOf(v), Releases: releaseRows(rs),
		MayStart: may(r.Context(), sess.who, server.VerbStart, v.Rollout) && v.Declared,
	}
	problems, err := s.sight.Problems(r.Context())
	if err != nil {
		return err
	}
	for _, p := range problems {
		if slices.Contains(p.Rollouts, v.Rollout) {
			page.Outdated = append(page.Outdated, p)
		}
	}
	if v.Release != nil {
		page.Link = "/releases/" + v.Release.ID
		if page.More = tell.ForUsers(v); !v.State.Ended() {
			page.Active, page.More = v.Release.ID, ""
		}
	}
	if v.Definition != nil {
		page.Parameters = v.Definition.Parameters
	}
	return s.show(w, r, http.StatusOK, "rollout", sess, page)
}

// notesOf returns the sentences about that plan.
func notesOf(v record.View) []string {
	if v.State.Ended() {
		v.Release = nil
	}
	return tell.PlanNotes(v)
}

// planOf returns the steps of a rollout with the progress of its release, or without any once that has ended.
func planOf(v record.View) []Step {
	if v.State.Ended() {
		v.Release = nil
		v.State = rollout.State{}
	}
	return tell.PlanOf(v, nil, time.Now())
}

type problemsPage struct {
	Base

	List []server.ConfigProblem
}

func (s *site) problems(w http.ResponseWriter, r *http.Request, sess *session) error {
	page := &problemsPage{Base: Base{Title: "Configuration problems", Nav: "problems"}}
	var err error
	if page.List, err = s.sight.Problems(r.Context()); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "problems", sess, page)
}
