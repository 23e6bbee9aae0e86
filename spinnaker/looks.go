package spinnaker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/spinnaker/metricset"
)

// folded is what the looks of one pipeline add up to, as it is stored.
type folded struct {
	// To is the time of the newest point that was counted, in milliseconds since 1970 of the experiment's side.
	To int64 `json:"to"`
	// Looks is how many were counted; each is one point in time.
	Looks int `json:"looks"`
	// Evidence as the judge encodes it.
	Evidence []byte `json:"evidence,omitempty"`
	// Last is the newest verdict that rests on data. Failed is the first that failed, which stands: a test that has
	// failed is over.
	Last   *judge.Verdict `json:"last,omitempty"`
	Failed *judge.Verdict `json:"failed,omitempty"`
	// Silent is how many looks without data have followed on Last.
	Silent int `json:"silent,omitempty"`
}

// mostSilent is how many looks without data may follow a verdict before it no longer counts: a quantile has no value in a minute
// without requests.
const mostSilent = 5

// add takes in a verdict.
func (f *folded) add(v *judge.Verdict) {
	if v.Outcome == judge.Fail && f.Failed == nil {
		f.Failed = v
	}
	if v.Outcome == judge.Inconclusive && v.Reason == judge.NoData {
		if f.Silent++; f.Silent <= mostSilent && f.Last != nil {
			return
		}
	} else {
		f.Silent = 0
	}
	f.Last = v
}

// verdict is what all looks say.
func (f folded) verdict() *judge.Verdict {
	if f.Failed != nil {
		return f.Failed
	}
	return f.Last
}

// points are the values of both sides of one pair by time; the control's times are moved to the experiment's.
type points struct{ control, experiment map[int64]float64 }

// align gives the points of each pair by time, and all times in order. Without times of the points, as a remote
// judge gets them, they are counted from the start by the step.
func align(pairs []metricset.Pair, shift func(metric string) time.Duration) (byMetric map[string][]points, at []int64) {
	byMetric = map[string][]points{}
	seen := map[int64]bool{}
	for _, p := range pairs {
		x := points{timed(p.Control, shift(p.Name)), timed(p.Experiment, 0)}
		byMetric[p.Name] = append(byMetric[p.Name], x)
		for _, side := range []map[int64]float64{x.control, x.experiment} {
			for t := range side {
				if !seen[t] {
					seen[t] = true
					at = append(at, t)
				}
			}
		}
	}
	slices.Sort(at)
	return byMetric, at
}

func timed(s metricset.Set, shift time.Duration) map[int64]float64 {
	out := make(map[int64]float64, len(s.Values))
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		t := s.Start.UnixMilli() + int64(i)*s.Step.Milliseconds()
		if i < len(s.Times) {
			t = s.Times[i]
		}
		out[t+shift.Milliseconds()] = v
	}
	return out
}

// sum is one arm of a metric at one time: the sum and the number of its series.
type sum struct {
	total float64
	n     int
}

// gather adds up the pairs of a metric at one time. A series counts where both sides have it, so that one that comes
// or goes moves no mean; with zeros, a side that has nothing counts as 0 where the other has something.
func gather(all []points, t int64, zeros bool) (control, experiment sum) {
	for _, p := range all {
		c, hasC := p.control[t]
		e, hasE := p.experiment[t]
		if hasC && hasE || zeros && (hasC || hasE) {
			control.total, control.n = control.total+c, control.n+1
			experiment.total, experiment.n = experiment.total+e, experiment.n+1
		}
	}
	return control, experiment
}

// observe makes the observation of one metric at one time.
func (p plan) observe(m judge.Metric, byMetric map[string][]points, t int64) judge.Observation {
	o := judge.Observation{Metric: m.Name}
	how := p.metrics[m.Name]
	if how.exposure == "" {
		c, e := gather(byMetric[m.Name], t, how.replaceNaN)
		if c.n == 0 {
			o.Absent = judge.NoData
			return o
		}
		o.Baseline, o.Canary = judge.Arm{Value: c.total / float64(c.n)}, judge.Arm{Value: e.total / float64(e.n)}
		return o
	}
	// Bad events without a series are none, as long as their exposure is seen.
	bc, be := gather(byMetric[m.Name], t, true)
	tc, te := gather(byMetric[how.exposure], t, false)
	if tc.n == 0 || tc.total < 0 || te.total < 0 {
		o.Absent = judge.NoData
		return o
	}
	o.Baseline = judge.Arm{Bad: min(max(bc.total, 0), tc.total), Total: tc.total}
	o.Canary = judge.Arm{Bad: min(max(be.total, 0), te.total), Total: te.total}
	return o
}

// errNoPoints says that there is nothing at all to judge: never a score, so that people see the reason (section 8, 28).
var errNoPoints = errors.New("inconclusive: there are no points with a value on both sides")

// trailing is how many of the newest points may be incomplete: what is scraped last is seen last.
const trailing = 3

// fold counts the points after those that f has, one look each.
func (p plan) fold(f folded, byMetric map[string][]points, at []int64, step time.Duration) (folded, error) {
	j, err := choice.New(p.settings)
	if err != nil {
		return f, fmt.Errorf("the judge's settings: %w", err)
	}
	evidence := j.Begin(nil)
	if f.Evidence != nil {
		if evidence, err = j.Decode(f.Evidence); err != nil {
			return f, fmt.Errorf("read the evidence of the looks before: %w", err)
		}
	}
	from, _ := slices.BinarySearch(at, f.To+1)
	for i, t := range at[from:] {
		l := judge.Look{Number: f.Looks + 1, At: time.UnixMilli(t).UTC(), Length: step, Weight: 0.5}
		whole := true
		for _, m := range p.settings.Metrics {
			o := p.observe(m, byMetric, t)
			whole = whole && (o.Absent == "" || m.Optional)
			l.Observations = append(l.Observations, o)
		}
		if !whole && len(at)-from-i <= trailing {
			break // it comes with the next look, or not at all
		}
		var v judge.Verdict
		evidence, v = j.Look(evidence, l)
		f.To, f.Looks = t, l.Number
		f.add(&v)
	}
	if f.Evidence, err = evidence.Encode(); err != nil {
		return f, fmt.Errorf("encode the evidence: %w", err)
	}
	return f, nil
}

// stepOf is the shortest step of the scopes, and a minute where there is none.
func stepOf(scopes map[string]metricset.ScopePair) time.Duration {
	var steps []time.Duration
	for _, pair := range scopes {
		steps = append(steps, pair.Experiment.Step)
	}
	if len(steps) == 0 {
		return time.Minute
	}
	return cmp.Or(slices.Min(steps), time.Minute)
}

// decodeFolded reads what was stored; nothing is an empty one.
func decodeFolded(b []byte) (f folded, err error) {
	if len(b) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("read the evidence of the looks before: %w", err)
	}
	return f, nil
}
