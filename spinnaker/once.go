package spinnaker

import (
	"context"
	"encoding/json"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/metricset"
)

// JudgeName returns the judge that a config asks for: kayenta.Name if it names none. The error for an unknown judge is
// Kayenta's.
func JudgeName(c kayenta.Config) (string, error) { return chosen(c) }

// Once judges measured pairs with the judge that the config names, like a run that belongs to no pipeline. asks are the
// questions that the pairs answer. The result is a CanaryJudgeResult; the warnings are those that a run shows as
// serinWarnings.
func Once(ctx context.Context, c kayenta.Config, asks []metricset.Ask, pairs []metricset.Pair,
	t kayenta.Thresholds) (result json.RawMessage, warnings []string, err error) {
	judge, err := judgeOf(c)
	if err != nil {
		return nil, nil, err
	}
	e := &execution{Request: executionRequest{
		Scopes: map[string]scopePair{}, Thresholds: &thresholds{Pass: number(t.Pass), Marginal: number(t.Marginal)},
	}}
	for _, a := range asks {
		side := func(s metricset.Scope) *scope {
			return &scope{Start: instant{s.Start}, End: instant{s.End}, Step: number(s.Step.Seconds())}
		}
		e.Request.Scopes[metricset.ScopeName(c.Metrics[a.Metric])] = scopePair{Control: side(a.Control.Scope), Experiment: side(a.Experiment.Scope)}
	}
	// A nil Service is safe: a judge needs its store only for the earlier looks of a parent pipeline.
	out, err := judge(ctx, nil, judging{config: c, execution: e, pairs: pairs, ids: make([]string, len(pairs)), same: metricset.Same(asks)})
	return out.result, out.warnings, err
}
