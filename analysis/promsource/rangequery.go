package promsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/serindev/serin/analysis"
)

// Range returns the values of an expression at every step from one time to another, both included. The series carry
// their labels without the metric's name. A refused query will be refused again; every other error may pass.
func (s *Source) Range(ctx context.Context, expression string, from, to time.Time, step time.Duration) analysis.Answer {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Now()
	s.metrics.queries.Inc()
	value, warnings, _, err := s.api.QueryRange(ctx, expression, v1.Range{Start: from, End: to, Step: step}, v1.WithTimeout(s.timeout))
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	s.metrics.warnings.Add(float64(len(warnings)))
	var a analysis.Answer
	if err == nil {
		a.Series, err = matrix(value)
	}
	if err != nil {
		a = s.fail(err, expression)
		return a
	}
	points := 0
	for _, x := range a.Series {
		points += len(x.Samples)
	}
	return limit(a, points)
}

// fail counts an error and turns it into an answer.
func (s *Source) fail(err error, text string) analysis.Answer {
	a := failed(classify(err, text))
	kind := unreachable
	if a.Refused {
		kind = refused
	}
	s.metrics.errors.WithLabelValues(kind).Inc()
	return a
}

func matrix(v model.Value) ([]analysis.Series, error) {
	m, ok := v.(model.Matrix)
	if !ok {
		return nil, refusal{fmt.Errorf("the result is a %T and not a matrix", v)}
	}
	out := make([]analysis.Series, 0, len(m))
	for _, x := range m {
		if len(x.Histograms) > 0 {
			return nil, refusal{errors.New("the result has native histograms: a number at every step was expected")}
		}
		out = append(out, analysis.Series{Labels: labels(x.Metric), Samples: samples(x)})
	}
	return out, nil
}

// MetricNames lists the names of all metrics, sorted.
func (s *Source) MetricNames(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	values, _, _, err := s.api.LabelValues(ctx, model.MetricNameLabel, nil, time.Time{}, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("ask prometheus for the names of metrics: %w", discreet(err))
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	slices.Sort(names)
	return names, nil
}
