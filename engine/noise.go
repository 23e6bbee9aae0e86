package engine

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

// replayed is how many looks are read at once while a release is replayed.
const replayed = 500

// teach stores the noise that the looks of a successful release have shown, with which the next release begins. The
// looks are replayed from the beginning, so a restart in the middle of the release has lost nothing.
func (k *looks) teach(ctx context.Context, r *release) error {
	var out []record.Learned
	for _, scope := range r.plan.Rollout.Scopes {
		def := r.plan.Analyses[scope.Name].Defaults()
		def.Split.Off = true // noise is learned for metrics, not for the split
		j, err := k.e.o.NewJudge(def.Judge(len(r.plan.Rollout.Scopes)))
		if err != nil {
			return err
		}
		lessons, err := k.lessons(ctx, j, r.record.ID, scope.Name)
		if err != nil {
			return err
		}
		_, copies := r.plan.Rollout.Steps.Mirror(scope.Name)
		for _, l := range lessons {
			l.Rollout, l.Release, l.At = r.record.Rollout, r.record.ID, r.state.EndedAt
			l.Baseline = baselineOf(def, l.Metric, copies)
			out = append(out, l)
		}
	}
	return k.e.o.Store.Learn(ctx, out)
}

// lessons returns the noise in the looks of a scope. Nothing is learned from a metric that failed: the version was
// worse, even if a person released it or the metric decides nothing, and that is not noise.
func (k *looks) lessons(ctx context.Context, j judge.Judge, release, scope string) ([]record.Learned, error) {
	evidence, weight, number := j.Begin(nil), 0.0, 0
	failed := map[string]bool{}
	for {
		page, err := k.e.o.Store.Looks(ctx, release, scope, number, replayed)
		if err != nil {
			return nil, err
		}
		for _, taken := range page {
			weight, number = taken.Look.Weight, taken.Look.Number
			evidence, _ = j.Look(evidence, taken.Look)
			for _, m := range taken.Verdict.Metrics {
				failed[m.Metric] = failed[m.Metric] || m.Outcome == judge.Fail
			}
		}
		if len(page) == replayed {
			continue
		}
		var out []record.Learned
		for metric, past := range evidence.Learned() {
			if !failed[metric] {
				out = append(out, record.Learned{Metric: metric, Weight: weight, Past: past})
			}
		}
		return out, nil
	}
}

// rehearsing is how many releases query stable's history at once: a day of history is a heavy query, and looks come first.
const rehearsing = 2

// rehearseAgain is how soon stable's history is queried again if none of it was available.
const rehearseAgain = 10 * time.Second

// rehearse queries stable's history of the last day. The release begins with the wandering of its rates and the
// differences of its replicas, along with the noise learned from earlier releases. The query is repeated until it is
// answered or something is judged; without an answer the analysis's assumptions apply.
func (k *looks) rehearse(ctx context.Context, s *subject) {
	defer func() { s.pasts, s.history = nil, analysis.History{} }() // a day of minutes, of which nothing else is used
	for !k.rehearsed(ctx, s) {
		select {
		case <-time.After(rehearseAgain):
		case <-ctx.Done():
			return
		}
	}
}

// rehearsed queries it once, and reports whether nothing is left to try.
func (k *looks) rehearsed(ctx context.Context, s *subject) bool {
	s.mu.Lock()
	late := s.judged
	s.mu.Unlock()
	to := time.Now().Add(-s.settle - k.behind())
	parts := s.history.Parts(to)
	if late || len(parts) == 0 || !k.follows(s) {
		return true
	}
	select {
	case k.rehearsals <- struct{}{}:
		defer func() { <-k.rehearsals }()
	case <-ctx.Done():
		return true
	}
	log := k.e.o.Log.With("rollout", s.loop.name, "release", s.release)
	answered := false
	for _, part := range parts {
		err := s.history.Add(k.e.o.Source.Fetch(ctx, s.history.Asks(part)), part)
		if ctx.Err() != nil {
			return true
		}
		if answered = answered || err == nil; err != nil {
			log.Warn("nothing learned from a part of stable's history", "until", part, "err", err)
		}
	}
	if answered {
		s.learn(log)
	}
	return answered
}

// learn takes the noise from the history.
func (s *subject) learn(log *slog.Logger) {
	taught := maps.Clone(s.pasts)
	if taught == nil {
		taught = map[string][]judge.Past{}
	}
	known := s.judge.History(s.history.Sums())
	if len(known) == 0 {
		return
	}
	for metric, past := range known {
		taught[metric] = append(slices.Clone(taught[metric]), past)
	}
	log.Info("noise learned from stable's history", "metrics", slices.Sorted(maps.Keys(known)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taught = taught
}

// pasts is the noise learned about each metric of def from earlier releases, oldest first. Comparisons with another
// kind of baseline do not count; copies tells whether the canary gets copies of the baseline's own requests.
func pasts(def analysis.Definition, learned []record.Learned, copies bool) map[string][]judge.Past {
	out := map[string][]judge.Past{}
	for _, l := range learned {
		if l.Baseline == baselineOf(def, l.Metric, copies) {
			out[l.Metric] = append(out[l.Metric], l.Past)
		}
	}
	return out
}

// baselineOf is the kind of a metric's baseline; empty if def has no such metric. If the canary gets copies of the
// baseline's requests, that is a kind of its own: both arms then have the same users, so that nothing is learned about
// how users differ.
func baselineOf(def analysis.Definition, metric string, copies bool) string {
	for _, m := range def.Metrics {
		if m.Name == metric {
			switch m.Baseline.(type) {
			case analysis.Fixed:
				return "fixed"
			case analysis.Offset:
				return "offset"
			default:
				if copies {
					return "copied"
				}
				return "concurrent"
			}
		}
	}
	return ""
}
