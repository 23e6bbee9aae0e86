package main

import (
	"fmt"
	"math"
	"slices"
)

// A rival is another rule to compare with. It gets the same looks and says after each whether to roll back.
type rival struct {
	name string
	// begin returns the function to call with each look. dt is the length of a look in seconds.
	begin func(dt float64) func(l look) (back bool)
}

// rivals are the rules that the sequential judge is compared with. Their settings come from their own documentation and
// were not chosen for these cells.
func rivals() []rival {
	return []rival{
		{"rank test every 10 minutes", ranks},
		{"plain sequential test", plainTest},
		{"Flagger: 99%, 10 failed checks of 10 s", func(dt float64) func(look) bool { return checks(dt, 10, 60, 0.99, 10) }},
		{"Argo Rollouts: 95% over 5 minutes, more than 3 failures", func(dt float64) func(look) bool { return checks(dt, 300, 300, 0.95, 4) }},
	}
}

// checks is a threshold rule: every so many seconds it compares the canary's share of good requests over a window with
// least, and it rolls back after limit failed checks.
//
// Flagger: docs/gitbook/tutorials/traefik-progressive-delivery.md (interval 10s, threshold 10, request-success-rate 99% over
// a minute). Argo Rollouts: docs/features/analysis.md (success-rate: interval 5m, result[0] >= 0.95, failureLimit 3).
func checks(dt, every, window, least float64, limit int) func(look) bool {
	var recent []look
	keep := max(int(math.Round(window/dt)), 1)
	next, at, failed := every, 0.0, 0
	return func(l look) bool {
		recent = append(recent, l)
		if len(recent) > keep {
			recent = recent[1:]
		}
		at += dt
		if at < next-1e-9 {
			return false
		}
		next += every
		bad, all := 0.0, 0.0
		for _, r := range recent {
			bad, all = bad+r.xc, all+r.nc
		}
		if all > 0 && 1-bad/all < least {
			failed++
		}
		return failed >= limit
	}
}

// plainTest is a sequential test of counts that assumes independent events: a mixture of likelihood ratios for the canary's
// share of the bad events, against "no worse", at 100 to 1. It is a test martingale (Wald 1947; Lindon and Malek 2022 mix
// by a Dirichlet density instead of these points).
func plainTest(float64) func(look) bool {
	ratios := []float64{1.1, 1.2, 1.4, 1.75, 2.5, 4, 8, 20, 100}
	logs := make([]float64, len(ratios))
	return func(l look) bool {
		if l.nc <= 0 || l.nb <= 0 || l.xc+l.xb <= 0 {
			return false
		}
		share := l.nc / (l.nc + l.nb)
		mean := 0.0
		for i, r := range ratios {
			all := r*l.nc + l.nb
			logs[i] += l.xc*math.Log(r*l.nc/all/share) + l.xb*math.Log(l.nb/all/(1-share))
			mean += math.Exp(math.Min(logs[i], 700)) / float64(len(ratios))
		}
		return mean >= 100
	}
}

// race runs a rival on the releases of a cell, with the same looks that the judge gets.
func (c *cell) race(r rival, n int, seed uint64) string {
	var found []float64
	back := 0
	for i := range n {
		d, own := c.chance(i, seed)
		looks := own.draw(d)
		ask, at := r.begin(c.look()), math.Inf(1)
		for t, l := range looks {
			end := float64(t+1) * c.look()
			if c.effect == nil && end > c.finish()+1e-9 {
				break // a good version has been released
			}
			if ask(l) && end > c.from {
				at = end - c.from
				break
			}
		}
		if !math.IsInf(at, 1) {
			back++
		}
		found = append(found, at)
	}
	slices.Sort(found)
	return fmt.Sprintf("%-60s n=%d %s: back %s median %.1f min", c.id(), n, r.name, percent(back, n), found[n/2]/60)
}
