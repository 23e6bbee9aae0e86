package judge

// Take lets a judge look, and holds its verdict to what the look can show: without a weight that was in force for the
// whole window there is no split to test, nothing is enough, and nothing passes. A fail stands: that the canary's
// requests failed is true whatever the weight was.
func Take(j Judge, e Evidence, l Look) (Evidence, Verdict) {
	if !l.Unsettled {
		return j.Look(e, l)
	}
	l.Requests = nil
	e, v := j.Look(e, l)
	v.Enough = false
	if v.Outcome == Pass {
		v.Outcome, v.Reason = Inconclusive, Waiting
	}
	return e, v
}
