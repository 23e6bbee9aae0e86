package promsource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/serindev/serin/analysis"
)

// convert turns a result into series by the value of a label.
func convert(v model.Value, by model.LabelName) (map[string][]analysis.Series, error) {
	out := map[string][]analysis.Series{}
	add := func(m model.Metric, samples []analysis.Sample) {
		k := ""
		if by != "" {
			k = string(m[by])
		}
		out[k] = append(out[k], analysis.Series{Labels: labels(m), Samples: samples})
	}
	switch v := v.(type) {
	case model.Matrix:
		for _, s := range v {
			add(s.Metric, samples(s))
		}
	case model.Vector:
		for _, s := range v {
			x := analysis.Sample{T: int64(s.Timestamp), V: float64(s.Value)}
			if s.Histogram != nil {
				x.H = histogram(s.Histogram)
			}
			add(s.Metric, []analysis.Sample{x})
		}
	case *model.Scalar:
		add(nil, []analysis.Sample{{T: int64(v.Timestamp), V: float64(v.Value)}})
	default:
		return nil, refusal{fmt.Errorf("the result is a %T and not a vector", v)}
	}
	return out, nil
}

// labels returns labels in ascending order of their names, without the metric's name.
func labels(m model.Metric) analysis.Labels {
	out := make(analysis.Labels, 0, len(m))
	for k, v := range m {
		if k != model.MetricNameLabel {
			out = append(out, analysis.Label{Name: string(k), Value: string(v)})
		}
	}
	slices.SortFunc(out, func(a, b analysis.Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// samples merges a stream's plain samples and its histograms, which Prometheus returns separately, in the order of
// time.
func samples(s *model.SampleStream) []analysis.Sample {
	out := make([]analysis.Sample, 0, len(s.Values)+len(s.Histograms))
	for _, v := range s.Values {
		out = append(out, analysis.Sample{T: int64(v.Timestamp), V: float64(v.Value)})
	}
	for _, h := range s.Histograms {
		if h.Histogram != nil {
			out = append(out, analysis.Sample{T: int64(h.Timestamp), H: histogram(h.Histogram)})
		}
	}
	if len(s.Histograms) > 0 {
		slices.SortStableFunc(out, func(a, b analysis.Sample) int { return int(a.T - b.T) })
	}
	return out
}

func histogram(h *model.SampleHistogram) *analysis.Histogram {
	out := &analysis.Histogram{Count: float64(h.Count), Buckets: make([]analysis.Bucket, 0, len(h.Buckets))}
	for _, b := range h.Buckets {
		out.Buckets = append(out.Buckets, analysis.Bucket{Lower: float64(b.Lower), Upper: float64(b.Upper), Count: float64(b.Count)})
	}
	slices.SortFunc(out.Buckets, func(a, b analysis.Bucket) int {
		switch {
		case a.Lower < b.Lower:
			return -1
		case a.Lower > b.Lower:
			return 1
		}
		return 0
	})
	return out
}
