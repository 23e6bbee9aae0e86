package chart_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/chart"
)

func TestPointingAtAChartTellsItsValues(t *testing.T) {
	c := chart.Chart{Hover: true, Y: chart.Axis{Percent: true}, Lines: []chart.Line{
		{Name: "canary", Points: []chart.Point{{at(0), 0.021}, {at(1), 0.5}}},
		{Name: "baseline", Points: []chart.Point{{at(0), 0.01}}},
	}}
	count, texts := elements(t, c.Inline())
	require.Equal(t, 3, count["title"], "the chart's own, and one for each time")
	require.Contains(t, texts, "2 Jan 03:00:00: canary 2.1%, baseline 1%")
	require.Contains(t, texts, "2 Jan 03:01:00: canary 50%, baseline 1%", "the last one until then")
	require.Contains(t, c.Inline(), `data-from="1767322800000" data-to="1767322860000" data-left="58"`, "a script finds the axis")
	require.Contains(t, c.Inline(), `<rect class="hover" data-at="1767322860000"`)
	c.HoverAt = []time.Time{at(0.5), at(1), at(1), at(2)}
	_, texts = elements(t, c.Inline())
	require.Contains(t, texts, "2 Jan 03:00:30: canary 2.1%", "times that other charts have")
	require.Equal(t, 2, strings.Count(c.Inline(), `class="hover"`), "what is outside has no place")
	c.Hover = false
	count, _ = elements(t, c.Inline())
	require.Equal(t, 1, count["title"])
}

func TestALongChartHasALimitedNumberOfFields(t *testing.T) {
	c := chart.Chart{Hover: true, Lines: []chart.Line{{}}}
	for i := range 5000 {
		c.Lines[0].Points = append(c.Lines[0].Points, chart.Point{At: at(float64(i)), Value: float64(i)})
	}
	require.LessOrEqual(t, strings.Count(c.Inline(), `class="hover"`), 60)
}

func TestALogarithmicTimeSpreadsTheBeginning(t *testing.T) {
	c := chart.Chart{Origin: begin, LogTime: true, Lines: []chart.Line{{Dashed: true, Points: []chart.Point{
		{begin, 1}, {begin.Add(12 * time.Second), 2}, {begin.Add(5 * time.Hour), 3},
	}}}}
	svg := c.Inline()
	_, texts := elements(t, svg)
	for _, text := range []string{"\n10s\n", "\n1m\n", "\n1h\n"} {
		require.Contains(t, texts, text)
	}
	require.Contains(t, svg, `stroke-dasharray="5 4"`)
	require.NotContains(t, svg, "NaN")
}
