package web

import (
	"cmp"
	"context"
	"fmt"
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

// compareRow is one fact about both releases: two texts, or two times, which are shown in the reader's own zone.
type compareRow struct {
	Name, A, B   string
	TimeA, TimeB time.Time
	Differs      bool
}

// metricPair is one metric in both releases; A or B is nil if that release does not have the metric. Rates draws the new
// version's rates of both, and Ratio the ratios to the version before, on one axis for all metrics.
type metricPair struct {
	Name         string
	A, B         *Metric
	Rates, Ratio Plot

	series [2]*series
	scope  string
}

func (s *site) compare(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	page := &comparePage{
		Base: Base{Title: "Compare two releases", Nav: "history"}, A: strings.TrimSpace(q.Get("a")), B: strings.TrimSpace(q.Get("b")),
	}
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

// releaseChoices returns the releases to choose from, including the chosen one if it is older than the list.
func releaseChoices(rows []releaseRow, chosen string) []Choice {
	var out []Choice
	found := false
	for _, r := range rows {
		text := r.Rollout + " " + cmp.Or(r.Version, shortID(r.ID)) + ", " + r.State.Text
		out = append(out, Choice{Value: r.ID, Text: text, At: r.Started, Chosen: r.ID == chosen})
		found = found || r.ID == chosen
	}
	if chosen != "" && !found {
		out = append(out, Choice{Value: chosen, Text: chosen, Chosen: true})
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
	add := func(name, a, b string) { out = append(out, compareRow{Name: name, A: a, B: b, Differs: a != b}) }
	add("Rollout", a.Rollout, b.Rollout)
	add("Version", cmp.Or(a.Brings, "–"), cmp.Or(b.Brings, "–"))
	add("How it went", a.Headline.Text, b.Headline.Text)
	out = append(out, compareRow{Name: "Started", TimeA: a.Started, TimeB: b.Started}) // two never start at once
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
	for _, s := range b.Steps {
		if _, both := ta[s.Name]; !both {
			add("Step "+s.Name, "–", tb[s.Name])
		}
	}
	return out
}

// metricPairs returns the metrics of both releases, by scope and name, in the order of the first.
func metricPairs(a, b Record, both []Detail) []metricPair {
	var out []metricPair
	at := func(scope Scope, metric string) *metricPair {
		name := scope.Title + " · " + metric
		i := slices.IndexFunc(out, func(p metricPair) bool { return p.Name == name })
		if i < 0 {
			i, out = len(out), append(out, metricPair{Name: name, scope: scope.Name})
		}
		return &out[i]
	}
	for side, d := range both {
		for _, scope := range d.Scopes {
			for i := range scope.Metrics {
				p := at(scope, scope.Metrics[i].Name)
				if p.series[side] = &scope.series[i]; side == 0 {
					p.A = &scope.Metrics[i]
				} else {
					p.B = &scope.Metrics[i]
				}
			}
		}
	}
	drawPairs(out, [2]Record{a, b})
	return out
}

// drawPairs draws the charts of all pairs with the same time axis, and the ratios with the same value axis.
func drawPairs(pairs []metricPair, of [2]Record) {
	ratios := make([]chart.Chart, len(pairs))
	longest, lo, hi := time.Minute, 0.5, 2.0
	for _, r := range of {
		for _, looks := range r.Looks {
			if len(looks) > 0 {
				longest = max(longest, looks[len(looks)-1].At.Sub(r.View.Release.StartedAt))
			}
		}
	}
	for i := range pairs {
		ratios[i] = ratiosChart(i, &pairs[i], of)
		lo, hi = min(lo, ratios[i].Y.Min), max(hi, ratios[i].Y.Max)
	}
	for i := range pairs {
		ratios[i].Y.Min, ratios[i].Y.Max = lo, hi
		rates := ratesChart(i, &pairs[i], of)
		for _, c := range []*chart.Chart{&ratios[i], &rates} {
			c.From, c.To = sinceStart.Add(time.Second), sinceStart.Add(longest)
		}
		pairs[i].Ratio, pairs[i].Rates = newPlot(ratios[i]), newPlot(rates)
	}
}

// sinceStart is the origin of an axis that shows the time since each release began.
var sinceStart = time.Unix(0, 0).UTC()

// sideBySide makes a chart over the time since each release began.
func sideBySide(id string, y chart.Axis, title, description string) chart.Chart {
	return chart.Chart{
		ID: id, Title: title, Description: description +
			", over the time since each release began: a second, a minute and an hour stand equally far apart.",
		Width: timelineWidth, Height: chartHeight, Origin: sinceStart, LogTime: true, Hover: true, Y: y,
	}
}

// lineOf is the line of the first or the second release.
func lineOf(side int) chart.Line {
	class := []string{"a", "b"}[side]
	return chart.Line{Name: strings.ToUpper(class), Class: class, Dashed: side == 1}
}

// ratesChart shows what the new version did in both releases.
func ratesChart(i int, p *metricPair, of [2]Record) chart.Chart {
	c := sideBySide(fmt.Sprintf("both-%d", i), chart.Axis{Percent: true}, "The new version in both", "What the new version did in each release")
	for side, s := range p.series {
		if s == nil {
			continue
		}
		line := lineOf(side)
		for _, point := range s.canary {
			line.Points = append(line.Points, chart.Point{At: sinceStart.Add(point.At.Sub(of[side].View.Release.StartedAt)), Value: point.Value})
		}
		c.Y.Label, c.Y.Percent = s.label, !s.gauge
		c.Lines = append(c.Lines, line)
	}
	if c.Y.Percent {
		c.Y.Max = topOf(c.Lines...)
	}
	return c
}

// ratiosChart shows the ratio of one metric in both releases. Its value axis is as large as this metric needs.
func ratiosChart(i int, p *metricPair, of [2]Record) chart.Chart {
	c := sideBySide(fmt.Sprintf("compare-%d", i), chart.Axis{Label: "ratio of canary to baseline", Log: true},
		"Ratio in both", "The ratio of canary to baseline, with its confidence sequence")
	c.Limits = []chart.Limit{{Name: "no difference", Class: "even", Value: 1}}
	lo, hi := 0.5, 2.0
	for side, m := range []*Metric{p.A, p.B} {
		if m == nil {
			continue
		}
		line := lineOf(side)
		band := chart.Band{Class: line.Class}
		looks := of[side].Looks[p.scope]
		for _, part := range chunks(looks, bins) {
			l := &part[len(part)-1]
			if v := verdictIn(l, m.Name); v != nil && tell.Compared(*v) {
				at := sinceStart.Add(l.At.Sub(of[side].View.Release.StartedAt))
				line.Points = append(line.Points, chart.Point{At: at, Value: v.Ratio})
				band.Ranges = append(band.Ranges, chart.Range{At: at, Lower: v.Lower, Upper: v.Upper})
				lo, hi = min(lo, v.Ratio/2), max(hi, v.Ratio*2)
			}
		}
		if len(line.Points) > 0 {
			c.Lines, c.Bands = append(c.Lines, line), append(c.Bands, band)
		}
		if last := lastVerdict(looks, m.Name); last != nil && len(c.Limits) == 1 {
			c.Limits = append(c.Limits, chart.Limit{Name: "margin", Class: "margin", Value: last.Margin})
			lo, hi = min(lo, last.Margin/2), max(hi, last.Margin*2)
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
