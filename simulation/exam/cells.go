package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/serindev/serin/judge"
)

// The kinds of traffic in the exam.
var (
	iid           = kind{name: "iid"}
	bursts        = kind{name: "bursts", bursts: 8}
	slow          = kind{name: "slow drift", ownSD: 0.3, ownTau: 195}
	slow10        = kind{name: "slow drift of 10%", ownSD: 0.1, ownTau: 195}
	slow20        = kind{name: "slow drift of 21%", ownSD: 0.21, ownTau: 195}
	slower        = kind{name: "slower drift", ownSD: 0.3, ownTau: 900}
	correlated    = kind{name: "autocorrelated", ownSD: 0.5, ownTau: 44.8}
	common        = kind{name: "common incidents", commonIncidents: true}
	diurnal       = kind{name: "diurnal", diurnal: true}
	restart1      = kind{name: "one restart of 1", oneRestart: true, pods: 1}
	restart3      = kind{name: "one restart of 3", oneRestart: true, pods: 3}
	restarts      = kind{name: "restarts of all pods", pods: 1, stablePods: 20, restarts: 0.5, restartSeconds: 10}
	restartsKnown = kind{name: "restarts of all pods, replicas known", pods: 1, stablePods: 20, restarts: 0.5, restartSeconds: 10, seeReplicas: true}
	ills          = kind{name: "pod incidents", pods: 1, stablePods: 20, illPerHour: 0.5, illSeconds: 60, illShare: 0.2}
	illsKnown     = kind{
		name: "pod incidents, replicas known", pods: 1, stablePods: 20, illPerHour: 0.5, illSeconds: 60, illShare: 0.2, seeReplicas: true,
	}
	pods           = kind{name: "pods 20%", pods: 1, stablePods: 20, podSD: 0.2}
	podsKnown      = kind{name: "pods 20%, replicas known", pods: 1, stablePods: 20, podSD: 0.2, seeReplicas: true}
	bound          = kind{name: "bucket bound", base: 0.2, pods: 1, stablePods: 20, speed: 0.03}
	boundKnown     = kind{name: "bucket bound, replicas known", base: 0.2, pods: 1, stablePods: 20, speed: 0.03, seeReplicas: true}
	sessions       = kind{name: "sessions", retries: 20}
	sessionsKnown  = kind{name: "sessions, replicas known", retries: 20, stablePods: 20, seeReplicas: true}
	heavy          = kind{name: "heavy users", heavy: true}
	routes         = kind{name: "ten routes", routes: true}
	slowRoutes     = kind{name: "ten routes, slow drift", routes: true, ownSD: 0.3, ownTau: 195}
	heavySticky    = kind{name: "heavy users, sticky", heavy: true, sticky: true}
	iidSticky      = kind{name: "iid, sticky", sticky: true}
	deploys        = kind{name: "deploys alongside", deploys: true}
	scales         = kind{name: "autoscaling in the middle", scales: true}
	flush          = kind{name: "cache flush for both", flush: true}
	clients        = kind{name: "retries by clients", clients: true}
	neighbour      = kind{name: "noisy neighbour", neighbour: true}
	iidKnown       = kind{name: "iid, replicas known", stablePods: 20, seeReplicas: true}
	neighbourKnown = kind{
		name: "noisy neighbour, replicas known", pods: 1, stablePods: 20, strainPerHour: 2, strainSeconds: 180, strainFactor: 0.8, seeReplicas: true,
	}
	weekday    = kind{name: "weekday and night", weekday: true}
	heavyKnown = kind{name: "heavy users, 64 groups known", heavy: true, groups: true}
)

func coldStart(amp, tau float64, name string) kind {
	return kind{name: name, base: 0.02, amp: amp, tau: tau, cold: true}
}

// steep is the ramp of review/peers.md.
var steep = []stretch{{0.1, 15}, {0.2, 15}, {0.3, 15}, {0.4, 15}, {0.5, 1740}}

func oneMinuteOfFive(x float64) func(float64) float64 {
	return func(t float64) float64 {
		if math.Mod(t, 300) < 60-1e-9 {
			return x
		}
		return 1
	}
}

func cells() []cell { return slices.Concat(good(), margins(), faults(), ramps(), means()) }

// good has cells with canaries that are no worse.
func good() []cell {
	var out []cell
	for _, k := range []kind{iid, slow, slower, correlated, common, restart1, restart3, restarts, ills, pods, bound, sessions, heavy, bursts, diurnal,
		podsKnown, boundKnown, illsKnown, restartsKnown, sessionsKnown, heavyKnown, heavySticky, iidSticky, routes,
		deploys, scales, flush, clients, neighbour, iidKnown, neighbourKnown, weekday, slowRoutes,
		coldStart(3, 120, "cold x3"), coldStart(5, 120, "cold x5"), coldStart(10, 120, "cold x10")} {
		for _, rps := range []float64{1000, 100} {
			for _, later := range []bool{false, true} {
				c := cell{group: "good", kind: k, rps: rps, ramp: steps, later: later}
				if k.cold {
					c.margin = judge.Margin{Relative: 0.25, Absolute: 0.01}
				}
				out = append(out, c)
				if k.cold && later {
					c.warmly = true
					out = append(out, c)
				}
			}
		}
	}
	for _, k := range []kind{iid, slow10, slow20, slow, correlated} { // nothing is known of the service
		for _, rps := range []float64{1000, 100} {
			out = append(out, cell{group: "no past", kind: k, rps: rps, ramp: []stretch{{0.5, 2400}}, hours: -1})
			out = append(out, cell{group: "no past", kind: k, rps: rps, ramp: steps, hours: -1})
		}
	}
	for _, x := range []struct {
		says string
		x    float64
	}{{"x2", 2}, {"x5", 5}, {"outage", 100}} {
		out = append(out, cell{group: "no past", kind: iid, rps: 1000, ramp: constant(0.5), effect: times(x.x), says: x.says, hours: -1},
			cell{group: "no past", kind: iid, rps: 100, ramp: constant(0.05), effect: times(x.x), says: x.says, hours: -1})
	}
	return out
}

// margins has cells with canaries that are better, within the margin, or at it.
func margins() []cell {
	var out []cell
	for _, x := range []float64{0.8, 0.5, 0.2} {
		for _, rps := range []float64{1000, 100} {
			out = append(out, cell{group: "margin", kind: iid, rps: rps, ramp: steps, effect: times(x), says: fmt.Sprintf("x%g", x)})
		}
	}
	for _, k := range []kind{iid, slow, slower, correlated, podsKnown} {
		for _, rps := range []float64{1000, 100} {
			out = append(out, cell{group: "margin", kind: k, rps: rps, ramp: steps, effect: times(1.2), says: "x1.2"},
				cell{group: "margin", kind: k, rps: rps, ramp: steps, effect: times(1.25), says: "x1.25"})
		}
	}
	return out
}

// faults has cells with canaries that are worse, from the start or later, all the time or now and then.
func faults() []cell {
	var out []cell
	for _, later := range []bool{false, true} {
		for _, e := range []struct {
			says string
			x    float64
		}{{"x1.5", 1.5}, {"x2", 2}, {"x5", 5}, {"outage", 100}} {
			for _, at := range []struct{ rps, w float64 }{{100, 0.05}, {1000, 0.5}} {
				out = append(out, cell{group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: times(e.x), says: e.says, later: later})
			}
			if e.x == 5 {
				out = append(out, cell{group: "find", kind: iidSticky, rps: 100, ramp: constant(0.05), effect: times(20), says: "x20", later: later})
			}
			out = append(out, cell{group: "find", kind: iidSticky, rps: 1000, ramp: constant(0.5), effect: times(e.x), says: e.says, later: later},
				cell{group: "find", kind: iidSticky, rps: 100, ramp: constant(0.05), effect: times(e.x), says: e.says, later: later})
			if e.x > 1.5 {
				for _, k := range []kind{slow, common} {
					out = append(out, cell{group: "find", kind: k, rps: 1000, ramp: constant(0.5), effect: times(e.x), says: e.says, later: later})
				}
			}
		}
		for _, at := range []struct{ rps, w float64 }{{100, 0.05}, {1000, 0.5}} {
			out = append(out,
				cell{group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: times(5), says: "x5 from 30", from: 1800, later: later},
				cell{group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: times(2), says: "x2 from 30", from: 1800, later: later},
				cell{
					group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: times(100), says: "outage from 30", from: 1800, later: later,
				},
				cell{group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: oneMinuteOfFive(5), says: "x5 one in five", later: later},
				cell{
					group: "find", kind: iid, rps: at.rps, ramp: constant(at.w), effect: oneMinuteOfFive(5),
					says: "x5 one in five from 30", from: 1800, later: later,
				})
		}
		for _, k := range []kind{routes, slowRoutes} {
			for _, at := range []struct {
				rps  float64
				ramp []stretch
			}{{100, constant(0.05)}, {1000, constant(0.05)}, {100, steps}} {
				out = append(out, cell{
					group: "find", kind: k, rps: at.rps, ramp: at.ramp, effect: times(100), says: "one route of 0.2% fails", later: later,
				})
			}
		}
		for _, w := range []float64{0.01, 0.05} {
			out = append(out, cell{group: "find", kind: iid, rps: 1, ramp: constant(w), effect: times(100), says: "outage", later: later},
				cell{group: "good", kind: iid, rps: 1, ramp: constant(w), later: later})
		}
	}
	return out
}

// ramps has cells with ramps of one minute, with a time instead of a margin, and with latencies that may be cold.
func ramps() []cell {
	var out []cell
	low := iid
	low.base = 0.005
	for _, later := range []bool{false, true} {
		out = append(out,
			cell{group: "ramp", kind: low, rps: 30, dt: 5, ramp: steep, effect: times(5), says: "x5", later: later, after: 75, ends: 75},
			cell{group: "ramp", kind: low, rps: 30, dt: 5, ramp: steep, effect: times(200), says: "outage", later: later, after: 75, ends: 75},
			cell{
				group: "ramp", kind: low, rps: 30, dt: 5, ramp: steep, later: later,
				margin: judge.Margin{Relative: 1, Absolute: 0.001}, after: 75, ends: 75,
			},
			cell{
				group: "ramp", kind: low, rps: 30, dt: 5, ramp: steep, effect: times(2), says: "x2", later: later,
				margin: judge.Margin{Relative: 1, Absolute: 0.001}, after: 75, ends: 75,
			})
	}
	for _, e := range []struct { // with a time instead of a margin
		says string
		x    float64
	}{{"", 1}, {"x1.5", 1.5}, {"x2", 2}, {"x3", 3}} {
		effect := times(e.x)
		if e.x == 1 {
			effect = nil
		}
		out = append(out, cell{
			group: "ramp", kind: low, rps: 30, dt: 5, ramp: steep, effect: effect, says: e.says, within: 1800, after: 75, ends: 75,
		})
		for _, k := range []kind{iid, slow} {
			out = append(out, cell{group: "within", kind: k, rps: 100, ramp: steps, effect: effect, says: e.says, within: 2400})
		}
	}
	out = append(out, slowRamps()...)
	for _, x := range []struct {
		says string
		x    float64
	}{{"x2", 2}, {"x5", 5}} {
		for _, at := range []struct{ rps, w float64 }{{100, 0.05}, {1000, 0.5}} {
			k := coldStart(0, 1, "may be cold")
			out = append(out, cell{
				group: "find", kind: k, rps: at.rps, ramp: constant(at.w), effect: times(x.x), says: x.says,
				margin: judge.Margin{Relative: 0.25, Absolute: 0.01},
			})
		}
	}
	return out
}

// slowRamps has cells with latencies in the steep ramp. They are lognormal (the logarithm has a standard deviation of 0.7)
// with a p99 of 250 ms. A request is slow if it takes more than 300 ms, the nearest bound of Traefik's buckets: 0.5% of
// requests, and 5.5% if all latencies are doubled.
func slowRamps() []cell {
	slow := func(amp, tau float64, name string) kind {
		k := coldStart(amp, tau, name)
		k.base = 0.005
		return k
	}
	var out []cell
	for _, later := range []bool{false, true} {
		ramp := cell{
			group: "ramp", rps: 30, dt: 5, ramp: steep, later: later, margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, after: 75, ends: 75,
		}
		for _, k := range []kind{slow(0, 1, "may be cold"), slow(5, 60, "cold x5, 60 s"), slow(10, 120, "cold x10, 120 s")} {
			good := ramp
			good.kind = k
			out = append(out, good)
			if k.amp > 0 && later {
				good.warmly = true
				out = append(out, good)
			}
		}
		worse := ramp
		worse.kind = slow(0, 1, "may be cold")
		worse.effect, worse.says = times(11), "latencies doubled"
		out = append(out, worse)
		worse.effect, worse.says = times(2), "twice as many slow"
		out = append(out, worse)
	}
	return out
}

// means has cells that compare means of values, such as latencies or order totals. They have no history.
func means() []cell {
	var out []cell
	add := func(k kind, rps float64, ramp []stretch, says string, x float64) {
		c := cell{group: "mean", kind: k, rps: rps, ramp: ramp, says: says, hours: -1}
		if x != 1 {
			c.effect = times(x)
		}
		out = append(out, c)
	}
	half := []stretch{{0.5, 2400}}
	for _, v := range []struct {
		name string
		tail tail
	}{{"lognormal 1", tail{sd: 1}}, {"lognormal 2", tail{sd: 2}}, {"Pareto 1.5", tail{exponent: 1.5}}} {
		k := kind{name: v.name, values: v.tail}
		fewer := kind{name: v.name + ", lower is worse", values: v.tail, lower: true}
		for _, rps := range []float64{30, 10} {
			add(k, rps, steps, "", 1)
			add(fewer, rps, steps, "", 1)
			add(k, rps, []stretch{{0.2, 2400}}, "", 1)
			add(fewer, rps, []stretch{{0.2, 2400}}, "", 1)
			add(k, rps, half, "x1.2", 1.2)
			add(fewer, rps, half, "x1.2", 1/1.2)
			for _, ramp := range [][]stretch{constant(0.05), constant(0.5)} {
				add(k, rps, ramp, "x1.5", 1.5)
				add(k, rps, ramp, "x2", 2)
				add(k, rps, ramp, "x5", 5)
				add(fewer, rps, ramp, "a half", 0.5)
			}
		}
	}
	one := tail{sd: 1}
	for _, k := range []kind{
		{name: "slow drift of 21%", ownSD: 0.21, ownTau: 195},
		{name: "slow drift of 10%", ownSD: 0.1, ownTau: 195},
		{name: "pod incidents, ×20", pods: 1, stablePods: 20, illPerHour: 0.5, illSeconds: 60, illShare: 0.2},
		{name: "noisy neighbour", neighbour: true},
		{name: "cold ×3", amp: 3, tau: 120}, {name: "cold ×5", amp: 5, tau: 120}, {name: "cold ×10", amp: 10, tau: 120},
		{name: "pods 5%", pods: 1, stablePods: 20, podSD: 0.05}, {name: "pods 20%", pods: 1, stablePods: 20, podSD: 0.2},
	} {
		k.values = one
		k.name += ", lognormal 1"
		add(k, 30, steps, "", 1)
	}
	return out
}
