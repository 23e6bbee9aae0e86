// Package figures formats numbers for people: with significant digits only, grouped thousands, and units.
//
// It is pure and knows nothing of Serin. Pages, the command line and messages all use it.
package figures

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MostOdds are the largest odds that are written out; larger ones are a power of ten.
const MostOdds = 1e6

// Odds formats exp(log) as odds: "12,000 : 1". Below one they are the other way round: "1 : 3".
func Odds(log float64) string {
	switch e := math.Exp(math.Abs(log)); {
	case math.IsNaN(log):
		return "none"
	case math.IsInf(log, -1):
		return "none"
	case log < 0 && e > MostOdds:
		return "less than 1 : 1,000,000"
	case log < 0:
		return "1 : " + Rounded(e)
	case e > MostOdds:
		return fmt.Sprintf("10^%.0f : 1", math.Floor(log/math.Ln10+1e-9))
	default:
		return Rounded(e) + " : 1"
	}
}

// Rounded formats a number with two significant digits and grouped thousands.
func Rounded(v float64) string {
	if v < 10 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return Grouped(math.Round(v/unit) * unit)
}

// Number formats a number with two significant digits, or with all digits before the point.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsInf(v, 0), math.IsNaN(v):
		return fmt.Sprint(v)
	case a == 0:
		return "0"
	case a >= 1000:
		return Grouped(v)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1e-4:
		return strconv.FormatFloat(v, 'f', 1-int(math.Floor(math.Log10(a))), 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Times formats how many times as much something is, with up to two decimals: 1.25, 2.3, 10.
func Times(v float64) string {
	if v >= 10 {
		return Number(v)
	}
	return strconv.FormatFloat(math.Round(100*v)/100, 'f', -1, 64)
}

// Percent formats a rate with at least two significant digits: 3.0%, 0.50%, 12%.
func Percent(rate float64) string { return Number(100*rate) + "%" }

// Grouped formats a whole number with grouped thousands.
func Grouped(v float64) string {
	if math.IsNaN(v) || math.Abs(v) > 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	out := strings.Join(groups, ",")
	if v < 0 {
		return "-" + out
	}
	return out
}

var units = []struct {
	name string
	of   time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// Span formats a duration with its two largest units, rounded up: remaining time is not shown as zero before it has passed.
func Span(d time.Duration) string {
	if d <= 0 {
		return "0s"
	}
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	i := 0
	for d < units[i].of {
		i++
	}
	least := units[min(i+1, len(units)-1)].of
	d = (d + least - 1) / least * least
	var out strings.Builder
	for _, u := range units[max(0, i-1):] {
		if n := d / u.of; n > 0 {
			fmt.Fprintf(&out, "%d%s", n, u.name)
			d -= n * u.of
		}
	}
	return out.String()
}
