package statespace

import "math"

// Standing is the evidence of a comparison in numbers. All but the ratios are natural logarithms.
type Standing struct {
	// Worse is the e-value against "no worse".
	Worse float64
	// Beyond is the odds for "worse by more than the margin" against "within it".
	Beyond float64
	// NoWorse is the e-value against "worse by the margin", or for a goal against "no better".
	NoWorse float64
	// Ratio is the estimate over all looks, Leading the estimate for the likeliest fault since it began.
	Ratio, Leading float64
	// Noise is the standard deviation of the log ratio, wandering and constant parts together.
	Noise float64
	// Few is the probability that chance among a few users makes the arms differ, given that the canary is no worse.
	Few float64
}

// Stand returns the standing against a margin, the ratio that is worse by it, at least 1.
func (m *Model) Stand(s *State, margin float64) Standing {
	out := Standing{Worse: math.Log(max(1-s.spent, 1e-12)), Noise: m.Noise()}
	best, lead := math.Inf(-1), null
	beyond, within, mass := math.Inf(-1), math.Log(s.spent), 0.0 // the null itself is within every margin
	likeliest := math.Inf(-1)
	least := moreThan * min(margin, unlimited)
	for i, w := range s.worse {
		common := math.Inf(-1)
		if m.Calm {
			common = s.calm.worse[i]
		}
		w = LogAdd(w, common)
		out.Worse = LogAdd(out.Worse, w)
		if w > best {
			best, lead = w, first+i
		}
		if Alternatives[i] > least {
			beyond = LogAdd(beyond, w)
			mass += prior[i] * (1 - again)
			likeliest = max(likeliest, w-logPrior[i]-logPrior0)
		} else {
			within = max(within, w-logPrior[i]-logPrior0)
		}
	}
	out.Worse = LogAdd(out.Worse, s.again)
	beyond = max(LogAdd(beyond-math.Log(mass), s.again-logAgain-math.Ln2), likeliest-math.Ln2)
	out.Beyond = beyond - within
	if margin > unlimited {
		excess := math.Inf(-1)
		for _, w := range s.excess {
			excess = LogAdd(excess, w)
		}
		out.Beyond = min(out.Beyond, excess-math.Log(s.spent))
	}
	out.NoWorse, out.Few = m.noWorse(s), s.good[inFew]
	out.Ratio = math.Exp(s.rows[open].mean[arm])
	out.Leading = out.Ratio
	if s.again < best {
		b := &s.rows[lead]
		if m.Calm && s.calm.worse[lead-first] > s.worse[lead-first] {
			b = &s.calm.rows[calmFirst+lead-first]
		}
		out.Leading = math.Exp(known(lead, margin) + b.mean[arm])
	}
	return out
}

// Ratio is the estimate of the ratio over all looks so far, within a factor of a thousand.
func (m *Model) Ratio(s *State) float64 {
	const most = 1000
	return max(1.0/most, min(most, math.Exp(s.rows[open].mean[arm])))
}

// Ended returns the log ratio over all looks so far, and its variance.
func (s *State) Ended() (logRatio, variance float64) {
	b := &s.rows[open]
	return b.mean[arm], max(b.cov[at(arm, arm)], leastVariance)
}

// Noise is the standard deviation of the log ratio of two good versions.
func (m *Model) Noise() float64 {
	v := m.Arm * m.Arm
	for _, w := range m.Wander {
		v += w
	}
	return math.Sqrt(v)
}

func (m *Model) noWorse(s *State) float64 {
	if m.Goal {
		sum := math.Inf(-1)
		for _, w := range s.whole[1 : 1+passes] {
			sum = LogAdd(sum, w)
		}
		return sum - math.Log(passes) - s.whole[0]
	}
	good := LogAdd(math.Log(1-doubtful)+s.whole[0], math.Log(doubtful)+s.whole[1])
	margin := s.whole[1+passes]
	if m.Lumps > 0 {
		good, margin = weighed(good, s.lumps.whole[0]), weighed(margin, s.lumps.whole[1])
	}
	if m.Calm {
		good = inEither(good, LogAdd(math.Log(1-doubtful)+s.calm.whole[0], math.Log(doubtful)+s.calm.whole[1]))
		margin = inEither(margin, s.calm.whole[2])
	}
	if m.Few > 0 {
		share := fewPasses * m.Few
		good = LogAdd(math.Log(1-share)+good, math.Log(share)+s.few.rows[0].whole)
		margin = LogAdd(math.Log(1-share)+margin, math.Log(share)+s.few.rows[1].whole)
	}
	if m.Chill > 0 {
		c := &s.chill.rows
		good = LogAdd(math.Log(1-m.Chill)+good,
			math.Log(m.Chill)+LogAdd(math.Log(1-doubtful)+c[chillNull].whole, math.Log(doubtful)+c[chillBetter].whole))
		margin = LogAdd(math.Log(1-m.Chill)+margin, math.Log(m.Chill)+c[chillMargin].whole)
	}
	return good - margin
}

// lumped is the weight, for a pass, of the world in which events come in lumps.
const lumped = 0.3

// weighed is the log probability of all looks in a world that may have lumps.
func weighed(without, with float64) float64 {
	return LogAdd(math.Log(1-lumped)+without, math.Log(lumped)+with)
}

// Band is the confidence sequence of the ratio over all looks: the ratios that are excluded neither from below with the
// evidence fails nor from above with the evidence passes (natural logarithms of e-values). An end is 0 or +Inf if
// nothing is excluded there.
//
// A ratio is excluded once its density has fallen by that much from its prior density (Dickey, Ann. Math. Statist. 42
// (1971), 204–223: a ratio of densities is a Bayes factor, and so an e-value).
func (m *Model) Band(s *State, fails, passes float64) (lower, upper float64) {
	b := &s.rows[open]
	was := anything*anything + m.Arm*m.Arm
	mean, variance := b.mean[arm], max(b.cov[at(arm, arm)], leastVariance)+m.Arm*m.Arm
	a := 1/variance - 1/was
	if a <= 1e-9 {
		return 0, math.Inf(1)
	}
	end := func(needs, sign float64) float64 {
		c := mean*mean/variance - 2*needs - math.Log(was/variance)
		half := mean / variance
		return math.Exp((half + sign*math.Sqrt(max(half*half-a*c, 0))) / a)
	}
	return end(fails, -1), end(passes, 1)
}

// Price is the evidence (a natural logarithm) that it costs not to know the ratio and the start of a fault, for a fault
// that begins with the release.
func Price(ratio float64) float64 {
	best := math.Inf(-1)
	for i, r := range logAlternatives {
		d := (math.Log(ratio) - r) / around[i]
		best = max(best, logPrior[i]-d*d/2)
	}
	return -math.Log(atFirst) - max(best, math.Log(0.01))
}
