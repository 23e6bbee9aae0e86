package web

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

func TestAMetricHasItsQueries(t *testing.T) {
	def := analysis.Definition{Metrics: []analysis.Metric{{
		Name: "errors", Source: analysis.Ratio{Bad: `requests_total{service="${service}",code=~"5.."}`, Total: `requests_total{service="${service}"}`},
	}}}
	plan, err := json.Marshal(map[string]any{"analyses": map[string]any{"gray": def, "ab/beta": def}})
	require.NoError(t, err)
	v := underWayView()
	v.Release.Plan = plan
	v.Steps = append(v.Steps, rollout.AB{Name: "beta", Scope: "ab/beta"})
	scopes := []Scope{
		{Name: "gray", From: noon, To: noon.Add(10 * time.Minute), Metrics: []Metric{{Name: "errors"}, {Name: "slow"}}},
		{Name: "ab/beta", From: noon, To: noon.Add(time.Minute), Metrics: []Metric{{Name: "errors"}}},
	}
	services := &record.Services{Canary: "shop-canary@file", Stable: "shop-stable@file", CohortCanary: "shop-cohort-canary@file", CohortStable: "shop-cohort-stable@file"}
	got := withQueries(v, services, scopes, map[string]string{"": "http://user:secret@prom.example:9090/base/"}, Grafana{URL: "https://user:secret@grafana.example/x", Datasource: "prom"})
	require.Empty(t, scopes[0].Metrics[0].Queries, "what is kept for others is left alone")
	require.Empty(t, got[0].Metrics[1].Queries)
	require.Equal(t, []Query{
		{
			"canary", `sum(increase(requests_total{code=~"5..",service="shop-canary@file"}[5m])) / sum(increase(requests_total{service="shop-canary@file"}[5m]))`,
			"http://prom.example:9090/base/graph?g0.end_input=2026-03-04+12%3A10%3A00&g0.expr=sum%28increase%28requests_total%7Bcode%3D~%225..%22%2Cservice%3D%22shop-canary%40file%22%7D%5B5m%5D%29%29+%2F+sum%28increase%28requests_total%7Bservice%3D%22shop-canary%40file%22%7D%5B5m%5D%29%29&g0.range_input=10m0s&g0.tab=0",
		},
	}, got[0].Metrics[0].Queries[:1])
	require.Contains(t, got[1].Metrics[0].Queries[1].Text, "shop-cohort-stable@file")
	u, err := url.Parse(got[0].Metrics[0].Grafana)
	require.NoError(t, err)
	require.Equal(t, "https://grafana.example/x/explore", u.Scheme+"://"+u.Host+u.Path)
	panes := u.Query().Get("panes")
	require.JSONEq(t, `{"serin": {"datasource": "prom", "range": {"from": "1772625540000", "to": "1772626260000"}, "queries": [
		{"refId": "A", "expr": "`+strings.ReplaceAll(got[0].Metrics[0].Queries[0].Text, `"`, `\"`)+`", "legendFormat": "canary", "range": true, "datasource": {"type": "prometheus", "uid": "prom"}},
		{"refId": "B", "expr": "`+strings.ReplaceAll(got[0].Metrics[0].Queries[1].Text, `"`, `\"`)+`", "legendFormat": "`+got[0].Metrics[0].Queries[1].Name+`", "range": true, "datasource": {"type": "prometheus", "uid": "prom"}}
	]}}`, panes)
	require.Equal(t, "https://grafana.example/d/serin-release?from=1772625540000&to=1772626260000&var-rollout=a+b",
		Grafana{URL: "https://grafana.example"}.dashboard("a b", stretch{noon, noon.Add(10 * time.Minute)}))
	require.Equal(t, scopes, withQueries(v, nil, scopes, nil, Grafana{}))
	none := withQueries(v, services, scopes, nil, Grafana{URL: "javascript:alert(1)"})[0].Metrics[0]
	require.Empty(t, none.Queries[0].Link, "no address, no link")
	require.Empty(t, none.Grafana)
	require.Empty(t, inPrometheus("javascript:alert(1)", "up", noon, noon))
}
