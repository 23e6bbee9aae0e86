package main

import (
	"math"

	"github.com/serindev/serin/judge/kayenta"
)

// ranks is Mann and Whitney's test of both arms' error rates per minute, as in Kayenta's judge: at a level of 98%, with a
// tolerance of a quarter, every ten minutes over the whole release.
func ranks(dt float64) func(look) bool {
	var canary, baseline []float64
	var sum look
	at, minute, next := 0.0, 60.0, 600.0
	return func(l look) bool {
		sum.add(l)
		if at += dt; at < minute-1e-9 {
			return false
		}
		minute += 60
		if sum.nc > 0 && sum.nb > 0 {
			canary, baseline = append(canary, sum.xc/sum.nc), append(baseline, sum.xb/sum.nb)
		}
		sum = look{}
		if at < next-1e-9 {
			return false
		}
		next += 600
		i, err := kayenta.MannWhitney(canary, baseline, 0.98)
		return err == nil && i.Lower > 0.25*math.Abs(i.Estimate)
	}
}
