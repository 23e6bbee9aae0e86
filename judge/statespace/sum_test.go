package statespace

import (
	"fmt"
	"math"
	"testing"
)

func TestSums(t *testing.T) {
	for _, s := range []float64{0.01, 0.1, 1, 6.25} {
		for _, b := range []float64{1, 2, 5, 20, 200, 2000} {
			for _, off := range []float64{-6, -3, -1, 0, 3} {
				sum := 0.0
				for x := 0.0; x <= b; x++ {
					o := datum{family: binomial, x: x, b: b, offset: off}
					l, _, _ := o.predict(0, 0.3, s)
					lg := func(x float64) float64 { v, _ := math.Lgamma(x + 1); return v }
					sum += math.Exp(l + lg(b) - lg(x) - lg(b-x))
				}
				if math.Abs(sum-1) > 1e-4 {
					fmt.Println(s, b, off, sum-1)
				}
			}
		}
	}
}
