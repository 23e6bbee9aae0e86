package spinnaker

import (
	"context"
	"encoding/json"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/metricset"
)

// JudgeName is the judge that a config asks for: kayenta.Name where it names none. An unknown judge is an error
// in Kayenta's words.
func JudgeName(c kayenta.Config) (string, error) { return chosen(c) }

// Once judges what was measured for a config by the judge that it names, as a run that belongs to no pipeline does.
// asks are the questions whose answers the pairs are made of. The result is a CanaryJudgeResult; the warnings are what
// a run has in serinWarnings.
func Once(ctx context.Context, c kayenta.Config, asks []metricset.Ask, pairs []metricset.Pair, t kayenta.Thresholds) (result json.RawMessage, warnings []string, err error) {
	judge, err := judgeOf(c)
	if err != nil {
		return nil, nil, err
	}
	e := &execution{Request: executionRequest{Scopes: map[string]scopePair{}, Thresholds: &thresholds{Pass: number(t.Pass), Marginal: number(t.Marginal)}}}
	for _, a := range asks {
		side := func(s metricset.Scope) *scope {
			return &scope{Start: instant{s.Start}, End: instant{s.End}, Step: number(s.Step.Seconds())}
		}
		e.Request.Scopes[metricset.ScopeName(c.Metrics[a.Metric])] = scopePair{Control: side(a.Control.Scope), Experiment: side(a.Experiment.Scope)}
	}
	// Without a parent pipeline no judge asks the service, whose store holds the evidence of earlier looks.
	out, err := judge(ctx, nil, judging{config: c, execution: e, pairs: pairs, ids: make([]string, len(pairs)), same: metricset.Same(asks)})
	return out.result, out.warnings, err
}
