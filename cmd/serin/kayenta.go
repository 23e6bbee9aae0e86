package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/metricset"
)

// scopeOf reads one side of a canary config's scope.
func (z *analyzing) scopeOf(flag string, texts []string) (metricset.Scope, error) {
	s := metricset.Scope{Start: z.begin, End: z.end, Step: z.step, Params: map[string]string{}}
	for _, text := range texts {
		name, value, named := strings.Cut(text, "=")
		switch {
		case !named && s.Scope != "":
			return s, fmt.Errorf("--%s %s: there is a scope already, %s", flag, text, s.Scope)
		case !named:
			s.Scope = text
		case name == "location":
			s.Location = value
		case name == "":
			return s, fmt.Errorf("--%s %s: expected NAME=VALUE", flag, text)
		default:
			s.Params[name] = value
		}
	}
	return s, nil
}

// analyzeConfig judges a canary config once, over the whole window.
func (a *app) analyzeConfig(ctx context.Context, z *analyzing, source *promsource.Source, c kayenta.Config) error {
	if z.step == 0 {
		z.step = time.Minute
	}
	pairs, err := a.measure(ctx, z, source, c)
	if err != nil {
		return err
	}
	var samples []kayenta.Pair
	for _, p := range pairs {
		samples = append(samples, kayenta.Pair{Name: p.Name, Tags: p.Tags, Control: p.Control.Values, Experiment: p.Experiment.Values})
	}
	request, err := c.Request(samples, kayenta.Thresholds{Pass: z.pass, Marginal: z.marginal})
	if err != nil {
		return err
	}
	result, err := kayenta.Judge(request)
	if err != nil {
		return err
	}
	for _, w := range kayenta.Warnings(request, result) {
		_, _ = fmt.Fprintf(a.stderr, "serin: warning: %s\n", clean(w))
	}
	if z.chart != "" {
		if err := writeFile(z.chart, pairCharts(pairs, result)); err != nil {
			return err
		}
	}
	if err := a.print(result, func(w io.Writer) error { return a.kayentaTable(w, result) }); err != nil {
		return err
	}
	switch result.Label {
	case kayenta.Pass:
		return nil
	case kayenta.Marginal:
		return &codeError{code: exitTooLong}
	default:
		return &codeError{code: exitNotLive}
	}
}

// measure asks for every metric of both sides.
func (a *app) measure(ctx context.Context, z *analyzing, source *promsource.Source, c kayenta.Config) ([]metricset.Pair, error) {
	control, err := z.scopeOf("baseline", z.baseline)
	if err != nil {
		return nil, err
	}
	experiment, err := z.scopeOf("canary", z.canary)
	if err != nil {
		return nil, err
	}
	scopes := map[string]metricset.ScopePair{}
	for _, m := range c.Metrics {
		scopes[metricset.ScopeName(m)] = metricset.ScopePair{Control: control, Experiment: experiment}
	}
	asks, err := metricset.Asks(c, scopes, metricset.DefaultScopeLabel)
	if err != nil {
		return nil, err
	}
	shown := a.progressBar("asking Prometheus", 2*len(asks))
	defer shown.end()
	var pairs []metricset.Pair
	for _, ask := range asks {
		var sides [2]metricset.Side
		for i, q := range []metricset.Question{ask.Control, ask.Experiment} {
			answer := source.Range(ctx, q.PromQL, q.Scope.Start, q.Scope.End, q.Scope.Step)
			if answer.Err != nil {
				return nil, fmt.Errorf("metric %s: %w", ask.Name, answer.Err)
			}
			sides[i] = metricset.Side{Question: q, Series: answer.Series}
			shown.step()
		}
		more, err := metricset.Pairs(ask.Name, sides[0], sides[1])
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", ask.Name, err)
		}
		pairs = append(pairs, more...)
	}
	return pairs, nil
}

func kayentaPaint(l kayenta.Label) paint {
	switch l {
	case kayenta.Pass:
		return green
	case kayenta.High, kayenta.Low, kayenta.Fail, kayenta.NodataFailMetric:
		return red
	case kayenta.Marginal, kayenta.Nodata, kayenta.Error:
		return yellow
	}
	return plain
}

func (a *app) kayentaTable(w io.Writer, r kayenta.Result) error {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	rows := [][]cell{}
	for _, m := range r.Metrics {
		name := m.Name
		if len(m.Tags) > 0 {
			name += " " + strings.Join(pairs(m.Tags), ", ")
		}
		rows = append(rows, []cell{{name, bold}, {string(m.Label), kayentaPaint(m.Label)}, {number(m.Experiment.Mean), plain},
			{number(m.Control.Mean), plain}, {number(m.Ratio), plain},
			{fmt.Sprintf("%d, %d", m.Experiment.Count, m.Control.Count), plain}, {m.Reason, plain}})
	}
	if err := a.table(w, []string{"METRIC", "SAYS", "CANARY", "BASELINE", "RATIO", "POINTS", "REASON"}, rows); err != nil {
		return err
	}
	for _, g := range r.Groups {
		score := number(g.Score)
		if !g.HasData {
			score = "no data, which counts as 100"
		}
		_, _ = fmt.Fprintf(w, "group %s: %s\n", clean(g.Name), score)
	}
	text := fmt.Sprintf("score %s: %s", number(r.Score), r.Label)
	if r.Reason != "" {
		text += " (" + r.Reason + ")"
	}
	_, err := fmt.Fprintln(w, painted(clean(text), kayentaPaint(r.Label), a.colours()))
	return err
}

// pairCharts draws the values of both arms, a chart for each pair.
func pairCharts(all []metricset.Pair, r kayenta.Result) []byte {
	var charts []chart.Chart
	for i, p := range all {
		title := p.Name
		if len(p.Tags) > 0 {
			title += " " + strings.Join(pairs(p.Tags), ", ")
		}
		m := r.Metrics[i]
		c := chart.Chart{Title: title + ": " + string(m.Label), Height: 200,
			Description: fmt.Sprintf("The canary's mean is %.4g, the baseline's %.4g; %s.", m.Experiment.Mean, m.Control.Mean, m.Label)}
		for _, side := range []struct {
			name string
			set  metricset.Set
		}{{"baseline", p.Control}, {"canary", p.Experiment}} {
			line := chart.Line{Name: side.name, Class: side.name}
			for k, v := range side.set.Values {
				if k < len(side.set.Times) && !math.IsInf(v, 0) {
					line.Points = append(line.Points, chart.Point{At: time.UnixMilli(side.set.Times[k]), Value: v})
				}
			}
			c.Lines = append(c.Lines, line)
		}
		charts = append(charts, c)
	}
	return chart.Stack(charts...)
}
