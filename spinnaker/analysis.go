package spinnaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
)

// analysisExecution is a standalone analysis, as clients read it and as it is stored (section 3).
type analysisExecution struct {
	Application     string          `json:"application"`
	User            string          `json:"user"`
	Parent          string          `json:"parentPipelineExecutionId,omitempty"`
	PipelineID      string          `json:"pipelineId"`
	StageStatus     []analysisStage `json:"stageStatus"`
	Complete        bool            `json:"complete"`
	ExecutionStatus string          `json:"executionStatus"`
	Status          string          `json:"status"`
	Exception       *exception      `json:"exception,omitempty"`
	Result          *analysisResult `json:"canaryAnalysisExecutionResult,omitempty"`
	Request         analysisRequest `json:"canaryAnalysisExecutionRequest"`
	CanaryConfig    json.RawMessage `json:"canaryConfig"`
	CanaryConfigID  string          `json:"canaryConfigId"`
	// Runs are the ids of the judgements begun so far, in order. The next one begins when the last has ended.
	Runs []string `json:"serinRuns,omitempty"`
	times
	accounts
}

// analysisStage is one step of an analysis, shown to people.
type analysisStage struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Status      string `json:"status"`
	ExecutionID string `json:"executionId,omitempty"`
}

// analysisResult is the outcome of an analysis. Its clients decide by DidPassThresholds.
type analysisResult struct {
	DidPassThresholds      bool              `json:"didPassThresholds"`
	HasWarnings            bool              `json:"hasWarnings"`
	CanaryScoreMessage     string            `json:"canaryScoreMessage"`
	CanaryScores           []number          `json:"canaryScores"`
	CanaryExecutionResults []executionResult `json:"canaryExecutionResults"`
	BuildTimeISO           instant           `json:"buildTimeIso"`
	StartTimeISO           instant           `json:"startTimeIso"`
	EndTimeISO             instant           `json:"endTimeIso"`
}

// executionResult is one judgement of an analysis.
type executionResult struct {
	ExecutionID              string     `json:"executionId"`
	ExecutionStatus          string     `json:"executionStatus"`
	Exception                *exception `json:"exception,omitempty"`
	Result                   *result    `json:"result,omitempty"`
	JudgementStartTimeISO    instant    `json:"judgementStartTimeIso,omitzero"`
	JudgementStartTimeMillis int64      `json:"judgementStartTimeMillis,omitempty"`
	JudgementEndTimeISO      instant    `json:"judgementEndTimeIso,omitzero"`
	JudgementEndTimeMillis   int64      `json:"judgementEndTimeMillis,omitempty"`
	Warnings                 []string   `json:"warnings"`
	MetricSetPairListID      string     `json:"metricSetPairListId,omitempty"`
	times
	accounts
}

func (s *Service) startAnalysis(r *http.Request) (*reply, error) {
	id := r.PathValue("id")
	config, err := s.storedConfig(r, id)
	if err != nil {
		return nil, err
	}
	var request analysisRequest
	if err := decodeBody(r, &request); err != nil {
		return nil, err
	}
	return s.begin(r, id, config, request)
}

func (s *Service) startAdHocAnalysis(r *http.Request) (*reply, error) {
	config, request, err := adHocBody[analysisRequest](r)
	if err != nil {
		return nil, err
	}
	return s.begin(r, adHoc, config, *request)
}

// begin stores an analysis. As in Kayenta, errors in the request show up in the run; only an impossible step is refused
// at once, because no run could work with it.
func (s *Service) begin(r *http.Request, configID string, config json.RawMessage, request analysisRequest) (*reply, error) {
	used, err := s.accountsOf(r)
	if err != nil {
		return nil, err
	}
	c, err := decodeConfig(config)
	if err != nil {
		return nil, err
	}
	for _, scope := range request.Scopes {
		if err := checkStep(string(scope.ScopeName), scope.Step); err != nil {
			return nil, err
		}
	}
	q, now := r.URL.Query(), time.Now()
	a := analysisExecution{
		Application: orAdHoc(q.Get("application")), User: q.Get("user"), Parent: q.Get("parentPipelineExecutionId"), PipelineID: newID(now),
		Request: request, CanaryConfig: mustJSON(c), CanaryConfigID: configID, accounts: used,
	}
	if a.User == "" {
		a.User = "anonymous"
	}
	a.times.begin(now)
	a.set(statusRunning)
	a.stages("RUNNING")
	if err := s.create(r.Context(), a.run()); err != nil {
		return nil, err
	}
	return ok(map[string]string{"canaryAnalysisExecutionId": a.PipelineID}), nil
}

func (s *Service) readAnalysis(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "storageAccountName", serinAccount); err != nil {
		return nil, err
	}
	run, err := s.runOf(r.Context(), r.PathValue("id"), kindAnalysis)
	if err != nil {
		return nil, err
	}
	return ok(run.Body), nil
}

func (a *analysisExecution) set(status string) {
	a.Status, a.ExecutionStatus = status, strings.ToUpper(status)
}

func (a analysisExecution) run() kept.Run {
	return kept.Run{
		ID: a.PipelineID, Kind: kindAnalysis, Application: a.Application, Status: a.Status, Complete: a.Complete,
		At: time.Now().UTC(), Body: mustJSON(a),
	}
}

// underWay returns the id of the judgement that the analysis waits for, or of its last one.
func (a analysisExecution) underWay() string {
	if len(a.Runs) == 0 {
		return ""
	}
	return a.Runs[len(a.Runs)-1]
}

func (a *analysisExecution) cancel(now time.Time) {
	a.set(statusCanceled)
	a.Complete = true
	a.end(now)
	a.stages("CANCELED")
}

// operationSetup is the stage at which an analysis fails if its request cannot be carried out.
const operationSetup = "setupAndExecuteCanaries"

// stages lists all stages with their state; current is the status of the one under way.
func (a *analysisExecution) stages(current string) {
	warmUp, _, windows, err := a.Request.plan(a.BuildTimeISO.Time)
	a.StageStatus = []analysisStage{{Type: "setupAndExecuteCanariesStage", Name: "Setup And Execute Canaries", Status: "SUCCEEDED"}}
	if err != nil || a.Exception != nil && a.Exception.Operation == operationSetup {
		a.StageStatus[0].Status = current
		return
	}
	add := func(kind, name string, n int, run string) {
		status := "SUCCEEDED"
		switch {
		case n > len(a.Runs):
			status = "NOT_STARTED"
		case n == len(a.Runs):
			status = current
		}
		a.StageStatus = append(a.StageStatus, analysisStage{kind, name, status, run})
	}
	waits := a.Request.Scopes[0].EndTimeISO.IsZero()
	if waits && warmUp > 0 {
		add("wait", "Warmup Wait", 0, "")
	}
	for i := range windows {
		run := ""
		if i < len(a.Runs) {
			run = a.Runs[i]
		}
		if waits {
			add("wait", fmt.Sprintf("Interval Wait #%d", i+1), i, "")
		}
		add("runCanary", fmt.Sprintf("Run Canary #%d", i+1), i+1, run)
	}
	last := "NOT_STARTED"
	if a.Result != nil {
		last = "SUCCEEDED"
	}
	a.StageStatus = append(a.StageStatus,
		analysisStage{Type: "generateCanaryAnalysisResultStage", Name: "Generate Canary Analysis Result", Status: last})
}

// analyse waits for each interval and has it judged, until one fails or the last has passed. It resumes where an
// earlier process stopped.
func (s *Service) analyse(ctx context.Context, run kept.Run, take func(string) *underWay) error {
	var a analysisExecution
	if err := json.Unmarshal(run.Body, &a); err != nil {
		return fmt.Errorf("read analysis %s: %w", run.ID, err)
	}
	_, _, windows, err := a.Request.plan(a.BuildTimeISO.Time)
	if err == nil {
		err = a.check()
	}
	if err != nil {
		a.Exception = newException(operationSetup, err, time.Now())
		return s.endAnalysis(ctx, a, nil, statusTerminal)
	}
	var done []execution
	for i, w := range windows {
		if i >= len(a.Runs) {
			if !s.until(ctx, w.Due) {
				return ctx.Err()
			}
			a.Runs = append(a.Runs, newID(time.Now()))
			a.stages("RUNNING")
			if err := s.save(ctx, a.run(), nil, nil); err != nil {
				return err
			}
		}
		e, err := s.awaitWindow(ctx, a, i, w, take)
		if err != nil {
			return err
		}
		done = append(done, e)
		if a.stops(e) {
			return s.endAnalysis(ctx, a, done, statusTerminal)
		}
	}
	return s.endAnalysis(ctx, a, done, statusSucceeded)
}

// check applies every check before the first wait, so that people see an error at once and not after an hour.
func (a analysisExecution) check() error {
	c, err := kayenta.DecodeConfig(a.CanaryConfig)
	if err != nil {
		return err
	}
	judge, err := chosen(c)
	if err != nil {
		return err
	}
	if judge == sequentialJudge && a.Request.Thresholds.Pass == nil {
		return errors.New("thresholds.pass is needed: without it an inconclusive analysis would pass")
	}
	if t := a.Request.Thresholds; judge == sequentialJudge && *t.Pass <= 0 && (t.Marginal == nil || *t.Marginal < 0) {
		return errZeroPasses
	}
	return checkRequest(c, a.Request.request(window{Start: a.BuildTimeISO.Time, End: a.BuildTimeISO.Time}))
}

// until waits for a time, which may already have passed while the daemon was down.
func (s *Service) until(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait < -time.Minute {
		s.metrics.late.Inc()
	}
	return sleep(ctx, max(wait, 0))
}

// awaitWindow has one window judged as a run of its own, and returns that run once it has ended.
func (s *Service) awaitWindow(ctx context.Context, a analysisExecution, i int, w window, take func(string) *underWay) (execution, error) {
	id := a.Runs[i]
	for {
		run, err := s.o.Store.CanaryRun(ctx, id)
		if errors.Is(err, record.ErrNotFound) {
			run, err = s.createWindow(ctx, a, id, w)
		}
		if err == nil && run.Complete {
			var e execution
			return e, json.Unmarshal(run.Body, &e)
		}
		if err == nil {
			select {
			case <-take(id).done:
				if run, err = s.o.Store.CanaryRun(ctx, id); err == nil && run.Complete {
					continue
				}
			case <-ctx.Done():
				return execution{}, ctx.Err()
			}
		}
		if err != nil {
			s.o.Log.Error("judge an interval", "run", id, "err", err)
		}
		if !sleep(ctx, writeAgain) {
			return execution{}, ctx.Err()
		}
	}
}

func (s *Service) createWindow(ctx context.Context, a analysisExecution, id string, w window) (kept.Run, error) {
	c, err := kayenta.DecodeConfig(a.CanaryConfig)
	if err != nil {
		return kept.Run{}, err
	}
	e := newExecution(c, a.CanaryConfigID, a.Request.request(w), time.Now())
	e.PipelineID, e.Application, e.Parent, e.accounts = id, a.Application, a.Parent, a.accounts
	if e.Parent == "" {
		e.Parent = a.PipelineID // so that the looks of one analysis share their evidence
	}
	s.opened(id, math.MaxInt) // the limit was checked when its analysis began
	return e.run(), s.o.Store.CreateCanaryRun(ctx, e.run())
}

// stops reports whether a judgement ends the analysis: it failed, or its score is not above the marginal threshold.
func (a analysisExecution) stops(e execution) bool {
	m := a.Request.Thresholds.Marginal
	return e.Status != statusSucceeded || m != nil && e.score() <= float64(*m)
}

// score returns the score of a run, and 0 if it has none.
func (e execution) score() float64 {
	if e.Result == nil {
		return 0
	}
	var j judgement
	if err := json.Unmarshal(e.Result.JudgeResult, &j); err != nil {
		return 0
	}
	return float64(j.Score.Score)
}

func (s *Service) endAnalysis(ctx context.Context, a analysisExecution, done []execution, status string) error {
	now := time.Now()
	a.Complete = true
	a.end(now)
	if len(done) > 0 {
		a.Result = a.conclude(done, now)
		if last := done[len(done)-1]; last.Exception != nil {
			a.Exception = last.Exception
		}
	}
	a.set(status)
	a.stages(a.ExecutionStatus)
	err := s.finish(ctx, a.run(), nil, nil)
	if errors.Is(err, record.ErrConflict) {
		return nil // it was cancelled in the meantime
	}
	return err
}

// fewPoints is the count below which Kayenta warns about a judgement's confidence.
const fewPoints = 50

func (a analysisExecution) conclude(done []execution, now time.Time) *analysisResult {
	r := &analysisResult{
		CanaryScores: []number{}, BuildTimeISO: a.BuildTimeISO, StartTimeISO: a.StartTimeISO,
		EndTimeISO: instant{now.UTC().Truncate(time.Millisecond)},
	}
	scored := false
	for _, e := range done {
		one := executionResult{
			ExecutionID: e.PipelineID, ExecutionStatus: strings.ToUpper(e.Status), Exception: e.Exception, Result: e.Result,
			Warnings: []string{}, MetricSetPairListID: e.MetricSetPairListID, times: e.times, accounts: e.accounts,
		}
		for _, pair := range e.Request.Scopes {
			one.JudgementStartTimeISO, one.JudgementStartTimeMillis = pair.Control.Start, pair.Control.Start.millis()
			one.JudgementEndTimeISO, one.JudgementEndTimeMillis = pair.Control.End, pair.Control.End.millis()
		}
		if e.few() {
			one.Warnings = append(one.Warnings,
				"One of the metrics returned fewer than 50 data points, which can reduce confidence in the final canary score.")
		}
		one.Warnings = append(one.Warnings, e.Warnings...)
		r.HasWarnings = r.HasWarnings || len(one.Warnings) > 0
		r.CanaryExecutionResults = append(r.CanaryExecutionResults, one)
		r.CanaryScores = append(r.CanaryScores, number(e.score()))
		scored = scored || e.Result != nil
	}
	r.DidPassThresholds, r.CanaryScoreMessage = a.Request.Thresholds.decide(done[len(done)-1].score(), scored)
	r.DidPassThresholds = r.DidPassThresholds && done[len(done)-1].Status == statusSucceeded
	return r
}

// few reports whether the baseline of any metric has too few points for a confident score.
func (e execution) few() bool {
	if e.Result == nil {
		return false
	}
	var j judgement
	if err := json.Unmarshal(e.Result.JudgeResult, &j); err != nil {
		return false
	}
	for _, r := range j.Results {
		if r.Control.Stats.Count < fewPoints {
			return true
		}
	}
	return false
}

// decide compares the last score with the thresholds. The messages are Kayenta's.
func (t analysisThresholds) decide(last float64, scored bool) (passed bool, message string) {
	text := javaDouble(last)
	switch {
	case !scored:
		return false, "There were no successful canary judgements to aggregate"
	case t.Pass == nil && t.Marginal == nil:
		return true, "No score thresholds were specified."
	case t.Marginal != nil && last <= float64(*t.Marginal):
		return false, "Final canary score " + text + " is not above the marginal score threshold."
	case t.Pass == nil:
		return true, "No pass score threshold was specified."
	case last < float64(*t.Pass):
		return false, "Final canary score " + text + " is below the pass score threshold."
	}
	return true, "Final canary score " + text + " met or exceeded the pass score threshold."
}

// javaDouble writes a score as Java does: 97.0, not 97.
func javaDouble(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsAny(text, ".N") {
		text += ".0"
	}
	return text
}
