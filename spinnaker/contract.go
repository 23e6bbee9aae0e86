package spinnaker

import (
	"encoding/json"
	"time"

	"github.com/serindev/serin/spinnaker/metricset"
)

// Kayenta's words for the state of a run (spec/spinnaker.md, 1.2). Orca cannot read any other, or waits 12 hours on it.
const (
	statusNotStarted = "not_started"
	statusRunning    = "running"
	statusSucceeded  = "succeeded"
	statusTerminal   = "terminal"
	statusCanceled   = "canceled"
)

// adHoc is the name of the application or config where a request names none.
const adHoc = "ad-hoc"

// scope is one side of a named scope.
type scope struct {
	Scope               label            `json:"scope,omitempty"`
	Location            label            `json:"location,omitempty"`
	Start               instant          `json:"start,omitzero"`
	End                 instant          `json:"end,omitzero"`
	Step                number           `json:"step"`
	ExtendedScopeParams map[string]label `json:"extendedScopeParams"`
}

// UnmarshalJSON fills in the defaults and drops parameters that are null.
func (s *scope) UnmarshalJSON(b []byte) error {
	type plain scope
	in := struct {
		plain
		ExtendedScopeParams map[string]*label `json:"extendedScopeParams"`
	}{plain: plain{Step: defaultStep}}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = scope(in.plain)
	if s.Step == 0 {
		s.Step = defaultStep // clients without a step send 0
	}
	s.ExtendedScopeParams = map[string]label{}
	for name, value := range in.ExtendedScopeParams {
		if value != nil {
			s.ExtendedScopeParams[name] = *value
		}
	}
	return nil
}

// The step of a scope, in seconds.
const (
	defaultStep = 60
	maxStep     = 24 * 60 * 60
)

func (s scope) set() metricset.Scope {
	out := metricset.Scope{
		Scope: string(s.Scope), Location: string(s.Location), Start: s.Start.Time, End: s.End.Time,
		Step: time.Duration(float64(s.Step)) * time.Second, Params: make(map[string]string, len(s.ExtendedScopeParams)),
	}
	for name, value := range s.ExtendedScopeParams {
		out.Params[name] = string(value)
	}
	return out
}

// scopePair is a named scope with its two sides. A request may lack one until checkRequest has seen it.
type scopePair struct {
	Control    *scope `json:"controlScope,omitempty"`
	Experiment *scope `json:"experimentScope,omitempty"`
}

// thresholds are scores between 0 and 100.
type thresholds struct {
	Pass     number `json:"pass"`
	Marginal number `json:"marginal"`
}

// executionRequest says what to judge.
type executionRequest struct {
	Scopes     map[string]scopePair       `json:"scopes"`
	Thresholds *thresholds                `json:"thresholds,omitempty"`
	Metadata   []json.RawMessage          `json:"metadata,omitempty"`
	SiteLocal  map[string]json.RawMessage `json:"siteLocal"`
}

func (r executionRequest) sets() map[string]metricset.ScopePair {
	out := make(map[string]metricset.ScopePair, len(r.Scopes))
	for name, pair := range r.Scopes {
		out[name] = metricset.ScopePair{Control: pair.Control.set(), Experiment: pair.Experiment.set()}
	}
	return out
}

// adHocRequest is a request that carries its own config. T is an executionRequest or an analysisRequest.
type adHocRequest[T any] struct {
	CanaryConfig     json.RawMessage `json:"canaryConfig"`
	ExecutionRequest *T              `json:"executionRequest"`
}

// times are when a run was built, started and ended. Both forms are written, because clients read both.
type times struct {
	BuildTimeMillis int64   `json:"buildTimeMillis,omitempty"`
	BuildTimeISO    instant `json:"buildTimeIso,omitzero"`
	StartTimeMillis int64   `json:"startTimeMillis,omitempty"`
	StartTimeISO    instant `json:"startTimeIso,omitzero"`
	EndTimeMillis   int64   `json:"endTimeMillis,omitempty"`
	EndTimeISO      instant `json:"endTimeIso,omitzero"`
}

func (t *times) begin(now time.Time) {
	i := instant{now.UTC().Truncate(time.Millisecond)}
	t.BuildTimeISO, t.StartTimeISO = i, i
	t.BuildTimeMillis, t.StartTimeMillis = i.millis(), i.millis()
}

func (t *times) end(now time.Time) {
	t.EndTimeISO = instant{now.UTC().Truncate(time.Millisecond)}
	t.EndTimeMillis = t.EndTimeISO.millis()
}

// accounts are the accounts that a run was asked to use.
type accounts struct {
	Metrics       string `json:"metricsAccountName,omitempty"`
	Configuration string `json:"configurationAccountName,omitempty"`
	Storage       string `json:"storageAccountName,omitempty"`
}

// execution is a run as GET /canary/{id} returns it, and as it is stored. Config is the config that was used, with its
// templates escaped.
type execution struct {
	Application         string            `json:"application"`
	Parent              string            `json:"parentPipelineExecutionId,omitempty"`
	PipelineID          string            `json:"pipelineId"`
	StageStatus         map[string]string `json:"stageStatus"`
	Complete            bool              `json:"complete"`
	Status              string            `json:"status"`
	Exception           *exception        `json:"exception,omitempty"`
	Result              *result           `json:"result,omitempty"`
	Config              json.RawMessage   `json:"config"`
	CanaryConfigID      string            `json:"canaryConfigId"`
	Request             executionRequest  `json:"canaryExecutionRequest"`
	MetricSetPairListID string            `json:"metricSetPairListId,omitempty"`
	// Warnings are Serin's own. Kayenta's clients ignore them.
	Warnings []string `json:"serinWarnings,omitempty"`
	times
	accounts
}

// result is the outcome of a run that succeeded.
type result struct {
	JudgeResult    json.RawMessage `json:"judgeResult"`
	CanaryDuration string          `json:"canaryDuration,omitempty"`
}

// exception says why a run ended without a result.
type exception struct {
	ExceptionType string           `json:"exceptionType"`
	ShouldRetry   bool             `json:"shouldRetry"`
	Operation     string           `json:"operation"`
	Timestamp     int64            `json:"timestamp"`
	Details       exceptionDetails `json:"details"`
}

type exceptionDetails struct {
	Error      string   `json:"error"`
	Errors     []string `json:"errors"`
	StackTrace string   `json:"stackTrace"`
}

// judgement is Kayenta's CanaryJudgeResult.
type judgement struct {
	JudgeName   string            `json:"judgeName"`
	Results     []metricJudgement `json:"results"`
	GroupScores []groupScore      `json:"groupScores"`
	Score       score             `json:"score"`
}

type metricJudgement struct {
	Name                 string            `json:"name"`
	ID                   string            `json:"id"`
	Tags                 map[string]string `json:"tags"`
	Classification       string            `json:"classification"`
	ClassificationReason string            `json:"classificationReason,omitempty"`
	Groups               []string          `json:"groups"`
	Experiment           metadata          `json:"experimentMetadata"`
	Control              metadata          `json:"controlMetadata"`
	Result               *ratio            `json:"resultMetadata,omitempty"`
	Critical             bool              `json:"critical"`
	Muted                bool              `json:"muted"`
}

type metadata struct {
	Stats stats `json:"stats"`
}

type stats struct {
	Count int    `json:"count"`
	Mean  number `json:"mean"`
	Min   number `json:"min"`
	Max   number `json:"max"`
	Std   number `json:"std"`
}

type ratio struct {
	Ratio number `json:"ratio"`
}

type groupScore struct {
	Name string `json:"name"`
	score
}

type score struct {
	Score                number `json:"score"`
	Classification       string `json:"classification"`
	ClassificationReason string `json:"classificationReason"`
}

// metricSetPair is a pair as Kayenta sends and stores it.
type metricSetPair struct {
	Name       string               `json:"name"`
	ID         string               `json:"id"`
	Tags       map[string]string    `json:"tags"`
	Values     map[string][]number  `json:"values"`
	Scopes     map[string]pairScope `json:"scopes"`
	Attributes map[string]query     `json:"attributes"`
}

type pairScope struct {
	StartTimeISO    instant `json:"startTimeIso"`
	StartTimeMillis int64   `json:"startTimeMillis"`
	StepMillis      int64   `json:"stepMillis"`
}

type query struct {
	Query string `json:"query"`
}

// The keys of a pair's two sides.
const (
	control    = "control"
	experiment = "experiment"
)

func wirePair(p metricset.Pair, id string) metricSetPair {
	out := metricSetPair{
		Name: p.Name, ID: id, Tags: p.Tags, Values: map[string][]number{}, Scopes: map[string]pairScope{}, Attributes: map[string]query{},
	}
	for side, s := range map[string]metricset.Set{control: p.Control, experiment: p.Experiment} {
		values := make([]number, len(s.Values))
		for i, v := range s.Values {
			values[i] = number(v)
		}
		out.Values[side] = values
		out.Scopes[side] = pairScope{StartTimeISO: instant{s.Start}, StartTimeMillis: s.Start.UnixMilli(), StepMillis: s.Step.Milliseconds()}
		out.Attributes[side] = query{Query: s.PromQL}
	}
	return out
}
