package statespace

import "math"

// family is the kind of probability that one look's data have, given the log ratio.
type family int

const (
	binomial family = iota
	poisson
	gaussian
)

// datum is what one look says of the log ratio: a likelihood of it.
type datum struct {
	family family
	// binomial: x of b bad events were the canary's. poisson: x bad events. gaussian: x is the log ratio that was seen,
	// b its precision.
	x, b float64
	// offset is the logit, or the logarithm of what is expected, at the ratio 1.
	offset float64
	// mirrored: a larger log ratio makes fewer events.
	mirrored bool
}

// The nodes and weights of Gauss and Hermite's quadrature with 9 points, for the weight exp(−z²), from the middle
// outwards. Abramowitz and Stegun, Handbook of Mathematical Functions, table 25.10.
var (
	nodes = [5]float64{
		0, 0.723551018752837573322639864579, 1.46855328921666793166701573925, 2.26658058453184311180209693284, 3.19099320178152760723004779538,
	}
	weights = [5]float64{
		0.720235215606050957124334723389, 0.432651559002555750199812112956, 0.0884745273943765732879751147476,
		0.00494362427553694721722456597763, 0.0000396069772632643819045862946425,
	}
)

// scaled are the logarithms of the weights times exp(z²).
var scaled = func() (s [5]float64) {
	for i, w := range weights {
		s[i] = math.Log(w) + nodes[i]*nodes[i]
	}
	return s
}()

// furthest is how far one step of Newton's may go. A logistic curve is left no further than half of where Newton's
// method would begin to swing (2.18), so it always arrives.
const furthest = 1.5

// slope is how fast the log likelihood rises at e = offset + log ratio, and its curvature, with the sign that makes it
// positive.
func (o *datum) slope(e float64) (rises, bends float64) {
	if o.family == poisson {
		if o.mirrored {
			l := o.b * math.Exp(-e)
			return l - o.x, l
		}
		l := o.b * math.Exp(e)
		return o.x - l, l
	}
	theta := 1 / (1 + math.Exp(-e))
	return o.x - o.b*theta, o.b * theta * (1 - theta)
}

// log is the log likelihood at e, up to what does not depend on e.
func (o *datum) log(e float64) float64 {
	if o.family == poisson {
		if o.mirrored {
			e = -e
		}
		return o.x*e - o.b*math.Exp(e)
	}
	if e > 0 {
		return (o.x-o.b)*e - o.b*math.Log1p(math.Exp(-e))
	}
	return o.x*e - o.b*math.Log1p(math.Exp(e))
}

// predict is the logarithm of the probability of the datum where u, added to a known log ratio, is assumed to have
// this mean and variance; and the mean and variance of u after it was seen.
//
// The integral over u is Gauss and Hermite's around the mode. For ten events or a thousand it is right to some 1e-6,
// whatever the variance, so that the predictions of all that can happen sum to 1 as those of a probability must.
//
// Naylor and Smith, Applications of a method for the efficient computation of posterior distributions, J. R. Stat. Soc.
// C 31 (1982), 214–225; Liu and Pierce, A note on Gauss–Hermite quadrature, Biometrika 81 (1994), 624–629.
func (o *datum) predict(known, mean, variance float64) (logp, after, spread float64) {
	off := o.offset + known
	if o.family == gaussian {
		s := variance + 1/o.b
		d := o.x - off - mean
		gain := variance / s
		return -d*d/(2*s) - math.Log(s)/2, mean + gain*d, variance / (s * o.b)
	}
	u, bends := mean, 0.0
	for range 100 {
		var rises float64
		rises, bends = o.slope(off + u)
		step := (rises - (u-mean)/variance) / (bends + 1/variance)
		step = max(-furthest, min(furthest, step))
		u += step
		if math.Abs(step) < 1e-8 {
			break
		}
	}
	_, bends = o.slope(off + u)
	width := math.Sqrt2 / math.Sqrt(bends+1/variance)
	// The nodes are weighed against the mode's height, so that nothing overflows: of very many events what is above it is
	// rounding.
	top := o.log(off+u) - (u-mean)*(u-mean)/(2*variance)
	sum, first, second := math.Exp(scaled[0]), 0.0, 0.0
	for i := 1; i < len(nodes); i++ {
		z := width * nodes[i]
		for _, d := range [2]float64{z, -z} {
			v := u + d
			w := math.Exp(scaled[i] + min(o.log(off+v)-(v-mean)*(v-mean)/(2*variance)-top, 0))
			sum += w
			first += w * d
			second += w * d * d
		}
	}
	first /= sum
	return top + math.Log(sum*width/math.Sqrt(2*math.Pi*variance)), u + first, max(second/sum-first*first, 0)
}
