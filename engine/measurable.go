package engine

import (
	"context"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
)

const (
	// bucketsOver is how far back stable's buckets are looked for: two scrapes of a minute.
	bucketsOver = 2 * time.Minute
	// bucketsWithin bounds the question, because a person waits for the answer.
	bucketsWithin = 3 * time.Second
)

// Unmeasurable says, one sentence a metric, what a release with these parameters could never measure, however much traffic
// it had: stable's histogram has no bucket at the bound that a metric names. Nothing is said of what cannot be found out
// now, such as without an answer from the source, or without requests to stable: the looks will tell.
func (e *Engine) Unmeasurable(ctx context.Context, name string, parameters map[string]string) []string {
	l, ok := e.loop(name)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, bucketsWithin)
	defer cancel()
	var plan record.Plan
	sides, err := ask(ctx, l, func(context.Context) (analysis.Arms, error) {
		if l.plan == nil {
			return analysis.Arms{}, record.ErrNotFound
		}
		plan = *l.plan
		params, err := checkParameters(plan.Rollout.Parameters, parameters)
		if err != nil {
			return analysis.Arms{}, err
		}
		sides := arms(l.gw.router, params, follow{on: traffic.MainLane})
		nameServers(&sides, plan.Rollout.Idle(l.swapped))
		return sides, nil
	})
	if err != nil {
		return nil // the start meets it too, and says so
	}
	var plans []analysis.Plan
	for _, def := range plan.Analyses {
		plans = append(plans, e.histograms(ctx, def, sides, plan)...)
	}
	return e.wrongBounds(ctx, plans)
}

// histograms are plans of one metric each, of those that count in buckets.
func (e *Engine) histograms(ctx context.Context, def analysis.Definition, sides analysis.Arms, plan record.Plan) []analysis.Plan {
	var out []analysis.Plan
	all := def.Defaults()
	for _, m := range all.Metrics {
		switch m.Source.(type) {
		case analysis.Slow, analysis.Distribution:
		default:
			continue
		}
		one := all
		one.Metrics, one.Split.Off = []analysis.Metric{m}, true
		if e.nameWorkloads(ctx, &sides, one, plan.Rollout.Cluster, false) != nil {
			continue
		}
		of := sides
		if _, ok := m.Baseline.(analysis.Fixed); ok {
			of.Canary = of.Baseline // only one arm is measured, and the canary has no series yet
		}
		if p, err := analysis.NewPlan(one, of); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func (e *Engine) wrongBounds(ctx context.Context, plans []analysis.Plan) []string {
	end := time.Now().Add(-e.looks.behind())
	cursor := analysis.NewCursor(end.Add(-bucketsOver))
	var asks []analysis.Ask
	parts := []int{0}
	for _, p := range plans {
		asks = append(asks, p.Asks(cursor, end)...)
		parts = append(parts, len(asks))
	}
	if len(asks) == 0 {
		return nil
	}
	answers := e.o.Source.Fetch(ctx, asks)
	var out []string
	seen := map[string]bool{}
	for i, p := range plans {
		for _, says := range p.WrongBounds(answers[parts[i]:parts[i+1]]) {
			if !seen[says] { // several steps may share an analysis
				seen[says] = true
				out = append(out, says)
			}
		}
	}
	return out
}
