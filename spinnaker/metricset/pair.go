package metricset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
)

// Set is one side of a pair: the points of one series, with its gaps left out (spec/spinnaker.md, 6).
type Set struct {
	// Start is the time of the first point, or the scope's start if there is no point.
	Start time.Time
	// Step is the time between the first two points, in whole seconds: 0 if there is only one, twice the requested step
	// if there is a gap between them. It says nothing about later points, because Kayenta does not fill gaps.
	Step time.Duration
	// Values are NaN only where Prometheus returned NaN, or where this side lacks a series that the other has.
	Values []float64
	// Times are those of the values, in milliseconds since 1970. They are empty if the values stand for a missing series.
	Times []int64
	// PromQL is the query.
	PromQL string
}

// end is the time at which the next point would be.
func (s Set) end() time.Time { return s.Start.Add(time.Duration(len(s.Values)) * s.Step) }

// Pair holds the series of both sides of one metric that have the same tags.
type Pair struct {
	Name                string
	Tags                map[string]string
	Control, Experiment Set
}

// Side is the answer to one question.
type Side struct {
	Question Question
	Series   []analysis.Series
}

// tagged is a set before it has a partner.
type tagged struct {
	Set
	tags map[string]string
	// until is the end of the range that the set stands for: a placeholder has no points to tell.
	until time.Time
}

// Pairs joins the series of both sides by their tags and sorts the pairs by them; Kayenta leaves the order open. A
// series without a partner gets one of NaN. If the sides have different tag keys they cannot be joined; the error is
// Kayenta's.
func Pairs(metric string, control, experiment Side) ([]Pair, error) {
	c, e := sets(control), sets(experiment)
	ck, ek := keys(c), keys(e)
	if len(ck) > 0 && len(ek) > 0 && !slices.Equal(ck, ek) {
		return nil, fmt.Errorf("Control metrics have different tag keys than the experiment tag set ([%s] != [%s]).", //nolint:staticcheck,revive // Kayenta's words
			strings.Join(ck, ", "), strings.Join(ek, ", "))
	}
	if bare(c) != bare(e) {
		if bare(c) {
			return joinBare(metric, c, e, false), nil
		}
		return joinBare(metric, e, c, true), nil
	}
	byTags := map[string][2]*tagged{}
	for side, all := range [][]tagged{c, e} {
		for i := range all {
			k := key(all[i].tags)
			both := byTags[k]
			both[side] = &all[i]
			byTags[k] = both
		}
	}
	var pairs []Pair
	for _, k := range slices.Sorted(maps.Keys(byTags)) {
		both := byTags[k]
		if both[0] == nil {
			both[0] = &tagged{Set: absent(c[0]), tags: both[1].tags}
		}
		if both[1] == nil {
			both[1] = &tagged{Set: absent(e[0]), tags: both[0].tags}
		}
		pairs = append(pairs, Pair{Name: metric, Tags: both[0].tags, Control: filled(*both[0]), Experiment: filled(*both[1])})
	}
	return pairs, nil
}

// joinBare gives each set of one side a partner of NaN. The other side has a set without tags, which is dropped.
func joinBare(metric string, without, with []tagged, exchanged bool) []Pair {
	missing := absent(without[slices.IndexFunc(without, func(t tagged) bool { return len(t.tags) == 0 })])
	slices.SortFunc(with, func(a, b tagged) int { return strings.Compare(key(a.tags), key(b.tags)) })
	pairs := make([]Pair, 0, len(with))
	for _, t := range with {
		p := Pair{Name: metric, Tags: t.tags, Control: missing, Experiment: filled(t)}
		if exchanged {
			p.Control, p.Experiment = p.Experiment, p.Control
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// sets reads the series of a side. A side without series gets one set without tags and values.
func sets(s Side) []tagged {
	q := s.Question
	if len(s.Series) == 0 {
		return []tagged{{Set: Set{Start: q.Scope.Start, Step: q.Scope.Step, PromQL: q.PromQL}, tags: map[string]string{}, until: q.Scope.End}}
	}
	out := make([]tagged, 0, len(s.Series))
	for _, series := range s.Series {
		t := tagged{Set: Set{Start: q.Scope.Start, PromQL: q.PromQL}, tags: map[string]string{}}
		for _, l := range series.Labels {
			if l.Name != "__name__" {
				t.tags[l.Name] = l.Value
			}
		}
		for _, sample := range series.Samples {
			t.Values, t.Times = append(t.Values, sample.V), append(t.Times, sample.T)
		}
		if len(t.Times) > 0 {
			t.Start = time.UnixMilli(t.Times[0]).UTC()
		}
		if len(t.Times) > 1 {
			t.Step = (time.Duration(t.Times[1]-t.Times[0]) * time.Millisecond).Truncate(time.Second)
		}
		t.until = t.end()
		out = append(out, t)
	}
	return out
}

// keys returns all tag keys of a side, sorted.
func keys(all []tagged) []string {
	seen := map[string]bool{}
	for _, t := range all {
		for k := range t.tags {
			seen[k] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// bare reports whether a side has a set without tags.
func bare(all []tagged) bool {
	return slices.ContainsFunc(all, func(t tagged) bool { return len(t.tags) == 0 })
}

// key encodes tags as text, the same for equal tags.
func key(tags map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(&b, "%q=%q,", k, tags[k])
	}
	return b.String()
}

// maxPoints bounds a placeholder: Prometheus returns at most 11,000 points for a series.
const maxPoints = 11_000

// length is how many points a set should have: (end − start)/step.
func length(t tagged) int {
	if t.Step <= 0 {
		return len(t.Values)
	}
	return min(max(int(t.until.Sub(t.Start)/t.Step), len(t.Values)), maxPoints)
}

// absent makes a partner of NaN only, with the times of another set of its side.
func absent(like tagged) Set {
	return Set{Start: like.Start, Step: like.Step, PromQL: like.PromQL, Values: slices.Repeat([]float64{math.NaN()}, length(like))}
}

// filled appends NaN to a set that is shorter than its range, which in effect only a placeholder is.
func filled(t tagged) Set {
	for len(t.Values) < length(t) {
		t.Values = append(t.Values, math.NaN())
	}
	return t.Set
}
