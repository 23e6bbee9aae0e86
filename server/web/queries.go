package web

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// withQueries adds queries for Prometheus to the metrics of scopes. It needs the release's plan and the names of the arms;
// without them it adds nothing.
func withQueries(v record.View, services *record.Services, scopes []Scope, addresses map[string]string, grafana Grafana) []Scope {
	var plan struct {
		Analyses map[string]analysis.Definition `json:"analyses"`
	}
	if services == nil || v.Release == nil || json.Unmarshal(v.Release.Plan, &plan) != nil {
		return scopes
	}
	out := slices.Clone(scopes)
	for i := range out {
		def, ok := plan.Analyses[out[i].Name]
		if !ok {
			continue
		}
		out[i].Metrics = slices.Clone(out[i].Metrics)
		for _, q := range analysis.Queries(def, armsOf(v, services, out[i].Name)) {
			for k := range out[i].Metrics {
				if m := &out[i].Metrics[k]; m.Name == q.Metric {
					m.Queries = append(slices.Clip(m.Queries),
						Query{q.Arm, q.Text, inPrometheus(addresses[q.Source], q.Text, out[i].From, out[i].To)})
				}
			}
		}
		for k := range out[i].Metrics {
			out[i].Metrics[k].Grafana = grafana.explore(out[i].Metrics[k].Queries, stretch{out[i].From, out[i].To})
		}
	}
	return out
}

// armsOf returns the names of a scope's arms in its metrics.
func armsOf(v record.View, services *record.Services, scope string) analysis.Arms {
	canary, stable := services.Canary, services.Stable
	for _, step := range v.Steps {
		if ab, ok := step.(rollout.AB); ok && ab.Scope == scope {
			canary, stable = services.CohortCanary, services.CohortStable
		}
	}
	if _, ok := v.Steps.Mirror(scope); ok {
		canary, stable = services.MirrorCanary, services.MirrorStable
	}
	for _, step := range v.Steps {
		if w, ok := step.(rollout.Watch); ok && w.Scope == scope {
			canary = stable // the new version is in service now, and the version before was then
		}
	}
	names := func(arm, service string) analysis.Names {
		vars := map[string][]string{"arm": {arm}}
		for name, value := range v.State.Parameters {
			vars[name] = []string{value}
		}
		return analysis.Names{Service: service, Vars: vars}
	}
	arms := analysis.Arms{Canary: names("canary", canary), Baseline: names("stable", stable)}
	if v.Definition != nil && v.Definition.Cluster != nil {
		of := v.Definition.Cluster.Arms
		arms.Canary.Patterns = map[string]string{"pods": of.Canary.Deployment.Pods()}
		arms.Baseline.Patterns = map[string]string{"pods": of.Stable.Deployment.Pods()}
	}
	return arms
}

// inPrometheus is the address of Prometheus's own page with a query over a time; empty if Prometheus's address is not known.
func inPrometheus(address, query string, from, to time.Time) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User, u.Fragment = nil, ""
	u = u.JoinPath("graph")
	u.RawQuery = url.Values{
		"g0.expr": {query}, "g0.tab": {"0"}, "g0.end_input": {to.UTC().Format("2006-01-02 15:04:05")},
		"g0.range_input": {max(to.Sub(from), leastAsked).Round(time.Second).String()},
	}.Encode()
	return u.String()
}

// leastAsked is how much time a link shows at least: a few seconds of a rate make no curve.
const leastAsked = 5 * time.Minute

// Grafana is where people look at more than Serin shows.
type Grafana struct {
	// URL of its pages, and Datasource the uid of the source that has Serin's metrics; empty means its default source.
	URL, Datasource string
}

// page is the address of one of Grafana's pages; nil if Grafana's address is not known.
func (g Grafana) page(path ...string) *url.URL {
	u, err := url.Parse(g.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil
	}
	u.User, u.Fragment, u.RawQuery = nil, "", ""
	return u.JoinPath(path...)
}

// around returns the ends of a part with some time around it, in milliseconds as Grafana writes them.
func around(part stretch) (from, to string) {
	room := max(leastAsked-part.long(), part.long()/5) / 2
	return strconv.FormatInt(part.from.Add(-room).UnixMilli(), 10), strconv.FormatInt(part.to.Add(room).UnixMilli(), 10)
}

// explore is a link to one chart with these queries in Grafana (Explore, schema 1: Grafana 10 and later); empty without
// queries or without an address.
func (g Grafana) explore(queries []Query, part stretch) string {
	u := g.page("explore")
	if u == nil || len(queries) == 0 {
		return ""
	}
	type source struct {
		Type string `json:"type"`
		UID  string `json:"uid,omitempty"`
	}
	type query struct {
		RefID      string `json:"refId"`
		Expr       string `json:"expr"`
		Legend     string `json:"legendFormat"`
		Range      bool   `json:"range"`
		Datasource source `json:"datasource"`
	}
	pane := struct {
		Datasource string            `json:"datasource,omitempty"`
		Queries    []query           `json:"queries"`
		Range      map[string]string `json:"range"`
	}{Datasource: g.Datasource, Range: map[string]string{}}
	pane.Range["from"], pane.Range["to"] = around(part)
	for i, q := range queries[:min(len(queries), 26)] {
		pane.Queries = append(pane.Queries, query{string(rune('A' + i)), q.Text, q.Name, true, source{"prometheus", g.Datasource}})
	}
	panes, err := json.Marshal(map[string]any{"serin": pane})
	if err != nil {
		return ""
	}
	u.RawQuery = url.Values{"schemaVersion": {"1"}, "panes": {string(panes)}}.Encode()
	return u.String()
}

// dashboard is a link to a rollout on Serin's dashboard (dashboards/release.json).
func (g Grafana) dashboard(rollout string, part stretch) string {
	u := g.page("d", "serin-release")
	if u == nil {
		return ""
	}
	from, to := around(part)
	u.RawQuery = url.Values{"var-rollout": {rollout}, "from": {from}, "to": {to}}.Encode()
	return u.String()
}
