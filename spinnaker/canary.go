package spinnaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// The kinds of runs in the store.
const (
	kindCanary   = "canary"
	kindAnalysis = "analysis"
)

func (s *Service) startCanary(r *http.Request) (*reply, error) {
	id := r.PathValue("id")
	config, err := s.storedConfig(r, id)
	if err != nil {
		return nil, err
	}
	var request executionRequest
	if err := decodeBody(r, &request); err != nil {
		return nil, err
	}
	return s.start(r, id, config, request)
}

func (s *Service) startAdHoc(r *http.Request) (*reply, error) {
	config, request, err := adHocBody[executionRequest](r)
	if err != nil {
		return nil, err
	}
	return s.start(r, adHoc, config, *request)
}

// adHocBody reads a request that carries its own config.
func adHocBody[T any](r *http.Request) (json.RawMessage, *T, error) {
	var body adHocRequest[T]
	if err := decodeBody(r, &body); err != nil {
		return nil, nil, err
	}
	switch {
	case len(body.CanaryConfig) == 0 || string(body.CanaryConfig) == "null":
		return nil, nil, bad("canaryConfig must be provided for ad-hoc requests")
	case body.ExecutionRequest == nil:
		return nil, nil, bad("executionRequest must be provided for ad-hoc requests")
	}
	return body.CanaryConfig, body.ExecutionRequest, nil
}

func (s *Service) start(r *http.Request, configID string, config json.RawMessage, request executionRequest) (*reply, error) {
	used, err := s.accountsOf(r)
	if err != nil {
		return nil, err
	}
	c, err := decodeConfig(config)
	if err != nil {
		return nil, err
	}
	if err := checkRequest(c, request); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	e := newExecution(c, configID, request, time.Now())
	e.Application, e.Parent, e.accounts = orAdHoc(q.Get("application")), q.Get("parentPipelineExecutionId"), used
	if err := s.create(r.Context(), e.run()); err != nil {
		return nil, err
	}
	return ok(map[string]string{"canaryExecutionId": e.PipelineID}), nil
}

func orAdHoc(application string) string {
	if application == "" {
		return adHoc
	}
	return application
}

// newExecution makes a run that has not started work.
func newExecution(c kayenta.Config, configID string, request executionRequest, now time.Time) execution {
	if request.SiteLocal == nil {
		request.SiteLocal = map[string]json.RawMessage{}
	}
	e := execution{
		PipelineID: newID(now), Status: statusRunning, CanaryConfigID: configID, Request: request, StageStatus: stages(len(c.Metrics), ""),
		Config: escaped(c),
	}
	e.begin(now)
	return e
}

// newID is a ULID, as Kayenta's own ids are.
func newID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
}

// escaped returns a config as Kayenta shows it in a run: with $\{ for ${ in its templates (section 5.4).
func escaped(c kayenta.Config) json.RawMessage {
	templates := make(map[string]string, len(c.Templates))
	for name, text := range c.Templates {
		templates[name] = metricset.Escape(text)
	}
	c.Templates, c.Metrics = templates, slices.Clone(c.Metrics)
	for i := range c.Metrics {
		q := &c.Metrics[i].Query
		q.Template, q.CustomInlineTemplate = metricset.Escape(q.Template), metricset.Escape(q.CustomInlineTemplate)
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic("spinnaker: a decoded config cannot be encoded: " + err.Error()) // everything that was decoded can be
	}
	return b
}

// stages returns the state of each stage of a run: those before the failed one have succeeded.
func stages(metrics int, failed string) map[string]string {
	names := []string{stageSetup}
	for _, side := range []string{"fetchControl", "fetchExperiment"} {
		for i := range metrics {
			names = append(names, side+strconv.Itoa(i))
		}
	}
	names = append(names, stageMix, stageJudge)
	out := make(map[string]string, len(names))
	status := statusSucceeded
	if failed == "" {
		status = statusNotStarted
	}
	for _, name := range names {
		switch {
		case name == failed || failed == stageFetch && strings.HasPrefix(name, failed):
			out[name] = statusTerminal
			status = statusNotStarted
		default:
			out[name] = status
		}
	}
	return out
}

// The stages at which a run can fail.
const (
	stageSetup = "setupContext"
	stageFetch = "fetch"
	stageMix   = "mixMetrics"
	stageJudge = "judge"
	stageNone  = "none" // none failed: all have succeeded
)

// checkRequest applies Kayenta's checks to a request, with its messages and in its order (section 1.1).
func checkRequest(c kayenta.Config, r executionRequest) error {
	if len(c.Metrics) == 0 {
		return bad("The canary config must specify at least one metric. Otherwise we're not analyzing anything. :)")
	}
	if r.Scopes == nil {
		return bad("Canary metrics require scopes, but no scopes were provided in the execution request.")
	}
	for name, pair := range r.Scopes {
		if pair.Control == nil || pair.Experiment == nil {
			return bad("Canary scope for named scope %s is missing experimentScope or controlScope keys", name)
		}
	}
	if missing := metricset.Missing(c, r.sets()); len(missing) > 0 {
		return bad("Canary metrics require scopes which were not provided in the execution request: [%s]", strings.Join(missing, ", "))
	}
	if r.Thresholds == nil {
		return bad("Execution request must contain thresholds")
	}
	for _, t := range []number{r.Thresholds.Pass, r.Thresholds.Marginal} {
		if math.IsNaN(float64(t)) || math.IsInf(float64(t), 0) {
			return bad("Execution request must contain thresholds that are numbers")
		}
	}
	for name, pair := range r.Scopes {
		for _, side := range []*scope{pair.Control, pair.Experiment} {
			if err := checkScope(name, side); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkScope(name string, side *scope) error {
	switch {
	case side.Start.IsZero() || side.End.IsZero():
		return bad("Canary scope for named scope %s needs start and end", name)
	}
	return checkStep(name, side.Step)
}

func checkStep(scope string, step number) error {
	if !(step >= 1 && step <= maxStep) {
		return bad("Canary scope for named scope %s: step %v is not between 1 and %d seconds", scope, float64(step), maxStep)
	}
	return nil
}

// run is the execution in the form that the store keeps.
func (e execution) run() kept.Run {
	return kept.Run{
		ID: e.PipelineID, Kind: kindCanary, Application: e.Application, Status: e.Status, Complete: e.Complete,
		At: time.Now().UTC(), Body: mustJSON(e),
	}
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("spinnaker: %T cannot be encoded: %v", v, err)) // the type number encodes NaN and infinities as text
	}
	return b
}

// create stores a new run and starts it. After an error nothing runs.
func (s *Service) create(ctx context.Context, r kept.Run) error {
	if !s.opened(r.ID, s.o.MaxRuns) {
		return busy("%d runs are open, which is the most Serin takes; try again later", s.o.MaxRuns)
	}
	if err := s.o.Store.CreateCanaryRun(ctx, r); err != nil {
		s.closed(r.ID)
		return err
	}
	select {
	case s.started <- r.ID:
	default: // Run will find it in the store
	}
	return nil
}

// opened counts a run as open, unless most runs are open already.
func (s *Service) opened(id string, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= most && !s.open[id] {
		return false
	}
	s.open[id] = true
	s.metrics.open.Set(float64(len(s.open)))
	return true
}

func (s *Service) closed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
	s.metrics.open.Set(float64(len(s.open)))
}

func (s *Service) readCanary(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "storageAccountName", serinAccount); err != nil {
		return nil, err
	}
	run, err := s.runOf(r.Context(), r.PathValue("id"), kindCanary)
	if err != nil {
		return nil, err
	}
	return ok(run.Body), nil
}

// runOf reads a run of one of the given kinds.
func (s *Service) runOf(ctx context.Context, id string, kinds ...string) (kept.Run, error) {
	run, err := s.o.Store.CanaryRun(ctx, id)
	if errors.Is(err, record.ErrNotFound) || err == nil && !slices.Contains(kinds, run.Kind) {
		return kept.Run{}, notFound("Pipeline execution %s was not found", id)
	}
	return run, err
}

// Bounds on a page of runs, each of which has some kilobytes.
const (
	defaultPage = 20
	maxPage     = 200
)

func (s *Service) listCanaries(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "storageAccountName", serinAccount); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	limit, err := positive(q.Get("limit"), defaultPage)
	if err != nil {
		return nil, err
	}
	page, err := positive(q.Get("page"), 1)
	if err != nil {
		return nil, err
	}
	limit = min(limit, maxPage)
	f := kept.Filter{Kind: kindCanary, Application: orAdHoc(q.Get("application")), Limit: limit, Offset: (page - 1) * limit}
	for _, status := range queryList(r, "statuses") {
		f.Statuses = append(f.Statuses, strings.ToLower(status))
	}
	runs, err := s.o.Store.CanaryRuns(r.Context(), f)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(runs))
	for i := range runs {
		out[i] = runs[i].Body
	}
	return ok(out), nil
}

func positive(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1_000_000 {
		return 0, bad("'%.20s' is not a number between 1 and 1000000", text)
	}
	return n, nil
}

// cancelRun cancels a run, or an analysis together with the run that it waits for. One that has ended stays as it is.
func (s *Service) cancelRun(r *http.Request) (*reply, error) {
	id := r.PathValue("id")
	if _, err := s.runOf(r.Context(), id, kindCanary, kindAnalysis); err != nil {
		return nil, err
	}
	if err := s.cancel(r.Context(), id); err != nil {
		return nil, err
	}
	return &reply{http.StatusAccepted, map[string]string{}}, nil
}

// cancel stops the work before it reads and writes the run. Otherwise an analysis could begin one more judgement in
// between, which nobody would know of.
func (s *Service) cancel(ctx context.Context, id string) error {
	s.stop(ctx, id)
	run, err := s.o.Store.CanaryRun(ctx, id)
	if errors.Is(err, record.ErrNotFound) || err == nil && run.Complete {
		return nil
	}
	if err != nil {
		return err
	}
	var child string
	now := time.Now()
	switch run.Kind {
	case kindAnalysis:
		var a analysisExecution
		if err := json.Unmarshal(run.Body, &a); err != nil {
			return fmt.Errorf("read analysis %s: %w", run.ID, err)
		}
		child = a.underWay()
		a.cancel(now)
		run = a.run()
	default:
		var e execution
		if err := json.Unmarshal(run.Body, &e); err != nil {
			return fmt.Errorf("read run %s: %w", run.ID, err)
		}
		for name, status := range e.StageStatus {
			if status != statusSucceeded {
				e.StageStatus[name] = statusCanceled
			}
		}
		e.Status, e.Complete = statusCanceled, true
		e.end(now)
		run = e.run()
	}
	err = s.o.Store.UpdateCanaryRun(ctx, run, nil, nil)
	if err != nil && !errors.Is(err, record.ErrConflict) { // a conflict means that it ended in the meantime
		return err
	}
	if err == nil {
		s.ended(run)
	}
	s.stop(ctx, id) // it may have been resumed before this was written
	if child == "" {
		return nil
	}
	return s.cancel(ctx, child)
}

func (s *Service) readPairs(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "accountName", serinAccount); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	body, err := s.o.Store.CanaryPairs(r.Context(), id)
	if errors.Is(err, record.ErrNotFound) {
		return nil, notFound("No such object named %s", id)
	}
	if err != nil {
		return nil, err
	}
	return ok(body), nil
}
