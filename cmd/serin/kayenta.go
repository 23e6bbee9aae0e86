package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker"
	"github.com/serindev/serin/spinnaker/metricset"
	"github.com/serindev/serin/tell"
)

// scopeOf parses one side of a canary config's scope.
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

// canaryConfig reads a canary config of Kayenta: JSON or YAML, on its own or inside a request as clients send it. It
// reports whether the text is one at all; an error means that it cannot be judged: a verdict about a file that was not
// understood would be worse than none.
func canaryConfig(text []byte) (c kayenta.Config, is bool, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		var keys map[string]any
		if yaml.Unmarshal(text, &keys) != nil || keys["apiVersion"] != nil || keys["metrics"] == nil && keys["canaryConfig"] == nil {
			return c, false, nil
		}
		if text, err = yaml.YAMLToJSON(text); err != nil {
			return c, true, err
		}
	}
	if wrapped, _ := kayenta.Parts(text); wrapped != nil {
		text = wrapped
	}
	if c, err = kayenta.DecodeConfig(text); err != nil {
		return c, true, err
	}
	if len(c.Metrics) == 0 {
		return c, true, errors.New("there are no metrics in it: expected a canary config of Kayenta, by itself or as the canaryConfig of a request")
	}
	return c, true, metricset.CheckSources(c)
}

// judgement is a CanaryJudgeResult as both judges write it.
type judgement struct {
	Results []struct {
		Name   string            `json:"name"`
		Tags   map[string]string `json:"tags"`
		Label  string            `json:"classification"`
		Reason string            `json:"classificationReason"`
		Canary struct {
			Stats armStats `json:"stats"`
		} `json:"experimentMetadata"`
		Baseline struct {
			Stats armStats `json:"stats"`
		} `json:"controlMetadata"`
		Ratio struct {
			Ratio looseNumber `json:"ratio"`
		} `json:"resultMetadata"`
	} `json:"results"`
	Groups []struct {
		Name  string      `json:"name"`
		Score looseNumber `json:"score"`
	} `json:"groupScores"`
	Score struct {
		Score  looseNumber `json:"score"`
		Label  string      `json:"classification"`
		Reason string      `json:"classificationReason"`
	} `json:"score"`
}

type armStats struct {
	Count int         `json:"count"`
	Mean  looseNumber `json:"mean"`
}

// looseNumber is a number that JSON holds as a string if it is not finite ("NaN").
type looseNumber float64

func (n *looseNumber) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = looseNumber(f)
	return err
}

// analyzeConfig judges a file that is a canary config; it reports whether it is one.
func (a *app) analyzeConfig(ctx context.Context, z *analyzing, source *promsource.Source, file string, text []byte) (is bool, err error) {
	c, is, err := canaryConfig(text)
	if err != nil {
		return is, fmt.Errorf("%s: %w", file, err)
	}
	if !is {
		return false, nil
	}
	return true, a.judgeConfig(ctx, z, source, c)
}

// judgeConfig judges a canary config once, over the whole window, with the judge that it names.
func (a *app) judgeConfig(ctx context.Context, z *analyzing, source *promsource.Source, c kayenta.Config) error {
	if z.step == 0 {
		z.step = time.Minute
	}
	name, err := spinnaker.JudgeName(c)
	if err != nil {
		return err
	}
	for _, w := range metricset.ConfigWarnings(c, metricset.Rules{}) {
		a.warning(w)
	}
	asks, pairs, err := a.measure(ctx, z, source, c)
	if err != nil {
		return err
	}
	raw, warnings, err := spinnaker.Once(ctx, c, asks, pairs, kayenta.Thresholds{Pass: z.pass, Marginal: z.marginal})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		a.warning(w)
	}
	var result judgement
	if err := json.Unmarshal(raw, &result); err != nil {
		return fmt.Errorf("read what %s says: %w", name, err)
	}
	if z.chart != "" {
		if err := writeFile(z.chart, pairCharts(pairs, result)); err != nil {
			return err
		}
	}
	if err := a.print(raw, func(w io.Writer) error { return a.kayentaTable(w, name, result) }); err != nil {
		return err
	}
	switch kayenta.Label(result.Score.Label) {
	case kayenta.Pass:
		return nil
	case kayenta.Marginal:
		return &codeError{code: exitTooLong}
	default:
		return &codeError{code: exitNotLive}
	}
}

func (a *app) warning(text string) { _, _ = fmt.Fprintf(a.stderr, "serin: warning: %s\n", clean(text)) }

// measure queries every metric of both sides.
func (a *app) measure(ctx context.Context, z *analyzing, source *promsource.Source, c kayenta.Config) ([]metricset.Ask, []metricset.Pair, error) {
	control, err := z.scopeOf("baseline", z.baseline)
	if err != nil {
		return nil, nil, err
	}
	experiment, err := z.scopeOf("canary", z.canary)
	if err != nil {
		return nil, nil, err
	}
	scopes := map[string]metricset.ScopePair{}
	for _, m := range c.Metrics {
		scopes[metricset.ScopeName(m)] = metricset.ScopePair{Control: control, Experiment: experiment}
	}
	asks, err := metricset.Asks(c, scopes, metricset.Rules{})
	if err != nil {
		return nil, nil, err
	}
	shown := a.progressBar("asking Prometheus", 2*len(asks))
	defer shown.end()
	var pairs []metricset.Pair
	for _, ask := range asks {
		var sides [2]metricset.Side
		for i, q := range []metricset.Question{ask.Control, ask.Experiment} {
			answer := source.Range(ctx, q.PromQL, q.Scope.Start, q.Scope.End, q.Scope.Step)
			if answer.Err != nil {
				return nil, nil, fmt.Errorf("metric %s: %w", ask.Name, answer.Err)
			}
			sides[i] = metricset.Side{Question: q, Series: answer.Series}
			shown.step()
		}
		more, err := metricset.Pairs(ask.Name, sides[0], sides[1])
		if err != nil {
			return nil, nil, fmt.Errorf("metric %s: %w", ask.Name, err)
		}
		pairs = append(pairs, more...)
	}
	return asks, pairs, nil
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

func (a *app) kayentaTable(w io.Writer, judge string, r judgement) error {
	rows := [][]cell{}
	for _, m := range r.Results {
		name := m.Name
		if len(m.Tags) > 0 {
			name += " " + tell.Parameters(m.Tags)
		}
		rows = append(rows, []cell{{name, bold}, {m.Label, kayentaPaint(kayenta.Label(m.Label))}, {number(float64(m.Canary.Stats.Mean)), plain},
			{number(float64(m.Baseline.Stats.Mean)), plain}, {number(float64(m.Ratio.Ratio)), plain},
			{fmt.Sprintf("%d, %d", m.Canary.Stats.Count, m.Baseline.Stats.Count), plain}, {m.Reason, plain}})
	}
	if err := a.table(w, []string{"METRIC", "SAYS", "CANARY", "BASELINE", "RATIO", "POINTS", "REASON"}, rows); err != nil {
		return err
	}
	for _, g := range r.Groups {
		_, _ = fmt.Fprintf(w, "group %s: %s\n", clean(g.Name), number(float64(g.Score)))
	}
	text := fmt.Sprintf("score %s: %s", number(float64(r.Score.Score)), r.Score.Label)
	if r.Score.Reason != "" {
		text += " (" + r.Score.Reason + ")"
	}
	_, err := fmt.Fprintf(w, "%s, says %s\n", painted(clean(text), kayentaPaint(kayenta.Label(r.Score.Label)), a.colours()), judge)
	return err
}

// pairCharts draws the values of both arms, a chart for each pair.
func pairCharts(all []metricset.Pair, r judgement) []byte {
	var charts []chart.Chart
	for i, p := range all {
		title := p.Name
		if len(p.Tags) > 0 {
			title += " " + tell.Parameters(p.Tags)
		}
		m := r.Results[i]
		c := chart.Chart{Title: title + ": " + m.Label, Height: 200,
			Description: fmt.Sprintf("The canary's mean is %.4g, the baseline's %.4g; %s.", m.Canary.Stats.Mean, m.Baseline.Stats.Mean, m.Label)}
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
