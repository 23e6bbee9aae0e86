package spinnaker_test

import (
	"encoding/json"
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/spinnaker"
)

// orca reads GET /canary/{id} by Orca's rules (docs/spinnaker.md). It is itself tested on testdata/spinnaker, whose
// outcomes come from Orca's own data classes, before it reads Serin's answers.
type orca struct {
	Thresholds struct{ Pass, Marginal number }
	Continue   bool
	Datadog    bool
}

// number is a number that may come as text.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = number(f)
	return err
}

// seen is the state of a stage after a poll.
type seen struct {
	unreadable string // why
	stage      string
	score      float64
	warned     bool
	hangs      bool
	duration   string // canaryDuration as it was sent
	ended      any    // the end in milliseconds since 1970; nil while it runs
}

func (o orca) read(body any) seen {
	at := func(path string) any { return pointer(body, path) }
	if _, ok := at("/application").(string); !ok {
		return seen{unreadable: "application"}
	}
	status, ok := at("/status").(string)
	if !ok {
		return seen{unreadable: "status"}
	}
	if e := at("/exception"); e != nil {
		if _, ok := e.(map[string]any); !ok {
			return seen{unreadable: "exception"}
		}
	}
	if why := unreadableRequest(body); why != "" {
		return seen{unreadable: why}
	}
	ended, why := readTimes(body)
	if why != "" {
		return seen{unreadable: why}
	}
	s := o.decided(body, status)
	s.ended = ended
	s.duration, _ = at("/result/canaryDuration").(string)
	return s
}

// javaInstant and javaDuration are the forms of java.time that Serin may send: always Z, hours as the largest unit.
var (
	javaInstant  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$`)
	javaDuration = regexp.MustCompile(`^PT(\d+H)?(\d+M)?(\d+(\.\d+)?S)?$`)
)

// readTimes reads all times and returns the end.
func readTimes(body any) (ended any, unreadable string) {
	for _, name := range []string{"buildTimeIso", "startTimeIso", "endTimeIso"} {
		text, is := pointer(body, name).(string)
		if !is {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || !javaInstant.MatchString(text) {
			return nil, name
		}
		if name == "endTimeIso" {
			ended = float64(t.UnixMilli())
		}
	}
	if d, is := pointer(body, "/result/canaryDuration").(string); is && (!javaDuration.MatchString(d) || d == "PT") {
		return nil, "canaryDuration"
	}
	return ended, ""
}

// decided returns what Orca concludes from a status.
func (o orca) decided(body any, status string) seen {
	at := func(path string) any { return pointer(body, path) }
	if at("/result") != nil {
		if why := unreadableResult(at("/result")); why != "" {
			return seen{unreadable: why}
		}
	}
	switch strings.ToLower(status) {
	case "not_started", "running", "buffered", "paused", "suspended", "redirect":
		return seen{stage: "RUNNING"}
	case "skipped", "failed_continue":
		return seen{hangs: true, stage: "RUNNING"}
	case "terminal", "stopped", "canceled":
		return seen{stage: "TERMINAL"}
	case "succeeded":
		return o.succeeded(body)
	}
	return seen{unreadable: "status"}
}

func (o orca) succeeded(body any) seen {
	if pointer(body, "/result") == nil {
		return seen{unreadable: "result"}
	}
	s := seen{stage: "SUCCEEDED"}
	if f, ok := scalar(pointer(body, "/result/judgeResult/score/score")); ok {
		s.score = math.Trunc(f)
	}
	results, _ := pointer(body, "/result/judgeResult/results").([]any)
	for _, r := range results {
		count, _ := scalar(pointer(r, "/controlMetadata/stats/count"))
		s.warned = s.warned || count < 50 && !o.Datadog
	}
	if s.score <= float64(o.Thresholds.Marginal) {
		s.stage = "TERMINAL"
		if o.Continue {
			s.stage = "FAILED_CONTINUE"
		}
	}
	return s
}

// scalar reads a number as Jackson does.
func scalar(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, v == nil
}

func unreadableRequest(body any) string {
	request, ok := pointer(body, "/canaryExecutionRequest").(map[string]any)
	if !ok {
		return ""
	}
	if request["thresholds"] == nil {
		return "thresholds"
	}
	for _, name := range []string{"scopes", "siteLocal"} {
		if v, there := request[name]; there && v == nil {
			return name
		}
	}
	scopes, _ := request["scopes"].(map[string]any)
	for _, pair := range scopes {
		for _, side := range []string{"controlScope", "experimentScope"} {
			s, ok := pointer(pair, side).(map[string]any)
			if !ok || s["start"] == nil || s["end"] == nil {
				return side
			}
			if v, there := s["extendedScopeParams"]; there && v == nil {
				return "extendedScopeParams"
			}
		}
	}
	return ""
}

func unreadableResult(result any) string {
	judge, ok := pointer(result, "/judgeResult").(map[string]any)
	if !ok {
		return "judgeResult"
	}
	for _, name := range []string{"classification", "classificationReason"} {
		if _, ok := pointer(judge, "/score/"+name).(string); !ok {
			return name
		}
	}
	f, ok := scalar(pointer(judge, "/score/score"))
	if !ok || math.IsNaN(f) {
		return "score"
	}
	results, ok := judge["results"].([]any)
	if !ok {
		return "results"
	}
	for _, r := range results {
		if _, ok := pointer(r, "/controlMetadata/stats").(map[string]any); !ok {
			return "stats"
		}
	}
	return ""
}

type goldenStage struct {
	ScoreThresholds  struct{ Pass, Marginal number }
	ContinuePipeline bool
	AccountType      string
}

// The outcomes in testdata/spinnaker/orca-status.json come from Orca's own data classes.
func TestTheReaderReadsAsOrcaDoes(t *testing.T) {
	for _, c := range golden[struct {
		Name   string
		Stage  goldenStage
		Body   any
		Expect map[string]any
	}](t, "orca-status.json") {
		t.Run(c.Name, func(t *testing.T) {
			o := orca{Continue: c.Stage.ContinuePipeline, Datadog: c.Stage.AccountType == "datadog"}
			o.Thresholds = c.Stage.ScoreThresholds
			got := o.read(c.Body)
			if _, ok := c.Expect["unreadable"]; ok {
				require.NotEmpty(t, got.unreadable)
				return
			}
			require.Empty(t, got.unreadable)
			if c.Expect["hangs"] == true {
				require.True(t, got.hangs)
				return
			}
			require.Equal(t, c.Expect["stage"], got.stage)
			if want, ok := c.Expect["canaryScore"]; ok && want != nil {
				require.Equal(t, want, got.score)
			}
			if w, ok := c.Expect["warnings"].([]any); ok {
				require.Equal(t, len(w) > 0, got.warned)
			}
			if d, ok := c.Expect["durationString"]; ok && d != nil {
				require.Equal(t, d, got.duration)
			}
			if at, ok := c.Expect["lastUpdated"]; ok {
				require.Equal(t, at, got.ended)
			}
		})
	}
}

// The outcomes in testdata/spinnaker/orca-intervals.json are Orca's.
func TestTheReaderDecidesAsOrcaDoes(t *testing.T) {
	for _, c := range golden[struct {
		Name            string
		Scores          []float64
		ScoreThresholds map[string]number
		Expect          struct {
			Stage     string
			Intervals int
		}
	}](t, "orca-intervals.json") {
		t.Run(c.Name, func(t *testing.T) {
			o := orca{}
			o.Thresholds.Pass, o.Thresholds.Marginal = c.ScoreThresholds["pass"], c.ScoreThresholds["marginal"]
			stage, n := o.intervals(c.Scores)
			require.Equal(t, c.Expect.Stage, stage)
			require.Equal(t, c.Expect.Intervals, n)
		})
	}
}

func (o orca) intervals(scores []float64) (stage string, n int) {
	last := 0.0
	for _, s := range scores {
		n++
		last = math.Trunc(s)
		if last <= float64(o.Thresholds.Marginal) {
			return "TERMINAL", n
		}
	}
	if last < math.Trunc(float64(o.Thresholds.Pass)) {
		return "TERMINAL", n
	}
	return "SUCCEEDED", n
}

// worse is steady, but three times as much for the canary; gone has no samples of the canary; silent has none at all.
func worse(query string, at time.Time) float64 {
	if strings.Contains(query, "canary") {
		return 3 * steady(query, at.Add(7*time.Minute))
	}
	return steady(query, at)
}

func gone(query string, at time.Time) float64 {
	if strings.Contains(query, "canary") {
		return math.NaN()
	}
	return steady(query, at)
}

func silent(string, time.Time) float64 { return math.NaN() }

// same differs between the arms only by noise.
func same(query string, at time.Time) float64 {
	if strings.Contains(query, "canary") {
		return steady(query, at.Add(13*time.Second))
	}
	return steady(query, at)
}

func zero(string, time.Time) float64 { return 0 }

// config is a canary config with a judge and metrics.
func config(judge string, options map[string]any, metrics ...map[string]any) map[string]any {
	if metrics == nil {
		metrics = []map[string]any{metric("latency", nil), metric("errors", nil)}
	}
	return map[string]any{
		"name": "shop", "configVersion": "1", "applications": []string{"shop"}, "metrics": metrics, "templates": map[string]any{},
		"judge":      map[string]any{"name": judge, "judgeConfigurations": options},
		"classifier": map[string]any{"groupWeights": map[string]any{"all": 100}},
	}
}

func metric(name string, analysis map[string]any) map[string]any {
	if analysis == nil {
		analysis = map[string]any{"canary": map[string]any{"direction": "increase"}}
	}
	return map[string]any{
		"name": name, "groups": []string{"all"}, "scopeName": "default", "analysisConfigurations": analysis,
		"query": map[string]any{"type": "prometheus", "customInlineTemplate": "PromQL:" + name + `{service="${scope}"}`},
	}
}

const sequentialJudge = "SerinSequentialJudge-v1.0"

// judged runs a config once and returns the finished run.
func (c client) judged(t *testing.T, config map[string]any, request map[string]any, query map[string]string) map[string]any {
	t.Helper()
	status, body := c.do(t, http.MethodPost, "/canary", query, map[string]any{"canaryConfig": config, "executionRequest": request})
	require.Equal(t, http.StatusOK, status, "%v", body)
	return c.ended(t, "/canary/"+body.(map[string]any)["canaryExecutionId"].(string))
}

func TestOrcaCanReadEveryAnswerAndInconclusiveIsNeverAPass(t *testing.T) {
	type expect struct {
		status, label string
		stage         string // as Orca sees it
		why           string // part of the reason or the exception
	}
	now := map[string]any{"passAfterMins": 0}
	for name, c := range map[string]struct {
		metrics value
		config  map[string]any
		want    expect
	}{
		"Kayenta's judge on the same":    {same, config("NetflixACAJudge-v1.0", nil), expect{"succeeded", "Pass", "SUCCEEDED", ""}},
		"Kayenta's judge on worse":       {worse, config("NetflixACAJudge-v1.0", nil), expect{"succeeded", "Fail", "TERMINAL", ""}},
		"Kayenta's judge without canary": {gone, config("NetflixACAJudge-v1.0", nil), expect{"succeeded", "Fail", "TERMINAL", "NODATA"}},
		"Kayenta's judge on nothing":     {silent, config("NetflixACAJudge-v1.0", nil), expect{"succeeded", "Fail", "TERMINAL", "NODATA"}},
		"no judge means Kayenta's":       {same, config("", nil), expect{"succeeded", "Pass", "SUCCEEDED", ""}},
		"sequential on the same":         {same, config(sequentialJudge, now), expect{"succeeded", "Pass", "SUCCEEDED", ""}},
		"sequential on worse":            {worse, config(sequentialJudge, now), expect{"succeeded", "Fail", "TERMINAL", "worse"}},
		"sequential without canary":      {gone, config(sequentialJudge, now), expect{"terminal", "", "TERMINAL", "no-data"}},
		"sequential on nothing":          {silent, config(sequentialJudge, now), expect{"terminal", "", "TERMINAL", "no points"}},
		"sequential on zeros":            {zero, config(sequentialJudge, now), expect{"succeeded", "Fail", "TERMINAL", "baseline-not-positive"}},
		"sequential too early": {same, config(sequentialJudge, map[string]any{"passAfterMins": 600}),
			expect{"succeeded", "Fail", "TERMINAL", "waiting"}},
		"sequential too early, set to continue": {same, config(sequentialJudge, map[string]any{"passAfterMins": 600, "inconclusive": "continue"}),
			expect{"succeeded", "Marginal", "SUCCEEDED", "waiting"}}, // the interval succeeds; the last one fails the stage, being below pass
		"an unknown judge": {same, config("Nobody", nil), expect{"terminal", "", "TERMINAL", "Unable to resolve canary judge 'Nobody'."}},
		"a config for a Kayenta that asked Serin": {same, config("RemoteJudge-v1.0", map[string]any{"judge": sequentialJudge, "passAfterMins": 0}),
			expect{"succeeded", "Pass", "SUCCEEDED", ""}},
		"one for a Kayenta that asked for Kayenta's judge": {same, config("RemoteJudge-v1.0", nil), expect{"succeeded", "Pass", "SUCCEEDED", ""}},
		"options of the wrong type":                        {same, config(sequentialJudge, map[string]any{"falseRollback": []int{1}}), expect{"terminal", "", "TERMINAL", "judgeConfigurations"}},
		"an impossible chance": {same, config(sequentialJudge, map[string]any{"falseRollback": 7}),
			expect{"terminal", "", "TERMINAL", "falseRollback"}},
		"a setting that Kayenta fails on": {same, config("", nil, metric("x", map[string]any{"canary": map[string]any{"critical": "yes"}})),
			expect{"terminal", "", "TERMINAL", "critical"}},
		"a scope that breaks out": {same, config("", nil, map[string]any{"name": "x", "groups": []string{}, "query": map[string]any{
			"type": "prometheus", "customInlineTemplate": "PromQL:x{${scope}}"}}), expect{"terminal", "", "TERMINAL", "would change the query"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, c.metrics)})
			body := s.judged(t, c.config, execution("shop-baseline", "shop-canary"), map[string]string{"application": "shop"})
			require.Equal(t, c.want.status, body["status"], "%v", body["exception"])
			o := orca{}
			o.Thresholds.Pass, o.Thresholds.Marginal = 95, 75
			got := o.read(body)
			require.Empty(t, got.unreadable)
			require.Equal(t, c.want.stage, got.stage)
			if c.want.label == "" {
				errs := pointer(body, "/exception/details/errors").([]any)
				require.Contains(t, errs[0], c.want.why)
				require.Nil(t, body["result"])
				return
			}
			require.Equal(t, c.want.label, pointer(body, "/result/judgeResult/score/classification"))
			require.Contains(t, pointer(body, "/result/judgeResult/score/classificationReason"), c.want.why)
			stage, _ := o.intervals([]float64{pointer(body, "/result/judgeResult/score/score").(float64)})
			require.Equal(t, c.want.label == "Pass", stage == "SUCCEEDED", "what Orca decides after the last interval")
			readableForDeck(t, body)
		})
	}
}

// readableForDeck checks what Deck's report needs (section 2): names, scopes, labels, stats.
func readableForDeck(t *testing.T, body map[string]any) {
	t.Helper()
	require.NotEmpty(t, body["metricSetPairListId"])
	names := []string{}
	for _, m := range pointer(body, "/config/metrics").([]any) {
		names = append(names, m.(map[string]any)["name"].(string))
	}
	for _, r := range pointer(body, "/result/judgeResult/results").([]any) {
		require.Contains(t, names, pointer(r, "/name"))
		require.Contains(t, []string{"Pass", "High", "Low", "Nodata", "NodataFailMetric", "Error"}, pointer(r, "/classification"))
		require.NotEmpty(t, pointer(r, "/id"))
		require.IsType(t, []any{}, pointer(r, "/groups"))
		for _, side := range []string{"experimentMetadata", "controlMetadata"} {
			for _, stat := range []string{"count", "mean", "min", "max"} {
				require.IsType(t, 0.0, pointer(r, "/"+side+"/stats/"+stat))
			}
		}
	}
	require.Contains(t, []string{"Pass", "Marginal", "Fail"}, pointer(body, "/result/judgeResult/score/classification"))
}

// Whatever the thresholds are, an inconclusive verdict never passes: not for Orca, not in a standalone analysis, not by
// its label. Thresholds that a score of 0 would pass leave no score for it and are refused.
func TestInconclusiveNeverPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.OneOf(rapid.Float64Range(-2, 120), rapid.Map(rapid.IntRange(-2, 120), func(i int) float64 { return float64(i) }))
		pass, marginal := threshold.Draw(t, "pass"), threshold.Draw(t, "marginal")
		if marginal < 0 && pass <= 0 {
			return // refused: see the next test
		}
		score, label := spinnaker.Doubt(rapid.SampledFrom([]string{"fail", "continue"}).Draw(t, "inconclusive"), pass, marginal)
		require.NotEqual(t, "Pass", label)
		passed, _, _, _ := spinnaker.Decide([]float64{score}, &pass, &marginal)
		require.False(t, passed, "%v", score)
		whole := orca{} // its thresholds are whole numbers
		whole.Thresholds.Pass, whole.Thresholds.Marginal = number(math.Trunc(pass)), number(math.Trunc(marginal))
		if whole.Thresholds.Marginal < 0 && whole.Thresholds.Pass <= 0 {
			return
		}
		score, _ = spinnaker.Doubt("continue", float64(whole.Thresholds.Pass), float64(whole.Thresholds.Marginal))
		stage, _ := whole.intervals([]float64{score})
		require.Equal(t, "TERMINAL", stage, "%v", score)
	})
}

func TestThresholdsThatEverythingPassesAreRefused(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, same)})
	r := execution("shop-baseline", "shop-canary")
	r["thresholds"] = map[string]any{"pass": 0, "marginal": -1}
	body := s.judged(t, config(sequentialJudge, nil), r, nil)
	require.Equal(t, "terminal", body["status"])
	require.Contains(t, pointer(body, "/exception/details/errors/0"), "a score of 0 would pass")
}

// Several looks of one pipeline can decide what one cannot, and each point counts once.
func TestTheLooksOfOnePipelineShareTheirEvidence(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, same)})
	c := config(sequentialJudge, map[string]any{"passAfterMins": 45, "inconclusive": "continue"})
	look := func(parent string, from, to int, sliding bool) (label, reason string) {
		r := execution("shop-baseline", "shop-canary")
		start := time.Date(2025, 4, 8, 20, 0, 0, 0, time.UTC)
		for _, side := range []string{"controlScope", "experimentScope"} {
			at := pointer(r, "/scopes/default/"+side).(map[string]any)
			if sliding {
				at["start"] = start.Add(time.Duration(from) * time.Minute).Format(time.RFC3339)
			}
			at["end"] = start.Add(time.Duration(to) * time.Minute).Format(time.RFC3339)
		}
		body := s.judged(t, c, r, map[string]string{"application": "shop", "parentPipelineExecutionId": parent})
		require.Equal(t, "succeeded", body["status"], "%v", body["exception"])
		return pointer(body, "/result/judgeResult/score/classification").(string), pointer(body, "/result/judgeResult/score/classificationReason").(string)
	}
	for _, sliding := range []bool{false, true} {
		parent := map[bool]string{false: "growing", true: "sliding"}[sliding]
		label, reason := look(parent, 0, 20, sliding)
		require.Equal(t, "Marginal", label)
		require.Contains(t, reason, "waiting")
		label, _ = look(parent, 21, 40, sliding)
		require.Equal(t, "Marginal", label)
		label, _ = look(parent, 41, 60, sliding)
		require.Equal(t, "Pass", label, "with the evidence of the earlier looks")
		again, _ := look(parent, 41, 60, sliding)
		require.Equal(t, "Pass", again, "counting the same points again changes nothing")
	}
	label, _ := look("other", 41, 60, true)
	require.Equal(t, "Marginal", label, "another pipeline starts from nothing")
	label, _ = look("", 41, 60, true)
	require.Equal(t, "Marginal", label, "and so does a run without a pipeline")
}

// Several looks of one pipeline at once are counted one after another; none is lost or fails because of the others.
func TestConcurrentLooksOfOnePipelineAreSerialised(t *testing.T) {
	kept := openStore(t)
	s := newService(t, spinnaker.Options{Store: kept, Metrics: madeUp(t, same)})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := execution("shop-baseline", "shop-canary")
			for _, side := range []string{"controlScope", "experimentScope"} {
				at := pointer(r, "/scopes/default/"+side).(map[string]any)
				at["end"] = time.Date(2025, 4, 8, 20, 10+5*i, 0, 0, time.UTC).Format(time.RFC3339)
			}
			_, body := s.do(t, http.MethodPost, "/canary", map[string]string{"application": "shop", "parentPipelineExecutionId": "p"},
				map[string]any{"canaryConfig": config(sequentialJudge, nil), "executionRequest": r})
			end := s.ended(t, "/canary/"+pointer(body, "/canaryExecutionId").(string))
			assert.Equal(t, "succeeded", end["status"], "%v", end["exception"])
		})
	}
	all.Wait()
}

// With a counter of errors and one of requests, a service without errors passes. With errors as a gauge it could not.
func TestErrorsAreCountedAgainstTheirExposure(t *testing.T) {
	counts := map[string]any{"canary": map[string]any{"direction": "increase"}, "serin": map[string]any{"exposure": "requests"}}
	c := config(sequentialJudge, map[string]any{"passAfterMins": 0}, metric("errors", counts), metric("requests", nil))
	for name, made := range map[string]struct {
		metrics value
		want    string
	}{
		"no errors at all": {func(q string, _ time.Time) float64 {
			if strings.HasPrefix(q, "errors") {
				return math.NaN()
			}
			return 200
		}, "Pass"},
		"errors of the canary only": {func(q string, _ time.Time) float64 {
			switch {
			case strings.HasPrefix(q, "requests"):
				return 200
			case strings.Contains(q, "canary"):
				return 10
			}
			return math.NaN()
		}, "Fail"},
	} {
		s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, made.metrics)})
		body := s.judged(t, c, execution("shop-baseline", "shop-canary"), nil)
		require.Equal(t, "succeeded", body["status"], "%s: %v", name, body["exception"])
		require.Equal(t, made.want, pointer(body, "/result/judgeResult/score/classification"), name)
		readableForDeck(t, body)
		muted := slices.ContainsFunc(pointer(body, "/result/judgeResult/results").([]any), func(r any) bool {
			return pointer(r, "/name") == "requests" && pointer(r, "/muted") == true
		})
		require.True(t, muted, "the exposure is not judged itself")
	}
	c["metrics"].([]map[string]any)[0]["analysisConfigurations"] = map[string]any{"serin": map[string]any{"exposure": "nothing"}}
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, same)})
	body := s.judged(t, c, execution("a", "b"), nil)
	require.Contains(t, pointer(body, "/exception/details/errors/0"), "no metric is named 'nothing'")
}

// deploy/spinnaker/canary-config.json works unchanged, and passes a canary that is no worse.
func TestTheConfigInDeployWorks(t *testing.T) {
	b, err := os.ReadFile("../deploy/spinnaker/canary-config.json")
	require.NoError(t, err)
	metrics := func(q string, at time.Time) float64 {
		switch {
		case strings.Contains(q, "5.."):
			return math.NaN()
		case strings.Contains(q, "increase"):
			return 300
		}
		return same(q, at) / 100
	}
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, metrics)})
	status, body := s.do(t, http.MethodPost, "/canaryConfig", nil, b)
	require.Equal(t, http.StatusOK, status, "%v", body)
	status, body = s.do(t, http.MethodPost, "/canary/"+pointer(body, "/canaryConfigId").(string), map[string]string{"application": "shop"},
		execution("shop-baseline@file", "shop-canary@file"))
	require.Equal(t, http.StatusOK, status, "%v", body)
	run := s.ended(t, "/canary/"+pointer(body, "/canaryExecutionId").(string))
	require.Equal(t, "Pass", pointer(run, "/result/judgeResult/score/classification"), "%v", run)
}

// Kayenta's own judge computed the expectations in testdata/spinnaker/remote-judge.json.
func TestTheRemoteJudgeIsKayentas(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
	for _, c := range golden[struct {
		Name    string
		Request json.RawMessage
		Expect  struct {
			Status int
			Body   map[string]any
		}
	}](t, "remote-judge.json") {
		t.Run(c.Name, func(t *testing.T) {
			status, body := s.do(t, http.MethodPost, "/judge", nil, []byte(c.Request))
			require.Equal(t, c.Expect.Status, status, "%v", body)
			delete(c.Expect.Body, "judgeName")
			near(t, c.Expect.Body, body, "")
			// Jackson's bare words mean the same.
			bare := strings.ReplaceAll(string(c.Request), `"NaN"`, "NaN")
			status, again := s.do(t, http.MethodPost, "/kayenta//judge", nil, []byte(bare))
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, body, again)
		})
	}
}

// near compares numbers to 1e-9 relative.
func near(t *testing.T, want, got any, at string) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		require.True(t, ok, at)
		for k := range w {
			near(t, w[k], g[k], at+"/"+k)
		}
	case []any:
		g, ok := got.([]any)
		require.True(t, ok, at)
		require.Len(t, g, len(w), at)
		for i := range w {
			near(t, w[i], g[i], at+"/"+strconv.Itoa(i))
		}
	case float64:
		g, ok := got.(float64)
		require.True(t, ok, "%s: %v", at, got)
		require.LessOrEqual(t, math.Abs(w-g), 1e-9*max(math.Abs(w), 1e-300), at)
	default:
		require.Equal(t, want, got, at)
	}
}

func TestTheRemoteJudgeJudgesSequentiallyWhereAsked(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
	pair := func(factor float64) map[string]any {
		var c, e []any
		for i := range 60 {
			c = append(c, 10+math.Sin(float64(i)))
			e = append(e, factor*(10+math.Cos(float64(i))))
		}
		c[7], e[9] = "NaN", "NaN"
		at := map[string]any{"startTimeIso": "2025-04-08T20:00:00Z", "startTimeMillis": 1744142400000, "stepMillis": 60000}
		return map[string]any{"name": "x", "id": "p", "tags": map[string]any{}, "values": map[string]any{"control": c, "experiment": e},
			"scopes": map[string]any{"control": at, "experiment": at}, "attributes": map[string]any{}}
	}
	ask := func(factor float64, options map[string]any) (int, any) {
		return s.do(t, http.MethodPost, "/judge", nil, map[string]any{
			"canaryConfig": config("RemoteJudge-v1.0", options, metric("x", nil)), "scoreThresholds": map[string]any{"pass": 95, "marginal": 75},
			"metricSetPairList": []any{pair(factor)},
		})
	}
	for factor, want := range map[float64]string{1: "Pass", 2: "Fail"} {
		status, body := ask(factor, map[string]any{"judge": sequentialJudge, "passAfterMins": 0})
		require.Equal(t, http.StatusOK, status, "%v", body)
		require.Equal(t, sequentialJudge, pointer(body, "/judgeName"))
		require.Equal(t, want, pointer(body, "/score/classification"))
		require.Equal(t, "p", pointer(body, "/results/0/id"))
	}
	status, body := ask(1, map[string]any{"judge": "Nobody"})
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "Unable to resolve canary judge 'Nobody'.", pointer(body, "/message"))
	status, body = ask(1, map[string]any{"tolerance": 0.3})
	require.Equal(t, http.StatusOK, status, "options for other judges are ignored: %v", body)
}
