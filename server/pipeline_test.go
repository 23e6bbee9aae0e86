package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

// orcaStage is a stage of a pipeline, as far as ours need it.
type orcaStage struct {
	webhookStage
	RefID, Type, Name    string
	RequisiteStageRefIDs []string
	URL, Method          string
	CustomHeaders        map[string]string
	Payload              map[string]any
	WaitForCompletion    bool
	StatusURLResolution  string
	StageTimeoutMs       int64
	CancelEndpoint       string
	CancelPayload        map[string]any
	JudgmentInputs       []struct{ Value string }
	StageEnabled         struct{ Type, Expression string }
}

// orcaPipeline plays deploy/spinnaker/pipeline.json against a daemon as Orca would: stages in order, expressions,
// JSON paths, statuses, cancel addresses. It knows the few expressions that the pipeline has, and fails on others.
type orcaPipeline struct {
	t      *testing.T
	d      *daemon
	stages []orcaStage
	// context of each stage that has run, by its name.
	context map[string]map[string]any
	// judge is asked for each manual judgment; polled is told each answer to a poll.
	judge  func(stage string) string
	polled func(stage string, body map[string]any)
}

func newPipeline(t *testing.T, d *daemon) *orcaPipeline {
	t.Helper()
	b, err := os.ReadFile("../deploy/spinnaker/pipeline.json")
	require.NoError(t, err)
	text := strings.NewReplacer("https://serin.example.com", d.url, "SERIN_TOKEN", d.secrets["spinnaker"]).Replace(string(b))
	var in struct{ Stages []orcaStage }
	require.NoError(t, json.Unmarshal([]byte(text), &in))
	p := &orcaPipeline{t: t, d: d, stages: in.Stages, context: map[string]map[string]any{}}
	p.polled = func(string, map[string]any) {}
	return p
}

var (
	expression     = regexp.MustCompile(`\$\{(.*?)\}`)
	stageValue     = regexp.MustCompile(`^#stage\('(.*?)'\)((?:\['\w+'\])+)$`)
	judgmentOf     = regexp.MustCompile(`^#judgment\('(.*?)'\)$`)
	stageValueIs   = regexp.MustCompile(`^(#stage\(.*\]) == '(.*)'$`)
	subscript      = regexp.MustCompile(`\['(\w+)'\]`)
	pipelineValues = map[string]any{"execution.id": "01JEXECUTION", "parameters.image": "flask:2"}
)

func (p *orcaPipeline) value(e string) any {
	p.t.Helper()
	if m := judgmentOf.FindStringSubmatch(e); m != nil {
		return p.context[m[1]]["judgmentInput"]
	}
	if m := stageValue.FindStringSubmatch(e); m != nil {
		var v any = map[string]any{"context": p.context[m[1]], "lastModified": map[string]any{"user": "ann"}}
		for _, key := range subscript.FindAllStringSubmatch(m[2], -1) {
			v, _ = v.(map[string]any)[key[1]]
		}
		require.NotNil(p.t, v, e)
		return v
	}
	v, ok := pipelineValues[e]
	require.True(p.t, ok, "an expression that this test does not know: %s", e)
	return v
}

func (p *orcaPipeline) expand(text string) string {
	p.t.Helper()
	return expression.ReplaceAllStringFunc(text, func(m string) string { return fmt.Sprint(p.value(m[2 : len(m)-1])) })
}

func (p *orcaPipeline) send(s orcaStage, method, url string, body map[string]any) (int, map[string]any) {
	p.t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(p.t, err)
		text = p.expand(string(b))
	}
	r := p.d.request("", method, strings.TrimPrefix(p.expand(url), p.d.url), text)
	for name, value := range s.CustomHeaders {
		r.Header.Set(name, value)
	}
	a := p.d.do(r)
	return a.status, as[map[string]any](p.t, a)
}

// run plays the whole pipeline, and returns how the stages ended that were not skipped.
func (p *orcaPipeline) run() (ended map[string]string) {
	p.t.Helper()
	ended = map[string]string{}
	for i, s := range p.stages {
		require.Equal(p.t, fmt.Sprint(i+1), s.RefID, "one after the other")
		if m := stageValueIs.FindStringSubmatch(s.StageEnabled.Expression); m != nil && p.value(m[1]) != m[2] {
			continue
		}
		p.context[s.Name] = map[string]any{}
		switch s.Type {
		case "manualJudgment":
			ended[s.Name] = "SUCCEEDED"
			input := p.judge(s.Name)
			require.Contains(p.t, s.JudgmentInputs, struct{ Value string }{input})
			p.context[s.Name]["judgmentInput"] = input
		case "webhook":
			ended[s.Name] = p.webhook(s)
		}
		if ended[s.Name] != "SUCCEEDED" {
			return ended
		}
	}
	return ended
}

func (p *orcaPipeline) webhook(s orcaStage) string {
	p.t.Helper()
	status, body := p.send(s, s.Method, s.URL, s.Payload)
	webhook := map[string]any{"body": body}
	p.context[s.Name]["webhook"] = webhook
	if status >= 300 {
		return "TERMINAL"
	}
	if !s.WaitForCompletion {
		return "SUCCEEDED"
	}
	require.Equal(p.t, "getMethod", s.StatusURLResolution)
	outcome := "RUNNING"
	for outcome == "RUNNING" {
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // a poll, as Orca does
		status, body = p.send(s, http.MethodGet, s.URL, nil)
		webhook["monitor"] = map[string]any{"body": body}
		text, err := json.Marshal(body)
		require.NoError(p.t, err)
		p.polled(s.Name, body)
		outcome = s.read(status, text)
	}
	if outcome != "SUCCEEDED" {
		status, _ = p.send(s, http.MethodPost, s.CancelEndpoint, s.CancelPayload)
		require.Equal(p.t, http.StatusOK, status)
	}
	return outcome
}

// newPipelineDaemon has the rollout of examples/pipeline.yaml, as far as it stands still: its gates, and between them
// one that the pipeline knows nothing of, as a question of a policy is.
func newPipelineDaemon(t *testing.T) *daemon {
	t.Helper()
	d := newDaemon(t)
	all := plans()
	flask := all["cart"].Rollout
	flask.Name, flask.Parameters = "k8s-flask", []rollout.Parameter{{Name: "image", Required: true}}
	flask.Steps = rollout.Steps{
		rollout.Gate{Name: "start-ab-test", Approvers: []string{"qa"}}, rollout.Gate{Name: "undecided"},
		rollout.Gate{Name: "full-release", Approvers: []string{"release-managers"}}, rollout.Promote{Name: "promote"},
	}
	all[flask.Name] = record.Plan{Rollout: flask}
	d.engine.SetPlans(all)
	await.True(t, func() bool { return len(d.engine.Rollouts()) == len(all) })
	return d
}

// answerInSerin answers a gate as a person on Serin's own pages would.
func (p *orcaPipeline) answerInSerin(who string, body map[string]any) {
	p.t.Helper()
	a := p.d.post(who, p.d.local(p.t, body["gateUrl"].(string)), `{"answer":"approve"}`)
	require.Equal(p.t, http.StatusOK, a.status, a.body)
}

func TestThePipelineInDeployReleases(t *testing.T) {
	p := newPipeline(t, newPipelineDaemon(t))
	p.judge = func(string) string { return "approve" }
	asked := 0
	p.polled = func(stage string, body map[string]any) {
		if body["gate"] == "undecided" {
			asked++
			require.Equal(t, "A/B test and gray release", stage)
			p.answerInSerin("otto", body)
		}
	}
	ended := p.run()
	require.Len(t, ended, len(p.stages), "%v", ended)
	for name, outcome := range ended {
		require.Equal(t, "SUCCEEDED", outcome, name)
	}
	require.Equal(t, 1, asked, "what the pipeline does not know is answered in Serin, and the pipeline waits for it")
}

func TestThePipelineInDeployTakesANo(t *testing.T) {
	p := newPipeline(t, newPipelineDaemon(t))
	p.judge = func(stage string) string {
		if stage == "Start the A/B test?" {
			return "reject"
		}
		require.Fail(t, "nothing more is asked", stage)
		return ""
	}
	ended := p.run()
	require.Equal(t, "CANCELED", ended["A/B test and gray release"], "no traffic had moved: %v", ended)
	require.NotContains(t, ended, "Release fully?")
}

func TestThePipelineInDeployGoesOnWhereAGateIsAnsweredInSerin(t *testing.T) {
	p := newPipeline(t, newPipelineDaemon(t))
	p.judge = func(stage string) string {
		require.Equal(t, "Release fully?", stage)
		return "approve"
	}
	// Somebody is faster than the pipeline's first poll.
	starter := p.stages[0]
	status, body := p.send(starter, starter.Method, starter.URL, starter.Payload)
	require.Equal(t, http.StatusCreated, status, "%v", body)
	id := body["id"].(string)
	for _, gate := range []string{"start-ab-test", "undecided"} {
		p.d.until(id, func(v record.View) bool { return v.Gate == gate })
		_, body = p.send(starter, http.MethodGet, body["statusUrl"].(string), nil)
		p.answerInSerin("spinnaker", body)
	}
	p.d.until(id, func(v record.View) bool { return v.Gate == "full-release" })
	ended := p.run()
	require.NotContains(t, ended, "Start the A/B test?", "it has been answered")
	require.Equal(t, "SUCCEEDED", ended["Full release"], "%v", ended)
}

// Orca gives up on a webhook stage after an hour, and cancels: each stage says how long it may take.
func TestThePipelineInDeployWaitsLongerThanOrcaDoesByItself(t *testing.T) {
	waits := 0
	for _, s := range newPipeline(t, newDaemon(t)).stages {
		if s.WaitForCompletion {
			waits++
			require.Greater(t, s.StageTimeoutMs, time.Hour.Milliseconds(), s.Name)
			require.Less(t, s.StageTimeoutMs, int64(1)<<31, s.Name)
			for _, point := range []string{"running", "waiting", "gate:another"} {
				require.Equal(t, "RUNNING", s.read(http.StatusOK, []byte(`{"point":"`+point+`","progress":""}`)), s.Name)
			}
			for point, want := range map[server.RunStatus]string{
				server.RunSucceeded: "SUCCEEDED", server.RunFailed: "TERMINAL", server.RunBack: "TERMINAL", server.RunCancelled: "CANCELED",
			} {
				require.Equal(t, want, s.read(http.StatusOK, []byte(`{"point":"`+string(point)+`","progress":""}`)), s.Name)
			}
		}
	}
	require.Equal(t, 3, waits)
}

// deploy/spinnaker/preconfigured.yaml: one stage that starts, waits and, by the key, cancels.
func TestThePreconfiguredStageStartsAndCancels(t *testing.T) {
	d := newPipelineDaemon(t)
	b, err := os.ReadFile("../deploy/spinnaker/preconfigured.yaml")
	require.NoError(t, err)
	values := strings.NewReplacer("https://serin.example.com", d.url, "SERIN_TOKEN", d.secrets["spinnaker"],
		"${parameterValues['rollout']}", "k8s-flask", "${parameterValues['image']}", "flask:2", "${execution.id}", "01JEXECUTION")
	var in struct {
		Webhook struct {
			Preconfigured []struct {
				URL              string              `yaml:"url"`
				Payload          string              `yaml:"payload"`
				CustomHeaders    map[string][]string `yaml:"customHeaders"`
				StatusURLPath    string              `yaml:"statusUrlJsonPath"`
				StatusPath       string              `yaml:"statusJsonPath"`
				ProgressPath     string              `yaml:"progressJsonPath"`
				SuccessStatuses  string              `yaml:"successStatuses"`
				TerminalStatuses string              `yaml:"terminalStatuses"`
				CanceledStatuses string              `yaml:"canceledStatuses"`
				CancelEndpoint   string              `yaml:"cancelEndpoint"`
				CancelPayload    string              `yaml:"cancelPayload"`
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(values.Replace(string(b))), &in))
	require.Len(t, in.Webhook.Preconfigured, 1)
	s := in.Webhook.Preconfigured[0]
	send := func(method, url, body string) (int, map[string]any) {
		r := d.request("", method, strings.TrimPrefix(url, d.url), body)
		maps.Copy(r.Header, s.CustomHeaders)
		a := d.do(r)
		return a.status, as[map[string]any](t, a)
	}
	status, _ := send(http.MethodPost, s.CancelEndpoint, s.CancelPayload)
	require.Equal(t, http.StatusNotFound, status, "nothing has been started")
	status, body := send(http.MethodPost, s.URL, s.Payload)
	require.Equal(t, http.StatusCreated, status, "%v", body)
	url := body[strings.TrimPrefix(s.StatusURLPath, "$.")].(string)
	stage := webhookStage{s.StatusPath, s.ProgressPath, s.SuccessStatuses, s.CanceledStatuses, s.TerminalStatuses}
	poll := func() string {
		status, body := send(http.MethodGet, url, "")
		text, err := json.Marshal(body)
		require.NoError(t, err)
		return stage.read(status, text)
	}
	require.Equal(t, "RUNNING", poll())
	for range 2 {
		status, body = send(http.MethodPost, s.CancelEndpoint, s.CancelPayload)
		require.Equal(t, http.StatusOK, status, "%v", body)
	}
	d.until(body["id"].(string), func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, "CANCELED", poll())
	require.Equal(t, http.StatusForbidden, d.post("vera", "/runs/cancel", `{"rollout":"k8s-flask","key":"k"}`).status)
}
