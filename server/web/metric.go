package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
)

// Scope is one body of evidence: that of all gray steps together, or of one other step that compares.
type Scope struct {
	Name, Title string
	Looks       int
	From, To    time.Time
	Verdict     Pill
	Metrics     []Metric

	// series are the metrics over time, and requests how many the canary has had; both are used across scopes.
	series   []series
	requests float64
}

// Metric is one metric of a scope: what was counted, and how far a decision is.
type Metric struct {
	Name, Kind string
	Verdict    Pill
	// Plain says in words what was counted, and Sure how certain a decision is; both are empty unless the scope's verdict
	// counts.
	Plain, Sure string
	// Queries show the same in Prometheus.
	Queries []Query
	// Grafana is a link to both arms there, at the release's time; empty if Grafana's address is not known.
	Grafana          string
	Detail           string
	Canary, Baseline Arm
	Ratio            string
	Bounds           string
	// Margin is the ratio that is still accepted, and Accepted says whether it is a maximum or a minimum.
	Margin, Accepted string
	Rule             string
	Worse, NoWorse   Meter
	Sequence         template.HTML
	// Quantiles says how a histogram's quantiles have moved, and Quantile draws the largest one; empty for other kinds.
	Quantiles string
	Quantile  template.HTML
	Rows      []Row
}

// Query shows in Prometheus what a metric counts; Link runs it there, at the release's time, and is empty if Prometheus's
// address is not known.
type Query struct{ Name, Text, Link string }

// Row is one look in numbers.
type Row struct {
	Look             int
	At               time.Time
	Canary, Baseline string
	Ratio, Bounds    string
	Verdict          Pill
}

const (
	// bins is how many points a chart has at most: more could not be distinguished.
	bins = 120
	// rows is how many looks are shown in numbers.
	rows                    = 8
	chartWidth, chartHeight = 560, 250
)

func newScope(v record.View, id int, name string, looks []server.Look) Scope {
	last := looks[len(looks)-1]
	s := Scope{
		Name: name, Title: scopeTitle(v, name), Looks: last.Number, From: looks[0].At, To: last.At,
		Verdict: tell.VerdictBadge(last.Verdict.Outcome, last.Verdict.Reason),
	}
	for i := range last.Verdict.Metrics {
		s.Metrics = append(s.Metrics, newMetric(fmt.Sprintf("%d-%d", id, i), looks, &last.Verdict.Metrics[i]))
		s.series = append(s.series, newSeries(looks, &last.Verdict.Metrics[i]))
	}
	for _, l := range looks {
		if l.Requests != nil {
			s.requests += l.Requests.Canary
		}
	}
	return s
}

// scopeTitle names the steps that gather the evidence of a scope.
func scopeTitle(v record.View, scope string) string {
	var names string
	for _, step := range v.Steps {
		switch step := step.(type) {
		case rollout.AB:
			if step.Scope == scope {
				return "A/B test " + step.Name
			}
		case rollout.Gray:
			if step.Scope == scope {
				if names != "" {
					names += ", "
				}
				names += step.Name
			}
		case rollout.Mirror:
			if step.Scope == scope {
				return "Copies, " + step.Name
			}
		case rollout.Watch:
			if step.Scope == scope {
				return "Watch " + step.Name
			}
		default:
		}
	}
	if names == "" {
		return scope
	}
	return "Gray release " + names
}

func newMetric(id string, looks []server.Look, m *judge.MetricVerdict) Metric {
	words := tell.Compare(*m)
	out := Metric{
		Name: m.Metric, Kind: kindWords(m), Verdict: words.Verdict, Detail: m.Detail, Canary: words.Canary,
		Baseline: words.Baseline, Ratio: words.Ratio, Margin: figures.Number(m.Margin), Rule: rule(m), Worse: words.Worse, NoWorse: words.NoWorse,
	}
	out.Accepted = "times as much, at most"
	if m.Margin < 1 {
		out.Accepted = "times as much, at least"
	}
	if out.Ratio != "" {
		out.Bounds = bounds(m)
	}
	out.Sequence = inline(sequenceChart(id, looks, m))
	if out.Quantiles = tell.Quantiles(*m); out.Quantiles != "" {
		out.Quantile = inline(quantileChart(id, looks, m))
	}
	for _, l := range slices.Backward(looks[max(0, len(looks)-rows):]) {
		out.Rows = append(out.Rows, newRow(l, m))
	}
	return out
}

// bounds puts the ends of the confidence sequence into words.
func bounds(m *judge.MetricVerdict) string {
	switch lower, upper := m.Bounded(); {
	case lower && upper:
		return figures.Number(m.Lower) + " to " + figures.Number(m.Upper)
	case lower:
		return "at least " + figures.Number(m.Lower)
	case upper:
		return "at most " + figures.Number(m.Upper)
	}
	return "nothing excluded yet"
}

// inline draws a chart as HTML: package chart escapes all text and emits no scripts.
func inline(c chart.Chart) template.HTML { return template.HTML(c.Inline()) } //nolint:gosec // see above

// kindWords says what kind of metric it is, unless it is the usual kind.
func kindWords(m *judge.MetricVerdict) string {
	words := []string{kindOfMetric(m)}
	if m.Optional {
		words = append(words, "optional")
	}
	if m.DryRun {
		words = append(words, "dry run")
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// kindOfMetric is empty for a share of all requests: the percent signs say it.
func kindOfMetric(m *judge.MetricVerdict) string {
	switch m.Kind {
	case judge.Gauge, judge.Mean:
		return "mean"
	case judge.Histogram:
		return "share above " + figures.Number(m.Bound)
	case judge.Objective:
		return "against an objective"
	case judge.Counts:
		if m.By != "" {
			return "share of " + m.Part()
		}
	}
	return ""
}

// rule says how to read the chart of the ratio.
func rule(m *judge.MetricVerdict) string {
	above, below := "above", "below"
	if m.Margin < 1 {
		above, below = below, above
	}
	pass := "the margin"
	switch {
	case m.Goal:
		pass = "1"
	case m.Rules > 0:
		pass = figures.Times(m.Rules) + ", which is what the available time can rule out"
	}
	return fmt.Sprintf("It fails once the evidence is enough and the band lies %s 1 with the estimate beyond the "+
		"margin; it passes once the whole band lies %s %s.",
		above, below, pass)
}

// verdictIn finds a metric in a look's verdict; nil if it is not there.
func verdictIn(l *server.Look, metric string) *judge.MetricVerdict {
	for i := range l.Verdict.Metrics {
		if l.Verdict.Metrics[i].Metric == metric {
			return &l.Verdict.Metrics[i]
		}
	}
	return nil
}

// chunks cuts looks into at most n parts of one length; the last one may be shorter.
func chunks(looks []server.Look, n int) [][]server.Look {
	size := max(1, (len(looks)+n-1)/n)
	return slices.Collect(slices.Chunk(looks, size))
}

// newSeries returns the values of one metric in both arms over time.
func newSeries(looks []server.Look, m *judge.MetricVerdict) series {
	out := series{of: *m, name: m.Metric, label: kindOfMetric(m), gauge: m.Kind == judge.Gauge || m.Kind == judge.Mean}
	if m.Kind == judge.Objective {
		out.objective = m.Baseline.Rate
	}
	before, looks := beginning(looks, m)
	for _, part := range chunks(looks, bins) {
		last := &part[len(part)-1]
		c, b := armValues(part, m, before)
		out.canary = append(out.canary, chart.Point{At: last.At, Value: c})
		out.baseline = append(out.baseline, chart.Point{At: last.At, Value: b})
		if v := verdictIn(last, m.Metric); v != nil {
			before = v
		}
	}
	return out
}

// beginning returns the totals of a metric before a series of looks, and the looks that follow: if the series does not
// begin with the release, its first look only gives the totals.
func beginning(looks []server.Look, m *judge.MetricVerdict) (*judge.MetricVerdict, []server.Look) {
	if len(looks) > 1 && looks[0].Number > 1 {
		if v := verdictIn(&looks[0], m.Metric); v != nil {
			return v, looks[1:]
		}
	}
	return &judge.MetricVerdict{Metric: m.Metric}, looks
}

// topOf is the upper end of an axis of shares: above the largest, or 1% if all are 0.
func topOf(lines ...chart.Line) float64 {
	top := 0.0
	for _, l := range lines {
		for _, p := range l.Points {
			if p.Value > top { // false for NaN
				top = p.Value
			}
		}
	}
	if top == 0 {
		return 0.01
	}
	return topRoom * top
}

// topRoom is how much higher an axis is than its lines: the names of weights are above them.
const topRoom = 1.15

// armValues returns both arms' values over a few looks; NaN if there was nothing.
func armValues(part []server.Look, m, before *judge.MetricVerdict) (canary, baseline float64) {
	if m.Kind == judge.Histogram {
		// Looks have counts at every bound; verdicts have totals at the bound that matters.
		after := verdictIn(&part[len(part)-1], m.Metric)
		if after == nil || after.Bound != m.Bound || before.Bound != 0 && before.Bound != m.Bound {
			return math.NaN(), math.NaN()
		}
		return between(before.Canary, after.Canary), between(before.Baseline, after.Baseline)
	}
	var c, b sum
	for _, l := range part {
		for _, o := range l.Observations {
			switch {
			case o.Metric != m.Metric:
			case m.By == "":
				c.add(o.Canary, m.Kind)
				b.add(o.Baseline, m.Kind)
			default: // one value of its label
				for _, p := range o.Parts {
					if p.Value == m.Value {
						c.add(p.Canary, m.Kind)
						b.add(p.Baseline, m.Kind)
					}
				}
			}
		}
	}
	return c.value(), b.value()
}

// between is the rate of what was counted between two totals.
func between(a, b judge.Totals) float64 {
	if b.Total <= a.Total {
		return math.NaN()
	}
	return (b.Bad - a.Bad) / (b.Total - a.Total)
}

// sum adds up an arm's looks: counts, or the values of a gauge.
type sum struct{ bad, of float64 }

func (s *sum) add(a judge.Arm, k judge.Kind) {
	switch {
	case a.Missing:
	case k == judge.Gauge:
		s.bad, s.of = s.bad+a.Value, s.of+1
	default:
		s.bad, s.of = s.bad+a.Bad, s.of+a.Total
	}
}

func (s *sum) value() float64 {
	if s.of == 0 {
		return math.NaN()
	}
	return s.bad / s.of
}

// sequenceChart shows the ratio with its confidence sequence, against the margin.
func sequenceChart(id string, looks []server.Look, m *judge.MetricVerdict) chart.Chart {
	line, band := chart.Line{Name: "ratio, canary to baseline", Class: "canary"}, chart.Band{Name: "confidence sequence", Class: "canary"}
	for _, part := range chunks(looks, bins) {
		l := &part[len(part)-1]
		v := verdictIn(l, m.Metric)
		if v == nil || !tell.Compared(*v) || v.By != m.By || v.Value != m.Value {
			line.Points = append(line.Points, chart.Point{At: l.At, Value: math.NaN()})
			band.Ranges = append(band.Ranges, chart.Range{At: l.At, Lower: math.NaN(), Upper: math.NaN()})
			continue
		}
		line.Points = append(line.Points, chart.Point{At: l.At, Value: v.Ratio})
		band.Ranges = append(band.Ranges, chart.Range{At: l.At, Lower: v.Lower, Upper: v.Upper})
	}
	lo, hi := sequenceAxis(m)
	text := "Nothing can be said about the ratio yet."
	if m.Ratio > 0 {
		text = fmt.Sprintf("The ratio is estimated at %s, between %s and %s; the margin is %s.", figures.Number(m.Ratio), figures.Number(m.Lower),
			figures.Number(m.Upper), figures.Number(m.Margin))
	}
	return chart.Chart{
		ID: "sequence-" + id, Title: m.Metric + ": how far a decision is", Description: text, Width: chartWidth, Height: chartHeight,
		Y: chart.Axis{Label: "ratio of canary to baseline", Log: true, Min: lo, Max: hi}, Lines: []chart.Line{line}, Bands: []chart.Band{band},
		Limits:  []chart.Limit{{Name: "no difference", Class: "even", Value: 1}, {Name: "margin", Class: "margin", Value: m.Margin}},
		Moments: weightMoments(looks),
	}
}

// quantileChart shows the largest quantile of both arms with its bands. A band whose upper end is not known yet reaches to
// the end of the axis.
func quantileChart(id string, looks []server.Look, m *judge.MetricVerdict) chart.Chart {
	k := len(m.Quantiles) - 1
	name := m.Quantiles[k].Name()
	arms := []struct {
		line chart.Line
		band chart.Band
		of   func(q judge.Quantile) judge.QuantileBand
	}{
		{
			chart.Line{Name: name + ", canary", Class: "canary"},
			chart.Band{Name: "where it is, canary", Class: "canary"}, func(q judge.Quantile) judge.QuantileBand { return q.Canary },
		},
		{
			chart.Line{Name: name + ", baseline", Class: "baseline"},
			chart.Band{Name: "where it is, baseline", Class: "baseline"}, func(q judge.Quantile) judge.QuantileBand { return q.Baseline },
		},
	}
	top := 0.0
	for _, arm := range arms {
		b := arm.of(m.Quantiles[k])
		top = max(top, 1.5*b.Value, 1.2*b.Upper)
	}
	for _, part := range chunks(looks, bins) {
		l := &part[len(part)-1]
		v := verdictIn(l, m.Metric)
		for i := range arms {
			value, lower, upper := math.NaN(), math.NaN(), math.NaN()
			if v != nil && len(v.Quantiles) == len(m.Quantiles) {
				b := arms[i].of(v.Quantiles[k])
				value, lower, upper = b.Value, b.Lower, b.Upper
				if upper == 0 {
					upper = top
				}
			}
			arms[i].line.Points = append(arms[i].line.Points, chart.Point{At: l.At, Value: value})
			arms[i].band.Ranges = append(arms[i].band.Ranges, chart.Range{At: l.At, Lower: lower, Upper: min(upper, top)})
		}
	}
	return chart.Chart{
		ID: "quantile-" + id, Title: m.Metric + ": " + name + " over the whole release", Description: tell.Capital(tell.Quantiles(*m)) + ".",
		Width: chartWidth, Height: chartHeight, Y: chart.Axis{Label: name, Max: top},
		Lines: []chart.Line{arms[0].line, arms[1].line}, Bands: []chart.Band{arms[0].band, arms[1].band}, Moments: weightMoments(looks),
	}
}

// sequenceAxis is wide enough for the margin and for the band as it is now, with room around it, so that one can see how the
// band has narrowed.
func sequenceAxis(m *judge.MetricVerdict) (lo, hi float64) {
	const most = 60 // the band begins at about 245, which says nothing; an estimate beyond 60 widens the axis all the same
	margin := m.Margin
	if !(margin > 0) || math.IsInf(margin, 0) {
		margin = 1
	}
	hi = max(3*margin, 3)
	if m.Upper > 0 {
		hi = max(hi, 2.5*m.Upper)
	}
	lo = min(margin/3, 1.0/3)
	if m.Lower > 0 {
		lo = min(lo, m.Lower/2.5)
	}
	ratio := margin
	if tell.Compared(*m) {
		ratio = m.Ratio
	}
	hi, lo = max(hi, 1.5*ratio), min(lo, ratio/1.5)
	return max(lo, min(1.0/most, margin/2, ratio/1.5)), min(hi, max(most, 2*margin, 1.5*ratio))
}

// weightMoments marks where the weight changed.
func weightMoments(looks []server.Look) []chart.Moment {
	var out []chart.Moment
	for i, l := range looks {
		if i > 0 && l.Weight != looks[i-1].Weight {
			out = append(out, chart.Moment{Name: share.Share(l.Weight).String(), At: l.At.Add(-l.Length)})
		}
	}
	const most = 12 // more names would overlap
	return out[max(0, len(out)-most):]
}

func newRow(l server.Look, m *judge.MetricVerdict) Row {
	row := Row{Look: l.Number, At: l.At, Canary: "–", Baseline: "–"}
	if c, b := armValues([]server.Look{l}, m, &judge.MetricVerdict{Bound: -1}); m.Kind != judge.Histogram {
		row.Canary, row.Baseline = valueText(c, m), valueText(b, m)
	}
	if m.Kind == judge.Objective {
		row.Baseline = figures.Percent(m.Baseline.Rate)
	}
	v := verdictIn(&l, m.Metric)
	if v == nil {
		return row
	}
	if m.Kind == judge.Histogram {
		both := tell.Compare(*v)
		row.Canary, row.Baseline = both.Canary.Rate, both.Baseline.Rate
	}
	row.Verdict = tell.MetricBadge(*v)
	if l.Excluded != "" {
		row.Verdict = Pill{Text: tell.Reason(l.Excluded), Class: "rest"}
	}
	if v.Ratio > 0 {
		row.Ratio, row.Bounds = figures.Number(v.Ratio), bounds(v)
	}
	return row
}

func valueText(v float64, m *judge.MetricVerdict) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case m.Kind == judge.Gauge, m.Kind == judge.Mean:
		return figures.Number(v)
	}
	return figures.Percent(v)
}
