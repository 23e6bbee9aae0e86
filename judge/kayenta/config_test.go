package kayenta

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

const goldenSignals = `{
  "name": "shop-golden-signals", "configVersion": 1.0, "applications": ["shop"], "isNew": true,
  "createdTimestamp": "1700000000000", "judge": {"name": "NetflixACAJudge-v1.0", "judgeConfigurations": {"tolerance": 0.1}},
  "templates": {"byPod": "pod=~\"$\\{scope}-.*\""},
  "classifier": {"groupWeights": {"errors": "60", "system": 40}, "scoreThresholds": {"pass": 95, "marginal": 75}},
  "metrics": [
    {"name": "errors", "groups": ["errors"], "scopeName": "default",
     "analysisConfigurations": {"canary": {"direction": "increase", "critical": true}},
     "query": {"type": "prometheus", "serviceType": "prometheus", "customInlineTemplate": "PromQL:sum(rate(x{s=\"${scope}\"}[1m]))"}},
    {"name": "cpu", "groups": ["system"], "query": {"type": "prometheus", "metricName": "cpu", "labelBindings": ["a!=\"\""],
     "groupByFields": ["zone"], "customFilterTemplate": "byPod"}}
  ]}`

func TestARealConfigFileIsRead(t *testing.T) {
	c, err := DecodeConfig([]byte(goldenSignals))
	require.NoError(t, err)
	require.Equal(t, "shop-golden-signals", c.Name)
	require.Equal(t, "1.0", c.ConfigVersion)
	require.Equal(t, int64(1700000000000), c.CreatedTimestamp)
	require.Equal(t, `pod=~"$\{scope}-.*"`, c.Templates["byPod"])
	require.Equal(t, map[string]float64{"errors": 60, "system": 40}, c.Classifier.GroupWeights)
	require.Equal(t, "default", c.Metrics[0].ScopeName)
	require.Equal(t, `PromQL:sum(rate(x{s="${scope}"}[1m]))`, c.Metrics[0].Query.CustomInlineTemplate)
	require.Equal(t, ConfigQuery{Type: "prometheus", MetricName: "cpu", LabelBindings: []string{`a!=""`}, GroupByFields: []string{"zone"},
		CustomFilterTemplate: "byPod"}, c.Metrics[1].Query)
}

func TestTheNewerTemplateFieldWinsAndBothAreKept(t *testing.T) {
	text := `{"metrics": [{"name": "m", "query": {"type": "prometheus", "template": "PromQL:new", "customInlineTemplate": "PromQL:old", "labelBindings": []}}]}`
	c, err := DecodeConfig([]byte(text))
	require.NoError(t, err)
	q := c.Metrics[0].Query
	require.Equal(t, "PromQL:new", q.Inline())
	written, err := json.Marshal(q)
	require.NoError(t, err)
	require.JSONEq(t, `{"type": "prometheus", "template": "PromQL:new", "customInlineTemplate": "PromQL:old", "labelBindings": []}`, string(written))
	require.Equal(t, "PromQL:old", ConfigQuery{CustomInlineTemplate: "PromQL:old"}.Inline())
}

func TestUnreadMembersOfQueriesAreListed(t *testing.T) {
	c, err := DecodeConfig([]byte(`{"isNew": true, "metrics": [{"query": {"type": "prometheus"}}, {"query": {"sumByFields": [], "queryTemplate": "x"}}]}`))
	require.NoError(t, err)
	require.Equal(t, []string{"metrics[1].query.queryTemplate", "metrics[1].query.sumByFields"}, c.Ignored)
}

func TestConfigsAreUTF8WithAnOptionalByteOrderMark(t *testing.T) {
	c, err := DecodeConfig([]byte("\ufeff" + `{"description": "Prüfung"}`))
	require.NoError(t, err)
	require.Equal(t, "Prüfung", c.Description)
	_, err = DecodeConfig([]byte("{\"description\": \"Pr\xfcfung\"}"))
	require.ErrorContains(t, err, "the text is not UTF-8")
}

func TestErrorsNameThePlaceInTheConfig(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                             "an object was expected",
		`{"metrics": {}}`:                                "metrics: a list was expected",
		`{"metrics": [1]}`:                               "metrics[0]: an object was expected",
		`{"metrics": [{"query": []}]}`:                   "metrics[0].query: an object was expected",
		`{"metrics": [{"groups": [{}]}]}`:                "metrics[0].groups[0]: a string was expected",
		`{"classifier": {"groupWeights": [1]}}`:          "classifier.groupWeights: an object was expected",
		`{"classifier": {"groupWeights": {"a": "x"}}}`:   "classifier.groupWeights.a: a number was expected",
		`{"createdTimestamp": 1e300}`:                    "createdTimestamp: milliseconds since 1970 was expected",
		`{"judge": {"judgeConfigurations": {"a": NaN}}}`: "judge.judgeConfigurations: plain JSON",
		`{"name": `:                                      "byte 9",
	} {
		c, err := DecodeConfig([]byte(text))
		require.ErrorContains(t, err, want)
		require.Empty(t, c)
	}
}

func TestAConfigAndItsSamplesMakeTheSameRequestAsTheirJSON(t *testing.T) {
	c, err := DecodeConfig([]byte(goldenSignals))
	require.NoError(t, err)
	pairs := []Pair{{Name: "errors", Control: []float64{1, 2, 3, 4, 5, 6, 7, 8}, Experiment: []float64{11, 12, 13, 14, 15, 16, 17, 18}}}
	q, err := c.Request(pairs, Thresholds{Pass: 95, Marginal: 75})
	require.NoError(t, err)

	config, err := json.Marshal(c)
	require.NoError(t, err)
	request, err := json.Marshal(map[string]any{
		"canaryConfig": json.RawMessage(config), "scoreThresholds": Thresholds{Pass: 95, Marginal: 75},
		"metricSetPairList": []any{map[string]any{"name": "errors", "values": map[string]any{"control": pairs[0].Control, "experiment": pairs[0].Experiment}}},
	})
	require.NoError(t, err)
	want, err := DecodeRequest(request)
	require.NoError(t, err)
	require.Equal(t, want, q)

	r, err := Judge(q)
	require.NoError(t, err)
	require.Equal(t, Fail, r.Label)
	require.Equal(t, "Canary Failed: The metric errors was classified as High (Critical)", r.Reason)
}

func TestSamplesOfAnUnknownMetricAreAnError(t *testing.T) {
	c, err := DecodeConfig([]byte(goldenSignals))
	require.NoError(t, err)
	_, err = c.Request([]Pair{{Name: "latency"}}, Thresholds{})
	require.ErrorContains(t, err, `no metric of the config is named "latency"`)
}

// DecodeConfig returns either an error and nothing else, or a config that survives encoding and decoding.
func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(goldenSignals))
	f.Add([]byte(`{"metrics": [{"query": {"customFilter": ""}, "groups": null}], "templates": {"a": 1}, "judge": {"name": true}}`))
	f.Add([]byte(`{"classifier": {"groupWeights": {"a": NaN}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfig(data)
		if err != nil {
			require.Empty(t, c)
			return
		}
		encoded, err := json.Marshal(c)
		if err != nil {
			require.ErrorContains(t, err, "unsupported value") // a weight or threshold that is not finite
			return
		}
		again, err := DecodeConfig(encoded)
		require.NoError(t, err)
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.JSONEq(t, string(encoded), string(twice))
	})
}

func TestConfigsOfTheContractAreRead(t *testing.T) {
	data, err := os.ReadFile("testdata/configs.json")
	require.NoError(t, err)
	var cases []struct {
		Name   string
		Config json.RawMessage
		Expect struct{ Stored map[string]any }
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	for _, g := range cases {
		t.Run(g.Name, func(t *testing.T) {
			c, err := DecodeConfig(g.Config)
			require.NoError(t, err)
			encoded, err := json.Marshal(c)
			require.NoError(t, err)
			var stored map[string]any
			require.NoError(t, json.Unmarshal(encoded, &stored))
			for name, want := range g.Expect.Stored {
				require.Equal(t, want, stored[name], name)
			}
		})
	}
}
