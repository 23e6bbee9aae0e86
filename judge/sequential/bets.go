package sequential

import (
	"math"

	"github.com/serindev/serin/judge/statespace"
)

// The mean of values such as order totals or latencies, of which each look knows the sum and the number in both arms, is
// judged by bets on the canary's share of the sum. Where the values of both arms come from the same distribution, each of
// the n values of a look has the same expected share of their sum, whatever that distribution is and however heavy its tail.
// So the canary's share has the mean p, its part of the n values, and it lies between 0 and 1: a bet on it can be fair, and
// neither a variance nor any other moment has to be known. With the canary's sum divided by a ratio the same holds for
// values that are that many times as large.
//
// What a bet has won is an e-process (Ville): against "values are at most so many times as large" those that win by a large
// share, against "at least so many times" those that win by a small one. Betting is that of Waudby-Smith and Ramdas,
// Estimating means of bounded random variables by betting, J. R. Stat. Soc. B 86 (2024), 1–27.
//
// docs/statistics.md has the assumptions, and what was measured.

// The bets are of several sizes, all of the same weight: each is half of the one before, a quarter for the confidence
// sequence. The largest leaves a tenth of the stake in the worst case.
const (
	betSizes   = 5
	passSizes  = 3
	largestBet = 0.9
)

// What one look can win is bounded, because an incident of one arm is no fault: the stake grows by half in ten seconds at
// most, so that it takes two minutes at least to fail. A share is not taken for more than mostShare times what it should be.
const (
	mostGain  = 0.5 // in gainTime seconds
	gainTime  = 10.0
	mostWon   = 2.0
	mostShare = 3.0
)

// What has just started may be cold: bets are smaller until it is as old as a few times this, in seconds.
const coldLasts = 240.0

// When a fault may begin: the same as for ratios, see docs/statistics.md.
const (
	betsFirst   = 0.5
	betsTurn    = 1.0 / 16
	betsTurning = 3
	betsLater   = 0.25
	betsHour    = 3600.0
)

// betRatios are the ratios that the confidence sequence can exclude.
var betRatios = [...]float64{
	0.1, 1 / 6.0, 0.25, 1 / 3.0, 0.4, 0.5, 1 / 1.75, 1 / 1.5, 1 / 1.35, 1 / 1.2, 1 / 1.1, 1 / 1.05, 1,
	1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 2.5, 3, 4, 6, 10,
}

// bets is what has been won. All but the times are natural logarithms.
type bets struct {
	// worse are the bets against "within the margin", each a mixture over when it was begun, with its share of the stake;
	// spent is what of the stake has been bet.
	worse [betSizes]float64
	spent float64
	turns int
	at    float64 // seconds
	cold  float64 // the share of the canary that counts as having just started
	// noWorse are those against "worse by the margin", or for a goal against "no better", over the whole release.
	noWorse [passSizes]float64
	// above and below are those against "at most" and "at least" each of betRatios, over the whole release.
	above, below [len(betRatios)][passSizes]float64
}

func newBets() *bets {
	b := &bets{}
	for i := range b.worse {
		b.worse[i] = math.Inf(-1)
	}
	return b
}

// add bets on one look: on the values of both arms, where both have some. margin is the ratio that is worse by the margin,
// passes that which a pass excludes.
func (b bets) add(o row, s seen, margin, passes float64) *bets {
	first := b.at == 0
	b.cold *= math.Exp(-s.seconds / coldLasts)
	b.cold = 1 - (1-b.cold)*(1-s.starts)
	b.stake(first, s)
	b.at += s.seconds
	if !(o[0]+o[2] > 0) || !(o[1] > 0) || !(o[3] > 0) {
		return &b
	}
	warm := (1 - b.cold) * (1 - b.cold)
	gain := min(math.Exp(s.seconds/gainTime*math.Log1p(mostGain))-1, mostWon)
	size, small := warm*min(largestBet, gain/min(mostShare-1, o[3]/o[1])), warm*largestBet
	above, _ := excess(o, margin)
	for i := range b.worse {
		b.worse[i] += math.Log1p(math.Ldexp(size, -i) * above)
	}
	_, below := excess(o, passes)
	for i := range b.noWorse {
		b.noWorse[i] += math.Log1p(math.Ldexp(small, -i) * below)
	}
	for k, r := range betRatios {
		above, below := excess(o, r)
		for i := range b.above[k] {
			b.above[k][i] += math.Log1p(math.Ldexp(size, -2*i) * above)
			b.below[k][i] += math.Log1p(math.Ldexp(small, -i) * below)
		}
	}
	return &b
}

// excess is by how much each arm's share of the sum exceeds its part of the values, as a part of that, where the canary's
// values are ratio times as large: what a bet of 1 wins. Its mean is 0 at most where they are no larger, and no smaller.
func excess(o row, ratio float64) (canary, baseline float64) {
	sum, values := o[0]+ratio*o[2], o[1]+o[3]
	return min(o[0]/sum/(o[1]/values), mostShare) - 1, min(ratio*o[2]/sum/(o[3]/values), mostShare) - 1
}

// stake begins bets with the look: the fault may be as old as the release or begin now.
func (b *bets) stake(first bool, s seen) {
	w := betsLater * (betsHour/(betsHour+b.at) - betsHour/(betsHour+b.at+s.seconds))
	switch {
	case first:
		w = betsFirst
	case s.turned && b.turns < betsTurning:
		w = betsTurn
	case s.turned:
		k := float64(b.turns - betsTurning + 1)
		w = betsTurn / (k * (k + 1))
	}
	if s.turned && !first {
		b.turns++
	}
	b.spent += w
	for i := range b.worse {
		b.worse[i] = statespace.LogAdd(b.worse[i], math.Log(w/betSizes))
	}
}

// wait lets time pass in which nothing was seen.
func (b bets) wait(seconds float64) *bets {
	b.cold *= math.Exp(-seconds / coldLasts)
	b.at += seconds
	return &b
}

// mean is the logarithm of the mean of what bets have won.
func mean(won []float64) float64 {
	sum := math.Inf(-1)
	for _, w := range won {
		sum = statespace.LogAdd(sum, w)
	}
	return sum - math.Log(float64(len(won)))
}

// find is what the bets say.
func (b *bets) find(m *metric, total *row) finding {
	f := finding{margin: 1 + m.Margin.Relative, lower: leastDrawn, upper: mostDrawn}
	f.Ratio = 1
	if total[1] > 0 && total[3] > 0 && total[0]+total[2] > 0 {
		const most = 1000
		f.Ratio = max(1.0/most, min(most, total[0]/total[1]/max(total[2]/total[3], math.SmallestNonzeroFloat64)))
	}
	f.Leading = f.Ratio
	f.Worse = math.Log(max(1-b.spent, 1e-12))
	for _, w := range b.worse {
		f.Worse = statespace.LogAdd(f.Worse, w)
	}
	f.Beyond, f.NoWorse = f.Worse, mean(b.noWorse[:])
	for k, r := range betRatios {
		if mean(b.above[k][:]) >= m.failsFrom {
			f.lower = r
		}
		if up := len(betRatios) - 1 - k; mean(b.below[up][:]) >= m.passFrom {
			f.upper = betRatios[up]
		}
	}
	return f
}

// fields are those of the encoded evidence.
func (b *bets) fields(c coder) {
	won := func(x *float64) { c.bits(statespace.Number{At: x, Lo: -mostWonEver, Hi: mostWonEver}) }
	for i := range b.worse {
		c.bits(statespace.Number{At: &b.worse[i], Lo: -mostWonEver, Hi: mostWonEver, Open: true})
	}
	c.bits(statespace.Number{At: &b.spent, Hi: 1})
	c.uint(&b.turns, mostLooks)
	c.number(&b.at, 0, mostSum)
	c.bits(statespace.Number{At: &b.cold, Hi: 1})
	for i := range b.noWorse {
		won(&b.noWorse[i])
	}
	for k := range betRatios {
		for i := range b.above[k] {
			won(&b.above[k][i])
			won(&b.below[k][i])
		}
	}
}

// mostWonEver bounds the logarithm of what bets can have won or lost.
const mostWonEver = 1e9

// addMean bets on one look of a metric of values.
func (c *comparison) addMean(m *metric, o row, s seen) {
	if !c.begun {
		c.bets, c.begun = newBets(), true
	}
	c.total.add(o)
	passes := 1 + m.Margin.Relative
	if m.Goal {
		passes = 1
	}
	c.bets = c.bets.add(c.join(o), s, 1+m.Margin.Relative, passes)
}
