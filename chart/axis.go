package chart

import (
	"math"
	"strconv"
	"time"
)

// tick is a place on an axis with its label.
type tick struct {
	at    float64
	label string
	// data has attributes for the label, with the time that it stands for; empty unless that is a time of day.
	data string
}

// wanted is roughly how many ticks an axis gets.
const wanted = 5

// valueTicks are round values between the ends of the axis.
func (f *frame) valueTicks() []tick {
	if f.c.Y.Log {
		if ticks := f.logTicks(); len(ticks) >= 2 {
			return ticks
		}
	}
	step := roundStep((f.max - f.min) / wanted)
	var ticks []tick
	for i := math.Ceil(f.min / step); i*step <= f.max && len(ticks) < 4*wanted; i++ {
		ticks = append(ticks, tick{at: f.y(i * step), label: f.value(i*step, step)})
	}
	return ticks
}

// logTicks are 1, 2, 5, 10, … or only powers of ten if the axis spans many.
func (f *frame) logTicks() []tick {
	mantissas := []float64{1, 2, 5}
	decades := math.Log10(f.max / f.min)
	if decades > 3 {
		mantissas = []float64{1}
	}
	every := max(1, math.Ceil(decades/8))
	var ticks []tick
	for e := math.Floor(math.Log10(f.min)); e <= math.Log10(f.max); e++ {
		if math.Mod(e, every) != 0 {
			continue
		}
		for _, m := range mantissas {
			if v := m * math.Pow(10, e); v >= f.min && v <= f.max {
				ticks = append(ticks, tick{at: f.y(v), label: f.value(v, v)})
			}
		}
	}
	return ticks
}

// roundStep is the smallest of 1, 2, 2.5 or 5 times a power of ten that is at least step.
func roundStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= step {
			return m * power
		}
	}
	return 10 * power
}

// value writes a value with the digits that a step of this size needs.
func (f *frame) value(v, step float64) string {
	unit := ""
	if f.c.Y.Percent {
		v, step, unit = v*100, step*100, "%"
	}
	if a := math.Abs(v); a != 0 && (a >= 1e6 || a < 1e-4) {
		return strconv.FormatFloat(v, 'g', 3, 64) + unit
	}
	digits := 0
	for s := step; digits < 6 && math.Abs(s-math.Round(s)) > 1e-9*math.Abs(s); digits++ {
		s *= 10
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if text == "-0" {
		text = "0"
	}
	return text + unit
}

// timeSteps are the distances between ticks that look round to people.
var timeSteps = []time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// timeTicks are round times between the ends of the axis, in the zone of From or of the first point.
func (f *frame) timeTicks() []tick {
	if f.c.logTime() {
		if ticks := f.logTimeTicks(); len(ticks) > 1 { // a short part of a long time has none, or one
			return ticks
		}
	}
	span := f.to.Sub(f.from)
	step := timeSteps[len(timeSteps)-1]
	const label = 66 // pixels that 15:04:05 needs, with some room
	most := max(2, min(wanted+2, (f.right-f.left)/label))
	for _, s := range timeSteps {
		if float64(span)/float64(s) <= most {
			step = s
			break
		}
	}
	for span/step > 2*wanted {
		step *= 2
	}
	origin := f.c.Origin
	if origin.IsZero() {
		y, m, d := f.from.Date()
		origin = time.Date(y, m, d, 0, 0, 0, 0, f.from.Location())
	}
	first := f.from.Sub(origin) / step * step
	var ticks []tick
	for d := first; len(ticks) <= 3*wanted; d += step {
		at := origin.Add(d)
		if at.After(f.to) {
			break
		}
		if !at.Before(f.from) {
			ticks = append(ticks, tick{f.x(at), f.time(at, step), f.data("at", at)})
		}
	}
	return ticks
}

// logTimeSteps are the times since the origin that a logarithmic axis names.
var logTimeSteps = []time.Duration{
	time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 10 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// logTimeTicks leaves out labels that would overlap.
func (f *frame) logTimeTicks() []tick {
	const apart = 44
	var ticks []tick
	for _, d := range logTimeSteps {
		at := f.c.Origin.Add(d)
		if at.Before(f.from) || at.After(f.to) {
			continue
		}
		if x := f.x(at); len(ticks) == 0 || x-ticks[len(ticks)-1].at >= apart {
			ticks = append(ticks, tick{at: x, label: f.time(at, d)})
		}
	}
	return ticks
}

func (f *frame) time(at time.Time, step time.Duration) string {
	switch {
	case !f.c.Origin.IsZero():
		return elapsed(at.Sub(f.c.Origin))
	case step >= 24*time.Hour:
		return at.Format("2 Jan")
	case step >= time.Minute:
		return at.Format("15:04")
	case step >= time.Second:
		return at.Format("15:04:05")
	}
	return at.Format("15:04:05.000")
}

// elapsed writes a duration without the parts that are zero: 90m is 1h30m, 60s is 1m.
func elapsed(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(text) - len(zero); n > 0 && text[n:] == zero {
			text = text[:n+1]
		}
	}
	return text
}
