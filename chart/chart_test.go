package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/chart"
)

var begin = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func at(minutes float64) time.Time { return begin.Add(time.Duration(minutes * float64(time.Minute))) }

// elements reads a chart as XML, counts its elements, and returns all its texts.
func elements(t require.TestingT, svg string) (count map[string]int, texts string) {
	count = map[string]int{}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, texts
		}
		require.NoError(t, err, svg)
		switch token := token.(type) {
		case xml.StartElement:
			count[token.Name.Local]++
		case xml.CharData:
			texts += string(token) + "\n"
		}
	}
}

func example() chart.Chart {
	c := chart.Chart{
		Title: "errors", Description: "The canary's errors against the baseline's.", Y: chart.Axis{Label: "ratio", Log: true},
		Limits:  []chart.Limit{{Name: "margin", Value: 1.25}},
		Moments: []chart.Moment{{Name: "20%", At: at(5)}},
	}
	line, band := chart.Line{Name: "ratio", Class: "canary"}, chart.Band{Name: "95%", Class: "canary"}
	for i := range 10 {
		line.Points = append(line.Points, chart.Point{At: at(float64(i)), Value: 1 + float64(i)/10})
		band.Ranges = append(band.Ranges, chart.Range{At: at(float64(i)), Lower: 0.5, Upper: 200 / float64(i+1)})
	}
	c.Lines, c.Bands = []chart.Line{line}, []chart.Band{band}
	return c
}

func TestAChartHasALineABandALimitAndAMomentWithTheirNames(t *testing.T) {
	svg := example().Inline()
	count, texts := elements(t, svg)
	require.Equal(t, 1, count["title"])
	require.Equal(t, 1, count["desc"])
	require.Zero(t, count["script"])
	require.Zero(t, count["style"], "the page has the style")
	for _, class := range []string{"line canary", "band canary", `"limit"`, `"moment"`} {
		require.Contains(t, svg, class)
	}
	for _, text := range []string{"errors", "The canary's errors", "margin", "20%", "95%", "03:04", "\n2\n"} {
		require.Contains(t, texts, text)
	}
}

func TestAStandaloneChartHasLightAndDarkColours(t *testing.T) {
	svg := string(example().Standalone())
	count, _ := elements(t, svg)
	require.Equal(t, 1, count["style"])
	require.Contains(t, svg, "prefers-color-scheme:dark")
}

func TestAnAxisFromAnOriginShowsTheTimeSinceThen(t *testing.T) {
	c := example()
	c.Origin, c.From, c.To = begin, begin, at(90)
	_, texts := elements(t, c.Inline())
	for _, text := range []string{"\n0s\n", "\n15m\n", "\n1h\n", "\n1h30m\n"} {
		require.Contains(t, texts, text)
	}
}

func TestGapsInterruptLinesAndBands(t *testing.T) {
	c := example()
	c.Lines[0].Points[4].Value = math.NaN()
	c.Bands[0].Ranges[4].Lower = math.NaN()
	svg := c.Inline()
	require.Equal(t, 2, strings.Count(svg, `class="band canary"`))
	_, path, _ := strings.Cut(svg, `class="line canary" d="`)
	path, _, _ = strings.Cut(path, `"`)
	require.Equal(t, 2, strings.Count(path, "M"))
}

func TestStepsHoldAValueUntilTheNext(t *testing.T) {
	c := chart.Chart{Lines: []chart.Line{{Steps: true, Points: []chart.Point{{at(0), 0.05}, {at(1), 0.2}}}}, Y: chart.Axis{Percent: true}}
	svg := c.Inline()
	require.Regexp(t, `d="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"`, svg)
	require.Contains(t, svg, "20%")
}

func TestALineThatLeavesTheAxisIsMarkedThere(t *testing.T) {
	c := chart.Chart{Y: chart.Axis{Min: 1, Max: 10, Log: true}, Lines: []chart.Line{{Class: "a", Points: []chart.Point{
		{at(0), 2}, {at(1), 20}, {at(2), 40}, {at(3), 5}, {at(4), 0.5}, {at(5), 10},
	}}}}
	svg := c.Inline()
	require.Equal(t, 2, strings.Count(svg, `class="beyond a"`), "one sign for each part that is outside")
	require.Contains(t, svg, "l5 8h-10Z")
	require.Contains(t, svg, "l5 -8h-10Z")
	c.Y.Min, c.Y.Max = 0.1, 100
	require.NotContains(t, c.Inline(), "beyond")
}

func TestTimeLabelsDoNotOverlap(t *testing.T) {
	for _, width := range []int{360, 720, 1160} {
		for seconds := 2; seconds < 4000; seconds = seconds*5/4 + 1 {
			c := chart.Chart{Width: width, From: begin, To: begin.Add(time.Duration(seconds) * time.Second)}
			right := -math.MaxFloat64
			for _, label := range regexp.MustCompile(`class="tick"[^>]* x="([\d.]+)"[^>]*text-anchor="(middle|end)" fill="currentColor">(\d\d:[^<]*)<`).FindAllStringSubmatch(c.Inline(), -1) {
				x, err := strconv.ParseFloat(label[1], 64)
				require.NoError(t, err)
				long := 6.3 * float64(len(label[3])) // pixels of a label, in 12px
				from := x - long/2
				if label[2] == "end" {
					from = x - long
				}
				require.GreaterOrEqual(t, from, right, "%d pixels, %d s: %s", width, seconds, label[3])
				right = from + long
			}
		}
	}
}

func TestAShortPartOfALogarithmicTimeAxisHasLabels(t *testing.T) {
	c := chart.Chart{Origin: begin, LogTime: true, From: begin.Add(25 * time.Second), To: begin.Add(33 * time.Second)}
	_, texts := elements(t, c.Inline())
	require.Contains(t, texts, "\n26s\n")
	require.Contains(t, texts, "\n32s\n")
}

func TestNoDataIsAnEmptyChart(t *testing.T) {
	for _, c := range []chart.Chart{{}, {Y: chart.Axis{Log: true}}, {Lines: []chart.Line{{}}, Bands: []chart.Band{{}}}} {
		elements(t, c.Inline())
	}
}

// For any texts and numbers, the result is well-formed and has the same elements, and every coordinate is a number.
func FuzzInline(f *testing.F) {
	f.Add("</title><script>alert(1)</script>", `" onload="x`, "a b<", 1.0, 2.0, int64(60), false)
	f.Add("\x00\xff\ufffe", "&lt;", "--", math.NaN(), math.Inf(1), int64(0), true)
	f.Add("", "", "", 1e300, -1e300, int64(-5), true)
	f.Add("", "", "", 5e-324, math.MaxFloat64, int64(math.MaxInt64), true)
	f.Add("", "", "", 1.0, 1.0000000000000002, int64(1), false)
	f.Fuzz(func(t *testing.T, title, name, class string, a, b float64, ns int64, log bool) {
		c := chart.Chart{
			ID: class, Title: title, Description: name, Y: chart.Axis{Label: title, Log: log},
			Lines:   []chart.Line{{Name: name, Class: class, Dots: true, Points: []chart.Point{{begin, a}, {begin.Add(time.Duration(ns)), b}}}},
			Bands:   []chart.Band{{Name: title, Class: name, Ranges: []chart.Range{{begin, a, b}, {begin.Add(time.Duration(ns)), b, a}}}},
			Limits:  []chart.Limit{{Name: name, Class: title, Value: b}},
			Moments: []chart.Moment{{Name: title, Class: class, At: begin.Add(time.Duration(ns) / 2)}},
			Hover:   log, LogTime: log,
		}
		if log {
			c.Origin = begin
		}
		svg := c.Inline()
		count, _ := elements(t, svg)
		require.Equal(t, 1, count["svg"])
		require.Zero(t, count["script"])
		for _, bad := range []string{"NaN", "Inf"} {
			require.NotRegexp(t, `(?: d|x|y|r|width|height|cx|cy)="[^"]*`+bad, svg)
		}
	})
}

func TestAStackHasAllChartsBelowEachOther(t *testing.T) {
	one, two := example(), example()
	two.Title, two.Height = "slow requests", 100
	count, texts := elements(t, string(chart.Stack(one, two)))
	require.Equal(t, 3, count["svg"])
	require.Equal(t, 1, count["style"])
	require.Contains(t, texts, "slow requests")
	svg := string(chart.Stack(one, two))
	require.Contains(t, svg, `id="chart-1-title"`)
	require.Contains(t, svg, `id="chart-2-title"`)
	require.Contains(t, svg, `translate(0 260)`)
	require.Contains(t, svg, `viewBox="0 0 720 360"`)
}
