package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// perHistory is how many releases a page of the history has.
const perHistory = 50

type releaseRow struct {
	ID, Rollout, By, Revision string
	Version                   string
	State                     Pill
	// Why it ended as it did; empty for one that was released.
	Why     string
	Started time.Time
	Took    string
}

func releaseRows(rs []record.Past) []releaseRow {
	out := make([]releaseRow, len(rs))
	for i, r := range rs {
		out[i] = releaseRow{
			ID: r.ID, Rollout: r.Rollout, By: r.StartedBy, Revision: r.Revision, Started: r.StartedAt,
			State: tell.OutcomeBadge(r.Outcome), Version: rollout.Version(r.Parameters),
		}
		if r.Outcome != rollout.Released {
			out[i].Why = tell.WhyWords(r.Why)
		}
		switch {
		case r.Phase == rollout.RollingBack:
			out[i].State = Pill{Text: "rolling back", Class: "bad"}
		case r.Phase == rollout.Active:
			out[i].State = Pill{Text: "under way", Class: "go"}
		case !r.EndedAt.IsZero():
			out[i].Took = figures.Span(r.EndedAt.Sub(r.StartedAt))
		}
	}
	return out
}

type historyPage struct {
	Base

	Rollout, Outcome, Phase string
	// Query holds words that each release has to match ([tell.MatchesPast]).
	Query string
	// By is who started them.
	By string
	period
	Outcomes []Choice
	Phases   []Choice
	Rollouts []string
	Releases []releaseRow
	// Next is the address of older releases; Partly means that the search has not looked through all of them.
	Next    string
	Partly  bool
	Compare string
}

// Narrowed reports whether one of the folded filters is in use.
func (p *historyPage) Narrowed() bool { return p.Phase != "" || p.By != "" || p.period.narrowed() }

// Choice is one entry of a list to choose from.
type Choice struct {
	Value, Text string
	// At is when it began, for a release; the page writes it in the reader's own time.
	At     time.Time
	Chosen bool
}

func choices(chosen string, list ...Choice) []Choice {
	for i := range list {
		list[i].Chosen = list[i].Value == chosen
	}
	return list
}

func (s *site) history(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	page := &historyPage{
		Base: Base{Title: "History", Nav: "history"}, Rollout: strings.TrimSpace(q.Get("rollout")), Outcome: q.Get("outcome"), Phase: q.Get("phase"),
		By: strings.TrimSpace(q.Get("by")), Query: strings.TrimSpace(q.Get("q")),
	}
	page.Outcomes = choices(page.Outcome, Choice{Text: "any"}, Choice{Value: string(rollout.Released), Text: "released"},
		Choice{Value: string(rollout.RolledBack), Text: "rolled back"}, Choice{Value: string(rollout.Cancelled), Text: "cancelled"},
		Choice{Value: string(rollout.OutcomeSuperseded), Text: "superseded"}, Choice{Value: string(rollout.Failed), Text: "failed"})
	page.Phases = choices(page.Phase, Choice{Text: "any"}, Choice{Value: string(rollout.Active), Text: "under way"},
		Choice{Value: string(rollout.RollingBack), Text: "rolling back"}, Choice{Value: string(rollout.PhaseEnded), Text: "ended"})
	known := func(list []Choice) bool { return slices.ContainsFunc(list, func(c Choice) bool { return c.Chosen }) }
	if !known(page.Outcomes) || !known(page.Phases) {
		return &httpError{http.StatusBadRequest, "The filter has a value that is not on the list"}
	}
	var err error
	if page.period, err = periodOf(q); err != nil {
		return err
	}
	rs, next, err := s.sight.Search(r.Context(), record.Filter{
		Rollout: page.Rollout, Outcome: rollout.Outcome(page.Outcome), Phase: rollout.Phase(page.Phase), By: page.By,
		Since: page.since, Until: page.until,
		Before: q.Get("before"), Limit: perHistory,
	}, page.Query)
	if err != nil {
		return err
	}
	page.Releases = releaseRows(rs)
	page.Partly = next != ""
	if len(rs) == perHistory {
		next = rs[len(rs)-1].ID
	}
	if next != "" {
		page.Next = address("/history", "rollout", page.Rollout, "outcome", page.Outcome, "phase", page.Phase, "q", page.Query,
			"by", page.By, "from", page.From, "to", page.To, "zone", page.Zone, "before", next)
	}
	rollouts, err := s.sight.Rollouts(r.Context())
	if err != nil {
		return err
	}
	for _, v := range rollouts {
		page.Rollouts = append(page.Rollouts, v.Rollout)
	}
	return s.show(w, r, http.StatusOK, "history", sess, page)
}

// period is a filter by days.
type period struct {
	// From and To are its first and its last day, as date fields send them; empty for no limit.
	From, To string
	// Zone is the time zone of these days. The page's script fills it in; without scripts it is UTC.
	Zone string

	since, until time.Time // from the beginning of the first day to the end of the last one
}

func (p period) narrowed() bool { return p.From != "" || p.To != "" }

func periodOf(q url.Values) (period, error) {
	p := period{From: q.Get("from"), To: q.Get("to"), Zone: q.Get("zone")}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil || p.Zone == "" || p.Zone == "Local" { // a browser may know newer zones; the page shows which one is used
		zone, p.Zone = time.UTC, time.UTC.String()
	}
	var ok, fine bool
	p.since, _, ok = day(p.From, zone)
	_, p.until, fine = day(p.To, zone)
	if !ok || !fine {
		return p, &httpError{http.StatusBadRequest, "A day in the filter is not written like 2026-01-31"}
	}
	return p, nil
}

// day reads a day as a date field sends it; an empty text is no limit.
func day(text string, zone *time.Location) (begins, ends time.Time, ok bool) {
	if text == "" {
		return begins, ends, true
	}
	begins, ends, err := calendar.ReadDay(text, zone)
	return begins, ends, err == nil && begins.Year() >= 1970 && begins.Year() <= 2261 // what the store can hold
}

type auditPage struct {
	Base

	Rollout, By string
	period
	Kinds   []Choice
	Entries []auditRow
	Next    string
}

// Narrowed reports whether one of the folded filters is in use.
func (p *auditPage) Narrowed() bool { return p.By != "" || p.period.narrowed() }

// auditRow is one action in words, and the machine that it came from.
type auditRow struct {
	record.AuditEntry

	What, Machine string
}

// signs are the actions of signing in and out, which are left out unless the reader asks for them.
var signs = []string{"signIn", "signOut"}

// perAudit is how many actions one page of the audit log has.
const perAudit = 100

func (s *site) audit(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	page := &auditPage{
		Base: Base{Title: "Audit log", Nav: "audit"}, Rollout: strings.TrimSpace(q.Get("rollout")), By: strings.TrimSpace(q.Get("by")),
	}
	kind := q.Get("kind")
	page.Kinds = []Choice{{Text: "everything but sign-ins", Chosen: kind == ""}, {Value: "all", Text: "everything", Chosen: kind == "all"}}
	for _, a := range tell.Actions {
		page.Kinds = append(page.Kinds, Choice{Value: a.Name, Text: a.Words, Chosen: kind == a.Name})
	}
	var err error
	if page.period, err = periodOf(q); err != nil {
		return err
	}
	f := record.AuditFilter{Rollout: page.Rollout, By: page.By, Since: page.since, Until: page.until, Limit: perAudit}
	switch {
	case kind == "":
		f.Except = signs
	case kind != "all":
		f.Actions = []string{kind}
	}
	f.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64) // without a number it is the newest page
	entries, err := s.sight.AuditLog(r.Context(), f)
	if err != nil {
		return err
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, auditRow{e, tell.ActionWords(e.Action), tell.Machine(e.From)})
	}
	if n := len(entries); n == perAudit {
		page.Next = address("/audit", "rollout", page.Rollout, "by", page.By, "kind", kind, "from", page.From, "to", page.To, "zone", page.Zone,
			"before", strconv.FormatInt(entries[n-1].ID, 10))
	}
	return s.show(w, r, http.StatusOK, "audit", sess, page)
}
