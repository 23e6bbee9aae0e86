package simulation

import (
	"math"
	"math/rand/v2"
)

// dice draws numbers; its source decides all of them.
type dice struct{ *rand.Rand }

// poisson draws a count with the given mean; 0 for a mean that is not above 0.
//
// Inversion for small means; else transformed rejection: Hörmann, The transformed rejection method for generating
// Poisson random variables, Insurance: Mathematics and Economics 12 (1993), 39–45, algorithm PTRS.
func (d dice) poisson(mean float64) float64 {
	switch {
	case !(mean > 0):
		return 0
	case mean < 10:
		k, p := 0.0, d.Float64()
		for term := math.Exp(-mean); p > term && k < 1000; {
			p -= term
			k++
			term *= mean / k
		}
		return k
	}
	root, logMean := math.Sqrt(mean), math.Log(mean)
	b := 0.931 + 2.53*root
	a := -0.059 + 0.02483*b
	alpha := math.Log(1.1239 + 1.1328/(b-3.4))
	most := 0.9277 - 3.6224/(b-2)
	for {
		u, v := d.Float64()-0.5, d.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		switch {
		case us >= 0.07 && v <= most:
			return k
		case k < 0 || us < 0.013 && v > us:
		case math.Log(v)+alpha-math.Log(a/(us*us)+b) <= k*logMean-mean-lgamma(k+1):
			return k
		}
	}
}

// binomial draws how many of n events happen that have the chance p each.
//
// Inversion where few happen; else transformed rejection: Hörmann, The generation of binomial random variates,
// J. Stat. Comput. Simul. 46 (1993), 101–110, algorithm BTRS.
func (d dice) binomial(n, p float64) float64 {
	switch {
	case !(n > 0) || !(p > 0):
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - d.binomial(n, 1-p)
	case n*p < 10:
		odds, k, u := p/(1-p), 0.0, d.Float64()
		for term := math.Exp(n * math.Log1p(-p)); u > term && k < n; {
			u -= term
			k++
			term *= odds * (n - k + 1) / k
		}
		return k
	}
	sd, logOdds, mode := math.Sqrt(n*p*(1-p)), math.Log(p/(1-p)), math.Floor((n+1)*p)
	b := 1.15 + 2.53*sd
	a := -0.0873 + 0.0248*b + 0.01*p
	alpha, most := (2.83+5.1/b)*sd, 0.92-4.2/b
	atMode := lgamma(mode+1) + lgamma(n-mode+1)
	for {
		u, v := d.Float64()-0.5, d.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + n*p + 0.5)
		switch {
		case us >= 0.07 && v <= most:
			return k
		case k < 0 || k > n:
		case math.Log(v*alpha/(a/(us*us)+b)) <= atMode-lgamma(k+1)-lgamma(n-k+1)+(k-mode)*logOdds:
			return k
		}
	}
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// gamma draws a positive number with mean 1 and the given standard deviation, at most 10; 1 for a deviation of 0.
//
// Marsaglia and Tsang, A simple method for generating gamma variables, ACM Trans. Math. Softw. 26 (2000), 363–372.
func (d dice) gamma(sd float64) float64 {
	if !(sd > 0) {
		return 1
	}
	shape, boost := 1/(sd*sd), 1.0
	if shape < 1 {
		boost = math.Pow(d.Float64(), 1/shape)
		shape++
	}
	e := shape - 1.0/3
	c := 1 / math.Sqrt(9*e)
	for {
		x := d.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if u := d.Float64(); math.Log(u) < x*x/2+e-e*v+e*math.Log(v) {
			return e * v * boost * sd * sd
		}
	}
}

// cluster draws the size of a cluster, 1 or more, geometric with the given mean.
func (d dice) cluster(mean float64) float64 {
	if !(mean > 1) {
		return 1
	}
	return 1 + math.Floor(math.Log1p(-d.Float64())/math.Log1p(-1/mean))
}

// wandering is a factor that wanders around 1: a first-order autoregressive process in its logarithm, stationary
// from the first step on.
type wandering struct {
	by  Wander
	log float64
	on  bool
}

// next is the factor after the given time; its mean is 1.
func (w *wandering) next(d dice, seconds float64) float64 {
	if !(w.by.Deviation > 0) {
		return 1
	}
	keep := math.Pow(w.by.Correlation, seconds/reference)
	if !w.on {
		keep, w.on = 0, true
	}
	w.log = keep*w.log + w.by.Deviation*math.Sqrt(1-keep*keep)*d.NormFloat64()
	return math.Exp(w.log - w.by.Deviation*w.by.Deviation/2)
}
