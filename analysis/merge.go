package analysis

import (
	"slices"
	"strings"
)

// Merge makes one definition of several analyses of one step, because a step has one body of evidence. It takes the
// strictest or safest value: the smallest interval and chances of error, the largest numbers of requests, warm-up and
// settling; the split's settings come from the first analysis. A pass waits for the largest PassAfter, or for the
// judge's own if one of them does not set it. Metrics keep their names; one that is used twice becomes
// "analysis/metric". Defaults are filled in first; without definitions the result is the defaults.
func Merge(defs ...Definition) Definition {
	if len(defs) == 0 {
		return Definition{}.Defaults()
	}
	names := map[string]int{}
	for _, d := range defs {
		for i := range d.Metrics {
			names[d.Metrics[i].Name]++
		}
	}
	var out Definition
	var title []string
	for i, d := range defs {
		d = d.Defaults()
		if i == 0 {
			out = d
			out.Metrics = nil
		} else {
			out.strictest(d)
		}
		title = append(title, d.Name)
		for _, m := range d.Metrics {
			if names[m.Name] > 1 {
				m.Name = d.Name + "/" + m.Name
			}
			out.Metrics = append(out.Metrics, m)
		}
	}
	out.Name = strings.Join(slices.Compact(title), "+")
	return out
}

func (d *Definition) strictest(o Definition) {
	d.Interval = min(d.Interval, o.Interval)
	d.FalseRollback = min(d.FalseRollback, o.FalseRollback)
	d.FalseAdvance = min(d.FalseAdvance, o.FalseAdvance)
	d.MinRequests = max(d.MinRequests, o.MinRequests)
	d.WarmUp = new(max(*d.WarmUp, *o.WarmUp))
	d.Settle = max(d.Settle, o.Settle)
	switch {
	case d.PassAfter == nil || o.PassAfter == nil:
		d.PassAfter = nil
	case *o.PassAfter > *d.PassAfter:
		d.PassAfter = o.PassAfter
	}
}
