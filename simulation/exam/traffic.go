package main

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// dice draws all randomness of one release.
type dice struct{ *rand.Rand }

func (d dice) poisson(mean float64) float64 {
	if !(mean > 0) {
		return 0
	}
	if mean > 1e6 { // the normal distribution is close enough, and cheaper
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*d.NormFloat64()))
	}
	return distuv.Poisson{Lambda: mean, Src: d}.Rand()
}

func (d dice) binomial(n, p float64) float64 {
	switch {
	case !(n > 0) || !(p > 0):
		return 0
	case p >= 1:
		return n
	}
	return distuv.Binomial{N: n, P: p, Src: d}.Rand()
}

// factor draws a lognormal factor with mean 1.
func (d dice) factor(sd float64) float64 { return math.Exp(sd*d.NormFloat64() - sd*sd/2) }

// wander draws a factor with mean 1 over n looks. Its logarithm is an Ornstein-Uhlenbeck process.
func (d dice) wander(n int, dt, sd, tau float64) []float64 {
	a := math.Exp(-dt / tau)
	s := sd * math.Sqrt(1-a*a)
	out := make([]float64, n)
	x := sd * d.NormFloat64()
	for t := range out {
		if t > 0 {
			x = a*x + s*d.NormFloat64()
		}
		out[t] = math.Exp(x - sd*sd/2)
	}
	return out
}

// episodes adds to share the part of each look during which an episode lasts. perHour episodes begin in an hour, and each
// lasts seconds: exactly, or on average with an exponential distribution.
func (d dice) episodes(share []float64, dt, perHour, seconds float64, exact bool) {
	h := float64(len(share)) * dt
	for range int(d.poisson(perHour * h / 3600)) {
		a, long := d.Float64()*h, seconds
		if !exact {
			long *= d.ExpFloat64()
		}
		b := math.Min(a+long, h)
		for i := int(a / dt); i < len(share) && float64(i)*dt < b; i++ {
			from, to := math.Max(a, float64(i)*dt), math.Min(b, float64(i+1)*dt)
			share[i] = math.Min(1, share[i]+(to-from)/dt)
		}
	}
}

// look is one look at a release: the weight, then bad and all requests of the canary and of the baseline.
type look struct {
	weight, xc, nc, xb, nb float64
	routes                 []look // the same for each route, if the kind has any
}

// add adds the requests of another look, but not its routes.
func (l *look) add(o look) {
	l.xc, l.nc, l.xb, l.nb = l.xc+o.xc, l.nc+o.nc, l.xb+o.xb, l.nb+o.nb
}

// minutes is the history of stable: sums per minute, in all and by replica or route if those are known.
type minutes struct {
	bad, total []float64
	replicas   []minutes
	routes     []minutes
}

// kind describes the traffic of a scenario. The zero value has independent errors.
type kind struct {
	name string
	base float64 // the chance of a bad event; 0 means 1%
	// own wanders in each arm separately, shared in both together.
	ownSD, ownTau, sharedSD, sharedTau float64
	commonIncidents                    bool
	// How many pods canary and stable have, by how much these differ permanently, how they wander, and how often one fails
	// or restarts.
	pods, stablePods         int
	podSD, podOUSD, podOUTau float64
	illPerHour, illSeconds   float64
	illShare                 float64
	// At times a pod is worse by a factor of 1+strainFactor, because of something else on its machine.
	strainPerHour, strainSeconds, strainFactor float64
	restarts, restartSeconds                   float64
	oneRestart                                 bool
	canaryStarts                               float64 // seconds of failure when the canary starts
	retries                                    float64 // how often a user retries after an error
	heavy                                      bool    // users differ in activity, and cookies divide them
	people                                     []person
	groups                                     bool    // the history distinguishes groups of users
	amp, tau                                   float64 // factor and decay, in seconds, of a cold start
	speed                                      float64 // by how much pods differ in speed near a bucket's bound
	diurnal                                    bool
	seeReplicas                                bool // the history distinguishes replicas
	cold                                       bool // the metric may have a cold start
	bursts                                     float64
	routes                                     bool // the metric is broken down by route, and a fault affects only the rarest
	sticky                                     bool // the judge knows that users are divided, but not how many there are
	// Disturbances in the middle of a release: deploys of a backend that both arms use, stable scaling up by half with cold
	// pods, and a cache that is flushed for both.
	deploys, scales, flush bool
	clients                bool // clients retry a failed request twice at once, so that it counts three times
	values                 tail // the metric is a mean of such values
	lower                  bool // a lower mean is worse
	neighbour              bool // at times one pod of an arm shares its machine with another job
	weekday                bool // rates follow the time of day, which history and release may see at different phases
}

// tail is a distribution of values: lognormal with standard deviation sd of the logarithm, or Pareto with an exponent.
type tail struct{ sd, exponent float64 }

// sum draws the sum of n values.
func (v tail) sum(d dice, n float64) (sum float64) {
	for range int(n) {
		if v.exponent > 0 {
			sum += math.Pow(1-d.Float64(), -1/v.exponent)
		} else {
			sum += math.Exp(v.sd * d.NormFloat64())
		}
	}
	return sum
}

// routeShares are the shares of a service's routes. The last one is rare.
var routeShares = []float64{0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.01, 0.006, 0.002, 0.002}

func (k kind) baseRate() float64 {
	if k.base > 0 {
		return k.base
	}
	return 0.01
}

// release draws the looks of one release: dt seconds each, at the given weights, with a canary effect[t] times as bad.
func (k kind) release(d dice, rps, dt float64, weights, effect []float64) []look {
	n := len(weights)
	base := k.baseRate()
	traffic := d.wander(n, dt, 0.2, 300)
	pc, pb := make([]float64, n), make([]float64, n)
	k.rates(d, dt, base, weights, effect, pc, pb)
	out := make([]look, n)
	for t, w := range weights {
		f := traffic[t]
		if k.diurnal {
			f *= 0.5 + float64(t)/float64(n)
		}
		all := d.poisson(rps * dt * f)
		nc := math.Floor(all*w + d.Float64())
		out[t] = look{weight: w, nc: nc, nb: all - nc}
	}
	switch {
	case k.retries > 0:
		k.sessions(d, dt, base, effect, out)
	case k.heavy:
		k.users(d, rps, dt, base, effect, out)
	case k.routes:
		for t := range out {
			k.byRoute(d, &out[t], pc[t], pb[t], effect[t])
		}
	case k.clients:
		for t := range out {
			o := &out[t]
			o.xc, o.nc = k.retried(d, o.nc, pc[t])
			o.xb, o.nb = k.retried(d, o.nb, pb[t])
		}
	case k.values != tail{}:
		for t := range out {
			o := &out[t]
			o.xc, o.xb = pc[t]/base*k.values.sum(d, o.nc), pb[t]/base*k.values.sum(d, o.nb)
		}
	case k.bursts > 1:
		for t := range out {
			o := &out[t]
			o.xc, o.xb = k.burst(d, o.nc, pc[t]), k.burst(d, o.nb, pb[t])
		}
	default:
		for t := range out {
			o := &out[t]
			o.xc, o.xb = d.binomial(o.nc, pc[t]), d.binomial(o.nb, pb[t])
		}
	}
	return out
}

// byRoute divides a look among the routes. Only the last route has the effect.
func (k kind) byRoute(d dice, o *look, pc, pb, effect float64) {
	nc, nb, left := o.nc, o.nb, 1.0
	o.routes = make([]look, len(routeShares))
	for i, share := range routeShares {
		r := &o.routes[i]
		r.nc, r.nb = d.binomial(nc, math.Min(1, share/left)), d.binomial(nb, math.Min(1, share/left))
		nc, nb, left = nc-r.nc, nb-r.nb, left-share
		p := pc / effect
		if i == len(routeShares)-1 {
			p = math.Min(1, pc)
		}
		r.xc, r.xb = d.binomial(r.nc, p), d.binomial(r.nb, pb)
		o.xc, o.xb = o.xc+r.xc, o.xb+r.xb
	}
	o.nc, o.nb = o.nc-nc, o.nb-nb // rounding may leave a few requests without a route
}

// retried draws the bad requests and all requests if clients retry a failed one twice. A third as many fail at first, and
// nine tenths of those fail each time.
func (k kind) retried(d dice, n, p float64) (bad, all float64) {
	first := d.binomial(n, p/3)
	again := math.Floor(first * 0.9) // most of what failed fails again
	return first + 2*again, n + 2*first
}

func (k kind) burst(d dice, n, p float64) float64 {
	sum := 0.0
	for range int(d.poisson(n * p / k.bursts)) {
		sum += 1 + math.Floor(math.Log1p(-d.Float64())/math.Log1p(-1/k.bursts))
	}
	return math.Min(sum, n)
}

// rates fills in the chance of a bad event in each arm, look by look.
func (k kind) rates(d dice, dt, base float64, weights, effect, pc, pb []float64) {
	n := len(weights)
	var c, b []float64
	if k.ownSD > 0 {
		c, b = d.wander(n, dt, k.ownSD, k.ownTau), d.wander(n, dt, k.ownSD, k.ownTau)
	}
	var shared []float64
	if k.sharedSD > 0 {
		shared = d.wander(n, dt, k.sharedSD, k.sharedTau)
	}
	for t := range pc {
		f := 1.0
		if shared != nil {
			f = shared[t]
		}
		if k.diurnal {
			f *= 0.6 + 0.8*float64(t)/float64(n)
		}
		pc[t], pb[t] = base*f*effect[t], base*f
		if c != nil {
			pc[t] *= c[t]
			pb[t] *= b[t]
		}
	}
	k.befalls(d, dt, pc, pb)
	if k.commonIncidents {
		s := make([]float64, n)
		d.episodes(s, dt, 6, 45, false)
		for t := range s {
			pc[t] += 0.1 * s[t]
			pb[t] += 0.1 * s[t]
		}
	}
	if k.pods > 0 {
		k.byPods(d, dt, base, effect, pc, pb)
	}
	if k.oneRestart {
		at := d.IntN(n)
		pc[at] = math.Max(pc[at], math.Min(1, 10/dt)/float64(max(k.pods, 1)))
	}
	if k.canaryStarts > 0 {
		for t := 0; float64(t)*dt < k.canaryStarts; t++ {
			pc[t] = math.Max(pc[t], math.Min(1, (k.canaryStarts-float64(t)*dt)/dt))
		}
	}
	if k.amp > 0 {
		since, share := 0.0, 1.0
		for t, w := range weights {
			if t > 0 && w > weights[t-1] {
				since, share = 0, (w-weights[t-1])/w
			}
			pc[t] = math.Min(1, pc[t]*(1+(k.amp-1)*math.Exp(-since/k.tau)*share))
			since += dt
		}
	}
}

// befalls adds disturbances in the middle of a release or a history, most of which affect both arms.
func (k kind) befalls(d dice, dt float64, pc, pb []float64) {
	h := float64(len(pc)) * dt
	if k.deploys { // twice an hour, the connections to a backend of both arms break for 20 seconds
		s := make([]float64, len(pc))
		d.episodes(s, dt, 2, 20, true)
		for t := range s {
			pc[t] += 0.3 * s[t]
			pb[t] += 0.3 * s[t]
		}
	}
	from, phase := math.Inf(1), 0.0
	if k.scales || k.flush {
		from = (0.3 + 0.4*d.Float64()) * min(h, 3600)
	}
	if k.weekday {
		phase = 2 * math.Pi * d.Float64()
	}
	for t := range pc {
		since := float64(t)*dt - from
		if since < 0 {
			continue
		}
		if k.scales { // stable gets half as many pods more, which fail four times as often for about a minute
			pb[t] *= 1 + 0.5*3*math.Exp(-since/60)
		}
		if k.flush { // both arms miss the cache alike
			f := 1 + 4*math.Exp(-since/180)
			pc[t] *= f
			pb[t] *= f
		}
	}
	if k.neighbour { // twice an hour for three minutes, in each arm separately; in stable only one of 20 pods
		for i, p := range [][]float64{pc, pb} {
			s := make([]float64, len(p))
			d.episodes(s, dt, 2, 180, false)
			for t := range s {
				p[t] *= 1 + s[t]*[2]float64{0.8, 0.04}[i]
			}
		}
	}
	if k.weekday { // rates vary by half around their mean over a day
		for t := range pc {
			f := 1 + 0.5*math.Sin(phase+2*math.Pi*float64(t)*dt/86400)
			pc[t] *= f
			pb[t] *= f
		}
	}
}

// pod draws the chance of a bad event at one pod, look by look.
func (k kind) pod(d dice, n int, dt, base float64) []float64 {
	p := make([]float64, n)
	f := base
	if k.podSD > 0 {
		f *= d.factor(k.podSD)
	}
	if k.speed > 0 { // a fifth of the requests are beyond the bound, which lies where latencies are dense
		z := 0.8416212335729143 - k.speed*d.NormFloat64()/0.15
		f = math.Erfc(z/math.Sqrt2) / 2
	}
	for t := range p {
		p[t] = f
	}
	if k.podOUSD > 0 {
		for t, w := range d.wander(n, dt, k.podOUSD, k.podOUTau) {
			p[t] *= w
		}
	}
	if k.illPerHour > 0 {
		s := make([]float64, n)
		d.episodes(s, dt, k.illPerHour, k.illSeconds, false)
		for t := range s {
			p[t] += k.illShare * s[t]
		}
	}
	if k.strainPerHour > 0 {
		s := make([]float64, n)
		d.episodes(s, dt, k.strainPerHour, k.strainSeconds, false)
		for t := range s {
			p[t] *= 1 + s[t]*k.strainFactor
		}
	}
	if k.restarts > 0 {
		s := make([]float64, n)
		d.episodes(s, dt, k.restarts, k.restartSeconds, true)
		for t := range s {
			p[t] = math.Max(p[t], s[t])
		}
	}
	return p
}

func (k kind) byPods(d dice, dt, base float64, effect, pc, pb []float64) {
	n := len(pc)
	if k.podSD+k.speed+k.podOUSD+k.illPerHour+k.strainPerHour+k.restarts == 0 {
		return
	}
	for i := range pc {
		pc[i], pb[i] = 0, 0
	}
	for range k.pods {
		for t, p := range k.pod(d, n, dt, base) {
			pc[t] += math.Min(1, p*effect[t]) / float64(k.pods)
		}
	}
	for range k.stablePods {
		for t, p := range k.pod(d, n, dt, base) {
			pb[t] += math.Min(1, p) / float64(k.stablePods)
		}
	}
}

// sessions draws errors of users who, after an error, retry about retries times, 5 seconds apart, in the same arm.
func (k kind) sessions(d dice, dt, base float64, effect []float64, out []look) {
	lambda := base / (1 + k.retries)
	keep := math.Pow(1-1/k.retries, dt/5)
	aliveC, aliveB := 0.0, d.poisson(out[0].nb*lambda/(1-keep)) // the canary has no sessions yet
	for t := range out {
		o := &out[t]
		for a := range 2 {
			n, alive, e := o.nc, &aliveC, effect[t]
			if a == 1 {
				n, alive, e = o.nb, &aliveB, 1
			}
			*alive = d.binomial(*alive, keep)
			x := d.poisson(*alive * dt / 5)
			starts := d.poisson(n * lambda * e)
			x += starts
			*alive += starts
			x = math.Min(x, n)
			if a == 0 {
				o.xc = x
			} else {
				o.xb = x
			}
		}
	}
}

// person is a user of a service: their share of the traffic, and whether their requests fail much more often than others'.
type person struct {
	share float64
	bad   bool
}

// people draws the users of a service. Their activity follows a Pareto distribution.
func (d dice) people() []person {
	all := make([]person, 2000)
	sum := 0.0
	for i := range all {
		all[i] = person{math.Pow(1-d.Float64(), -1/1.5) - 1 + 0.05, d.Float64() < 0.03}
		sum += all[i].share
	}
	for i := range all {
		all[i].share /= sum
	}
	return all
}

// chance is the chance that one of a person's requests is bad.
func (p person) chance(base float64) float64 {
	if p.bad {
		return math.Min(1, base*20)
	}
	return base * (1 - 0.03*20) / 0.97
}

// users draws looks in which cookies divide the users.
func (k kind) users(d dice, rps, dt, base float64, effect []float64, out []look) {
	order := make([]float64, len(k.people))
	for i := range order {
		order[i] = d.Float64()
	}
	good, ill := person{}.chance(base), person{bad: true}.chance(base)
	var goodC, badC, goodB, badB float64
	at := -1.0
	for t := range out {
		o := &out[t]
		if o.weight != at {
			at = o.weight
			goodC, badC, goodB, badB = 0, 0, 0, 0
			for i, u := range k.people {
				a := u.share * rps * dt
				switch {
				case order[i] < at && u.bad:
					badC += a
				case order[i] < at:
					goodC += a
				case u.bad:
					badB += a
				default:
					goodB += a
				}
			}
		}
		gc, bc, gb, bb := d.poisson(goodC), d.poisson(badC), d.poisson(goodB), d.poisson(badB)
		o.nc, o.nb = gc+bc, gb+bb
		o.xc = d.binomial(gc, math.Min(1, good*effect[t])) + d.binomial(bc, math.Min(1, ill*effect[t]))
		o.xb = d.binomial(gb, good) + d.binomial(bb, ill)
	}
}

// groupsPast draws the history of stable, in all and by 64 groups of users.
func (k kind) groupsPast(d dice, rps float64, n int) minutes {
	m := minutes{bad: make([]float64, n), total: make([]float64, n), replicas: make([]minutes, 64)}
	type rates struct{ good, bad float64 }
	of := make([]rates, len(m.replicas))
	for i, u := range k.people {
		g := &of[i%len(of)]
		if u.bad {
			g.bad += u.share * rps * 60
		} else {
			g.good += u.share * rps * 60
		}
	}
	for g, r := range of {
		for i := range n {
			good, bad := d.poisson(r.good), d.poisson(r.bad)
			x := d.binomial(good, person{}.chance(k.baseRate())) + d.binomial(bad, person{bad: true}.chance(k.baseRate()))
			m.replicas[g].bad = append(m.replicas[g].bad, x)
			m.replicas[g].total = append(m.replicas[g].total, good+bad)
			m.bad[i] += x
			m.total[i] += good + bad
		}
	}
	return m
}

// past draws the history of stable over some hours, in sums per minute.
func (k kind) past(d dice, rps, hours float64) minutes {
	const dt = 10.0
	n := int(hours * 360)
	h := k
	h.oneRestart, h.amp, h.canaryStarts, h.diurnal = false, 0, 0, false
	if k.groups {
		return k.groupsPast(d, rps, n/6)
	}
	if !k.seeReplicas || k.stablePods == 0 {
		weights, effect := make([]float64, n), make([]float64, n)
		for t := range weights {
			weights[t], effect[t] = 0.001, 1
		}
		var m minutes
		for t, o := range h.release(d, rps, dt, weights, effect) {
			m.add(t, o.xb, o.nb)
			if o.routes != nil && m.routes == nil {
				m.routes = make([]minutes, len(o.routes))
			}
			for i, r := range o.routes {
				m.routes[i].add(t, r.xb, r.nb)
			}
		}
		return m
	}
	var m minutes
	traffic := d.wander(n, dt, 0.2, 300)
	shared := make([]float64, n)
	for t := range shared {
		shared[t] = 1
	}
	if k.ownSD > 0 { // the arm's own factor is that of all its pods
		shared = d.wander(n, dt, k.ownSD, k.ownTau)
	}
	m.bad, m.total = make([]float64, n/6), make([]float64, n/6)
	for range k.stablePods {
		var r minutes
		looks := make([]look, n)
		one := make([]float64, n)
		p := h.pod(d, n, dt, k.baseRate())
		for t := range looks {
			looks[t].nb = d.poisson(rps * dt * traffic[t] / float64(k.stablePods))
			one[t] = 1
		}
		if k.retries > 0 {
			h.sessions(d, dt, k.baseRate(), one, looks)
		}
		for t := range looks {
			x := looks[t].xb
			if k.retries == 0 {
				x = d.binomial(looks[t].nb, math.Min(1, p[t]*shared[t]))
			}
			r.add(t, x, looks[t].nb)
		}
		for i := range r.bad {
			m.bad[i] += r.bad[i]
			m.total[i] += r.total[i]
		}
		m.replicas = append(m.replicas, r)
	}
	return m
}

func (m *minutes) add(t int, bad, total float64) {
	if t%6 == 0 {
		m.bad, m.total = append(m.bad, 0), append(m.total, 0)
	}
	m.bad[len(m.bad)-1] += bad
	m.total[len(m.total)-1] += total
}
