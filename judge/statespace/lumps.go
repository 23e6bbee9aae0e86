package statespace

import "math"

// The world in which what wanders are lumps of events: a few users who try again and again, each for a while. How many
// there are at a time is a number of Poisson, about one of the gamma distribution, and the fewer requests an arm has, the
// fewer they are. So the ratio of two arms is that of two gamma distributions, which forgets as the lumps end; near to
// none at a time it jumps, of many it wanders as a Gaussian does. It is filtered on a grid of log ratios.
//
// Cox, Ingersoll and Ross, A theory of the term structure of interest rates, Econometrica 53 (1985), 385–407 (such a rate
// of one arm); Kitagawa, Non-Gaussian state-space modeling of nonstationary time series, J. Am. Stat. Assoc. 82 (1987),
// 1032–1041 (the grid).

// below and above are how many points the grid has on either side of the ratio 1, wide and narrow its steps at most and
// at least.
const (
	below  = 40
	above  = 30
	grid   = below + 1 + above
	wide   = 0.15
	narrow = 0.02
)

// lumps is what is assumed about the log ratio in that world: in the null, and where the canary is worse by the margin.
type lumps struct {
	step    float64
	exposed [2]float64 // of both arms, a second, in the last look that had any
	chance  [2][grid]float64
	// ill are the chances that an incident is going on, whole the logarithms of the probability of all looks.
	ill, whole [2]float64
}

// many is the number of lumps at a time in each arm, and how long they last.
func (m *Model) many(s *lumps) (n [2]float64, lasts float64) {
	all := 0.0
	for i, v := range m.Wander {
		all += v / 2
		lasts += v / 2 * forgetting[i]
	}
	lasts /= all
	for i := range n {
		n[i] = max(leastLumps, min(s.exposed[i]/(m.Lumps*all), mostLumps))
	}
	return n, lasts
}

// leastLumps and mostLumps keep a number of lumps within what the grid can show.
const (
	leastLumps = 1e-3
	mostLumps  = 1e6
)

// lump lets the time of the look pass.
func (m *Model) lump(s *State, l *Look) {
	w := s.lumps
	if l.exposed[0] > 0 {
		w.exposed = [2]float64{l.exposed[0] / l.Seconds, l.exposed[1] / l.Seconds}
	}
	if w.exposed[0] <= 0 {
		return
	}
	n, lasts := m.many(w)
	begins := w.step == 0 || l.Turned
	if begins {
		w.step = max(narrow, min(8*math.Sqrt(trigamma(n[0])+trigamma(n[1]))/(below+above), wide))
	}
	rest := w.rest(n)
	if begins {
		sum := 0.0
		for _, r := range rest {
			sum += math.Exp(r)
		}
		for i, r := range rest {
			w.chance[0][i] = math.Exp(r) / sum
		}
		w.chance[1] = w.chance[0]
		return
	}
	up, down := w.rates(n, &rest, l.Seconds/lasts)
	for i := range w.chance {
		moved(&w.chance[i], &up, &down)
	}
}

// at is the log ratio of a point of the grid.
func (w *lumps) at(i int) float64 { return float64(i-below) * w.step }

// rest is the logarithm of the chance of each point in the long run, up to a constant.
func (w *lumps) rest(n [2]float64) (rest [grid]float64) {
	most := math.Inf(-1)
	for i := range rest {
		v := w.at(i)
		rest[i] = n[0]*v - (n[0]+n[1])*math.Log1p(n[0]/n[1]*math.Exp(v))
		most = max(most, rest[i])
	}
	for i := range rest {
		rest[i] -= most
	}
	return rest
}

// rates are how fast the ratio moves from each point to the one above, and from that to it, in the time of the look: so
// that the chances in the long run are those of rest, and with a spread as that of numbers of Poisson.
func (w *lumps) rates(n [2]float64, rest *[grid]float64, time float64) (up, down [grid - 1]float64) {
	const steepest = 30
	share := n[1] / (n[0] + n[1]) // of what moves the ratio, the canary's
	for i := range up {
		v := (w.at(i) + w.at(i+1)) / 2
		spread := (math.Exp(-share*v)/n[0] + math.Exp((1-share)*v)/n[1]) * time / (w.step * w.step)
		slope := max(-steepest, min((rest[i+1]-rest[i])/2, steepest))
		up[i], down[i] = spread*math.Exp(slope), spread*math.Exp(-slope)
	}
	return up, down
}

// moved are the chances after a move by these rates: the implicit step of Euler, in which they stay chances whatever the
// rates, by the elimination of Thomas.
func moved(p *[grid]float64, up, down *[grid - 1]float64) {
	var over [grid - 1]float64
	own, handed := 1.0, 0.0 // what a point keeps apart from what goes up, and what comes from below
	for i := range up {
		all := own + up[i]
		p[i] = (p[i] + handed) / all
		handed = up[i] * p[i]
		over[i] = down[i] / all
		own = 1 + over[i]*own
	}
	p[grid-1] = (p[grid-1] + handed) / own
	for i := grid - 2; i >= 0; i-- {
		p[i] += over[i] * p[i+1]
	}
}

// hold is the logarithm of the probability of the datum where the ratio is as known as the chances say, and those after
// it was seen.
func (w *lumps) hold(o *datum, known float64, of int) (log float64, after [grid]float64) {
	most := math.Inf(-1)
	for i := range after {
		after[i] = o.log(o.offset + known + w.at(i))
		most = max(most, after[i])
	}
	sum := 0.0
	for i, l := range after {
		after[i] = w.chance[of][i] * math.Exp(l-most)
		sum += after[i]
	}
	if !(sum > 0) {
		return impossible, w.chance[of]
	}
	for i := range after {
		after[i] /= sum
	}
	return max(most+math.Log(sum), impossible), after
}

// impossible is the logarithm of the probability of what the grid cannot show.
const impossible = -1e6

// inLumps holds the look against the null and the margin in the world of lumps, and is the logarithm of the probability
// of the first with its worth; below everything where there is no such world.
func (m *Model) inLumps(s *State, l *Look, stays, onset float64, illP, freshP *held) float64 {
	if m.Lumps == 0 {
		return math.Inf(-1)
	}
	w := s.lumps
	var null float64
	for of, known := range [...]float64{0, math.Log(l.Margin)} {
		log, after := w.hold(&l.datum, known, of)
		inIll, sum := incident(w.ill[of], stays, onset, log, illP.log, freshP.log)
		w.whole[of] += sum
		w.ill[of] = inIll
		for i := range after {
			w.chance[of][i] += (1 - inIll) * (after[i] - w.chance[of][i])
		}
		if of == 0 {
			null = sum
		}
	}
	return math.Log(s.good[inLump]) + null
}

// fade lets incidents end in looks that show nothing.
func (w *lumps) fade(stays float64) {
	if w == nil {
		return
	}
	w.ill[0] *= stays
	w.ill[1] *= stays
}
