// Package chart draws values over time as SVG: lines, bands around them (confidence sequences), limits as horizontal
// lines, and moments as vertical ones.
//
// It is pure and knows nothing of Serin: the caller knows what the lines mean. A chart has a title, and a description for
// people who cannot see it. It has no scripts and loads nothing, and every text is escaped. Everything is drawn in
// currentColor with CSS classes, so that a page's own style, light or dark, decides the colours. Start reading at [Chart],
// then [Chart.Inline] and [Chart.Standalone].
package chart

import (
	"math"
	"time"
)

// Chart is what is to be drawn. The zero value of every field is usable.
type Chart struct {
	// ID makes the ids of title and description unique if a page has several charts; letters, digits and "-".
	ID string
	// Title is short; Description says in a sentence what there is to see, for people who use a screen reader.
	Title, Description string
	// Width and Height in CSS pixels; 0 means 720 and 260. A page may scale the chart; it keeps its shape.
	Width, Height int
	// From and To are the ends of the time axis; the zero value takes them from the data.
	From, To time.Time
	// Origin, if not zero, makes the axis show the time since then ("10m") instead of the time of day.
	Origin time.Time
	// LogTime makes the time axis logarithmic, so that the first seconds after Origin get as much room as the first hours.
	// It needs an Origin; everything within a second of it is drawn at that second.
	LogTime bool
	// Y is the value axis.
	Y Axis
	// Bands are drawn first, then limits and moments, then lines.
	Bands   []Band
	Limits  []Limit
	Moments []Moment
	Lines   []Line
	// Hover shows the lines' values at the time under the pointer: without a script, as titles that browsers show. A script
	// finds the times of the fields, and of the ends of the axis, in data attributes.
	Hover bool
	// HoverAt are the times at which values are shown, in order; nil takes those of the points. Charts with the same time
	// axis and the same times have their fields in the same places.
	HoverAt []time.Time
}

// Axis is the value axis.
type Axis struct {
	// Label names what is shown and its unit.
	Label string
	// Log makes the axis logarithmic; values that are not above 0 are then gaps.
	Log bool
	// Min and Max are the ends of the axis. If they are equal, lines and limits determine the ends, but not bands: a
	// confidence sequence that excludes nothing yet would flatten everything else.
	Min, Max float64
	// Percent writes 0.25 as 25%.
	Percent bool
}

// Point is one value at one time. A value that is not finite is a gap.
type Point struct {
	At    time.Time
	Value float64
}

// Line joins values.
type Line struct {
	// Name is shown in the legend.
	Name string
	// Class is the CSS class: "canary", "baseline", "a" to "f", or one that the page styles.
	Class string
	// Points ascend in time.
	Points []Point
	// Steps holds each value until the next one, as weights do.
	Steps bool
	// Dots marks every point, for lines with few points.
	Dots bool
	// Dashed distinguishes it from another line for people who do not see the colours.
	Dashed bool
}

// Range is what a band covers at one time. An infinite end reaches to the end of the axis; NaN is a gap.
type Range struct {
	At           time.Time
	Lower, Upper float64
}

// Band fills the area between two values.
type Band struct {
	Name, Class string
	// Ranges ascend in time.
	Ranges []Range
}

// Limit is a horizontal line: a margin, a threshold.
type Limit struct {
	Name, Class string
	Value       float64
}

// Moment is a vertical line: a change of weight, a verdict.
type Moment struct {
	Name, Class string
	At          time.Time
}

// Defaults of size.
const (
	defaultWidth  = 720
	defaultHeight = 260
)

// frame is the layout of a chart: where everything is drawn.
type frame struct {
	c                        Chart
	width, height            float64
	left, right, top, bottom float64
	from, to                 time.Time
	min, max                 float64
}

// frame determines the ends of both axes and the room for labels.
func (c Chart) frame() frame {
	f := frame{c: c, width: defaultWidth, height: defaultHeight}
	if c.Width > 0 {
		f.width = float64(c.Width)
	}
	if c.Height > 0 {
		f.height = float64(c.Height)
	}
	f.left, f.right, f.top, f.bottom = 58, f.width-16, 40, f.height-28
	columns := c.columns(f.right - f.left)
	f.bottom -= 18 * float64((len(c.legend())+columns-1)/columns)
	f.from, f.to = c.times()
	f.min, f.max = c.values()
	return f
}

// times returns the ends of the time axis, at least a second apart: those that are given, or else the data's.
func (c Chart) times() (from, to time.Time) {
	from, to = c.From, c.To
	see := func(t time.Time) {
		if c.From.IsZero() && (from.IsZero() || t.Before(from)) {
			from = t
		}
		if c.To.IsZero() && t.After(to) {
			to = t
		}
	}
	for _, l := range c.Lines {
		for _, p := range l.Points {
			see(p.At)
		}
	}
	for _, b := range c.Bands {
		for _, r := range b.Ranges {
			see(r.At)
		}
	}
	if c.logTime() {
		from = c.Origin.Add(max(from.Sub(c.Origin), time.Second))
	}
	if !to.After(from) {
		to = from.Add(time.Second)
	}
	return from, to
}

// values returns the ends of the value axis: different, and above 0 if it is logarithmic.
func (c Chart) values() (lo, hi float64) {
	if c.Y.Min < c.Y.Max && (!c.Y.Log || c.Y.Min > 0) {
		return c.Y.Min, c.Y.Max
	}
	lo, hi = math.Inf(1), math.Inf(-1)
	see := func(v float64) {
		if c.shown(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	for _, l := range c.Lines {
		for _, p := range l.Points {
			see(p.Value)
		}
	}
	for _, l := range c.Limits {
		see(l.Value)
	}
	switch {
	case lo > hi && c.Y.Log:
		return 0.1, 10
	case lo > hi:
		return 0, 1
	case c.Y.Log:
		return lo / 1.3, hi * 1.3
	case lo == hi:
		return lo - max(math.Abs(lo)/2, 0.5), hi + max(math.Abs(hi)/2, 0.5)
	}
	room := hi/20 - lo/20
	if lo >= 0 && lo-room < 0 {
		return 0, hi + room
	}
	return max(lo-room, -math.MaxFloat64/4), min(hi+room, math.MaxFloat64/4)
}

// shown reports whether the axis can show a value at all.
func (c Chart) shown(v float64) bool {
	return !math.IsNaN(v) && math.Abs(v) <= math.MaxFloat64/4 && (!c.Y.Log || v > 1e-300)
}

// logTime reports whether the time axis is logarithmic.
func (c Chart) logTime() bool { return c.LogTime && !c.Origin.IsZero() }

// x is the position of a time.
func (f *frame) x(t time.Time) float64 {
	if f.c.logTime() {
		since := func(t time.Time) float64 { return math.Log(max(t.Sub(f.c.Origin), time.Second).Seconds()) }
		return f.left + (f.right-f.left)*(since(t)-since(f.from))/(since(f.to)-since(f.from))
	}
	return f.left + (f.right-f.left)*float64(t.Sub(f.from))/float64(f.to.Sub(f.from))
}

// y is the position of a value. Values beyond the axis are just outside of it, where they are clipped.
func (f *frame) y(v float64) float64 {
	share := (v - f.min) / (f.max - f.min)
	if f.c.Y.Log {
		share = math.Log(max(v, 1e-300)/f.min) / math.Log(f.max/f.min)
	}
	return f.bottom - (f.bottom-f.top)*max(min(share, 1.05), -0.05)
}
