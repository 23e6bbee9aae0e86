package statespace

import "math"

// The components of the log ratio: three that wander, a constant one, the difference between the users of the arms, and
// two that fade after a start.
const (
	wandering = 3
	arm       = 3
	users     = 4
	warm      = 4 // without users and the cold start
	cold      = 5 // the first of those that fade
	most      = 7
)

// packed is how many distinct numbers a symmetric matrix over the components has.
const packed = most * (most + 1) / 2

// at is the index of the element in row i and column j ≤ i of a packed symmetric matrix.
func at(i, j int) int { return i*(i+1)/2 + j }

// belief is a Gaussian belief about the components of the log ratio u: their means and covariances.
type belief struct {
	mean [most]float64
	cov  [packed]float64
}

// sum is the belief about u, the sum of the first d components: its mean and variance, and every component's covariance
// with it.
func (b *belief) sum(d int) (mean, variance float64, with [most]float64) {
	for i := range d {
		mean += b.mean[i]
		with[i] += b.cov[at(i, i)]
		for j := range i {
			c := b.cov[at(i, j)]
			with[i] += c
			with[j] += c
		}
	}
	for i := range d {
		variance += with[i]
	}
	return mean, max(variance, leastVariance), with
}

// leastVariance keeps divisions by the variance of u finite.
const leastVariance = 1e-9

// pass advances the time: every component is multiplied by its factor and gains its noise.
func (b *belief) pass(d int, forgets, gains *[most]float64) {
	for i := range d {
		b.mean[i] *= forgets[i]
		for j := range i {
			b.cov[at(i, j)] *= forgets[i] * forgets[j]
		}
		b.cov[at(i, i)] = b.cov[at(i, i)]*forgets[i]*forgets[i] + gains[i]
	}
}

// learn spreads an update of u over the components: u moved by shift, and its variance fell by less, from variance.
// With very many events u is known better than its components, and a jump of it may throw these far; they are kept
// within the bounds of what can be stored.
func (b *belief) learn(d int, with *[most]float64, variance, shift, less float64) {
	for i := range d {
		k := with[i] / variance
		b.mean[i] = max(-mostMean, min(mostMean, b.mean[i]+k*shift))
		for j := range i + 1 {
			b.cov[at(i, j)] -= less * k * with[j] / variance
		}
	}
}

// blend replaces b by the Gaussian with the moments of a mixture of b and, with the share f, another belief.
func (b *belief) blend(d int, f float64, other *belief) {
	if f <= 0 {
		return
	}
	var gap [most]float64
	for i := range d {
		gap[i] = other.mean[i] - b.mean[i]
		b.mean[i] += f * gap[i]
	}
	for i := range d {
		for j := range i + 1 {
			k := at(i, j)
			b.cov[k] += f*(other.cov[k]-b.cov[k]) + f*(1-f)*gap[i]*gap[j] //nolint:gosec // both are below d
		}
	}
}

// LogAdd is log(exp(x)+exp(y)); either may be -Inf.
func LogAdd(x, y float64) float64 {
	if x < y {
		x, y = y, x
	}
	if math.IsInf(y, -1) {
		return x
	}
	return x + math.Log1p(math.Exp(y-x))
}

// trigamma is the variance of the logarithm of a gamma distribution with the shape x.
func trigamma(x float64) float64 {
	sum := 0.0
	for ; x < 6; x++ {
		sum += 1 / (x * x)
	}
	y := 1 / (x * x)
	return sum + 1/x + y/2 + y/x*(1.0/6-y*(1.0/30-y/42))
}
