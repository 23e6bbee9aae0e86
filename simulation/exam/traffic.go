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

// factor is a lognormal factor with mean 1.
func (d dice) factor(sd float64) float64 { return math.Exp(sd*d.NormFloat64() - sd*sd/2) }

// wander is a factor with mean 1 that wanders as an Ornstein-Uhlenbeck process in its logarithm.
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

// episodes adds to share, look by look, for how much of it a unit fails: that many episodes begin per hour, each
// lasting for an exponential time, or exactly for the seconds if exact.
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

// look is one look of a release: weight, the canary's bad and total, the baseline's.
type look struct {
	weight, xc, nc, xb, nb float64
	routes                 []look // the same of each route, where there are any
}

// add counts another look's requests, without its routes.
func (l *look) add(o look) {
	l.xc, l.nc, l.xb, l.nb = l.xc+o.xc, l.nc+o.nc, l.xb+o.xb, l.nb+o.nb
}

// minutes is what stable did before: sums a minute, of all and of each replica where they are known.
type minutes struct {
	bad, total []float64
	replicas   []minutes
	routes     []minutes
}

// kind is what the traffic of a scenario is like. The zero value has independent errors.
type kind struct {
	name string
	base float64 // 0 is 1%
	// own wanders in each arm by itself, shared in both alike.
	ownSD, ownTau, sharedSD, sharedTau float64
	commonIncidents                    bool
	// pods: the canary's and stable's, by how much they differ permanently, how they wander, how often one fails or
	// restarts.
	pods, stablePods         int
	podSD, podOUSD, podOUTau float64
	illPerHour, illSeconds   float64
	illShare                 float64
	// a pod is at times worse by a factor of 1 and this, because of what else runs on its machine
	strainPerHour, strainSeconds, strainFactor float64
	restarts, restartSeconds                   float64
	oneRestart                                 bool
	canaryStarts                               float64 // seconds of failure when the canary starts
	retries                                    float64 // sessions: a user who meets an error retries so often
	heavy                                      bool    // users who differ in activity, by cookie
	people                                     []person
	groups                                     bool    // the history tells groups of users apart
	amp, tau                                   float64 // cold start
	speed                                      float64 // pods differ in speed at a bucket's bound
	diurnal                                    bool
	seeReplicas                                bool // the history tells replicas apart
	cold                                       bool // a metric that may have a cold start
	bursts                                     float64
	routes                                     bool // the metric is broken down by routes; a fault is one of the rarest alone
	sticky                                     bool // the judge knows that the arms are divided by users, and not how many there are
	// What happens to both arms in the midst of a release, for some minutes from its third part on: a deploy of what is
	// behind them, stable's pods growing by half of them, which are cold, a cache that is emptied.
	deploys, scales, flush bool
	clients                bool // clients retry what failed, twice, at once: a bad request is counted three times
	values                 tail // what is compared is the mean of values
	lower                  bool // of which lower is worse
	neighbour              bool // one of stable's pods, and at times the canary's, shares its machine with another's job
	weekday                bool // the history is that of a day, and the release at night, or the other way round
}

// tail is how values are distributed: lognormal with a standard deviation of the logarithm, or Pareto's with an exponent.
type tail struct{ sd, exponent float64 }

// sum is the sum of n values.
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

// routeShares are the routes of a service; the last one is rare.
var routeShares = []float64{0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.01, 0.006, 0.002, 0.002}

func (k kind) baseRate() float64 {
	if k.base > 0 {
		return k.base
	}
	return 0.01
}

// release draws one release: looks of dt seconds at the weights, effect[t] times as bad; late is history otherwise.
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

// byRoute divides a look among the routes. The effect is that of the last route alone.
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
	o.nc, o.nb = o.nc-nc, o.nb-nb // except for rounding all belong to a route
}

// retried are the bad requests and all requests where clients try twice more what has failed: what fails for one of three
// reasons fails each time.
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

// rates are the chances of a bad event in each arm.
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

// befalls are things that happen to both arms, or to stable, in the midst of a release or of a history.
func (k kind) befalls(d dice, dt float64, pc, pb []float64) {
	h := float64(len(pc)) * dt
	if k.deploys { // of a service behind both, twice in an hour: its connections break for 20 seconds
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
		if k.scales { // half of stable's pods are new, and each fails four times as often for a minute
			pb[t] *= 1 + 0.5*3*math.Exp(-since/60)
		}
		if k.flush { // both miss their caches, the canary as much as stable
			f := 1 + 4*math.Exp(-since/180)
			pc[t] *= f
			pb[t] *= f
		}
	}
	if k.neighbour { // twice an hour for three minutes, at either arm alone; one of stable's 20 pods
		for i, p := range [][]float64{pc, pb} {
			s := make([]float64, len(p))
			d.episodes(s, dt, 2, 180, false)
			for t := range s {
				p[t] *= 1 + s[t]*[2]float64{0.8, 0.04}[i]
			}
		}
	}
	if k.weekday { // a day is twice as bad as a night, and busier
		for t := range pc {
			f := 1 + 0.5*math.Sin(phase+2*math.Pi*float64(t)*dt/86400)
			pc[t] *= f
			pb[t] *= f
		}
	}
}

// pod is the chance of a bad event at one pod, look by look.
func (k kind) pod(d dice, n int, dt, base float64) []float64 {
	p := make([]float64, n)
	f := base
	if k.podSD > 0 {
		f *= d.factor(k.podSD)
	}
	if k.speed > 0 { // a fifth of the requests are beyond the bound, where the mass is
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

// sessions: a user who meets an error retries about retries times, 5 seconds apart, in the same arm.
func (k kind) sessions(d dice, dt, base float64, effect []float64, out []look) {
	lambda := base / (1 + k.retries)
	keep := math.Pow(1-1/k.retries, dt/5)
	aliveC, aliveB := 0.0, d.poisson(out[0].nb*lambda/(1-keep)) // the canary's users have not come yet
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

// person is one of a service's users: their share of the traffic, and whether they fail much more often than others.
type person struct {
	share float64
	bad   bool
}

// people draws the users of a service, of Pareto activity.
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

// chance is how likely a request of a person's is bad.
func (p person) chance(base float64) float64 {
	if p.bad {
		return math.Min(1, base*20)
	}
	return base * (1 - 0.03*20) / 0.97
}

// users: divided by cookie.
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

// groupsPast is what stable did before, of all and of 64 groups of users.
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

// past draws what stable did for some hours before, in sums of a minute.
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
	if k.ownSD > 0 { // of the arm, so of all its pods
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
