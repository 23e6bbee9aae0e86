package statespace

import "math"

// Counts holds the bad events and exposures of two arms. Given the total of bad events, the canary's share of them is
// binomial, so whatever moves both arms alike cancels.
//
// Przyborowski and Wilenski, Homogeneity of results in testing samples from Poisson series, Biometrika 31 (1940),
// 313–323.
func (l *Look) Counts(m *Model, canaryBad, canary, baselineBad, baseline float64) {
	b := canaryBad + baselineBad
	if canary > 0 && baseline > 0 {
		l.exposed = [2]float64{canary, baseline}
	}
	if b <= 0 || canary <= 0 || baseline <= 0 {
		l.silent = true
		return
	}
	l.datum = datum{family: binomial, x: canaryBad / m.Clusters, b: b / m.Clusters, offset: math.Log(canary / baseline)}
}

// Rate compares the canary's bad events with an expected number.
func (l *Look) Rate(m *Model, bad, expected float64) {
	if expected <= 0 {
		l.silent = true
		return
	}
	l.datum = datum{family: poisson, x: bad / m.Clusters, b: expected / m.Clusters}
}

// Fewer is [Look.Rate] for events of which fewer are worse.
func (l *Look) Fewer(m *Model, bad, expected float64) {
	l.Rate(m, bad, expected)
	l.mirrored = true
}

// Value is the log ratio of two means, measured with a known variance.
func (l *Look) Value(logRatio, variance float64) {
	l.datum = datum{family: gaussian, x: logRatio, b: 1 / variance}
}

// Silence is a look with nothing to compare.
func (l *Look) Silence() { l.silent = true }
