package main

import (
	"fmt"
	"os"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge"
)

// The ends of a ratio chart's axis: beyond them it only matters that a value is far away.
const (
	leastRatio = 0.2
	mostRatio  = 20
)

// evidenceChart draws the ratio of every metric with its confidence sequence, a chart for each.
func evidenceChart(out analyzed, verdicts []judge.Verdict) []byte {
	var charts []chart.Chart
	for k, last := range out.Verdict.Metrics {
		c := chart.Chart{
			Title: out.Analysis + ": " + last.Metric, Height: 220, From: out.From, To: out.To,
			Description: out.Explanation[k],
			Y:           chart.Axis{Label: "canary's rate over the baseline's", Log: true, Min: leastRatio, Max: mostRatio},
			Limits:      []chart.Limit{{Name: "margin", Value: last.Margin}, {Class: "even", Value: 1}},
		}
		line := chart.Line{Name: "estimate", Class: "canary"}
		band := chart.Band{Name: fmt.Sprintf("confidence sequence, %d looks", len(verdicts)), Class: "canary"}
		for _, v := range verdicts {
			m := v.Metrics[k]
			if m.Ratio <= 0 {
				continue
			}
			line.Points = append(line.Points, chart.Point{At: v.At, Value: m.Ratio})
			band.Ranges = append(band.Ranges, chart.Range{At: v.At, Lower: m.Lower, Upper: m.Upper})
		}
		c.Lines, c.Bands = []chart.Line{line}, []chart.Band{band}
		if out.FailedAt != nil {
			c.Moments = append(c.Moments, chart.Moment{Name: "fail", At: *out.FailedAt})
		}
		if out.PassedAt != nil {
			c.Moments = append(c.Moments, chart.Moment{Name: "pass", At: *out.PassedAt})
		}
		charts = append(charts, c)
	}
	return chart.Stack(charts...)
}

// writeFile writes a picture that anyone may read.
func writeFile(path string, svg []byte) error {
	if err := os.WriteFile(path, svg, 0o644); err != nil { //nolint:gosec // a picture
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}
