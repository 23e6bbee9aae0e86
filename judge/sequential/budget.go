package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// A pass by a budget of time rules out a ratio that is fixed before the first look, so that the chance of a false pass
// is the same as with any other margin. It is the ratio that a canary that is no worse rules out within the budget with
// a chance of 90%, given how often stable's events come and how its rate wanders.
const (
	budgetSure  = 1.2815515655446004 // the normal quantile of 90%
	budgetPrice = 0.25               // the evidence that a mixture for the pass costs, about
	mostRuled   = 10                 // ruling out more would say nothing
	ruledInTens = 20                 // ratios are rounded up to a twentieth
)

// rules is the ratio that a pass of a metric rules out by the budget; 0 if that is the margin, or if stable's past is
// unknown.
func (j *Judge) rules(m *metric, n *noise, pasts []judge.Past) float64 {
	if !m.Budgeted || !n.learned {
		return 0
	}
	events := 0.0
	for i := range pasts {
		if b := &pasts[i].Blocks[0]; !pasts[i].Release && isPast(&pasts[i]) && b.Count >= enough {
			events = b.Variance / (b.Count * statespace.Lengths[0])
		}
	}
	model := m.model(n)
	return m.affords(&model, j.settings.Budget, events, n.rate)
}

// affords is the ratio that can be ruled out with the given number of bad events a second at both arms together, if the
// share base of the requests is bad; 0 if that is within the margin. The estimate of log r has three variances: of its
// counts, of the constant difference of good versions, and of what remains of the wandering in the mean over the whole
// time. With s as the standard deviation, the log evidence against a ratio of exp(zs) is normal around z²/2 with the
// variance z².
func (m *metric) affords(model *statespace.Model, budget []judge.Stretch, events, base float64) float64 {
	seen, all, weight := 0.0, 0.0, 0.0
	for _, b := range budget {
		seen += events * b.Seconds * b.Weight * (1 - b.Weight) / model.Clusters
		all += b.Seconds
		weight = b.Weight
	}
	if !(seen > 0) || !(base > 0) {
		return 0
	}
	variance := 1/seen + model.Apart(all)
	if model.Users > 0 {
		variance += model.Users / (weight * (1 - weight))
	}
	z := budgetSure + math.Sqrt(budgetSure*budgetSure+2*(m.passFrom+budgetPrice))
	ratio := math.Ceil(min(math.Exp(z*math.Sqrt(variance)), mostRuled)*ruledInTens-1e-9) / ruledInTens
	if m.Direction != judge.Decrease {
		ratio = min(ratio, 1/base) // more than all requests cannot be bad, so ruling that out would say nothing
	}
	if ratio <= m.marginAt(base) {
		return 0
	}
	return ratio
}
