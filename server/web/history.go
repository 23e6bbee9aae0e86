package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// perHistory is how many releases one page of the history has.
const perHistory = 50

type releaseRow struct {
	ID, Rollout, By, Revision string
	State                     Pill
	Started                   time.Time
	Took                      string
}

func releaseRows(rs []record.Release) []releaseRow {
	out := make([]releaseRow, len(rs))
	for i, r := range rs {
		out[i] = releaseRow{ID: r.ID, Rollout: r.Rollout, By: r.StartedBy, Revision: r.Revision, Started: r.StartedAt, State: outcomePill(r.Outcome)}
		switch {
		case r.Phase == rollout.RollingBack:
			out[i].State = Pill{"rolling back", "bad"}
		case r.Phase == rollout.Active:
			out[i].State = Pill{"under way", "go"}
		case !r.EndedAt.IsZero():
			out[i].Took = figures.Span(r.EndedAt.Sub(r.StartedAt))
		}
	}
	return out
}

type historyPage struct {
	Base

	Rollout, Outcome, Phase string
	// By is who started them; From and To are days in UTC, both included.
	By, From, To string
	Outcomes     []Choice
	Phases       []Choice
	Rollouts     []string
	Releases     []releaseRow
	Next         string
	Compare      string
}

// Choice is one entry of a list to choose from.
type Choice struct {
	Value, Text string
	Chosen      bool
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
		By: strings.TrimSpace(q.Get("by")), From: q.Get("from"), To: q.Get("to"),
	}
	page.Outcomes = choices(page.Outcome, Choice{Text: "any"}, Choice{Value: string(rollout.Released), Text: "released"},
		Choice{Value: string(rollout.RolledBack), Text: "rolled back"}, Choice{Value: string(rollout.Cancelled), Text: "cancelled"},
		Choice{Value: string(rollout.OutcomeSuperseded), Text: "superseded"}, Choice{Value: string(rollout.Failed), Text: "failed"})
	page.Phases = choices(page.Phase, Choice{Text: "any"}, Choice{Value: string(rollout.Active), Text: "under way"},
		Choice{Value: string(rollout.RollingBack), Text: "rolling back"}, Choice{Value: string(rollout.PhaseEnded), Text: "ended"})
	known := func(list []Choice) bool { return slices.ContainsFunc(list, func(c Choice) bool { return c.Chosen }) }
	if !known(page.Outcomes) || !known(page.Phases) {
		return &httpError{http.StatusBadRequest, "The filter has a word that is none of the list"}
	}
	since, ok := day(page.From)
	until, fine := day(page.To)
	if !ok || !fine {
		return &httpError{http.StatusBadRequest, "A day in the filter is not written like 2026-01-31"}
	}
	if !until.IsZero() {
		until = until.AddDate(0, 0, 1)
	}
	rs, err := s.o.Store.Releases(r.Context(), record.Filter{
		Rollout: page.Rollout, Outcome: rollout.Outcome(page.Outcome), Phase: rollout.Phase(page.Phase), By: page.By, Since: since, Until: until,
		Before: q.Get("before"), Limit: perHistory,
	})
	if err != nil {
		return err
	}
	page.Releases = releaseRows(rs)
	if len(rs) == perHistory {
		page.Next = address("/history", "rollout", page.Rollout, "outcome", page.Outcome, "phase", page.Phase,
			"by", page.By, "from", page.From, "to", page.To, "before", rs[len(rs)-1].ID)
	}
	for _, v := range s.o.Engine.Rollouts() {
		page.Rollouts = append(page.Rollouts, v.Rollout)
	}
	return s.show(w, r, http.StatusOK, "history", sess, page)
}

// day is the beginning of a day in UTC, as a date field sends it; an empty one is none.
func day(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.DateOnly, text)
	return t, err == nil && t.Year() >= 1970 && t.Year() <= 2261 // what the store can hold
}

type auditPage struct {
	Base

	Rollout, By string
	Entries     []record.AuditEntry
	Next        string
}

// perAudit is how many actions one page of the audit log has.
const perAudit = 100

func (s *site) audit(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	page := &auditPage{Base: Base{Title: "Audit log", Nav: "audit"}, Rollout: strings.TrimSpace(q.Get("rollout")), By: strings.TrimSpace(q.Get("by"))}
	before, _ := strconv.ParseInt(q.Get("before"), 10, 64) // anything else is the newest page
	var err error
	if page.Entries, err = s.o.Store.AuditLog(r.Context(), record.AuditFilter{Rollout: page.Rollout, By: page.By, Before: before, Limit: perAudit}); err != nil {
		return err
	}
	if n := len(page.Entries); n == perAudit {
		page.Next = address("/audit", "rollout", page.Rollout, "by", page.By, "before", strconv.FormatInt(page.Entries[n-1].ID, 10))
	}
	return s.show(w, r, http.StatusOK, "audit", sess, page)
}
