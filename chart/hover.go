package chart

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostHovers is how many fields a chart has for the pointer at most: more could not be told apart.
const mostHovers = 60

// hover lays invisible fields over the chart, each with the values of all lines at its time as a title.
func (f *frame) hover(b *canvas) {
	if !f.c.Hover {
		return
	}
	times := f.hoverTimes()
	for i, at := range times {
		said := f.said(at)
		if said == "" {
			continue
		}
		left, right := f.left, f.right
		if i > 0 {
			left = (f.x(times[i-1]) + f.x(at)) / 2
		}
		if i+1 < len(times) {
			right = (f.x(at) + f.x(times[i+1])) / 2
		}
		left, right = max(left, f.left), min(right, f.right)
		if right <= left {
			continue
		}
		b.add(`<rect class="hover"%s x="%s" y="%s" width="%s" height="%s" fill="transparent"><title>%s</title></rect>`,
			f.data("at", at), num(left), num(f.top), num(right-left), num(f.bottom-f.top), text(said))
	}
}

// data is an attribute with a time in milliseconds, which a script writes in the reader's own zone; empty if the chart shows
// the time since its origin.
func (f *frame) data(name string, at time.Time) string {
	if !f.c.Origin.IsZero() {
		return ""
	}
	return fmt.Sprintf(` data-%s="%d"`, name, at.UnixMilli())
}

// short writes a value with three significant digits.
func (f *frame) short(v float64) string {
	if f.c.Y.Percent {
		return strconv.FormatFloat(100*v, 'g', 3, 64) + "%"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// hoverTimes returns the times of points within the chart, in order, at most [mostHovers].
func (f *frame) hoverTimes() []time.Time {
	all := slices.Clone(f.c.HoverAt)
	if all == nil {
		for _, l := range f.c.Lines {
			for _, p := range l.Points {
				all = append(all, p.At)
			}
		}
		slices.SortFunc(all, time.Time.Compare)
	}
	all = slices.DeleteFunc(slices.CompactFunc(all, time.Time.Equal), func(at time.Time) bool { return !f.inside(at) })
	every := (len(all) + mostHovers - 1) / mostHovers
	if every < 2 {
		return all
	}
	var out []time.Time
	for i := every - 1; i < len(all); i += every {
		out = append(out, all[i])
	}
	return out
}

// said puts the lines' values at a time into words: for each line the last value up to then.
func (f *frame) said(at time.Time) string {
	var parts []string
	for _, l := range f.c.Lines {
		i, found := slices.BinarySearchFunc(l.Points, at, func(p Point, at time.Time) int { return p.At.Compare(at) })
		for found && i+1 < len(l.Points) && l.Points[i+1].At.Equal(at) {
			i++ // a step has two values at its time: the later one holds
		}
		if !found {
			i--
		}
		if i < 0 || math.IsNaN(l.Points[i].Value) || math.IsInf(l.Points[i].Value, 0) {
			continue
		}
		name := l.Name
		if name != "" {
			name += " "
		}
		parts = append(parts, name+f.short(l.Points[i].Value))
	}
	if len(parts) == 0 {
		return ""
	}
	when := at.Format("2 Jan 15:04:05")
	if !f.c.Origin.IsZero() {
		when = elapsed(at.Sub(f.c.Origin).Round(time.Second))
	}
	return when + ": " + strings.Join(parts, ", ")
}
