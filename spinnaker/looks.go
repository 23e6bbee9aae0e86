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

// folded is what the looks of one pipeline add up to, in its stored form.
type folded struct {
	// To is the time of the newest counted point, in milliseconds since 1970 on the experiment's side.
	To int64 `json:"to"`
	// Looks is the number of counted looks. Each is one point in time.
	Looks int `json:"looks"`
	// Evidence is the judge's encoding of it.
	Evidence []byte `json:"evidence,omitempty"`
	// Last is the newest verdict that rests on data. Failed is the first failed one, which stays: a test that has failed
	// is over.
	Last   *judge.Verdict `json:"last,omitempty"`
	Failed *judge.Verdict `json:"failed,omitempty"`
	// Silent is the number of looks without data since Last.
	Silent int `json:"silent,omitempty"`
}

// mostSilent is how many looks without data a verdict outlives: a quantile has no value in a minute without requests.
const mostSilent = 5

// add takes one more verdict into account.
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

// verdict is what all looks together say.
func (f folded) verdict() *judge.Verdict {
	if f.Failed != nil {
		return f.Failed
	}
	return f.Last
}

// points are the values of a pair's two sides by time. The control's times are shifted to the experiment's.
type points struct{ control, experiment map[int64]float64 }

// align returns the points of each pair by time, and all times in order. Points without times of their own, as a remote
// judge gets them, are spaced by the step from the start.
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

// sum adds up the series of one arm of a metric at one time: their total and their number.
type sum struct {
	total float64
	n     int
}

// gather adds up the pairs of a metric at one time. A series counts only if both sides have it, so that the mean does
// not move when a series appears or disappears. With zeros, a missing side counts as 0 if the other has a value.
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
	// No series of bad events means that there were none, as long as their exposure has one.
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

// errNoPoints means that there is nothing at all to judge. It becomes an error and not a score, so that people see the
// reason (section 8, 28).
var errNoPoints = errors.New("inconclusive: there are no points with a value on both sides")

// trailing is how many of the newest points may still be incomplete, because some targets are scraped later.
const trailing = 3

// fold counts the points that are newer than those in f, one look each.
func (p plan) fold(f folded, byMetric map[string][]points, at []int64, step time.Duration) (folded, error) {
	j, err := choice.New(p.settings)
	if err != nil {
		return f, fmt.Errorf("judge settings: %w", err)
	}
	evidence := j.Begin(nil)
	if f.Evidence != nil {
		if evidence, err = j.Decode(f.Evidence); err != nil {
			return f, fmt.Errorf("read the evidence of earlier looks: %w", err)
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
			break // the next judgement sees it again, perhaps complete
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

// stepOf returns the shortest step of the scopes, and a minute if there is none.
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

// decodeFolded reads the stored form. Without any it returns an empty value.
func decodeFolded(b []byte) (f folded, err error) {
	if len(b) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("read the evidence of earlier looks: %w", err)
	}
	return f, nil
}
