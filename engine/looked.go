package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
)

// looked is what the release's loop learns from a look.
type looked struct {
	release string
	scope   string
	turn    int
	from    time.Time     // beginning of the window of its requests
	behind  time.Duration // see [looks.behind]
	look    judge.Look
	verdict judge.Verdict
	// saved is why the look could not be written; then it may cause nothing but a rollback.
	saved error
}

// event is the event of a look, if it is news.
func (k looked) event() rollout.LookTaken {
	return rollout.LookTaken{Meta: rollout.Meta{By: "judge"}, Scope: k.scope, Turn: k.turn, Verdict: k.verdict}
}

// looked handles a look. It becomes an event only if it is news.
func (l *loop) looked(ctx context.Context, k looked) {
	r := l.running()
	if r == nil || r.record.ID != k.release || r.back != nil || !r.state.Watches(k.scope) {
		return
	}
	if r.state.Turn != k.turn && k.verdict.Outcome != judge.Fail {
		return
	}
	var kept *record.LooksError
	if errors.As(k.saved, &kept) && k.verdict.Outcome != judge.Fail {
		k.verdict = unusable(k.verdict, kept) // it will never be written, so it counts as a look without data
	}
	verdict := k.verdict // a copy: the look is not kept in memory
	r.verdict = &verdict
	l.e.metrics.verdict(l.name, k.verdict)
	l.e.feed.tell(record.Update{Rollout: l.name, Release: k.release})
	l.note(aboutClock, differ(k.behind))
	if l.note(aboutLooks, k.saved) && k.verdict.Outcome != judge.Fail && kept == nil {
		return // an unwritten look must not advance anything
	}
	l.standIn(ctx, k)
	if !rollout.News(r.state.Look, k.verdict, k.look.Unsettled) {
		return
	}
	_, _ = l.append(ctx, r.event(k.event(), "judge"))
}

// differ is the error that the clocks differ; nil if they do not.
func differ(behind time.Duration) error {
	by, how := behind, "behind"
	switch {
	case behind == 0:
		return nil
	case behind < 0:
		by, how = -behind, "ahead of"
	}
	return fmt.Errorf("the clock of the source of metrics is %s %s this daemon's, and looks follow it: "+
		"set the clocks right (NTP)", by.Round(time.Second), how)
}

// unusable is the verdict of a look whose contents cannot be stored, as if the source had not answered.
func unusable(v judge.Verdict, why error) judge.Verdict {
	v.Outcome, v.Reason, v.Enough, v.Leaning, v.SampleRatio = judge.Inconclusive, judge.Unreachable, false, false, nil
	v.Metrics = slices.Clone(v.Metrics)
	for i := range v.Metrics {
		m := &v.Metrics[i]
		*m = judge.MetricVerdict{
			Metric: m.Metric, Kind: m.Kind, Optional: m.Optional, DryRun: m.DryRun, Outcome: v.Outcome, Reason: v.Reason, Detail: why.Error(),
		}
	}
	if len(v.Metrics) > 0 {
		v.Decisive = v.Metrics[0].Metric
	}
	return v
}

// standIn puts a target in force by the split of requests, if no API of the gateway is configured.
func (l *loop) standIn(ctx context.Context, k looked) {
	want, _ := l.target()
	if l.gw.confirmed != traffic.Unconfirmed || len(l.gw.observed.Replicas) > 0 || k.look.Requests == nil || !l.gw.holds(want) {
		return
	}
	r := l.rel
	seen := rollout.Requests{Turn: k.turn, From: k.from, Canary: k.look.Requests.Canary, Baseline: k.look.Requests.Baseline}
	if r.state.StandsIn(r.state.Target(&r.plan.Rollout, k.release).Exposure, seen, l.gw.appliedAt) {
		l.say(ctx, rollout.InForce{Turn: k.turn, How: "metrics"})
	}
}
