package kayenta

import "math"

// Limits of the root finder. The absolute tolerance is in the unit of the metric, so that shifts of metrics with small
// values go unnoticed: see [Warnings].
const (
	rootTolerance = 1e-4
	rootRounds    = 1001
	epsilon       = 0x1p-52
)

// zeroin finds a root of f between lo and hi by bisection, sped up by the secant or inverse quadratic interpolation where
// these can be trusted. f is a step function here, so the point at which the search stops is part of the judge's
// behaviour, and the order of the updates must not change. If the rounds run out, as they do with NaN, it returns the
// last point.
//
//	a   the point before b        each round: b becomes the better of b and c, takes a step towards c,
//	b   the best point so far     and c stays on the other side of the root
//	c   the other side
//
// Brent, Algorithms for Minimization without Derivatives (1973), section 4.2, in the form of the Netlib routine.
func zeroin(f func(float64) float64, lo, hi float64) float64 {
	a, b := lo, hi
	fa, fb := f(a), f(b)
	if isRoot(fa) {
		return a
	}
	if isRoot(fb) {
		return b
	}
	c, fc := a, fa
	for range rootRounds {
		previous := b - a
		if math.Abs(fc) < math.Abs(fb) {
			a, b, c = b, c, b
			fa, fb, fc = fb, fc, fb
		}
		tol := stop(b)
		step := (c - b) / 2
		if math.Abs(step) <= tol || isRoot(fb) {
			return b
		}
		if math.Abs(previous) >= tol && math.Abs(fa) > math.Abs(fb) {
			step = interpolate(a, b, c, fa, fb, fc, previous, tol)
		}
		if math.Abs(step) < tol {
			if step > 0 {
				step = tol
			} else {
				step = -tol
			}
		}
		a, fa = b, fb
		b += step
		fb = f(b)
		if fb > 0 && fc > 0 || fb < 0 && fc < 0 {
			c, fc = a, fa
		}
	}
	return b
}

// interpolate proposes a step from b: that of the interpolation if it stays well within the bracket and the steps shrink
// fast enough, otherwise half the way to c.
func interpolate(a, b, c, fa, fb, fc, previous, tol float64) float64 {
	var p, q float64 // the step is p/q
	cb := c - b
	if a == c { // two points: the secant
		t := fb / fa
		p, q = cb*t, 1-t
	} else {
		q = fa / fc
		t1, t2 := fb/fc, fb/fa
		p = t2 * (float64(cb*q*(q-t1)) - float64((b-a)*(t1-1)))
		q = (q - 1) * (t1 - 1) * (t2 - 1)
	}
	if p > 0 {
		q = -q
	} else {
		p = -p
	}
	if p < float64(0.75*cb*q)-math.Abs(tol*q)/2 && p < math.Abs(previous*q/2) {
		return p / q
	}
	return cb / 2
}

// stop returns the length of a step at which the search ends at b.
func stop(b float64) float64 { return float64(2*epsilon*math.Abs(b)) + rootTolerance/2 }

// isRoot reports whether f is 0 to one unit in the last place.
func isRoot(f float64) bool { return math.Abs(f) <= math.SmallestNonzeroFloat64 }
