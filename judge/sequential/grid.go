package sequential

import "math"

// gridSize is the number of ratios that are weighed against each other, one the index of the ratio 1 among them.
const (
	gridSize = 129
	one      = gridSize / 2
)

// The grid of ratios r (canary's rate over baseline's), ascending from 1/245 to 245 with steps of 0.6% at 1, their
// logarithms, and the prior over them: heavy-tailed in log r with its middle half within a factor of about 1.6
// (spec/sequential-judge.md, Grid and prior). above[i] and below[i] are the prior's mass beyond index i.
var ratios, logRatios, prior, above, below = makeGrid()

func makeGrid() (r, logR, pi, over, under [gridSize]float64) {
	for j := range logR {
		logR[j] = 5.5 * math.Sinh(5*float64(j-one)/one) / math.Sinh(5)
		r[j] = math.Exp(logR[j])
	}
	sum := 0.0
	for j := range pi {
		left, right := logR[max(j-1, 0)], logR[min(j+1, gridSize-1)]
		pi[j] = (right - left) / 2 / (1 + (logR[j]/0.5)*(logR[j]/0.5))
		sum += pi[j]
	}
	for j := range pi {
		pi[j] /= sum
	}
	for j := 1; j < gridSize; j++ {
		under[j] = under[j-1] + pi[j-1]
		over[gridSize-1-j] = over[gridSize-j] + pi[gridSize-j]
	}
	return r, logR, pi, over, under
}

// atLeast is the index of the first ratio of the grid that is m or more, or the last index.
func atLeast(m float64) int {
	for j, r := range ratios {
		if r >= m {
			return j
		}
	}
	return gridSize - 1
}
