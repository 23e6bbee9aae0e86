package config

import (
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic/traefik"
)

// definition converts the analysis for package analysis; fields that the document leaves out stay zero. The metrics have
// to be checked before.
func (s *AnalysisSpec) definition(name string, sources sourcing) analysis.Definition {
	d := analysis.Definition{
		Name: name, Interval: long(s.Interval, 0), FalseRollback: share.Share(or(s.FalseRollback, 0)),
		FalseAdvance: share.Share(or(s.FalseAdvance, 0)), MinRequests: float64(or(s.MinRequests, 0)),
		Settle: s.settle(sources),
	}
	d.WarmUp, d.PassAfter = (*time.Duration)(s.WarmUp), (*time.Duration)(s.PassAfter)
	if f := s.Fresh; f != nil {
		d.Fresh = analysis.Fresh{Off: f.Disabled, Every: long(f.Every, 0), Live: or(f.Live, 0)}
	}
	splitFrom := s.from("", sources)
	if r := s.SampleRatio; r != nil {
		splitFrom = s.from(r.Prometheus, sources)
		d.Split = analysis.Split{Off: r.Disabled, Requests: analysis.Selector(r.Requests),
			FalseAlarm: float64(or(r.FalseAlarm, 0)), Tolerance: share.Share(or(r.Tolerance, 0))}
	}
	d.Split.From = splitFrom
	if d.Split.Requests == "" {
		d.Split.Requests = s.series(sources.of(splitFrom)).Requests()
	}
	for i := range s.Metrics {
		from := s.from(s.Metrics[i].Prometheus, sources)
		m := s.Metrics[i].definition(s.series(sources.of(from)))
		m.From = from
		d.Metrics = append(d.Metrics, m)
	}
	return d
}

func (m *MetricSpec) definition(series traefik.Series) analysis.Metric {
	out := analysis.Metric{
		Name: string(m.Name), Source: m.toSource(series.And("", string(m.Match))), Direction: judge.Direction(m.Direction), Goal: m.Goal,
		Optional: m.Optional, Weight: or(m.Weight, 0), Noise: float64(or(m.Noise, 0)),
		Replicas: m.Replicas, Clusters: m.Clusters, DryRun: m.DryRun, Uneven: m.Uneven,
		By: m.By, Values: or(m.Values, 0),
	}
	if b := m.Baseline; b != nil && b.Fixed != nil {
		out.Baseline = analysis.Fixed{Rate: share.Share(*b.Fixed)}
	} else if b != nil && b.Offset != nil {
		out.Baseline = analysis.Offset{By: time.Duration(*b.Offset)}
	}
	if g := m.Margin; g != nil {
		out.Margin = analysis.Margin{Relative: (*share.Share)(g.Relative), Absolute: (*share.Share)(g.Absolute)}
	}
	return out
}

// preset returns the preset that the metric names; nil if there is none.
func (m *MetricSpec) preset() *traefik.Preset {
	for _, p := range traefik.Presets() {
		if p.Name == m.Preset {
			return &p
		}
	}
	return nil
}

func (m *MetricSpec) toSource(series traefik.Series) analysis.Source {
	switch {
	case m.Preset != "":
		asked := traefik.Asked{SlowerThan: long(m.SlowerThan, 0)}
		for _, c := range m.Codes {
			asked.Codes = append(asked.Codes, string(c))
		}
		return m.preset().Source(series, asked)
	case m.Ratio != nil:
		r := m.Ratio
		return analysis.Ratio{Bad: analysis.Selector(r.Bad), Good: analysis.Selector(r.Good), Total: analysis.Selector(r.Total),
			AbsentZero: m.Absent == "zero"}
	case m.Slow != nil:
		return analysis.Slow{Histogram: analysis.Selector(m.Slow.Histogram), SlowerThan: time.Duration(m.Slow.SlowerThan)}
	case m.Distribution != nil:
		d := analysis.Distribution{Histogram: analysis.Selector(m.Distribution.Histogram)}
		for _, b := range m.Distribution.Bounds {
			d.Bounds = append(d.Bounds, time.Duration(b).Seconds())
		}
		if o := m.Distribution.Objective; o != nil {
			d.Nearest = time.Duration(*o).Seconds()
		}
		return d
	case m.Mean != nil:
		return analysis.Mean{Sum: analysis.Selector(m.Mean.Sum), Count: analysis.Selector(m.Mean.Count)}
	case m.Gauge != nil:
		return analysis.Gauge{Query: m.Gauge.Query}
	}
	return nil
}
