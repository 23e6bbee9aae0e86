package chart

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// style is the look of a chart without a page. People with colour blindness can distinguish the colours (Okabe and Ito,
// Color universal design, 2008), on white and on black.
const style = `.serin-chart{color:#24292f;background:#fff;font:12px system-ui,sans-serif}` +
	`.serin-chart .canary,.serin-chart .a{color:#b34700}.serin-chart .baseline,.serin-chart .b{color:#005a9c}` +
	`.serin-chart .c{color:#00735c}.serin-chart .d{color:#a03a77}.serin-chart .e{color:#7a6400}.serin-chart .f{color:#57606a}` +
	`@media (prefers-color-scheme:dark){.serin-chart{color:#d0d7de;background:#0d1117}` +
	`.serin-chart .canary,.serin-chart .a{color:#ff9d5c}.serin-chart .baseline,.serin-chart .b{color:#6cb6ff}` +
	`.serin-chart .c{color:#4ed1b0}.serin-chart .d{color:#e59ac6}.serin-chart .e{color:#e0cc55}.serin-chart .f{color:#8b949e}}`

// Inline draws the chart as an svg element for a page, without a style of its own: the page styles the class serin-chart and
// those of lines, bands, limits and moments. It is safe to use as HTML.
func (c Chart) Inline() string { return c.draw(false) }

// Standalone draws the chart as an SVG document with its own style, light or dark like the reader's system.
func (c Chart) Standalone() []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + c.draw(true) + "\n")
}

// canvas gathers elements.
type canvas struct{ strings.Builder }

func (b *canvas) add(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }

func (c Chart) draw(alone bool) string {
	f := c.frame()
	var b canvas
	id := "chart"
	if c.ID != "" {
		id = name(c.ID)
	}
	axis := ""
	if c.Hover {
		axis = f.data("from", f.from) + f.data("to", f.to) + fmt.Sprintf(` data-left="%s" data-right="%s"`, num(f.left), num(f.right))
	}
	b.add(`<svg xmlns="http://www.w3.org/2000/svg" class="serin-chart"%s viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s-title %s-desc" font-family="system-ui, sans-serif" font-size="12">`,
		axis, num(f.width), num(f.height), num(f.width), num(f.height), id, id)
	b.add(`<title id="%s-title">%s</title>`, id, text(c.Title))
	b.add(`<desc id="%s-desc">%s</desc>`, id, text(c.Description))
	if alone {
		b.add(`<style>%s</style>`, style)
	}
	b.add(`<clipPath id="%s-area"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath>`,
		id, num(f.left), num(f.top), num(f.right-f.left), num(f.bottom-f.top))
	b.add(`<text class="title" x="%s" y="16" font-weight="600" fill="currentColor">%s</text>`, num(f.left), text(c.Title))
	b.add(`<text class="label" x="%s" y="32" fill="currentColor" opacity="0.75">%s</text>`, num(f.left), text(c.Y.Label))
	f.axes(&b)
	b.add(`<g clip-path="url(#%s-area)">`, id)
	for _, band := range c.Bands {
		f.band(&b, band)
	}
	f.rules(&b)
	for _, l := range c.Lines {
		f.line(&b, l)
	}
	b.add(`</g>`)
	for _, l := range c.Lines {
		f.beyond(&b, l)
	}
	f.names(&b)
	f.hover(&b)
	return b.String() + `</svg>`
}

// axes draws the grid with its labels.
func (f *frame) axes(b *canvas) {
	for _, t := range f.valueTicks() {
		b.add(`<path class="grid" d="M%s %sH%s" stroke="currentColor" opacity="0.15"/>`, num(f.left), num(t.at), num(f.right))
		b.add(`<text class="tick" x="%s" y="%s" text-anchor="end" fill="currentColor">%s</text>`, num(f.left-6), num(t.at+4), text(t.label))
	}
	for _, t := range f.timeTicks() {
		b.add(`<path class="grid" d="M%s %sv4" stroke="currentColor" opacity="0.5"/>`, num(t.at), num(f.bottom))
		x, anchor := t.at, "middle"
		if x+4*float64(len(t.label)) > f.width { // it would be cut off
			x, anchor = f.width, "end"
		}
		b.add(`<text class="tick"%s x="%s" y="%s" text-anchor="%s" fill="currentColor">%s</text>`, t.data, num(x),
			num(f.bottom+17), anchor, text(t.label))
	}
	b.add(`<path class="axis" d="M%s %sV%sH%s" fill="none" stroke="currentColor" opacity="0.5"/>`, num(f.left),
		num(f.top), num(f.bottom), num(f.right))
}

// band draws each part without gaps as one closed shape.
func (f *frame) band(b *canvas, band Band) {
	var upper, lower []string
	flush := func() {
		if len(upper) > 1 {
			slices.Reverse(lower)
			d := "M" + strings.Join(upper, "L") + "L" + strings.Join(lower, "L")
			b.add(`<path class="%s" d="%sZ" fill="currentColor" opacity="0.15"/>`, class("band", band.Class), d)
		}
		upper, lower = nil, nil
	}
	for _, r := range band.Ranges {
		if math.IsNaN(r.Lower) || math.IsNaN(r.Upper) {
			flush()
			continue
		}
		x := num(f.x(r.At))
		upper = append(upper, x+" "+num(f.y(r.Upper)))
		lower = append(lower, x+" "+num(f.y(r.Lower)))
	}
	flush()
}

// rules draws limits and moments.
func (f *frame) rules(b *canvas) {
	for _, l := range f.c.Limits {
		if f.c.shown(l.Value) {
			b.add(`<path class="%s" d="M%s %sH%s" stroke="currentColor" stroke-dasharray="6 4"/>`,
				class("limit", l.Class), num(f.left), num(f.y(l.Value)), num(f.right))
		}
	}
	for _, m := range f.c.Moments {
		if f.inside(m.At) {
			b.add(`<path class="%s" d="M%s %sV%s" stroke="currentColor" stroke-dasharray="2 3" opacity="0.7"/>`,
				class("moment", m.Class), num(f.x(m.At)), num(f.top), num(f.bottom))
		}
	}
}

func (f *frame) inside(t time.Time) bool { return !t.Before(f.from) && !t.After(f.to) }

// line draws each part without gaps as one path.
func (f *frame) line(b *canvas, l Line) {
	var d strings.Builder
	var dots []string
	pen, n := byte('M'), 0
	for _, p := range l.Points {
		if !f.c.shown(p.Value) {
			pen = 'M'
			continue
		}
		x, y := num(f.x(p.At)), num(f.y(p.Value))
		switch {
		case pen == 'M' || !l.Steps:
			d.WriteString(string(pen) + x + " " + y)
		default:
			d.WriteString("H" + x + "V" + y)
		}
		dots = append(dots, x+`" cy="`+y)
		pen = 'L'
		n++
	}
	if n == 0 {
		return
	}
	dashes := ""
	if l.Dashed {
		dashes = ` stroke-dasharray="5 4"`
	}
	b.add(`<path class="%s" d="%s" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round"%s/>`,
		class("line", l.Class), d.String(), dashes)
	if l.Dots || n == 1 {
		for _, dot := range dots {
			b.add(`<circle class="%s" cx="%s" r="3" fill="currentColor"/>`, class("dot", l.Class), dot)
		}
	}
}

// beyond marks each part of a line that leaves the axis with a triangle at the edge, where it is farthest out.
func (f *frame) beyond(b *canvas, l Line) {
	side, worst, at := 0, 0.0, 0.0
	flush := func() {
		x := num(at)
		switch side {
		case 1:
			b.add(`<path class="%s" d="M%s %sl5 8h-10Z" fill="currentColor"/>`, class("beyond", l.Class), x, num(f.top+1))
		case -1:
			b.add(`<path class="%s" d="M%s %sl5 -8h-10Z" fill="currentColor"/>`, class("beyond", l.Class), x, num(f.bottom-1))
		}
		side = 0
	}
	for _, p := range l.Points {
		now := 0
		switch {
		case !f.c.shown(p.Value) || !f.inside(p.At):
		case p.Value > f.max:
			now = 1
		case p.Value < f.min:
			now = -1
		}
		if now != side {
			flush()
			side, worst = now, math.Inf(-1)
		}
		if out := float64(now) * p.Value; now != 0 && out > worst {
			worst, at = out, f.x(p.At)
		}
	}
	flush()
}

// entry is one name in the legend, with its mark.
type entry struct{ name, class, sign string }

// legend names lines and bands.
func (c Chart) legend() []entry {
	var all []entry
	for _, l := range c.Lines {
		if l.Name != "" {
			sign := `stroke-width="2.5"`
			if l.Dashed {
				sign += ` stroke-dasharray="5 4"`
			}
			all = append(all, entry{l.Name, l.Class, sign})
		}
	}
	for _, l := range c.Bands {
		if l.Name != "" {
			all = append(all, entry{l.Name, l.Class, `stroke-width="10" opacity="0.25"`})
		}
	}
	return all
}

// columns is how many names fit into a row of the legend: at most four short ones or two long ones.
func (c Chart) columns(width float64) int {
	longest := 1
	for _, e := range c.legend() {
		longest = max(longest, utf8.RuneCountInString(e.name))
	}
	most := 4
	if longest > 22 {
		most = 2
	}
	const sign, letter = 30, 6.5 // an estimate that no name exceeds by much
	return max(1, min(most, int(width/(sign+letter*float64(longest)))))
}

// names writes the legend, and labels limits and moments.
func (f *frame) names(b *canvas) {
	for i, e := range f.c.legend() {
		columns := f.c.columns(f.right - f.left)
		x := f.left + float64(i%columns)*(f.right-f.left)/float64(columns)
		y := f.bottom + 34 + 18*float64(i/columns)
		b.add(`<path class="%s" d="M%s %sh16" stroke="currentColor" %s/>`, class("key", e.class), num(x), num(y-4), e.sign)
		b.add(`<text class="legend" x="%s" y="%s" fill="currentColor">%s</text>`, num(x+22), num(y), text(e.name))
	}
	for _, l := range f.c.Limits {
		if l.Name != "" && f.c.shown(l.Value) && l.Value >= f.min && l.Value <= f.max {
			b.add(`<text class="%s" x="%s" y="%s" text-anchor="end" fill="currentColor">%s</text>`,
				class("name", l.Class), num(f.right-4), num(max(f.y(l.Value)-4, f.top+10)), text(l.Name))
		}
	}
	for _, m := range f.c.Moments {
		if m.Name != "" && f.inside(m.At) {
			x, anchor := f.x(m.At)+3, ""
			if width := 6.5 * float64(utf8.RuneCountInString(m.Name)); x+width > f.right { // an estimate that no name exceeds by much
				x, anchor = x-6, ` text-anchor="end"`
			}
			b.add(`<text class="%s" x="%s" y="%s"%s fill="currentColor">%s</text>`, class("name", m.Class), num(x),
				num(f.top+11), anchor, text(m.Name))
		}
	}
}

// num writes a coordinate, to a tenth of a pixel: that is enough, and keeps files small and the same on all machines.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// text escapes a text, and replaces characters that XML cannot hold.
func text(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		if r < ' ' || r == utf8.RuneError || r >= 0xFFFE && r <= 0xFFFF {
			return '·'
		}
		return r
	}, s))
}

// class joins a class of this package and one of the caller's.
func class(own, callers string) string {
	if callers == "" {
		return own
	}
	return own + " " + name(callers)
}

// name replaces characters that ids and classes may not have.
func name(s string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-') {
			return r
		}
		return '-'
	}, s)
}
