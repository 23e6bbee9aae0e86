package spinnaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

const (
	// runsAtOnce bounds memory: the samples of a run are held until it is judged. Further runs wait.
	runsAtOnce = 16
	// attempts is how often a query is sent until it is answered, with waits of 1, 2, 4 … 256 s in between: 8.5 minutes
	// in all (section 6).
	attempts = 10
	// maxPoints bounds one run at 16 bytes a point: 300 metrics with 1,000 points a side.
	maxPoints = 600_000
	// lookAgain is how often the store is searched for runs that nothing works on; pruneAgain, for old ones.
	lookAgain  = time.Minute
	pruneAgain = time.Hour
	// writeAgain is the wait after a failed write.
	writeAgain = 2 * time.Second
	// stopTakes is how long a cancellation waits for the work to stop.
	stopTakes = 5 * time.Second
	// longestRun is how long Orca polls a run. A run that is older when work on it begins, because the daemon was down,
	// still gets lastTry.
	longestRun = 12 * time.Hour
	lastTry    = time.Hour
)

// Run works on all runs, including those of earlier processes, until ctx is done. Unfinished ones continue when the
// daemon starts again.
func (s *Service) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	places := make(chan struct{}, runsAtOnce)
	take := func(id string) { s.take(ctx, &work, places, id) }
	tick, prune := time.NewTicker(lookAgain), time.NewTicker(pruneAgain)
	defer tick.Stop()
	defer prune.Stop()
	s.lookThrough(ctx, take)
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-s.started:
			take(id)
		case <-tick.C:
			s.lookThrough(ctx, take)
		case <-prune.C:
			s.prune(ctx)
		}
	}
}

// lookThrough resumes every run that is not complete.
func (s *Service) lookThrough(ctx context.Context, take func(string)) {
	runs, err := s.o.Store.IncompleteCanaryRuns(ctx)
	if err != nil {
		s.o.Log.Error("list unfinished runs", "err", err)
		return
	}
	for _, r := range runs {
		s.opened(r.ID, math.MaxInt) // it was accepted earlier, whatever the limit is now
		take(r.ID)
	}
}

// prune deletes what is older than the retention, but nothing that is younger than an unfinished run. An analysis may take
// weeks, and needs the results of its first intervals and its evidence until it ends: an interval that had passed could
// fail if it were judged again after Prometheus has deleted its samples.
func (s *Service) prune(ctx context.Context) {
	if s.o.Retention <= 0 {
		return
	}
	before, err := s.needed(ctx, time.Now().Add(-s.o.Retention))
	if err == nil {
		err = s.o.Store.PruneCanary(ctx, before)
	}
	if err != nil {
		s.o.Log.Error("prune runs", "err", err)
	}
}

// needed returns the time from which on runs are needed: since, or the start of the oldest unfinished run if that is earlier.
func (s *Service) needed(ctx context.Context, since time.Time) (time.Time, error) {
	open, err := s.o.Store.IncompleteCanaryRuns(ctx)
	if err != nil {
		return since, err
	}
	for _, run := range open {
		id, err := ulid.ParseStrict(run.ID)
		if err != nil {
			return since, fmt.Errorf("run %q: %w", run.ID, err)
		}
		if begun := ulid.Time(id.Time()); begun.Before(since) {
			since = begun
		}
	}
	return since, nil
}

// take starts work on a run unless it is under way already. An analysis needs no place, as it waits most of the time.
func (s *Service) take(ctx context.Context, work *sync.WaitGroup, places chan struct{}, id string) *underWay {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.active[id]; ok {
		return u
	}
	own, cancel := context.WithCancel(ctx)
	u := &underWay{cancel: cancel, done: make(chan struct{})}
	s.active[id] = u
	work.Go(func() {
		defer func() {
			cancel()
			s.mu.Lock()
			delete(s.active, id)
			s.mu.Unlock()
			close(u.done)
		}()
		defer s.recovered(id)
		err := s.work(own, places, id, func(child string) *underWay { return s.take(ctx, work, places, child) })
		if err != nil && own.Err() == nil {
			s.o.Log.Error("work on a run", "run", id, "err", err)
		}
	})
	return u
}

// recovered confines a panic to the run that caused it. The next search of the store resumes that run.
func (s *Service) recovered(id string) {
	if defect := recover(); defect != nil {
		s.o.Log.Error("panic", "run", id, "err", fmt.Sprint(defect), "stack", string(debug.Stack()))
	}
}

// stop ends the work on a run and waits up to stopTakes for it to finish.
func (s *Service) stop(ctx context.Context, id string) {
	s.mu.Lock()
	u, ok := s.active[id]
	s.mu.Unlock()
	if !ok {
		return
	}
	u.cancel()
	ctx, cancel := context.WithTimeout(ctx, stopTakes)
	defer cancel()
	select {
	case <-u.done:
	case <-ctx.Done(): // still judging: its result will be discarded
	}
}

func (s *Service) work(ctx context.Context, places chan struct{}, id string, take func(string) *underWay) error {
	run, err := s.o.Store.CanaryRun(ctx, id)
	if err != nil {
		return err
	}
	if run.Complete {
		s.closed(id)
		return nil
	}
	if run.Kind == kindAnalysis {
		return s.analyse(ctx, run, take)
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var e execution
	if err := json.Unmarshal(run.Body, &e); err != nil {
		return fmt.Errorf("read run %s: %w", id, err)
	}
	return s.execute(ctx, e)
}

// failure says why a run ends without a verdict, and at which stage.
type failure struct {
	stage, operation string
	err              error
}

func (f *failure) Error() string { return f.err.Error() }

// execute measures, judges and writes how the run ended. It is safe to repeat after a crash.
func (s *Service) execute(ctx context.Context, e execution) error {
	limited, cancel := context.WithDeadline(ctx, e.deadline(time.Now()))
	defer cancel()
	for {
		pairs, evidence, err := s.conclude(limited, &e)
		if ctx.Err() != nil {
			return ctx.Err() // stopped or cancelled; the canceller has written the end
		}
		if err != nil && limited.Err() != nil {
			err = &failure{stageFetch, "prometheusFetch", fmt.Errorf("gave up: not judged within %g hours", longestRun.Hours())}
		}
		if err != nil {
			e.fail(err, time.Now())
		}
		err = s.finish(ctx, e.run(), pairs, evidence)
		if !errors.Is(err, record.ErrConflict) {
			return err
		}
		// Either the run was cancelled, or another look of its pipeline was written first, and this one has to be judged
		// again with that one's evidence.
		if run, err := s.o.Store.CanaryRun(ctx, e.PipelineID); err != nil || run.Complete {
			return err
		}
		e = e.again()
	}
}

// deadline is when Serin gives up on a run, because no client polls it any longer.
func (e execution) deadline(now time.Time) time.Time {
	end := e.BuildTimeISO.Add(longestRun)
	if least := now.Add(lastTry); end.Before(least) {
		return least
	}
	return end
}

// finish writes the end of a run and counts it.
func (s *Service) finish(ctx context.Context, run kept.Run, p *kept.Pairs, v *kept.Evidence) error {
	err := s.save(ctx, run, p, v)
	if err == nil {
		s.ended(run)
	}
	return err
}

// save writes a run and retries until that works, so that a full disk does not make Serin measure everything again. It
// returns record.ErrConflict or the error of ctx.
func (s *Service) save(ctx context.Context, run kept.Run, p *kept.Pairs, v *kept.Evidence) error {
	for {
		err := s.o.Store.UpdateCanaryRun(ctx, run, p, v)
		if err == nil || errors.Is(err, record.ErrConflict) {
			return err
		}
		s.o.Log.Error("write a run", "run", run.ID, "err", err)
		if !sleep(ctx, writeAgain) {
			return ctx.Err()
		}
	}
}

// ended counts the end of a run.
func (s *Service) ended(r kept.Run) {
	s.closed(r.ID)
	s.metrics.runs.WithLabelValues(r.Kind, r.Status).Inc()
	s.o.Log.Info("spinnaker run ended", "run", r.ID, "kind", r.Kind, "application", r.Application, "status", r.Status)
}

// sleep waits for d. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// conclude fills in how a run ends. Its error is a *failure. A panic fails the run, not the daemon.
func (s *Service) conclude(ctx context.Context, e *execution) (p *kept.Pairs, v *kept.Evidence, err error) {
	defer func() {
		if defect := recover(); defect != nil {
			s.o.Log.Error("panic", "run", e.PipelineID, "err", fmt.Sprint(defect), "stack", string(debug.Stack()))
			p, v, err = nil, nil, &failure{stageJudge, "judge", errors.New("internal error in Serin; its log has the details")} //nolint:staticcheck,revive // shown as a sentence
		}
	}()
	return s.concluded(ctx, e)
}

func (s *Service) concluded(ctx context.Context, e *execution) (*kept.Pairs, *kept.Evidence, error) {
	c, err := kayenta.DecodeConfig(e.Config)
	if err != nil {
		return nil, nil, &failure{stageSetup, "setupCanary", err}
	}
	judge, err := judgeOf(c)
	if err != nil {
		return nil, nil, &failure{stageJudge, "judge", err}
	}
	asks, err := metricset.Asks(c, e.Request.sets(), s.o.Rules)
	if err != nil {
		return nil, nil, &failure{stageFetch, "prometheusFetch", err}
	}
	measured, err := s.measure(ctx, asks)
	if err != nil {
		return nil, nil, err
	}
	kept, ids := e.keep(measured)
	out, err := judge(ctx, s, judging{config: c, execution: e, pairs: measured, ids: ids, same: metricset.Same(asks)})
	if err != nil {
		return kept, nil, &failure{stageJudge, "judge", err}
	}
	e.Result = &result{JudgeResult: out.result, CanaryDuration: e.Request.duration()}
	e.Warnings = out.warnings
	e.Status, e.Complete, e.StageStatus = statusSucceeded, true, stages(len(c.Metrics), stageNone)
	e.end(time.Now())
	return kept, out.evidence, nil
}

// keep returns what was measured in its stored form. Each pair gets an id, by which results refer to it.
func (e *execution) keep(measured []metricset.Pair) (*kept.Pairs, []string) {
	e.MetricSetPairListID = newUUID()
	wire, ids := make([]metricSetPair, len(measured)), make([]string, len(measured))
	for i, p := range measured {
		ids[i] = newUUID()
		wire[i] = wirePair(p, ids[i])
	}
	return &kept.Pairs{ID: e.MetricSetPairListID, At: time.Now().UTC(), Body: mustJSON(wire)}, ids
}

// duration is how long the scopes are, or empty if they or their sides differ in that.
func (r executionRequest) duration() string {
	var all []time.Duration
	for _, pair := range r.Scopes {
		all = append(all, pair.Control.End.Sub(pair.Control.Start.Time), pair.Experiment.End.Sub(pair.Experiment.Start.Time))
	}
	for _, d := range all {
		if d != all[0] {
			return ""
		}
	}
	if len(all) == 0 || all[0] < 0 {
		return ""
	}
	return isoDuration(all[0])
}

// fail ends a run with an error that people read in Deck.
func (e *execution) fail(err error, now time.Time) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{stageSetup, "setupCanary", err}
	}
	e.Status, e.Complete, e.Result, e.StageStatus = statusTerminal, true, nil, stages((len(e.StageStatus)-3)/2, f.stage)
	e.Exception = newException(f.operation, f.err, now)
	e.end(now)
}

func newException(operation string, err error, now time.Time) *exception {
	return &exception{
		ExceptionType: "IllegalArgumentException", Operation: operation, Timestamp: now.UnixMilli(),
		Details: exceptionDetails{Error: "Unexpected Task Failure", Errors: []string{err.Error()}},
	}
}

// again returns the run as it was before it was concluded.
func (e execution) again() execution {
	e.Status, e.Complete, e.Result, e.Exception, e.MetricSetPairListID, e.Warnings = statusRunning, false, nil, nil, "", nil
	e.EndTimeISO, e.EndTimeMillis = instant{}, 0
	return e
}

// measure runs all queries and pairs the answers, in the order of the config. Its error is a *failure.
func (s *Service) measure(ctx context.Context, asks []metricset.Ask) ([]metricset.Pair, error) {
	sides := make([][2]metricset.Side, len(asks))
	all, ctx := errgroup.WithContext(ctx)
	for i, a := range asks {
		for side, q := range []metricset.Question{a.Control, a.Experiment} {
			all.Go(func() error {
				series, err := s.ask(ctx, q)
				sides[i][side] = metricset.Side{Question: q, Series: series}
				return err
			})
		}
	}
	if err := all.Wait(); err != nil {
		return nil, &failure{stageFetch, "prometheusFetch", err}
	}
	var pairs []metricset.Pair
	points := 0
	for i, a := range asks {
		more, err := metricset.Pairs(a.Name, sides[i][0], sides[i][1])
		if err != nil {
			return nil, &failure{stageMix, "mixMetricSets", err}
		}
		pairs = append(pairs, more...)
		for _, p := range more {
			points += len(p.Control.Values) + len(p.Experiment.Values)
		}
		if points > maxPoints {
			return nil, &failure{stageMix, "mixMetricSets", fmt.Errorf("the metrics have more than %d points in all", maxPoints)}
		}
	}
	return pairs, nil
}

// ask repeats one query until Prometheus answers or refuses it, or all attempts are used up.
func (s *Service) ask(ctx context.Context, q metricset.Question) ([]analysis.Series, error) {
	wait := time.Second
	for attempt := 1; ; attempt++ {
		a, err := s.askOnce(ctx, q)
		switch {
		case err != nil:
			return nil, err
		case a.Err == nil:
			return a.Series, nil
		case a.Refused || attempt == attempts:
			return nil, a.Err
		}
		if !sleep(ctx, wait) {
			return nil, ctx.Err()
		}
		wait *= 2
	}
}

func (s *Service) askOnce(ctx context.Context, q metricset.Question) (analysis.Answer, error) {
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	case <-ctx.Done():
		return analysis.Answer{}, ctx.Err()
	}
	return s.o.Metrics.Range(ctx, q.PromQL, q.Scope.Start, q.Scope.End, q.Scope.Step), nil
}
