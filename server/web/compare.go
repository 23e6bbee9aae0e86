package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

type comparePage struct {
	Base

	A, B               string
	Both               []Detail
	Facts              []compareRow
	Metrics            []metricPair
	ChoicesA, ChoicesB []Choice
	Known              bool
}

type compareRow struct {
	Name, A, B string
	Differs    bool
}

// metricPair is one metric in both releases; nil where one has no such metric.
type metricPair struct {
	Name  string
	A, B  *Metric
	Chart template.HTML
}

func (s *site) compare(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	page := &comparePage{Base: Base{Title: "Compare two releases", Nav: "history"}, A: strings.TrimSpace(q.Get("a")), B: strings.TrimSpace(q.Get("b"))}
	rs, err := s.sight.History(r.Context(), record.Filter{Rollout: q.Get("rollout"), Limit: perHistory})
	if err != nil {
		return err
	}
	rows := releaseRows(rs)
	page.ChoicesA, page.ChoicesB = releaseChoices(rows, page.A), releaseChoices(rows, page.B)
	if page.A != "" && page.B != "" {
		if err := s.compareTwo(r.Context(), page); err != nil {
			return err
		}
	}
	return s.show(w, r, http.StatusOK, "compare", sess, page)
}

// releaseChoices are the releases to choose from, including the chosen one if it is older than the list.
func releaseChoices(rows []releaseRow, chosen string) []Choice {
	var out []Choice
	found := false
	for _, r := range rows {
		text := r.Rollout + " " + cmp.Or(r.Version, shortID(r.ID)) + ", " + r.State.Text + ", " + r.Started.UTC().Format("2 Jan 15:04")
		out = append(out, Choice{r.ID, text, r.ID == chosen})
		found = found || r.ID == chosen
	}
	if chosen != "" && !found {
		out = append(out, Choice{chosen, chosen, true})
	}
	return out
}

func (s *site) compareTwo(ctx context.Context, page *comparePage) error {
	a, err := s.record(ctx, page.A)
	if err != nil {
		return err
	}
	b, err := s.record(ctx, page.B)
	if err != nil {
		return err
	}
	now := time.Now()
	page.Known, page.Both = true, []Detail{newDetail(a, drawScopes(a), now), newDetail(b, drawScopes(b), now)}
	page.Facts, page.Metrics = facts(page.Both[0], page.Both[1]), metricPairs(a, b, page.Both)
	return nil
}

func facts(a, b Detail) []compareRow {
	var out []compareRow
	add := func(name, a, b string) { out = append(out, compareRow{name, a, b, a != b}) }
	add("Rollout", a.Rollout, b.Rollout)
	add("Version", cmp.Or(a.Brings, "–"), cmp.Or(b.Brings, "–"))
	add("How it went", a.Headline.Text, b.Headline.Text)
	out = append(out, compareRow{"Started", stamp(a.Started), stamp(b.Started), false}) // two never start at once
	add("Started by", a.StartedBy, b.StartedBy)
	add("Took", a.Took, b.Took)
	add("Revision of the plan", a.Revision, b.Revision)
	values := func(d Detail) map[string]string {
		m := map[string]string{}
		for _, p := range d.Parameters {
			m[p.Name] = p.Value
		}
		return m
	}
	va, vb := values(a), values(b)
	names := append(sortedKeys(va), sortedKeys(vb)...)
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		add("Parameter "+n, va[n], vb[n])
	}
	took := func(d Detail) map[string]string {
		m := map[string]string{}
		for _, s := range d.Steps {
			m[s.Name] = cmp.Or(s.Took, s.Says)
		}
		return m
	}
	ta, tb := took(a), took(b)
	for _, s := range a.Steps {
		add("Step "+s.Name, ta[s.Name], cmp.Or(tb[s.Name], "–"))
	}
	return out
}

// metricPairs are the metrics of both, by scope and name, in the order of the first.
func metricPairs(a, b Record, both []Detail) []metricPair {
	var out []metricPair
	at := func(scope, metric string) int {
		name := scope + " · " + metric
		i := slices.IndexFunc(out, func(p metricPair) bool { return p.Name == name })
		if i < 0 {
			i, out = len(out), append(out, metricPair{Name: name})
		}
		return i
	}
	for side, d := range both {
		for _, scope := range d.Scopes {
			for i := range scope.Metrics {
				k := at(scope.Title, scope.Metrics[i].Name)
				if side == 0 {
					out[k].A = &scope.Metrics[i]
				} else {
					out[k].B = &scope.Metrics[i]
				}
				out[k].Chart = inline(ratiosChart(len(out), scope, scope.Metrics[i].Name, a, b))
			}
		}
	}
	return out
}

// ratiosChart shows the ratio of one metric in both releases, each over the time since its start.
func ratiosChart(n int, scope Scope, metric string, a, b Record) chart.Chart {
	origin := time.Unix(0, 0).UTC()
	c := chart.Chart{
		ID: fmt.Sprintf("compare-%s-%d", scope.Name, n), Title: metric + ": ratio in both", Description: "The ratio of canary to baseline, with its confidence sequence, over the time since each release began: a second, a minute and an hour stand equally far apart.",
		Width: 720, Height: chartHeight, Origin: origin, LogTime: true, Hover: true, Y: chart.Axis{Label: "ratio of canary to baseline", Log: true},
		Limits: []chart.Limit{{Name: "no difference", Class: "even", Value: 1}},
	}
	lo, hi := 0.5, 2.0
	for i, r := range []Record{a, b} {
		class := []string{"a", "b"}[i]
		line, band := chart.Line{Name: strings.ToUpper(class), Class: class, Dashed: i == 1}, chart.Band{Class: class}
		for _, part := range chunks(r.Looks[scope.Name], bins) {
			l := &part[len(part)-1]
			if v := verdictIn(l, metric); v != nil && tell.Compared(*v) {
				at := origin.Add(l.At.Sub(r.View.Release.StartedAt))
				line.Points = append(line.Points, chart.Point{At: at, Value: v.Ratio})
				band.Ranges = append(band.Ranges, chart.Range{At: at, Lower: v.Lower, Upper: v.Upper})
				lo, hi = min(lo, v.Ratio/2), max(hi, v.Ratio*2)
			}
		}
		if len(line.Points) > 0 {
			c.Lines, c.Bands = append(c.Lines, line), append(c.Bands, band)
		}
		if m := lastVerdict(r.Looks[scope.Name], metric); m != nil && i == 0 {
			c.Limits = append(c.Limits, chart.Limit{Name: "margin", Class: "margin", Value: m.Margin})
			lo, hi = min(lo, m.Margin/2), max(hi, m.Margin*2)
		}
	}
	c.Y.Min, c.Y.Max = max(lo, 0.02), min(hi, 50)
	return c
}

func lastVerdict(looks []server.Look, metric string) *judge.MetricVerdict {
	if len(looks) == 0 {
		return nil
	}
	return verdictIn(&looks[len(looks)-1], metric)
}
