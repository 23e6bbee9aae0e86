package spinnaker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// judgeSequentially judges a look of a pipeline, together with the evidence of its earlier looks.
func judgeSequentially(ctx context.Context, s *Service, j judging) (judged, error) {
	if len(j.same) > 0 {
		return judged{}, fmt.Errorf("metric '%s': the query and the time are the same for both arms, so it says "+
			"nothing about the canary: use ${scope} in the query", j.same[0])
	}
	request, err := j.request()
	if err != nil {
		return judged{}, err
	}
	p, err := planOf(j.config, request)
	if err != nil {
		return judged{}, err
	}
	scopes := j.execution.Request.sets()
	key := evidenceKey(j.execution)
	before := kept.Evidence{ID: key}
	if key != "" {
		before, err = s.o.Store.CanaryEvidence(ctx, key)
		if errors.Is(err, record.ErrNotFound) {
			before, err = kept.Evidence{ID: key}, nil
		}
		if err != nil {
			return judged{}, err
		}
	}
	f, err := decodeFolded(before.Body)
	if err != nil {
		return judged{}, err
	}
	shifts := map[string]time.Duration{}
	for _, m := range j.config.Metrics {
		pair := scopes[metricset.ScopeName(m)]
		shifts[m.Name] = pair.Experiment.Start.Sub(pair.Control.Start)
	}
	byMetric, at := align(j.pairs, func(metric string) time.Duration { return shifts[metric] })
	if f, err = p.fold(f, byMetric, at, stepOf(scopes)); err != nil {
		return judged{}, err
	}
	out, err := p.render(f, request)
	if err != nil {
		return judged{}, err
	}
	if key != "" {
		body, err := json.Marshal(f)
		if err != nil {
			return judged{}, fmt.Errorf("encode the evidence: %w", err)
		}
		out.evidence = &kept.Evidence{ID: key, Version: before.Version + 1, At: time.Now().UTC(), Body: body}
	}
	return out, nil
}

// evidenceKey names the evidence that a run adds to. Runs share it if they have the same parent, application, config and
// scopes, whatever their times. A run without a parent stands alone and has an empty key.
func evidenceKey(e *execution) string {
	if e.Parent == "" {
		return ""
	}
	scopes := map[string]scopePair{}
	for name, pair := range e.Request.Scopes {
		c, x := *pair.Control, *pair.Experiment
		c.Start, c.End, x.Start, x.End = instant{}, instant{}, instant{}, instant{}
		scopes[name] = scopePair{&c, &x}
	}
	sum := sha256.Sum256(mustJSON([]any{e.Parent, e.Application, e.CanaryConfigID, e.Config, scopes}))
	return hex.EncodeToString(sum[:])
}

// render turns the verdict of all looks into a result of Kayenta's.
func (p plan) render(f folded, request kayenta.Request) (judged, error) {
	v := f.verdict()
	if v == nil {
		return judged{}, errNoPoints
	}
	if v.Outcome == judge.Inconclusive && (v.Reason == judge.NoData || v.Reason == judge.Unreachable) {
		return judged{}, fmt.Errorf("inconclusive: metric '%s': %s", v.Decisive, describe(verdictOf(v, v.Decisive)))
	}
	out := judgement{JudgeName: sequentialJudge, Results: []metricJudgement{}, GroupScores: []groupScore{}}
	for _, pair := range request.Pairs {
		out.Results = append(out.Results, p.result(pair, v))
	}
	out.GroupScores = groupsOf(out.Results)
	out.Score = p.score(v, request)
	b, err := json.Marshal(out)
	if err != nil {
		return judged{}, fmt.Errorf("encode the judgement: %w", err)
	}
	return judged{result: b, warnings: request.Notes}, nil
}

func verdictOf(v *judge.Verdict, metric string) *judge.MetricVerdict {
	for i := range v.Metrics {
		if v.Metrics[i].Metric == metric {
			return &v.Metrics[i]
		}
	}
	return nil
}

// describe says in one line what a metric's verdict rests on.
func describe(m *judge.MetricVerdict) string {
	if m == nil {
		return string(judge.NoData)
	}
	text := fmt.Sprintf("ratio %.3g (%.3g to %.3g), worse from %.3g on; evidence that it is worse %.3g of %.3g, that it is not %.3g of %.3g",
		m.Ratio, m.Lower, m.Upper, m.Margin, m.LogEvidence.Worse, m.LogEvidence.FailsFrom, m.LogEvidence.NoWorse, m.LogEvidence.PassFrom)
	if m.Reason != "" {
		text = string(m.Reason) + "; " + text
	}
	if m.Detail != "" {
		text += "; " + m.Detail
	}
	return text
}

func (p plan) result(pair kayenta.Pair, v *judge.Verdict) metricJudgement {
	r := metricJudgement{
		Name: pair.Name, Tags: pair.Tags, Groups: pair.Groups, Muted: pair.Settings.Muted,
		Experiment: metadata{statsOf(pair.Experiment)}, Control: metadata{statsOf(pair.Control)},
	}
	if pair.ID != nil {
		r.ID = *pair.ID
	}
	if r.Tags == nil {
		r.Tags = map[string]string{}
	}
	if r.Groups == nil {
		r.Groups = []string{}
	}
	m := verdictOf(v, pair.Name)
	if m == nil {
		r.Muted, r.Classification = true, string(kayenta.Pass)
		r.ClassificationReason = "Not judged: muted, or the exposure of other metrics"
		return r
	}
	r.Result = &ratio{number(m.Ratio)}
	r.ClassificationReason = describe(m)
	switch {
	case m.Outcome == judge.Pass:
		r.Classification = string(kayenta.Pass)
	case m.Outcome == judge.Fail && m.Leading < 1:
		r.Classification, r.Critical = string(kayenta.Low), true
	case m.Outcome == judge.Fail:
		r.Classification, r.Critical = string(kayenta.High), true
	default: // the closest that Kayenta has to inconclusive
		r.Classification = string(kayenta.Nodata)
		r.ClassificationReason = "Inconclusive: " + r.ClassificationReason
	}
	return r
}

// The scores of verdicts that are not inconclusive.
const (
	passScore = 100
	failScore = 0
)

func (p plan) score(v *judge.Verdict, request kayenta.Request) score {
	switch v.Outcome {
	case judge.Pass:
		return score{passScore, string(kayenta.Pass), ""}
	case judge.Fail:
		return score{failScore, string(kayenta.Fail), fmt.Sprintf("Metric '%s' is worse: %s", v.Decisive, describe(verdictOf(v, v.Decisive)))}
	default:
		n, label := p.inconclusiveScore(request.Pass, request.Marginal)
		return score{number(n), string(label), fmt.Sprintf("Inconclusive, metric '%s': %s", v.Decisive, describe(verdictOf(v, v.Decisive)))}
	}
}

// inconclusiveScore is never a pass, neither as a number, which Orca truncates to an integer, nor by its label. For
// "fail" it is the marginal threshold, the highest score at which Orca stops. For "continue" it lies between the
// thresholds, so that Orca goes on to the next interval and fails after the last. If no integer lies between them, it
// is a fail as well.
func (p plan) inconclusiveScore(pass, marginal float64) (float64, kayenta.Label) {
	if p.options.Inconclusive == inconclusiveContinues {
		between := math.Floor((pass + marginal) / 2)
		if between > marginal && between < pass && between < passScore {
			return between, kayenta.Marginal
		}
	}
	return math.Floor(min(max(marginal, 0), max(pass-1, 0))), kayenta.Fail
}

// groupsOf scores each group by the share of its metrics that pass, in percent. Inconclusive ones do not.
func groupsOf(results []metricJudgement) []groupScore {
	type tally struct{ pass, all float64 }
	counts := map[string]*tally{}
	out := []groupScore{}
	for _, r := range results {
		if r.Muted {
			continue
		}
		for _, name := range r.Groups {
			if counts[name] == nil {
				counts[name] = &tally{}
				out = append(out, groupScore{Name: name})
			}
			counts[name].all++
			if r.Classification == string(kayenta.Pass) {
				counts[name].pass++
			}
		}
	}
	for i := range out {
		t := counts[out[i].Name]
		out[i].Score = number(100 * t.pass / t.all)
	}
	return out
}

// statsOf describes the finite values of an arm. All fields are 0 if there are none.
func statsOf(values []float64) stats {
	var s stats
	mean, squares := 0.0, 0.0 // Welford, Technometrics 4 (1962), 419–420
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		s.Count++
		if s.Count == 1 {
			s.Min, s.Max = number(v), number(v)
		}
		s.Min, s.Max = min(s.Min, number(v)), max(s.Max, number(v))
		d := v - mean
		mean += d / float64(s.Count)
		squares += d * (v - mean)
	}
	s.Mean = number(mean)
	if s.Count > 1 {
		s.Std = number(math.Sqrt(squares / float64(s.Count-1)))
	}
	return s
}
