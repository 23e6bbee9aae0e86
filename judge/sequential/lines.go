package sequential

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/judge"
)

// Lines judges looks that are written one per line (NDJSON): a line with "metric" begins a sequence and says how it is
// judged, and each further line is one of its looks. Other programs can check this judge with it, and people can try it
// without a Prometheus. testdata/sequential/README.md describes the form.
//
// The zero value waits for the first sequence. Lines must not be used by several goroutines.
type Lines struct {
	// Ended, if set, is called after each sequence with everything learned by then: from before and, unless it failed,
	// from the sequence itself. The field "learned" takes the same.
	Ended func(learned []judge.Past)

	name     string
	sequence judging
	looks    int
}

// judging is the sequence under way.
type judging interface {
	look(number int, l *lineLook) (Said, error)
	learned() []judge.Past
}

// Said is the answer to one look. Numbers that do not apply to the kind are nil.
type Said struct {
	Name string `json:"name"`
	// Look counts from 1.
	Look int `json:"look"`
	// Ratio is the estimate over all looks, Leading the estimate for the likeliest fault since it began, Noise how much
	// the ratio of good versions varies, Margin m; see [judge.MetricVerdict].
	Ratio   float64  `json:"ratio"`
	Leading *float64 `json:"leading,omitempty"`
	// Rules is the ratio that a pass rules out by a budget, if that is more than the margin.
	Rules  *float64 `json:"rules,omitempty"`
	Noise  float64  `json:"noise"`
	Margin *float64 `json:"margin,omitempty"`
	// Bound is the histogram's bound to which the numbers belong, Part the value of the part if they belong to one.
	Bound *float64 `json:"bound,omitempty"`
	Part  *string  `json:"part,omitempty"`
	// Lower and Upper are the ends of the confidence sequence.
	Lower       *float64     `json:"lower,omitempty"`
	Upper       *float64     `json:"upper,omitempty"`
	LogEvidence SaidEvidence `json:"logEvidence"`
	// Leaning: the evidence leans towards worse.
	Leaning bool `json:"leaning,omitempty"`
	// Verdict is fail, pass or inconclusive; for a split it is alarm or inconclusive.
	Verdict string `json:"verdict"`
}

// SaidEvidence holds logarithms of e-values: against "no worse", against "worse by its margin", and for a split against
// "not more" and "not fewer" requests than the weight says; and the log odds for a ratio beyond the margin.
type SaidEvidence struct {
	Worse   *float64 `json:"worse,omitempty"`
	Beyond  *float64 `json:"beyond,omitempty"`
	NoWorse *float64 `json:"noWorse,omitempty"`
	More    *float64 `json:"more,omitempty"`
	Fewer   *float64 `json:"fewer,omitempty"`
}

// lineMetric is how a sequence is judged.
type lineMetric struct {
	Kind          string          `json:"kind"`
	FalseRollback float64         `json:"falseRollback"`
	FalseAdvance  float64         `json:"falseAdvance"` // absent: nothing ever passes
	Margin        judge.Margin    `json:"margin"`
	Direction     judge.Direction `json:"direction"`
	Goal          bool            `json:"goal"`
	Noise         float64         `json:"noise"`
	MinRequests   float64         `json:"minRequests"`
	Objective     float64         `json:"objective"`
	Bounds        []float64       `json:"bounds"`
	Nearest       float64         `json:"nearest"`
	// PassAfter is in seconds; absent: a pass may be given at once.
	PassAfter float64 `json:"passAfter"`
	// Cold: replicas that have just started may be worse for their first minutes. The last field belongs to an earlier
	// judge; it is read and ignored.
	Cold bool      `json:"cold"`
	Anew *struct{} `json:"anew"`
	// Users: the arms are divided by users, and the replicas of the history are groups of users.
	Users bool `json:"users"`
	// Sticky: the arms are divided by an unknown number of users.
	Sticky bool `json:"sticky"`
	// Budget is the time in which the sequence has to be decided, as stretches at one weight each; a pass rules out
	// what can be ruled out in it.
	Budget []judge.Stretch `json:"budget"`
	// Values is how many parts are judged one by one, not counting the rest; 0 without parts.
	Values int `json:"values"`
	// FalseAlarm and Tolerance are those of a split.
	FalseAlarm float64 `json:"falseAlarm"`
	Tolerance  float64 `json:"tolerance"`
}

// lineArm is one arm of a look. Which fields are needed depends on the kind.
type lineArm struct {
	Bad        *float64  `json:"bad"`
	Total      *float64  `json:"total"`
	Value      *float64  `json:"value"`
	Cumulative []float64 `json:"cumulative"`
	Requests   *float64  `json:"requests"`
	Sum        *float64  `json:"sum"`
	Count      *float64  `json:"count"`
}

// lineLook is one look. An arm that is absent or null has no data.
type lineLook struct {
	Weight   float64       `json:"weight"`
	Canary   *lineArm      `json:"canary"`
	Baseline *lineArm      `json:"baseline"`
	Replicas *lineReplicas `json:"replicas"`
	Parts    []linePart    `json:"parts"`
}

// linePart is what one part of the requests, such as a route, contributed to a look.
type linePart struct {
	Value    string   `json:"value"`
	Canary   *lineArm `json:"canary"`
	Baseline *lineArm `json:"baseline"`
}

// lineReplicas holds the canary's replicas in one look, if they can be distinguished.
type lineReplicas struct {
	Canary []struct {
		Age   float64 `json:"age"`
		Bad   float64 `json:"bad"`
		Total float64 `json:"total"`
	} `json:"canary"`
}

// line is a line of either kind; one with Metric begins a sequence.
type line struct {
	Name    string      `json:"name"`
	Metric  *lineMetric `json:"metric"`
	Seconds float64     `json:"seconds"`
	// Learned is what was learned from earlier sequences, as printed; History is the record of the version in service.
	Learned pastList       `json:"learned"`
	History *judge.History `json:"history"`
	lineLook
}

// pastList is a list of pasts or, recursively, of such lists.
type pastList []judge.Past

// UnmarshalJSON flattens nested lists, with each past once.
func (p *pastList) UnmarshalJSON(b []byte) error {
	var each []json.RawMessage
	if err := json.Unmarshal(b, &each); err != nil {
		return errors.New("learned: expected a list, as it is printed under learned")
	}
	for _, raw := range each {
		if raw[0] == '[' {
			if err := p.UnmarshalJSON(raw); err != nil {
				return err
			}
			continue
		}
		var past judge.Past
		if err := json.Unmarshal(raw, &past); err != nil {
			return fmt.Errorf("learned: %w", err)
		}
		if !slices.Contains(*p, past) {
			*p = append(*p, past)
		}
	}
	return nil
}

// MaxLine is how many bytes one line may have: a history of a day by the minute with 50 replicas takes about 1 MB.
const MaxLine = 1 << 24

// splitKind is the kind of a sequence that tests the gateway's split.
const splitKind = "split"

// longestLook, a day in seconds, keeps times within the range of a duration.
const longestLook = 86400

// Line takes the next line. It returns the answer to a look, or nil after a line that begins a sequence. After an
// error the sequence is as it was before the line.
func (s *Lines) Line(text []byte) (*Said, error) {
	if len(text) > MaxLine {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(text), MaxLine)
	}
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, errors.New("more after the end of the object")
	}
	if l.Metric != nil {
		return nil, s.begin(l)
	}
	if s.sequence == nil {
		return nil, errors.New(`a look before the first sequence: a line with "metric" has to come first`)
	}
	if l.Name != "" || l.Seconds != 0 || l.Learned != nil || l.History != nil {
		return nil, errors.New(`"name", "seconds", "learned" and "history" belong to a line with "metric", which begins a sequence`)
	}
	said, err := s.sequence.look(s.looks+1, &l.lineLook)
	if err != nil {
		return nil, err
	}
	s.looks++
	said.Name, said.Look = s.name, s.looks
	return &said, nil
}

func (s *Lines) begin(l line) error {
	if l.Canary != nil || l.Baseline != nil {
		return errors.New(`a line has either "metric" or a look's arms`)
	}
	if !(l.Seconds > 0 && l.Seconds <= longestLook) {
		return fmt.Errorf("seconds %v: the length of a look has to be above 0 and at most %v", l.Seconds, longestLook)
	}
	var sequence judging
	var err error
	if l.Metric.Kind == splitKind {
		sequence, err = l.Metric.split(l.Seconds)
	} else {
		sequence, err = l.Metric.judging(l.Seconds, l.Learned, l.History)
	}
	if err != nil {
		return fmt.Errorf("metric: %w", err)
	}
	s.End()
	s.name, s.sequence, s.looks = l.Name, sequence, 0
	return nil
}

// End ends the sequence that is under way, if there is one.
func (s *Lines) End() {
	if s.sequence != nil && s.Ended != nil {
		s.Ended(s.sequence.learned())
	}
	s.sequence = nil
}

// judged is a sequence that a judge with one metric judges.
type judged struct {
	judge    *Judge
	evidence judge.Evidence
	metric   *lineMetric
	length   time.Duration
	pasts    []judge.Past // those of earlier sequences
	failed   bool
}

// learned returns the pasts of earlier sequences and, unless it failed, of this one.
func (s *judged) learned() []judge.Past {
	out := slices.Clone(s.pasts)
	if p, ok := s.evidence.Learned()[lineName]; ok && !s.failed {
		out = append(out, p)
	}
	return out
}

// lineName is the name of the judge's only metric.
const lineName = "metric"

// never is longer than any sequence.
const never = 1 << 62

// seconds turns seconds into a duration, limited to the longest one.
func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), never))
}

func (m *lineMetric) judging(length float64, learned []judge.Past, history *judge.History) (*judged, error) {
	if !between(m.PassAfter, 0, 1e12) {
		return nil, fmt.Errorf("passAfter %v: not a number of seconds", m.PassAfter)
	}
	after := seconds(m.PassAfter)
	s := judge.Settings{FalseRollback: m.FalseRollback, FalseAdvance: m.FalseAdvance, PassAfter: &after}
	if m.FalseAdvance == 0 {
		after, s.FalseAdvance = never, 0.05
	}
	s.Metrics = []judge.Metric{{
		Name: lineName, Kind: judge.Kind(m.Kind), Margin: m.Margin, Direction: m.Direction, Goal: m.Goal, Weight: 1, Noise: m.Noise,
		MinRequests: m.MinRequests, Objective: m.Objective, Bounds: m.Bounds, Nearest: m.Nearest,
		Cold: m.Cold || m.Kind == string(judge.Histogram), Users: m.Users, Sticky: m.Sticky,
	}}
	s.Budget, s.Metrics[0].Budgeted = m.Budget, len(m.Budget) > 0
	if m.Values != 0 {
		s.Metrics[0].By, s.Metrics[0].Values = "part", m.Values
	}
	j, err := New(s)
	if err != nil {
		return nil, err
	}
	pasts := map[string][]judge.Past{lineName: slices.Clone(learned)}
	if history != nil {
		if !usableHistory(history) {
			return nil, errors.New("history: seconds, and lists of equal length of counts, bad and total, were expected")
		}
		if p, ok := j.History(map[string]judge.History{lineName: *history})[lineName]; ok {
			pasts[lineName] = append(pasts[lineName], p)
		}
	}
	return &judged{judge: j, evidence: j.Begin(pasts), metric: m, length: seconds(length), pasts: learned}, nil
}

func (s *judged) look(number int, l *lineLook) (Said, error) {
	canary, err := l.Canary.arm(s.metric)
	if err != nil {
		return Said{}, fmt.Errorf("canary.%w", err)
	}
	baseline := judge.Arm{}
	if s.metric.Kind != string(judge.Objective) {
		if baseline, err = l.Baseline.arm(s.metric); err != nil {
			return Said{}, fmt.Errorf("baseline.%w", err)
		}
	}
	if !between(l.Weight, 0, 1) {
		return Said{}, fmt.Errorf("weight %v: not a share between 0 and 1", l.Weight)
	}
	parts, err := s.parts(l)
	if err != nil {
		return Said{}, err
	}
	look := judge.Look{
		Number: number, At: time.Unix(0, 0).UTC().Add(time.Duration(number) * s.length), Length: s.length, Weight: l.Weight,
		Observations: []judge.Observation{{Metric: lineName, Canary: canary, Baseline: baseline, Parts: parts}},
	}
	if l.Replicas != nil {
		for _, r := range l.Replicas.Canary {
			look.Replicas = append(look.Replicas, judge.Replica{Age: r.Age, Total: r.Total})
		}
	}
	var v judge.Verdict
	s.evidence, v = s.judge.Look(s.evidence, look)
	s.failed = s.failed || v.Outcome == judge.Fail
	return s.said(v), nil
}

// parts reads the parts of a look: each of both arms.
func (s *judged) parts(l *lineLook) ([]judge.Part, error) {
	if len(l.Parts) > 0 && s.metric.Values == 0 {
		return nil, errors.New(`parts: the sequence has none: "values" of its metric says how many there may be`)
	}
	parts := make([]judge.Part, len(l.Parts))
	for i, p := range l.Parts {
		if p.Canary == nil || p.Baseline == nil {
			return nil, fmt.Errorf("parts[%d]: canary and baseline were expected", i)
		}
		c, err := p.Canary.arm(s.metric)
		if err != nil {
			return nil, fmt.Errorf("parts[%d].canary.%w", i, err)
		}
		b, err := p.Baseline.arm(s.metric)
		if err != nil {
			return nil, fmt.Errorf("parts[%d].baseline.%w", i, err)
		}
		parts[i] = judge.Part{Value: p.Value, Canary: c, Baseline: b}
	}
	return parts, nil
}

func (s *judged) said(v judge.Verdict) Said {
	m := v.Metrics[0]
	said := Said{
		Ratio: m.Ratio, Leading: &m.Leading, Noise: m.Noise, Margin: &m.Margin, Lower: &m.Lower, Upper: &m.Upper,
		Verdict: string(v.Outcome), Leaning: v.Leaning,
		LogEvidence: SaidEvidence{Worse: &m.LogEvidence.Worse, Beyond: &m.LogEvidence.Beyond, NoWorse: &m.LogEvidence.NoWorse},
	}
	if m.Kind == judge.Histogram {
		said.Bound = &m.Bound
	}
	if m.Rules > 0 {
		said.Rules = &m.Rules
	}
	if m.By != "" {
		said.Part = &m.Value
	}
	return said
}

// arm reads the fields that the kind needs of an arm; its error continues the arm's name.
func (a *lineArm) arm(m *lineMetric) (judge.Arm, error) {
	if a == nil {
		return judge.Arm{Missing: true}, nil
	}
	switch judge.Kind(m.Kind) {
	case judge.Gauge:
		if a.Value == nil || math.Abs(*a.Value) > mostValue {
			return judge.Arm{}, errors.New("value: a number was expected")
		}
		return judge.Arm{Value: *a.Value}, nil
	case judge.Histogram:
		if len(a.Cumulative) != len(m.Bounds) {
			return judge.Arm{}, fmt.Errorf("cumulative: %d counts were expected, one for each bound", len(m.Bounds))
		}
		total, err := count("total", a.Total)
		if err != nil {
			return judge.Arm{}, err
		}
		for i, c := range a.Cumulative {
			if !isCount(c) || c > total || i > 0 && c < a.Cumulative[i-1] {
				return judge.Arm{}, fmt.Errorf("cumulative[%d] %v: counts that do not fall and are at most total were expected", i, c)
			}
		}
		return judge.Arm{Cumulative: a.Cumulative, Total: total}, nil
	case judge.Mean:
		sum, err := count("sum", a.Sum)
		if err != nil {
			return judge.Arm{}, err
		}
		n, err := count("count", a.Count)
		return judge.Arm{Bad: sum, Total: n}, err
	case judge.Counts, judge.Objective:
	}
	bad, err := count("bad", a.Bad)
	if err != nil {
		return judge.Arm{}, err
	}
	total, err := count("total", a.Total)
	return judge.Arm{Bad: bad, Total: total}, err
}

func count(name string, x *float64) (float64, error) {
	if x == nil || !isCount(*x) {
		return 0, fmt.Errorf("%s: a count between 0 and 2^53 was expected", name)
	}
	return *x, nil
}

// splitting is a sequence that tests the split. It begins again when the weight changes.
type splitting struct {
	split   split
	by      judge.Split
	seconds float64
	weight  float64
}

func (s *splitting) learned() []judge.Past { return nil }

func (m *lineMetric) split(length float64) (*splitting, error) {
	by := judge.Split{Noise: m.Noise, FalseAlarm: m.FalseAlarm, Tolerance: m.Tolerance}
	err := check(judge.Settings{FalseRollback: 0.5, FalseAdvance: 0.5, Split: &by,
		Metrics: []judge.Metric{{Name: lineName, Kind: judge.Counts, Weight: 1}}})
	if err != nil {
		return nil, err
	}
	return &splitting{by: by, seconds: length}, nil
}

func (s *splitting) look(_ int, l *lineLook) (Said, error) {
	if l.Canary == nil || l.Baseline == nil {
		return Said{}, errors.New("canary and baseline were expected")
	}
	canary, err := count("requests", l.Canary.Requests)
	if err != nil {
		return Said{}, fmt.Errorf("canary.%w", err)
	}
	baseline, err := count("requests", l.Baseline.Requests)
	if err != nil {
		return Said{}, fmt.Errorf("baseline.%w", err)
	}
	if !between(l.Weight, leastShare, 1-leastShare) {
		return Said{}, fmt.Errorf("weight %v: not a share between 0 and 1", l.Weight)
	}
	if l.Weight != s.weight {
		s.split, s.weight = split{}, l.Weight
	}
	s.split.add(judge.Requests{Canary: canary, Baseline: baseline}, l.Weight, s.seconds)
	said := Said{Ratio: 1, Noise: s.by.Noise, Verdict: string(judge.Inconclusive)}
	var more, fewer float64
	if v := s.split.verdict(s.by, l.Weight); v != nil {
		said.Ratio, more, fewer = v.Ratio, v.More, v.Fewer
		if v.Alarm {
			said.Verdict = "alarm"
		}
	}
	said.LogEvidence = SaidEvidence{More: &more, Fewer: &fewer}
	return said, nil
}
