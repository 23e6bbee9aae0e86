package metricset_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/spinnaker/metricset"
)

// golden reads the cases of a file in testdata/spinnaker.
func golden[T any](t testing.TB, name string) []T {
	t.Helper()
	b, err := os.ReadFile("../../testdata/spinnaker/" + name)
	require.NoError(t, err)
	var cases []T
	require.NoError(t, json.Unmarshal(b, &cases))
	require.NotEmpty(t, cases)
	return cases
}

// spec/spinnaker.md, 5.3; the expectations come from Kayenta's own query builder.
func TestQueriesAreKayentas(t *testing.T) {
	for _, c := range golden[struct {
		Name      string
		Templates map[string]string
		Query     json.RawMessage
		Scope     struct {
			Scope, Location     string
			ExtendedScopeParams map[string]string
		}
		ScopeLabel string
		Expect     struct{ Query, Error string }
	}](t, "promql.json") {
		t.Run(c.Name, func(t *testing.T) {
			config, err := kayenta.DecodeConfig(fmt.Appendf(nil, `{"metrics": [{"name": "m", "query": %s}]}`, c.Query))
			require.NoError(t, err)
			s := metricset.Scope{Scope: c.Scope.Scope, Location: c.Scope.Location, Params: c.Scope.ExtendedScopeParams}
			got, err := metricset.Query(c.Templates, config.Metrics[0].Query, s, metricset.Rules{ScopeLabel: c.ScopeLabel})
			if c.Expect.Error != "" {
				require.Error(t, err)
				require.True(t, strings.HasPrefix(err.Error(), c.Expect.Error), err.Error())
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.Expect.Query, got)
		})
	}
}

type goldenSide struct {
	Scope struct {
		Start, End time.Time
		Step       int
	}
	Query    string
	Response struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
}

func (g goldenSide) side(t *testing.T) metricset.Side {
	s := metricset.Side{Question: metricset.Question{PromQL: g.Query, Scope: metricset.Scope{
		Start: g.Scope.Start, End: g.Scope.End, Step: time.Duration(g.Scope.Step) * time.Second,
	}}}
	for _, r := range g.Response.Data.Result {
		var x analysis.Series
		for k, v := range r.Metric {
			x.Labels = append(x.Labels, analysis.Label{Name: k, Value: v})
		}
		for _, v := range r.Values {
			f, err := strconv.ParseFloat(v[1].(string), 64)
			require.NoError(t, err)
			x.Samples = append(x.Samples, analysis.Sample{T: int64(v[0].(float64) * 1000), V: f})
		}
		s.Series = append(s.Series, x)
	}
	return s
}

// number writes a value as the golden files do.
func number(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return f
}

func asGolden(p metricset.Pair) map[string]any {
	tags := map[string]any{}
	for k, v := range p.Tags {
		tags[k] = v
	}
	values, scopes, attributes := map[string]any{}, map[string]any{}, map[string]any{}
	for name, s := range map[string]metricset.Set{"control": p.Control, "experiment": p.Experiment} {
		all := []any{}
		for _, v := range s.Values {
			all = append(all, number(v))
		}
		values[name] = all
		scopes[name] = map[string]any{
			"startTimeIso": s.Start.UTC().Format(time.RFC3339Nano), "startTimeMillis": float64(s.Start.UnixMilli()),
			"stepMillis": float64(s.Step.Milliseconds()),
		}
		attributes[name] = map[string]any{"query": s.PromQL}
	}
	return map[string]any{"name": p.Name, "tags": tags, "values": values, "scopes": scopes, "attributes": attributes}
}

// spec/spinnaker.md, 6; the expectations come from Kayenta's own pairing.
func TestPairsAreKayentas(t *testing.T) {
	for _, c := range golden[struct {
		Name, Metric        string
		Control, Experiment goldenSide
		Expect              struct {
			Pairs []map[string]any
			Error string
		}
	}](t, "pairs.json") {
		t.Run(c.Name, func(t *testing.T) {
			pairs, err := metricset.Pairs(c.Metric, c.Control.side(t), c.Experiment.side(t))
			if c.Expect.Error != "" {
				require.Error(t, err)
				require.True(t, strings.HasPrefix(err.Error(), c.Expect.Error), err.Error())
				return
			}
			require.NoError(t, err)
			var got []map[string]any
			for _, p := range pairs {
				got = append(got, asGolden(p))
			}
			require.Equal(t, c.Expect.Pairs, got)
		})
	}
}

func TestAValueCannotBreakOutOfItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ template, scope, want string }{
		"a plain value within quotes":              {`PromQL:x{s="${scope}"}`, "shop-canary@file", `x{s="shop-canary@file"}`},
		"a pattern within quotes":                  {`PromQL:x{s=~"${scope}"}`, "shop-.*|(a,b){2}", `x{s=~"shop-.*|(a,b){2}"}`},
		"a duration outside of quotes":             {`PromQL:rate(x[${scope}])`, "5m", `rate(x[5m])`},
		"a name outside of quotes":                 {`PromQL:sum(${scope})`, "job:errors:rate5m", `sum(job:errors:rate5m)`},
		"a quote that would end the string":        {`PromQL:x{s="${scope}"}`, `a"} or vector(1)#`, ""},
		"a backslash that would escape the quote":  {`PromQL:x{s="${scope}"}`, `a\`, ""},
		"a line break within quotes":               {`PromQL:x{s="${scope}"}`, "a\nb", ""},
		"a backquote within backquotes":            {"PromQL:x{s=`${scope}`}", "a`", ""},
		"a bracket outside of quotes":              {`PromQL:rate(x[${scope}])`, "5m]) or vector(1", ""},
		"a comment outside of quotes":              {`PromQL:sum(${scope})`, "x)#", ""},
		"an operator outside of quotes":            {`PromQL:sum(${scope})`, "x*0", ""},
		"a quote in a comment opens nothing":       {"PromQL:x{} # isn't\n + ${scope}", "a b", ""},
		"a quote that the template escapes":        {`PromQL:x{s="\"${scope}"}`, "a b", `x{s="\"a b"}`},
		"a value that would make a filter a query": {`${scope}`, "PromQL:up", ""},
		"half of the word that makes a query":      {`Prom${scope}`, "QL:up", ""},
		"a backslash of the template before it":    {`PromQL:x{s="a\${scope}"}`, "b", ""},
		"a filter's value with braces":             {`s="${scope}"`, "a{b}", `avg(m{s="a{b}"})`},
	} {
		t.Run(name, func(t *testing.T) {
			q := kayenta.ConfigQuery{Type: "prometheus", MetricName: "m", CustomInlineTemplate: c.template}
			got, err := metricset.Query(nil, q, metricset.Scope{Scope: c.scope}, metricset.Rules{})
			if c.want == "" {
				var breakout *metricset.BreakoutError
				require.ErrorAs(t, err, &breakout)
				require.Equal(t, c.scope, breakout.Value)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestResourceTypesRefuseValuesThatBreakOut(t *testing.T) {
	q := kayenta.ConfigQuery{Type: "prometheus", MetricName: "m", ResourceType: "aws_ec2_instance"}
	_, err := metricset.Query(nil, q, metricset.Scope{Scope: `a"}`, Location: "eu"}, metricset.Rules{})
	require.ErrorContains(t, err, "${scope}: the value")
	_, err = metricset.Query(nil, q, metricset.Scope{Scope: `a`, Location: `e"`}, metricset.Rules{})
	require.ErrorContains(t, err, "${location}: the value")
}

func TestTemplates(t *testing.T) {
	params := map[string]string{"a": "${b}", "b": "x", "loop": "${loop}", "empty": "", "big": strings.Repeat("${fat}", 100), "fat": strings.Repeat("x", 1000)}
	for name, c := range map[string]struct{ template, want, err string }{
		"a value is expanded as well":        {`PromQL:${a}`, "x", ""},
		"two dollars are an escape":          {`PromQL:"$${a}"`, `"${a}"`, ""},
		"a default":                          {`PromQL:${none:-5m}`, "5m", ""},
		"a bound name needs no default":      {`PromQL:${b:-5m}`, "x", ""},
		"a parameter may bind to nothing":    {`PromQL:"${empty}"`, `""`, ""},
		"an unclosed name stays":             {`PromQL:"${a"`, `"${a"`, ""},
		"a value that refers to itself":      {`PromQL:${loop}`, "", "Problem evaluating custom filter template: PromQL:${loop}"},
		"a value that grows without end":     {`PromQL:${big}`, "", "Problem evaluating"},
		"nothing is bound to the empty name": {`PromQL:${}`, "", "Problem evaluating"},
	} {
		t.Run(name, func(t *testing.T) {
			q := kayenta.ConfigQuery{Type: "prometheus", CustomInlineTemplate: c.template}
			got, err := metricset.Query(nil, q, metricset.Scope{Params: params}, metricset.Rules{})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestWholeMatchersInScopesNeedPermission(t *testing.T) {
	for name, c := range map[string]struct{ template, scope, want string }{
		"a matcher in the place of one":            {`PromQL:x{job="a",${scope}}`, `version="v2"`, `x{job="a",version="v2"}`},
		"a filter that is nothing else":            {`${scope}`, `version="v2", zone!~"a.*"`, `avg(m{version="v2", zone!~"a.*"})`},
		"a quote that the value escapes":           {`PromQL:x{${scope}}`, `v="a\"}"`, `x{v="a\"}"}`},
		"a value that closes the brace":            {`PromQL:x{${scope}}`, `v="a"} or vector(1) or x{v="b"`, ""},
		"a comment":                                {`PromQL:x{${scope}}`, `v="a"#`, ""},
		"a matcher that is not closed":             {`PromQL:x{${scope}}`, `v="a`, ""},
		"a matcher within the template's quotes":   {`PromQL:x{s="${scope}"}`, `v="a"`, ""},
		"a call where a matcher would be expected": {`PromQL:x{${scope}}`, `sum(x)`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := kayenta.ConfigQuery{Type: "prometheus", MetricName: "m", CustomInlineTemplate: c.template}
			_, err := metricset.Query(nil, q, metricset.Scope{Scope: c.scope}, metricset.Rules{})
			require.ErrorContains(t, err, "would change the query", "the default is to refuse them")
			got, err := metricset.Query(nil, q, metricset.Scope{Scope: c.scope}, metricset.Rules{Matchers: true})
			if c.want == "" {
				require.ErrorContains(t, err, "would change the query")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	q := kayenta.ConfigQuery{Type: "prometheus", Template: `PromQL:x{${scope}}`}
	_, err := metricset.Query(nil, q, metricset.Scope{Scope: `version="v2"`}, metricset.Rules{})
	require.ErrorContains(t, err, "spinnaker.matchersInScopes", "the error names the setting")
}

func TestConfigWarnings(t *testing.T) {
	for template, want := range map[string]string{
		`PromQL:x{job="a", ${scope} }`:         `${scope} stands in the place of a whole matcher`,
		`PromQL:x{${scope}, job="a"}`:          `${scope} stands in the place of a whole matcher`,
		`${scope}`:                             `${scope} stands in the place of a whole matcher`,
		`job="a",${version}`:                   `${version} stands in the place of a whole matcher`,
		`PromQL:x{s="${scope}"}`:               "",
		`PromQL:x{s="{${scope}}"}`:             "",
		`PromQL:x{s=~"a,${scope},b"}`:          "",
		`PromQL:sum(x) by (a, ${label})`:       "",
		`PromQL:rate(x{s="${scope}"}[${w}])`:   "",
		`PromQL:x{${extra:-job="a"}}`:          "",
		`s="${scope}"`:                         "",
		`sum(rate(x{s="${scope}"}[5m]))`:       `its template calls sum(…), but is used as a filter within m{…}: begin it with "PromQL:"`,
		`histogram_quantile(0.9, x{s="${a}"})`: `its template calls histogram_quantile(…)`,
	} {
		c := kayenta.Config{Metrics: []kayenta.ConfigMetric{{Name: "a", Query: kayenta.ConfigQuery{Type: "prometheus", MetricName: "m", Template: template}}}}
		got := strings.Join(metricset.ConfigWarnings(c, metricset.Rules{}), "\n")
		if want == "" {
			require.Empty(t, got, template)
			continue
		}
		require.Contains(t, got, want, template)
	}
	c := kayenta.Config{Ignored: []string{"metrics[0].query.queryTemplate"}, Metrics: []kayenta.ConfigMetric{
		{Name: "a", Query: kayenta.ConfigQuery{Type: "prometheus", MetricName: "m", CustomFilterTemplate: "none"}},
		{Name: "b", Query: kayenta.ConfigQuery{Type: "prometheus", Template: `PromQL:x{${scope}}`}},
	}}
	require.Equal(t, []string{
		"metrics[0].query.queryTemplate is not read",
		`metric "a": every run will fail: Custom filter template 'none' was referenced, but no templates were defined.`,
	}, metricset.ConfigWarnings(c, metricset.Rules{Matchers: true}))
}

func TestOnlyPrometheusIsRead(t *testing.T) {
	for kind, want := range map[string]string{
		"prometheus": "",
		"":           `missing type id property 'type' in the query of metric 'a'`,
		"datadog":    "Could not resolve type id 'datadog' of the query of metric 'a': Serin reads prometheus only.",
	} {
		err := metricset.CheckSources(kayenta.Config{Metrics: []kayenta.ConfigMetric{{Name: "a", Query: kayenta.ConfigQuery{Type: kind}}}})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

func TestMetricsWithTheSameQueryForBothArmsAreFound(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	side := func(query string, at time.Time) metricset.Question {
		return metricset.Question{PromQL: query, Scope: metricset.Scope{Start: at, End: at.Add(time.Hour), Step: time.Minute}}
	}
	asks := []metricset.Ask{
		{Name: "same", Control: side("up", now), Experiment: side("up", now)},
		{Name: "before and after", Control: side("up", now.Add(-time.Hour)), Experiment: side("up", now)},
		{Name: "two scopes", Control: side("up{a=\"b\"}", now), Experiment: side("up{a=\"c\"}", now)},
	}
	require.Equal(t, []string{"same"}, metricset.Same(asks))
}

func TestAsksFollowTheConfig(t *testing.T) {
	c := kayenta.Config{Metrics: []kayenta.ConfigMetric{
		{Name: "a", Query: kayenta.ConfigQuery{CustomInlineTemplate: `PromQL:a{s="${scope}"}`}},
		{Name: "b", ScopeName: "edge", Query: kayenta.ConfigQuery{CustomInlineTemplate: `PromQL:b{s="${scope}"}`}},
	}}
	pair := func(c, e string) metricset.ScopePair {
		return metricset.ScopePair{Control: metricset.Scope{Scope: c}, Experiment: metricset.Scope{Scope: e}}
	}
	_, err := metricset.Asks(c, map[string]metricset.ScopePair{"other": pair("x", "y")}, metricset.Rules{})
	require.EqualError(t, err, "Canary metrics require scopes which were not provided in the execution request: [default, edge]")
	asks, err := metricset.Asks(c, map[string]metricset.ScopePair{"default": pair("x", "y"), "edge": pair("u", "v")}, metricset.Rules{})
	require.NoError(t, err)
	var got []string
	for _, a := range asks {
		got = append(got, a.Name, a.Control.PromQL, a.Experiment.PromQL)
	}
	require.Equal(t, []string{"a", `a{s="x"}`, `a{s="y"}`, "b", `b{s="u"}`, `b{s="v"}`}, got)
}

// Whatever the scope is, the query differs from that of a harmless scope only within its place.
func FuzzQueryStaysInItsPlace(f *testing.F) {
	f.Add(`a"} or vector(1)`)
	f.Add("a\\")
	f.Add("${scope}")
	f.Fuzz(func(t *testing.T, scope string) {
		q := kayenta.ConfigQuery{CustomInlineTemplate: `PromQL:sum(x{s="${scope}"}[${w:-5m}])`}
		got, err := metricset.Query(nil, q, metricset.Scope{Scope: scope}, metricset.Rules{})
		if err != nil {
			require.Empty(t, got)
			return
		}
		inner, ok := strings.CutPrefix(got, `sum(x{s="`)
		require.True(t, ok, got)
		inner, ok = strings.CutSuffix(inner, `"}[5m])`)
		require.True(t, ok, got)
		require.NotContains(t, inner, `"`)
		require.NotContains(t, inner, `\`)
	})
}
