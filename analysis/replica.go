package analysis

import (
	"cmp"
	"math"
	"slices"

	"github.com/serindev/serin/judge"
)

// served is from when on a replica of the canary has served, and when it was last seen, in ms.
type served struct{ from, last int64 }

// replicas are the canary's that had requests in a look of the given seconds that ends at the time at (ms), by the first metric
// whose series tell replicas apart. A replica is as old as the time since the beginning of the look in which it first
// served, so in the first look all are young. It is nil where replicas are not told apart, or not by this look.
func (p *Plan) replicas(tallies []tally, at int64, seconds float64, next *Cursor) []judge.Replica {
	of := slices.IndexFunc(p.metrics, reading.tellsReplicas)
	if of < 0 {
		return nil
	}
	r := &p.metrics[of]
	main := &tallies[r.canary.main]
	if main.err != nil || main.held {
		return nil
	}
	totals, newest := next.serve(main, p.inputs[r.canary.main].id, r.metric.replicas(), at-int64(1000*seconds), at)
	for id, s := range next.served {
		if s.last < newest-Stale.Milliseconds() { // what comes back under its name is another process
			delete(next.served, id)
		}
	}
	var out []judge.Replica
	for id, total := range totals {
		if s, there := next.served[id]; there { // and did not vanish within a long look
			out = append(out, judge.Replica{Age: max(float64(at-s.from)/1000, 0), Total: total})
		}
	}
	slices.SortFunc(out, func(a, b judge.Replica) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(b.Total, a.Total))
	})
	if len(out) == 1 && out[0].Age > seconds {
		return nil // a collector between Serin and the replicas looks the same
	}
	return out
}

// tellsReplicas reports whether the canary's series of a metric tell its replicas apart.
func (r reading) tellsReplicas() bool {
	_, before := r.metric.Baseline.(Offset)
	return !before && !r.metric.ownUnit() && r.metric.Clusters == "" && r.metric.replicas() != ""
}

// serve notes which replicas have served in a look of an input that began and ended at two times. It returns how many requests
// each had, and the time of the newest sample of all. A process that began again under its name is another one.
func (c *Cursor) serve(t *tally, input uint64, label string, began, ended int64) (totals map[uint64]float64, newest int64) {
	for _, s := range t.series {
		id := hash(seed, s.Labels.Get(label))
		target, ok := targetID(input, s.Labels)
		if fell := c.fallen[target].at; ok && fell > c.served[id].last && fell <= ended { // or a clock that was ahead says so
			delete(c.served, id)
		}
	}
	totals = map[uint64]float64{}
	for i, s := range t.series {
		name := s.Labels.Get(label)
		if bound, ok := parseBound(s.Labels.Get("le")); name == "" || ok && !math.IsInf(bound, 1) {
			continue
		}
		id := hash(seed, name)
		if n := t.counts[i]; counts(n) && n > 0 {
			totals[id] += n
			if _, known := c.served[id]; !known {
				c.served[id] = served{from: began}
			}
		}
		if s, known := c.served[id]; known && len(t.series[i].Samples) > 0 {
			s.last = max(s.last, t.series[i].Samples[len(t.series[i].Samples)-1].T)
			c.served[id] = s
			newest = max(newest, s.last)
		}
	}
	return totals, newest
}
