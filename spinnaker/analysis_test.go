package spinnaker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/spinnaker"
	"github.com/serindev/serin/spinnaker/kept"
)

// direct is an imitation of Prometheus without a network, on which a synctest bubble could not wait. It counts queries
// and answers none while it is down.
type direct struct {
	value   value
	queries atomic.Int64
	down    atomic.Bool
	hang    atomic.Bool
}

func (d *direct) Range(ctx context.Context, expression string, from, to time.Time, step time.Duration) analysis.Answer {
	d.queries.Add(1)
	if d.hang.Load() {
		<-ctx.Done()
	}
	if d.down.Load() || ctx.Err() != nil {
		return analysis.Answer{Err: errors.New("ask prometheus: connection refused")}
	}
	if to.Sub(from)/step > 11_000 {
		return analysis.Answer{Err: errors.New("exceeded maximum resolution of 11,000 points"), Refused: true}
	}
	var s analysis.Series
	for at := from; !at.After(to); at = at.Add(step) {
		if v := d.value(expression, at); !math.IsNaN(v) {
			s.Samples = append(s.Samples, analysis.Sample{T: at.UnixMilli(), V: v})
		}
	}
	if len(s.Samples) == 0 {
		return analysis.Answer{}
	}
	return analysis.Answer{Series: []analysis.Series{s}}
}

func (d *direct) MetricNames(context.Context) ([]string, error) {
	if d.down.Load() {
		return nil, errors.New("connection refused")
	}
	return []string{"http_requests_total", "up"}, nil
}

// windowsOf returns the judgements of an analysis.
func windowsOf(body map[string]any) (out []map[string]any) {
	for _, r := range pointer(body, "/canaryAnalysisExecutionResult/canaryExecutionResults").([]any) {
		out = append(out, r.(map[string]any))
	}
	return out
}

// The waits and windows of testdata/spinnaker/standalone-windows.json are Kayenta's.
func TestAnalysesWaitAndJudgeAsKayentaDoes(t *testing.T) {
	for _, c := range golden[struct {
		Name    string
		Now     time.Time
		Request map[string]any
		Expect  struct {
			Steps []struct {
				Wait   *float64
				Scopes map[string]map[string][2]string
				Step   float64
			}
		}
	}](t, "standalone-windows.json") {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				until(c.Now)
				s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
				status, body := s.do(t, http.MethodPost, "/standalone_canary_analysis", map[string]string{"application": "shop"},
					map[string]any{"canaryConfig": config("", nil), "executionRequest": c.Request})
				require.Equal(t, http.StatusOK, status, "%v", body)
				path := "/standalone_canary_analysis/" + body.(map[string]any)["canaryAnalysisExecutionId"].(string)
				wait, n := time.Duration(0), 0
				for _, step := range c.Expect.Steps {
					if step.Wait != nil {
						wait += time.Duration(*step.Wait) * time.Second
						continue
					}
					n++
					time.Sleep(wait - time.Second) // virtual: just before it is due
					synctest.Wait()
					if wait > 0 {
						require.Len(t, runsOf(t, s), n-1)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					wait = 0
					checkWindow(t, runsOf(t, s), n-1, len(c.Expect.Steps), step.Scopes, step.Step)
				}
				end := s.ended(t, path)
				require.Equal(t, "succeeded", end["status"], "%v", end)
				require.Len(t, windowsOf(end), n)
				require.Equal(t, true, pointer(end, "/canaryAnalysisExecutionResult/didPassThresholds"))
				s.stop()
			})
		})
	}
}

// until sleeps in virtual time: a bubble begins in the year 2000.
func until(at time.Time) { time.Sleep(time.Until(at)) }

// runsOf returns all runs of the application shop, oldest first.
func runsOf(t *testing.T, s client) []any {
	t.Helper()
	_, body := s.do(t, http.MethodGet, "/canary/executions", map[string]string{"application": "shop", "limit": "100"}, nil)
	all := body.([]any)
	for i := range len(all) / 2 {
		all[i], all[len(all)-1-i] = all[len(all)-1-i], all[i]
	}
	return all
}

func checkWindow(t *testing.T, runs []any, i, most int, scopes map[string]map[string][2]string, step float64) {
	t.Helper()
	require.Greater(t, len(runs), i)
	require.LessOrEqual(t, len(runs), most)
	for name, sides := range scopes {
		for side, times := range sides {
			at := "/canaryExecutionRequest/scopes/" + name + "/" + side + "Scope"
			require.Equal(t, times[0], pointer(runs[i], at+"/start"))
			require.Equal(t, times[1], pointer(runs[i], at+"/end"))
			require.Equal(t, step, pointer(runs[i], at+"/step"))
		}
	}
}

// started starts an analysis of one hour in three intervals and returns its path.
func started(t *testing.T, s client, judge string, options map[string]any, thresholds map[string]any) string {
	t.Helper()
	status, body := s.do(t, http.MethodPost, "/standalone_canary_analysis", map[string]string{"application": "shop"}, map[string]any{
		"canaryConfig": config(judge, options), "executionRequest": map[string]any{
			"scopes":     []any{map[string]any{"controlScope": "shop-baseline", "controlLocation": "prod", "experimentScope": "shop-canary", "experimentLocation": "prod"}},
			"thresholds": thresholds, "lifetimeDurationMins": 60, "analysisIntervalMins": "20",
		},
	})
	require.Equal(t, http.StatusOK, status, "%v", body)
	return "/standalone_canary_analysis/" + body.(map[string]any)["canaryAnalysisExecutionId"].(string)
}

var usual = map[string]any{"pass": 95.0, "marginal": 75.0}

func TestAnAnalysisGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := openStore(t)
		metrics := &direct{value: same}
		s := newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		path := started(t, s, "", nil, usual)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		require.Len(t, runsOf(t, s), 1)
		s.stop()
		time.Sleep(15 * time.Minute) // the second interval passes while the daemon is down
		s = newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		synctest.Wait()
		require.Len(t, runsOf(t, s), 2)
		metrics.hang.Store(true)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		s.stop() // in the middle of the third judgement
		metrics.hang.Store(false)
		s = newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		synctest.Wait()
		_, body := s.do(t, http.MethodGet, path, nil, nil)
		end := body.(map[string]any)
		require.Equal(t, "succeeded", end["status"])
		require.Len(t, windowsOf(end), 3)
		require.Len(t, runsOf(t, s), 3, "no window is judged twice")
		for _, stage := range end["stageStatus"].([]any) {
			require.Equal(t, "SUCCEEDED", pointer(stage, "/status"), "%v", stage)
		}
		s.stop()
	})
}

// An analysis may take longer than runs are kept. The results of its intervals stay until it has ended: judged again
// after a restart, once Prometheus has deleted their samples, they would fail.
func TestAnAnalysisOutlivesTheRetentionOfItsIntervals(t *testing.T) {
	for _, judge := range []string{"", sequentialJudge} {
		t.Run(judge, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				metrics := &direct{value: func(query string, at time.Time) float64 {
					if time.Since(at) > 75*time.Minute {
						return math.NaN()
					}
					return same(query, at)
				}}
				o := spinnaker.Options{Store: openStore(t), Metrics: metrics, Retention: 90 * time.Minute}
				s := newService(t, o)
				_, body := s.do(t, http.MethodPost, "/standalone_canary_analysis", map[string]string{"application": "shop"}, map[string]any{
					"canaryConfig": config(judge, map[string]any{"inconclusive": "continue"}), "executionRequest": map[string]any{
						"scopes":     []any{map[string]any{"controlScope": "shop-baseline", "controlLocation": "prod", "experimentScope": "shop-canary", "experimentLocation": "prod"}},
						"thresholds": usual, "lifetimeDurationMins": 360, "analysisIntervalMins": 60,
					},
				})
				path := "/standalone_canary_analysis/" + pointer(body, "/canaryAnalysisExecutionId").(string)
				until(begun.Add(5*time.Hour + 30*time.Minute))
				synctest.Wait()
				judged := runsOf(t, s)
				require.Len(t, judged, 5)
				s.stop()
				s = newService(t, o)
				synctest.Wait()
				require.Equal(t, judged, runsOf(t, s), "nothing was deleted, and nothing is judged again")
				until(begun.Add(6*time.Hour + time.Minute))
				synctest.Wait()
				_, body = s.do(t, http.MethodGet, path, nil, nil)
				require.Equal(t, "succeeded", pointer(body, "/status"), "%v", body)
				require.Len(t, windowsOf(body.(map[string]any)), 6)

				until(begun.Add(10 * time.Hour))
				synctest.Wait()
				require.Empty(t, runsOf(t, s), "after the end the usual retention applies")
				status, _ := s.do(t, http.MethodGet, path, nil, nil)
				require.Equal(t, http.StatusNotFound, status)
				s.stop()
			})
		})
	}
}

func TestAnAnalysisIsCancelledWhileItWaitsAndWhileItJudges(t *testing.T) {
	for name, wait := range map[string]time.Duration{"while it waits": 5 * time.Minute, "while it judges": 21 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				metrics := &direct{value: same}
				metrics.hang.Store(true)
				s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: metrics})
				path := started(t, s, "", nil, usual)
				time.Sleep(wait)
				synctest.Wait()
				id := path[strings.LastIndexByte(path, '/')+1:]
				for range 2 {
					status, _ := s.do(t, http.MethodPut, "/pipelines/"+id+"/cancel", nil, "")
					require.Equal(t, http.StatusAccepted, status)
				}
				synctest.Wait()
				_, body := s.do(t, http.MethodGet, path, nil, nil)
				require.Equal(t, "canceled", pointer(body, "/status"))
				require.Equal(t, "CANCELED", pointer(body, "/executionStatus"))
				require.Equal(t, true, pointer(body, "/complete"))
				for _, r := range runsOf(t, s) {
					require.Equal(t, "canceled", pointer(r, "/status"))
				}
				asked := metrics.queries.Load()
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				require.Equal(t, asked, metrics.queries.Load(), "no work continues")
				s.stop()
			})
		})
	}
}

func TestAnAnalysisEndsAtTheFirstFailedInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: worse}})
		path := started(t, s, "", nil, usual)
		time.Sleep(21 * time.Minute)
		synctest.Wait()
		_, body := s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, "terminal", pointer(body, "/status"))
		require.Equal(t, false, pointer(body, "/canaryAnalysisExecutionResult/didPassThresholds"))
		require.Equal(t, "Final canary score 0.0 is not above the marginal score threshold.", pointer(body, "/canaryAnalysisExecutionResult/canaryScoreMessage"))
		require.Equal(t, true, pointer(body, "/canaryAnalysisExecutionResult/hasWarnings"), "21 points are few")
		s.stop()
	})
}

func TestSequentialAnalysesAddUpAndNeverPassInDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		metrics    value
		options    map[string]any
		thresholds map[string]any
		status     string
		passed     any
		message    string
	}{
		"inconclusive, which fails": {same, map[string]any{}, usual, "terminal", false, "not above the marginal"},
		"inconclusive first, then decided": {same, map[string]any{"inconclusive": "continue"}, usual, "succeeded", true,
			"Final canary score 100.0 met or exceeded the pass score threshold."},
		"inconclusive to the end": {same, map[string]any{"inconclusive": "continue", "passAfterMins": 600}, usual, "succeeded", false,
			"Final canary score 85.0 is below the pass score threshold."},
		"worse":                              {worse, map[string]any{"inconclusive": "continue"}, usual, "terminal", false, "Final canary score 0.0"},
		"no canary":                          {gone, map[string]any{"inconclusive": "continue"}, usual, "terminal", false, "There were no successful canary judgements to aggregate"},
		"a threshold that everything passes": {same, map[string]any{}, map[string]any{"pass": 0}, "terminal", nil, ""},
		"no threshold":                       {same, map[string]any{}, map[string]any{}, "terminal", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: c.metrics}})
				path := started(t, s, sequentialJudge, c.options, c.thresholds)
				time.Sleep(61 * time.Minute)
				synctest.Wait()
				_, body := s.do(t, http.MethodGet, path, nil, nil)
				require.Equal(t, c.status, pointer(body, "/status"), "%v", body)
				require.Equal(t, c.passed, pointer(body, "/canaryAnalysisExecutionResult/didPassThresholds"))
				if c.message != "" {
					require.Contains(t, pointer(body, "/canaryAnalysisExecutionResult/canaryScoreMessage"), c.message)
				} else {
					require.Contains(t, pointer(body, "/exception/details/errors/0"), "thresholds")
				}
				s.stop()
			})
		})
	}
}

func TestErrorsInAnAnalysisRequestShowInItsRun(t *testing.T) {
	scopes := []any{map[string]any{"controlScope": "a", "experimentScope": "b"}}
	for name, c := range map[string]struct {
		request map[string]any
		want    string
	}{
		"no scope":            {map[string]any{"lifetimeDurationMins": 60}, "must contain at least one scope"},
		"no lifetime":         {map[string]any{"scopes": scopes}, "must include either"},
		"a lifetime of NaN":   {map[string]any{"scopes": scopes, "lifetimeDurationMins": "NaN"}, "lifetime of an analysis"},
		"an endless lifetime": {map[string]any{"scopes": scopes, "lifetimeDurationMins": 1e300}, "lifetime of an analysis"},
		"too many intervals":  {map[string]any{"scopes": scopes, "lifetimeDurationMins": 60000, "analysisIntervalMins": 0.01}, "intervals are too many"},
		"an end before its start": {map[string]any{"scopes": []any{map[string]any{
			"startTimeIso": "2025-04-08T20:00:00Z", "endTimeIso": "2025-04-08T19:00:00Z"}}}, "lifetime of an analysis"},
		"another scope's name": {map[string]any{"scopes": []any{map[string]any{"scopeName": "x"}}, "lifetimeDurationMins": 1}, "[default]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
			status, body := s.do(t, http.MethodPost, "/standalone_canary_analysis", nil, map[string]any{"canaryConfig": config("", nil), "executionRequest": c.request})
			require.Equal(t, http.StatusOK, status, "%v", body)
			end := s.ended(t, "/standalone_canary_analysis/"+pointer(body, "/canaryAnalysisExecutionId").(string))
			require.Equal(t, "terminal", end["status"])
			require.Contains(t, pointer(end, "/exception/details/errors/0"), c.want)
		})
	}
}

func TestQueriesAreRetriedWhilePrometheusIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := &direct{value: same}
		metrics.down.Store(true)
		s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: metrics})
		start := func() string {
			_, body := s.do(t, http.MethodPost, "/canary", nil, map[string]any{"canaryConfig": config("", nil), "executionRequest": execution("a-baseline", "a-canary")})
			return "/canary/" + pointer(body, "/canaryExecutionId").(string)
		}
		path := start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		_, body := s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, "running", pointer(body, "/status"))
		metrics.down.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		_, body = s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, "succeeded", pointer(body, "/status"))
		metrics.down.Store(true)
		path = start()
		time.Sleep(8*time.Minute + 30*time.Second)
		synctest.Wait()
		_, body = s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, "running", pointer(body, "/status"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, body = s.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, "terminal", pointer(body, "/status"), "the waits add up to 8 minutes and 31 seconds")
		require.Contains(t, pointer(body, "/exception/details/errors/0"), "connection refused")
		_, body = s.do(t, http.MethodGet, "/metadata/metricsService", map[string]string{"filter": "x"}, nil)
		require.Equal(t, []any{}, body, "Deck waits for this answer, so it is not an error")
		s.stop()
	})
}

// slowStore returns the state of one run a second after it has read it.
type slowStore struct {
	spinnaker.Store
	slow atomic.Value // its id
}

func (s *slowStore) CanaryRun(ctx context.Context, id string) (kept.Run, error) {
	r, err := s.Store.CanaryRun(ctx, id)
	if s.slow.Load() == id {
		time.Sleep(time.Second) // virtual
	}
	return r, err
}

// An interval that begins while its analysis is being cancelled is cancelled too.
func TestNoIntervalOutlivesTheCancellationOfItsAnalysis(t *testing.T) {
	for before, begun := range map[time.Duration]int{500 * time.Millisecond: 1, 1500 * time.Millisecond: 0} {
		t.Run(before.String(), func(t *testing.T) { cancelledJustBefore(t, before, begun) })
	}
}

// cancelledJustBefore cancels an analysis shortly before its first interval is due, and counts the runs that begin.
func cancelledJustBefore(t *testing.T, before time.Duration, begun int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		metrics := &direct{value: same}
		metrics.hang.Store(true)
		kept := &slowStore{Store: openStore(t)}
		s := newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		path := started(t, s, "", nil, usual)
		time.Sleep(20*time.Minute - before)
		id := path[strings.LastIndexByte(path, '/')+1:]
		kept.slow.Store(id)
		status, _ := s.do(t, http.MethodPut, "/pipelines/"+id+"/cancel", nil, "")
		require.Equal(t, http.StatusAccepted, status)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, runsOf(t, s), begun)
		for _, r := range runsOf(t, s) {
			require.Equal(t, "canceled", pointer(r, "/status"))
		}
		s.stop()
	})
}

// Orca polls for 12 hours, and a run does not outlive the last poll. A run that was not worked on for that long still
// gets a chance.
func TestARunIsAbandonedWhenOrcaNoLongerPollsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, metrics := openStore(t), &direct{value: same}
		metrics.hang.Store(true)
		s := newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		start := func() string {
			_, body := s.do(t, http.MethodPost, "/canary", nil, map[string]any{"canaryConfig": config("", nil), "executionRequest": execution("a-baseline", "a-canary")})
			return "/canary/" + pointer(body, "/canaryExecutionId").(string)
		}
		status := func(path string) any {
			synctest.Wait()
			_, body := s.do(t, http.MethodGet, path, nil, nil)
			return pointer(body, "/status")
		}
		path := start()
		time.Sleep(12*time.Hour - time.Minute)
		require.Equal(t, "running", status(path))
		time.Sleep(2 * time.Minute)
		require.Equal(t, "terminal", status(path))
		_, body := s.do(t, http.MethodGet, path, nil, nil)
		require.Contains(t, pointer(body, "/exception/details/errors/0"), "within 12 hours")

		path = start()
		synctest.Wait()
		s.stop()
		time.Sleep(24 * time.Hour)
		metrics.hang.Store(false)
		s = newService(t, spinnaker.Options{Store: kept, Metrics: metrics})
		require.Equal(t, "succeeded", status(path))
		s.stop()
	})
}

func TestOpenRunsAreBounded(t *testing.T) {
	metrics := &direct{value: same}
	metrics.hang.Store(true)
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: metrics, MaxRuns: 2})
	start := func() (int, any) {
		return s.do(t, http.MethodPost, "/canary", nil, map[string]any{"canaryConfig": config("", nil), "executionRequest": execution("a", "b")})
	}
	var id string
	for range 2 {
		status, body := start()
		require.Equal(t, http.StatusOK, status)
		id = pointer(body, "/canaryExecutionId").(string)
	}
	status, body := start()
	require.Equal(t, http.StatusServiceUnavailable, status, "the only status after which Orca retries")
	require.Equal(t, "Service Unavailable", pointer(body, "/error"))
	status, _ = s.do(t, http.MethodPut, "/pipelines/"+id+"/cancel", nil, "")
	require.Equal(t, http.StatusAccepted, status)
	status, _ = start()
	require.Equal(t, http.StatusOK, status)
}

// The expectations of testdata/spinnaker/standalone-decision.json are Kayenta's.
func TestScoresDecideAsKayentaDecides(t *testing.T) {
	for _, c := range golden[struct {
		Name       string
		Scores     []float64
		Thresholds struct{ Pass, Marginal *float64 }
		Expect     struct {
			DidPassThresholds  bool
			CanaryScoreMessage string
			CanaryScores       []float64
			Status             string
		}
	}](t, "standalone-decision.json") {
		t.Run(c.Name, func(t *testing.T) {
			passed, message, counted, status := spinnaker.Decide(c.Scores, c.Thresholds.Pass, c.Thresholds.Marginal)
			require.Equal(t, c.Expect.DidPassThresholds, passed)
			require.Equal(t, c.Expect.CanaryScoreMessage, message)
			require.Equal(t, c.Expect.CanaryScores, counted, fmt.Sprint(c.Scores))
			require.Equal(t, c.Expect.Status, status)
		})
	}
}
