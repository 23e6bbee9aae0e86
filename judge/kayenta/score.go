package kayenta

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// score implements the section "Score": it fills in groups, score, label and reason from the metrics that are not muted.
func (r *Result) score(q Request) {
	r.Groups = r.groupScores()
	switch critical, nodata, all := r.failures(); {
	case critical != nil:
		r.Reason = "Canary Failed: " + critical.Reason
	case all > 0 && 2*nodata >= all:
		r.Reason = "Canary Failed: 50% or more metrics returned NODATA"
	default:
		r.Score = roundScore(weigh(r.Groups, q.Weights))
	}
	switch {
	case r.Score >= q.Pass:
		r.Label = Pass
	case r.Score >= q.Marginal:
		r.Label = Marginal
	default:
		r.Label = Fail
	}
}

// failures returns the first metric that fails the whole canary, the number of scored metrics that are Nodata, and the
// number of all scored metrics. NodataFailMetric and Error count only towards the latter.
func (r *Result) failures() (critical *MetricResult, nodata, all int) {
	for i := range r.Metrics {
		m := &r.Metrics[i]
		if m.Muted {
			continue
		}
		all++
		if m.Label == Nodata {
			nodata++
		}
		if critical == nil && m.Critical && m.Label != Pass {
			critical = m
		}
	}
	return critical, nodata, all
}

// groupScores returns the share of each group's metrics that passed. A metric counts as often as it lists the group, and
// not at all if it is Nodata or Error.
func (r *Result) groupScores() []GroupScore {
	type count struct{ passed, all int }
	counts := map[string]*count{}
	scores := []GroupScore{}
	for _, m := range r.Metrics {
		if m.Muted {
			continue
		}
		for _, g := range m.Groups {
			c := counts[g]
			if c == nil {
				c = &count{}
				counts[g] = c
				scores = append(scores, GroupScore{Name: g})
			}
			if m.Label == Nodata || m.Label == Error {
				continue
			}
			c.all++
			if m.Label == Pass {
				c.passed++
			}
		}
	}
	for i, g := range scores {
		if c := counts[g.Name]; c.all > 0 {
			scores[i].HasData = true
			scores[i].Score = 100 * (float64(c.passed) / float64(c.all))
		}
	}
	return scores
}

// weigh adds up the groups. Groups without a weight share what is left of 100 after the weights of all groups, whether or
// not these occur, even if that is negative. The reference adds in the order of a hash map, this function in that of the
// metrics.
func weigh(groups []GroupScore, weights map[string]float64) float64 {
	var given, unweighted float64
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		given += weights[name]
	}
	for _, g := range groups {
		if _, ok := weights[g.Name]; !ok {
			unweighted++
		}
	}
	var sum float64
	for _, g := range groups {
		weight, ok := weights[g.Name]
		if !ok {
			weight = (100 - given) / unweighted
		}
		score := g.Score
		if !g.HasData {
			score = 100
		}
		sum += float64(score * (weight / 100))
	}
	return sum
}

// roundScore rounds v to two decimals, half away from zero, based on the shortest decimal text of v: 2.675 becomes 2.68
// although the double is a little less. Infinities and NaN stay as they are.
func roundScore(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	text := strconv.FormatFloat(math.Abs(v), 'f', -1, 64)
	whole, decimals, _ := strings.Cut(text, ".")
	if len(decimals) <= 2 {
		return v
	}
	// A double with a third decimal is below 2⁵³, so its hundredths fit in 64 bits.
	hundredths, _ := strconv.ParseInt(whole+decimals[:2], 10, 64)
	if decimals[2] >= '5' {
		hundredths++
	}
	digits := strconv.FormatInt(hundredths, 10)
	rounded, _ := strconv.ParseFloat(digits+"e-2", 64)
	return math.Copysign(rounded, v)
}
