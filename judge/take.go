package judge

import "slices"

// Take lets a judge look, and limits its verdict to what the look can show: without a weight that was in force for the
// whole window there is no split to test, nothing is enough, and nothing passes. A fail stands, because the canary's
// requests have failed whatever the weight was.
func Take(j Judge, e Evidence, l Look) (Evidence, Verdict) {
	if l.Unsettled {
		l.Requests = nil
	}
	e, v := j.Look(e, l)
	v.Blind, v.Contradictions = l.blind(v), l.Contradictions
	if !l.Unsettled {
		return e, v
	}
	v.Enough = false
	if v.Outcome == Pass {
		v.Outcome, v.Reason = Inconclusive, Waiting
	}
	return e, v
}

// blind reports whether nothing could be observed of any metric that decides in v.
func (l Look) blind(v Verdict) bool {
	seen := func(o Observation) bool {
		return o.Absent != NoData && o.Absent != Unreachable &&
			!slices.ContainsFunc(v.Metrics, func(m MetricVerdict) bool { return m.DryRun && m.Metric == o.Metric })
	}
	return l.Excluded == "" && len(l.Observations) > 0 && !slices.ContainsFunc(l.Observations, seen)
}
