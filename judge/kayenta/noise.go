package kayenta

import "math"

// noiseSize is the noise's standard deviation as a share of the value it is added to.
const noiseSize = 1e-5

// noisy returns two constant arms with normal noise added in proportion to their values; 0 stays 0. The reference does
// this to break ties, with a random generator that it does not seed. Here the noise is always the same, so that
// judgements are repeatable. Ratios agree with the reference's to about 1e-4. Labels agree unless one arm is a single
// point, the values differ by less than about 1e-4, or an effect threshold equals the ratio.
func noisy(x, y []float64) (noisyX, noisyY []float64) {
	var n noise
	return n.add(x), n.add(y)
}

// noise is a sequence of standard normal numbers, always the same.
type noise uint64

func (n *noise) add(a []float64) []float64 {
	sum := make([]float64, len(a))
	for i, v := range a {
		sum[i] = v + float64(v*noiseSize*n.next())
	}
	return sum
}

// next returns the normal quantile of a uniform number from SplitMix64.
//
// Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, figure 17.
func (n *noise) next() float64 {
	*n += 0x9e3779b97f4a7c15
	z := uint64(*n)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	uniform := (float64(z>>12) + 0.5) * 0x1p-52 // the open interval from 0 to 1
	return math.Sqrt2 * math.Erfinv(2*uniform-1)
}
