package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

// replayed is how many looks are read at once while a release is gone through again.
const replayed = 500

// teach keeps what the comparisons of a release that went well have shown of their noise, one past for every weight:
// it is the next one's prior. The looks are gone through again from the beginning, so that a restart in the middle of
// the release has lost nothing of it.
func (k *looks) teach(ctx context.Context, r *release) error {
	var out []record.Learned
	for _, scope := range r.plan.Rollout.Scopes {
		def := r.plan.Analyses[scope.Name].Defaults()
		def.Split.Off = true // noise is learned of metrics, not of the split
		j, err := k.e.o.NewJudge(def.Judge(len(r.plan.Rollout.Scopes)))
		if err != nil {
			return err
		}
		lessons, err := k.lessons(ctx, j, r.record.ID, scope.Name)
		if err != nil {
			return err
		}
		for _, l := range lessons {
			l.Rollout, l.Release, l.At = r.record.Rollout, r.record.ID, r.state.EndedAt
			l.Baseline = baselineOf(def, l.Metric)
			out = append(out, l)
		}
	}
	return k.e.o.Store.Learn(ctx, out)
}

// lessons are what the looks of a scope teach, asked for before each change of weight and at the end.
func (k *looks) lessons(ctx context.Context, j judge.Judge, release, scope string) ([]record.Learned, error) {
	var out []record.Learned
	evidence, weight, number := j.Begin(nil), 0.0, 0
	learn := func() {
		for metric, past := range evidence.Learned() {
			out = append(out, record.Learned{Metric: metric, Weight: weight, Past: past})
		}
	}
	for {
		page, err := k.e.o.Store.Looks(ctx, release, scope, number, replayed)
		if err != nil {
			return nil, err
		}
		for _, record := range page {
			if number > 0 && record.Look.Weight != weight {
				learn()
			}
			weight, number = record.Look.Weight, record.Look.Number
			evidence, _ = j.Look(evidence, record.Look)
		}
		if len(page) < replayed {
			learn()
			return out, nil
		}
	}
}

// rehearsing is how many releases ask their replicas at once: what these did over hours is a heavy question, and the
// looks come first.
const rehearsing = 2

// rehearse asks what stable's replicas did over the last hours, where they can be told apart and no release has
// taught anything yet: what they differ by is what the first release begins with. Without an answer it begins with
// what the analysis supposes.
func (k *looks) rehearse(ctx context.Context, s *subject) {
	to := time.Now().Add(-s.settle)
	asks := s.replicas.Asks(to)
	if len(asks) == 0 {
		return
	}
	select {
	case k.rehearsals <- struct{}{}:
		defer func() { <-k.rehearsals }()
	case <-ctx.Done():
		return
	}
	looks, err := s.replicas.Looks(k.e.o.Source.Fetch(ctx, asks), to)
	if ctx.Err() != nil {
		return
	}
	taught := s.judge.Replicas(looks)
	log := k.e.o.Log.With("rollout", s.loop.name, "release", s.release)
	if err != nil {
		log.Warn("nothing learned of stable's replicas", "err", err)
	}
	if len(taught) == 0 {
		return
	}
	log.Info("noise learned of stable's replicas", "metrics", slices.Sorted(maps.Keys(taught)))
	maps.Copy(taught, s.pasts)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taught = taught
}

// pasts are what earlier releases have taught about each metric of def, oldest first. What was compared with another
// kind of baseline says nothing.
func pasts(def analysis.Definition, learned []record.Learned) map[string][]judge.Past {
	out := map[string][]judge.Past{}
	for _, l := range learned {
		if l.Baseline == baselineOf(def, l.Metric) {
			out[l.Metric] = append(out[l.Metric], l.Past)
		}
	}
	return out
}

// baselineOf is the kind of baseline of a metric; empty for a metric that is not there.
func baselineOf(def analysis.Definition, metric string) string {
	for _, m := range def.Metrics {
		if m.Name == metric {
			switch m.Baseline.(type) {
			case analysis.Fixed:
				return "fixed"
			case analysis.Offset:
				return "offset"
			default:
				return "concurrent"
			}
		}
	}
	return ""
}
