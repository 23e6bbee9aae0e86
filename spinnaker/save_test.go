package spinnaker_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/spinnaker"
	"github.com/serindev/serin/spinnaker/metricset"
)

// saved stores a config and returns the answer, and the config as it is read back.
func (c client) saved(t *testing.T, config map[string]any) (answer, back any) {
	t.Helper()
	status, answer := c.do(t, http.MethodPost, "/canaryConfig", nil, config)
	require.Equal(t, http.StatusOK, status, "%v", answer)
	status, back = c.do(t, http.MethodGet, "/canaryConfig/"+pointer(answer, "/canaryConfigId").(string), nil, nil)
	require.Equal(t, http.StatusOK, status)
	return answer, back
}

func TestTheTemplateOfNewerKayentasIsStoredAndUsed(t *testing.T) {
	t.Parallel()
	asked := &direct{value: same}
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: asked})
	c := config("", nil, query("errors", map[string]any{
		"template": `PromQL:errors{job="${scope}"}`, "metricName": "other", "resourceType": "gce_instance", "labelBindings": []string{},
	}))
	answer, back := s.saved(t, c)
	require.NotContains(t, answer, "serinWarnings")
	require.Equal(t, map[string]any{
		"type": "prometheus", "serviceType": "prometheus", "template": `PromQL:errors{job="${scope}"}`, "metricName": "other",
		"resourceType": "gce_instance", "labelBindings": []any{},
	}, pointer(back, "/metrics/0/query"), "Deck recognises a metric of Prometheus by its serviceType only")

	run := s.judged(t, c, execution("base", "next"), nil)
	require.Equal(t, "succeeded", run["status"], "%v", run["exception"])
	require.Equal(t, `PromQL:errors{job="$\{scope}"}`, pointer(run, "/config/metrics/0/query/template"))
	_, pairs := s.do(t, http.MethodGet, "/metricSetPairList/"+run["metricSetPairListId"].(string), nil, nil)
	require.Equal(t, `errors{job="next"}`, pointer(pairs, "/0/attributes/experiment/query"))
}

func TestEmptyFieldsAreReturnedEmptyAndMissingOnesStayMissing(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	c := config("", nil, query("errors", map[string]any{
		"customInlineTemplate": `PromQL:errors{job="${scope}"}`, "template": "", "resourceType": "", "groupByFields": []string{},
	}))
	c["description"] = ""
	_, back := s.saved(t, c)
	require.Equal(t, []any{""}, []any{pointer(back, "/description")}, "an empty text is not a missing one")
	require.Equal(t, map[string]any{
		"type": "prometheus", "serviceType": "prometheus", "template": "", "customInlineTemplate": `PromQL:errors{job="${scope}"}`,
		"resourceType": "", "groupByFields": []any{},
	}, pointer(back, "/metrics/0/query"))
	run := s.judged(t, c, execution("base", "next"), nil)
	require.Equal(t, "succeeded", run["status"], "%v", run["exception"])
	require.Equal(t, []any{"", ""}, []any{pointer(run, "/config/description"), pointer(run, "/config/metrics/0/query/template")})
}

func TestLongAnswersAreCompressedForCallersThatAcceptIt(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	long := config("", nil, query("errors", map[string]any{"customInlineTemplate": `PromQL:errors{job="${scope}"}`}))
	long["description"] = strings.Repeat("a canary config with a long description. ", 100)
	answer, back := s.saved(t, long)
	path := "/canaryConfig/" + pointer(answer, "/canaryConfigId").(string)
	for name, c := range map[string]struct {
		path, accepts string
		packed        bool
	}{
		"a caller that accepts gzip":           {path, "gzip", true},
		"a caller that prefers another coding": {path, "br, GZIP;q=0.5", true},
		"a caller that says nothing":           {path, "", false},
		"a caller that refuses it":             {path, "gzip;q=0, identity", false},
		"a caller that accepts other codings":  {path, "br, x-gzip", false},
		"a short answer":                       {"/health", "gzip", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, http.NoBody)
			r.Header.Set("Accept-Encoding", c.accepts)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, c.packed, w.Header().Get("Content-Encoding") == "gzip")
			var read io.Reader = w.Body
			if c.packed {
				require.Less(t, w.Body.Len(), 2000)
				z, err := gzip.NewReader(w.Body)
				require.NoError(t, err)
				read = z
			}
			var got any
			require.NoError(t, json.NewDecoder(read).Decode(&got))
			if c.path == path {
				require.Equal(t, back, got)
			}
		})
	}
}

func TestCompressedBodiesAreRead(t *testing.T) {
	t.Parallel()
	c := config("", nil, query("errors", map[string]any{"customInlineTemplate": `PromQL:errors{job="${scope}"}`}))
	plain, err := json.Marshal(c)
	require.NoError(t, err)
	packed := func(size int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(append(plain, bytes.Repeat([]byte(" "), size)...))
		require.NoError(t, errors.Join(err, z.Close()))
		return b.Bytes()
	}
	for name, sent := range map[string]struct {
		coding string
		body   []byte
		status int
		reason string
	}{
		"gzip":                   {"gzip", packed(0), http.StatusOK, ""},
		"gzip in mixed case":     {"GZip", packed(0), http.StatusOK, ""},
		"an explicit identity":   {"identity", plain, http.StatusOK, ""},
		"plain JSON called gzip": {"gzip", plain, http.StatusBadRequest, "gzip: invalid header"},
		"truncated gzip":         {"gzip", packed(0)[:60], http.StatusBadRequest, "unexpected EOF"},
		"another coding":         {"br", plain, http.StatusUnsupportedMediaType, "the body is encoded as"},
		"a small body that unpacks to far too much": {"gzip", packed(20 << 20), http.StatusRequestEntityTooLarge, "the body is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/canaryConfig", bytes.NewReader(sent.body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Encoding", sent.coding)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			require.Equal(t, sent.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), sent.reason)
		})
	}
}

func TestSavingAConfigWarnsOfWhatWouldGoWrongInEveryRun(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	c := config("dredd-v1.0", nil, query("errors", map[string]any{"customInlineTemplate": `PromQL:errors{${scope}}`, "aggregationPeriod": 60}))
	answer, _ := s.saved(t, c)
	warnings := pointer(answer, "/serinWarnings").([]any)
	require.Len(t, warnings, 3)
	require.Equal(t, "metrics[0].query.aggregationPeriod is not read", warnings[0])
	require.Contains(t, warnings[1], "${scope} stands in the place of a whole matcher")
	require.Equal(t, "every run of this config will fail: Unable to resolve canary judge 'dredd-v1.0'.", warnings[2])

	status, body := s.do(t, http.MethodPost, "/canaryConfig", nil, config("", nil, map[string]any{"name": "m", "query": map[string]any{"serviceType": "prometheus"}}))
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, pointer(body, "/message"), "missing type id property 'type' in the query of metric 'm'")
}

func TestScopesMayBeMatchersIfConfigured(t *testing.T) {
	t.Parallel()
	c := config("", nil, query("errors", map[string]any{"customInlineTemplate": `PromQL:errors{job="shop",${scope}}`}))
	r := execution(`version="v1"`, `version="v2"`)
	trusting := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}, Rules: metricset.Rules{Matchers: true}})
	run := trusting.judged(t, c, r, nil)
	require.Equal(t, "succeeded", run["status"], "%v", run["exception"])
	_, pairs := trusting.do(t, http.MethodGet, "/metricSetPairList/"+run["metricSetPairListId"].(string), nil, nil)
	require.Equal(t, `errors{job="shop",version="v2"}`, pointer(pairs, "/0/attributes/experiment/query"))

	run = newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}}).judged(t, c, r, nil)
	require.Equal(t, "terminal", run["status"])
	require.Contains(t, pointer(run, "/exception/details/errors/0"), "spinnaker.matchersInScopes")
}

func TestTheSameQueryForBothArmsDoesNotPassSilently(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	both := query("errors", map[string]any{"customInlineTemplate": `PromQL:sum(errors)`})
	run := s.judged(t, config("", nil, both), execution("base", "next"), nil)
	require.EqualValues(t, 100, pointer(run, "/result/judgeResult/score/score"), "Kayenta's judge scores as Kayenta does")
	require.Contains(t, run["serinWarnings"], `metric "errors": the query and the time are the same for both arms, so it says nothing about the canary: use ${scope} in the query`)

	run = s.judged(t, config(sequentialJudge, nil, both), execution("base", "next"), nil)
	require.Equal(t, "terminal", run["status"], "the sequential judge passes only what it has evidence for")
	require.Contains(t, pointer(run, "/exception/details/errors/0"), "the query and the time are the same for both arms")
}

func TestAStepOfZeroMeansTheDefaultAndAnImpossibleOneIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	standalone := func(step int) (int, any) {
		return s.do(t, http.MethodPost, "/standalone_canary_analysis", nil, map[string]any{"canaryConfig": config("", nil), "executionRequest": map[string]any{
			"scopes":     []any{map[string]any{"controlScope": "base", "experimentScope": "next", "step": step, "startTimeIso": "2026-01-02T15:00:00Z", "endTimeIso": "2026-01-02T16:00:00Z"}},
			"thresholds": map[string]any{"pass": 95, "marginal": 75},
		}})
	}
	status, body := standalone(0)
	require.Equal(t, http.StatusOK, status)
	end := s.ended(t, "/standalone_canary_analysis/"+pointer(body, "/canaryAnalysisExecutionId").(string))
	require.Equal(t, "succeeded", end["status"], "%v", end["exception"])
	status, body = standalone(-1)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, pointer(body, "/message"), "step -1 is not between 1 and 86400 seconds")

	r := execution("base", "next")
	for _, side := range []string{"controlScope", "experimentScope"} {
		pointer(r, "/scopes/default/"+side).(map[string]any)["step"] = 0
	}
	require.Equal(t, "succeeded", s.judged(t, config("", nil), r, nil)["status"])
}

func TestAnAnalysisThatCannotBeginFailsInItsFirstStage(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	_, body := s.do(t, http.MethodPost, "/standalone_canary_analysis", nil, map[string]any{
		"canaryConfig":     config("nobody-v1.0", nil),
		"executionRequest": map[string]any{"scopes": []any{map[string]any{"controlScope": "a", "experimentScope": "b"}}, "lifetimeDurationMins": 60, "thresholds": map[string]any{"pass": 95}},
	})
	end := s.ended(t, "/standalone_canary_analysis/"+pointer(body, "/canaryAnalysisExecutionId").(string))
	require.Equal(t, "terminal", end["status"])
	require.Equal(t, "setupAndExecuteCanaries", pointer(end, "/exception/operation"))
	require.Equal(t, "TERMINAL", pointer(end, "/stageStatus/0/status"))
}

// Gate's query test asks without dryRun.
func TestAQueryCanBeTriedOut(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: madeUp(t, steady)})
	ask := map[string]string{
		"metricSetName": "errors", "metricName": "m", "scope": "next", "customFilter": `PromQL:errors{s="${scope}"}`, "step": "60",
		"start": "2026-01-02T15:00:00Z", "end": "2026-01-02T15:10:00Z",
	}
	status, body := s.do(t, http.MethodPost, "/fetch/prometheus/query", ask, nil)
	require.Equal(t, http.StatusOK, status, "%v", body)
	status, sets := s.do(t, http.MethodGet, "/metricSetList/"+pointer(body, "/metricSetListId").(string), nil, nil)
	require.Equal(t, http.StatusOK, status)
	require.Len(t, sets, 1)
	require.Equal(t, "errors", pointer(sets, "/0/name"))
	require.Equal(t, `errors{s="next"}`, pointer(sets, "/0/attributes/query"))
	require.Equal(t, ask["start"], pointer(sets, "/0/startTimeIso"))
	require.Equal(t, ask["end"], pointer(sets, "/0/endTimeIso"))
	require.Len(t, pointer(sets, "/0/values"), 11)

	for _, c := range []struct{ name, value, want string }{
		{"start", "yesterday", "start: 'yesterday' is not an ISO timestamp"},
		{"end", "2026-01-02T14:00:00Z", "is before the start"},
		{"step", "-5", "step: '-5' is not between 1 and 86400 seconds"},
		{"metricsAccountName", "nobody", "Unable to resolve account nobody."},
		{"scope", `x"}`, "would change the query"},
	} {
		wrong := maps.Clone(ask)
		wrong[c.name] = c.value
		status, body := s.do(t, http.MethodPost, "/fetch/prometheus/query", wrong, nil)
		require.GreaterOrEqual(t, status, 400)
		require.Less(t, status, 500)
		require.Contains(t, pointer(body, "/message"), c.want)
	}
}

func TestTryingOutABadQueryReturnsThePrometheusError(t *testing.T) {
	t.Parallel()
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	status, body := s.do(t, http.MethodPost, "/fetch/prometheus/query", map[string]string{
		"metricSetName": "m", "metricName": "m", "customFilter": "PromQL:m", "step": "1",
		"start": time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339), "end": time.Now().UTC().Format(time.RFC3339),
	}, nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, pointer(body, "/message"), "11,000")
}
