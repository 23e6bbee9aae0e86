package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

// perPage rows are quick to make and to draw; those that need somebody come first.
const perPage = 100

type overviewPage struct {
	Base

	Groups            []rolloutGroup
	People, Way, Rest int
	Total             int
	Query             string
	Page, Pages       int
	Previous, Next    string
}

type rolloutGroup struct {
	ID, Title string
	Rows      []rolloutRow
}

type rolloutRow struct {
	Name, Release string
	State         Pill
	Step          string
	Steps         []Step
	Weight        string
	Share         float64
	Verdict       *Pill
	Decisive      string
	Act           string
	Text          string

	group int
}

// The groups of the overview, in order.
const (
	needsPeople = iota
	underWay
	atRest
)

func (s *site) overview(w http.ResponseWriter, r *http.Request, sess *session) error {
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		n = 1
	}
	page := s.newOverview(strings.ToLower(strings.TrimSpace(r.URL.Query().Get("q"))), n)
	return s.show(w, r, http.StatusOK, "overview", sess, page)
}

// newOverview is page n of the rollouts whose names contain query.
func (s *site) newOverview(query string, n int) *overviewPage {
	page := &overviewPage{Base: Base{Title: "Rollouts", Nav: "rollouts", Live: server.LivePath}, Query: query}
	var list []rolloutRow
	for _, v := range s.o.Engine.Rollouts() {
		if !strings.Contains(v.Rollout, query) {
			continue
		}
		row := newRolloutRow(v)
		switch row.group {
		case needsPeople:
			page.People++
		case underWay:
			page.Way++
		default:
			page.Rest++
		}
		list = append(list, row)
	}
	slices.SortStableFunc(list, func(a, b rolloutRow) int { return cmp.Compare(a.group, b.group) }) // by name within a group
	page.Total = len(list)
	page.Pages = max(1, (len(list)+perPage-1)/perPage)
	page.Page = min(max(n, 1), page.Pages)
	page.Previous, page.Next = s.pageLinks(query, page.Page, page.Pages)
	page.Groups = grouped(list[(page.Page-1)*perPage : min(len(list), page.Page*perPage)])
	return page
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
	titles := []rolloutGroup{
		{ID: "people", Title: "Waiting for a person"}, {ID: "way", Title: "Under way"}, {ID: "rest", Title: "At rest"},
	}
	for _, row := range list {
		titles[row.group].Rows = append(titles[row.group].Rows, row)
	}
	return slices.DeleteFunc(titles, func(g rolloutGroup) bool { return len(g.Rows) == 0 })
}

func newRolloutRow(v record.View) rolloutRow {
	row := rolloutRow{Name: v.Rollout, State: statePill(v), Text: v.Waiting, group: atRest}
	row.Act = whoActs(v)
	if v.Release != nil {
		row.Release = v.Release.ID
		if verdict := verdictOf(v); verdict != nil {
			p := verdictPill(verdict.Outcome, verdict.Reason)
			row.Verdict, row.Decisive = &p, verdict.Decisive
		}
		if !v.State.Ended() {
			row.group, row.Step, row.Steps = underWay, v.State.StepName, newSteps(v, nil)
			row.Weight, row.Share = weight(v)
		} else {
			row.Text = v.State.Why
		}
	}
	if row.Act != "" {
		row.group = needsPeople
	}
	if len(v.Unsupported) > 0 {
		row.State, row.Text = Pill{"cannot be run", "rest"}, strings.Join(v.Unsupported, "; ")
	}
	return row
}

// whoActs says who has to do something; empty where Serin goes on by itself.
func whoActs(v record.View) string {
	switch {
	case len(v.Trouble) > 0:
		return "operator: " + strings.Join(v.Trouble, "; ")
	case v.Release == nil || v.State.Ended():
		return ""
	case v.Gate != "":
		return strings.Join(v.Approvers, ", ") + ": answer " + v.Gate
	case v.State.Alarm && !v.State.Dismissed:
		return "operator: sample-ratio alarm"
	case v.State.Pause != nil:
		return "operator: resume"
	}
	return ""
}

type rolloutPage struct {
	Base

	View       record.View
	State      Pill
	Steps      []Step
	Traffic    Traffic
	Parameters []rollout.Parameter
	Releases   []releaseRow
	MayStart   bool
	Active     string
	Why        string
}

// rollout shows one rollout: what it would do, what it has done, and how to start it.
func (s *site) rollout(w http.ResponseWriter, r *http.Request, sess *session) error {
	v, err := s.o.Engine.Rollout(r.PathValue("name"))
	if err != nil {
		return err
	}
	rs, err := s.o.Store.Releases(r.Context(), record.Filter{Rollout: v.Rollout, Limit: 20})
	if err != nil {
		return err
	}
	page := &rolloutPage{
		Base: Base{Title: v.Rollout, Nav: "rollouts", Live: address(server.LivePath, "rollout", v.Rollout)},
		View: v, State: statePill(v), Steps: planOf(v), Traffic: newTraffic(v), Releases: releaseRows(rs),
		MayStart: sess.who.Has(server.RoleOperator) && v.Declared && len(v.Unsupported) == 0,
		Why:      strings.Join(v.Unsupported, "; "),
	}
	if v.Release != nil && !v.State.Ended() {
		page.Active = v.Release.ID
	}
	if v.Definition != nil {
		page.Parameters = v.Definition.Parameters
	}
	return s.show(w, r, http.StatusOK, "rollout", sess, page)
}

// planOf are the steps of a rollout: where its release stands, or the plan alone once that has ended.
func planOf(v record.View) []Step {
	if v.State.Ended() {
		v.Release = nil
		v.State = rollout.State{}
	}
	return newSteps(v, nil)
}

type problemsPage struct {
	Base

	List []server.ConfigProblem
}

func (s *site) problems(w http.ResponseWriter, r *http.Request, sess *session) error {
	page := &problemsPage{Base: Base{Title: "Problems of the configuration", Nav: "problems"}}
	if s.o.Problems != nil {
		page.List = s.o.Problems()
	}
	return s.show(w, r, http.StatusOK, "problems", sess, page)
}
