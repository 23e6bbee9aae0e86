// Package dashboards answers what Grafana shows of Serin. The JSON files in this folder are what one imports; they
// are written from the few tables here by go generate, so that all panels look alike. rules.yaml next to them are the
// alerts and recording rules for Prometheus.
//
// Nothing of it is part of the program. Start reading at [Overview].
package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
)

//go:generate go test -run ^TestTheDashboardsAreTheOnesOfTheTables$ -update .

// Dashboard is one dashboard of Grafana.
type Dashboard struct {
	UID, Title, About string
	variables         []any
	panels            []panel
}

// All are the dashboards by their files' names.
func All() map[string]Dashboard {
	return map[string]Dashboard{"overview.json": Overview(), "release.json": Release(), "daemon.json": Daemon()}
}

// schemaVersion of Grafana 10.4 and 11. Newer ones raise it by themselves, which nothing here depends on.
const schemaVersion = 39

// JSON is the dashboard as Grafana imports it.
func (d Dashboard) JSON() ([]byte, error) {
	var panels []any
	x, y, line := 0, 0, 0
	for i, p := range d.panels {
		if x+p.width > gridWidth {
			x, y, line = 0, y+line, 0
		}
		panels = append(panels, p.json(i+1, x, y))
		x, line = x+p.width, max(line, p.height)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(map[string]any{
		"uid": d.UID, "title": d.Title, "description": d.About, "tags": []any{"serin"}, "schemaVersion": schemaVersion, "version": 1,
		"editable": true, "graphTooltip": 1, "fiscalYearStartMonth": 0, "refresh": "30s", "timezone": "browser", "preload": false,
		"time": map[string]any{"from": "now-6h", "to": "now"}, "timepicker": map[string]any{},
		"annotations": map[string]any{"list": d.annotations()}, "templating": map[string]any{"list": d.variables}, "panels": panels,
		"links": []any{
			map[string]any{
				"type": "dashboards", "title": "Serin", "tags": []any{"serin"}, "asDropdown": true, "keepTime": true,
				"includeVars": false, "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
			},
			map[string]any{
				"type": "link", "title": "Serin's pages", "url": "${serin}", "targetBlank": true,
				"icon": "external link", "tooltip": "", "tags": []any{}, "asDropdown": false, "keepTime": false, "includeVars": false,
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode dashboard %s: %w", d.UID, err)
	}
	return b.Bytes(), nil
}

// Annotation is a query that marks times on every panel of a dashboard. These are for any dashboard of a service, too: see
// README.md.
type Annotation struct{ Name, Colour, Expr, Title string }

// Annotations are releases while they are under way, and those that went back or failed. A release is a region: Grafana
// joins points that follow each other. A rollback may be over between two scrapes, so its end is counted.
func Annotations() []Annotation {
	return []Annotation{
		{"Releases", "blue", `max by (rollout) (serin_release_phase{rollout=~"$rollout", phase="active"}) == 1`, "Release of {{rollout}}"},
		{"Rollbacks", "red", `sum by (rollout, outcome) (increase(serin_releases_total{rollout=~"$rollout", outcome=~"rolledBack|failed"}[$__rate_interval])) > 0`, "{{rollout}}: {{outcome}}"},
	}
}

// annotations are those of a dashboard, if it is about rollouts.
func (d Dashboard) annotations() []any {
	out := []any{}
	if len(d.variables) <= len(variables()) {
		return out
	}
	for _, a := range Annotations() {
		out = append(out, map[string]any{
			"name": a.Name, "datasource": source(), "enable": true, "hide": false, "iconColor": a.Colour,
			"expr": a.Expr, "step": "", "titleFormat": a.Title,
			"tagKeys": "rollout", "textFormat": "", "useValueForTime": false,
			"target": map[string]any{"expr": a.Expr, "refId": "Anno", "interval": ""},
		})
	}
	return out
}

// variables that every dashboard has: which Prometheus, and where Serin's pages are.
func variables(more ...any) []any {
	return append([]any{
		map[string]any{
			"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1,
			"hide": 0, "multi": false, "includeAll": false, "regex": "", "options": []any{}, "current": map[string]any{"text": "", "value": ""},
		},
		map[string]any{
			"type": "textbox", "name": "serin", "label": "Serin's address", "query": "http://127.0.0.1:7474", "hide": 0,
			"options": []any{}, "current": map[string]any{"text": "http://127.0.0.1:7474", "value": "http://127.0.0.1:7474"},
		},
	}, more...)
}

// values is a variable with the values of a label.
func values(name, label, metric, of string, many bool) map[string]any {
	v := map[string]any{
		"type": "query", "name": name, "label": label, "datasource": source(), "definition": fmt.Sprintf("label_values(%s, %s)", metric, of),
		"query":   map[string]any{"qryType": 1, "query": fmt.Sprintf("label_values(%s, %s)", metric, of), "refId": "values"},
		"refresh": 2, "sort": 1, "hide": 0, "multi": many, "includeAll": many, "regex": "", "options": []any{},
		"current": map[string]any{"text": "", "value": ""},
	}
	if many {
		v["allValue"], v["current"] = ".*", map[string]any{"text": []any{"All"}, "value": []any{"$__all"}}
	}
	return v
}

// link leads from a field to a page of Serin's.
func link(title, path string) []any {
	return []any{map[string]any{"title": title, "url": "${serin}" + path, "targetBlank": true}}
}

// Overview shows all rollouts: what is under way and who has to act.
func Overview() Dashboard {
	const some = `{rollout=~"$rollout"}`
	weights := graph("Canary's share of the traffic", "What is asked for on the main route.", "percentunit",
		query{expr: "serin_canary_weight_ratio" + some, legend: "{{rollout}}"}).steps().wide()
	weights.defaults["links"], weights.defaults["max"], weights.defaults["min"] = link("Open ${__field.labels.rollout}",
		"/rollouts/${__field.labels.rollout}"), 1, 0
	return Dashboard{
		UID: "serin-overview", Title: "Serin / Overview", About: "All rollouts: what is under way, and who has to act.",
		variables: variables(values("rollout", "Rollout", "serin_release_phase", "rollout", true)),
		panels: []panel{
			stat("Releases under way", "", "none", "blue", 1, `sum(serin_release_phase{phase="active", rollout=~"$rollout"})`),
			stat("Going back to stable", "", "none", "red", 1, `sum(serin_release_phase{phase="rollingBack", rollout=~"$rollout"})`),
			stat("Gates that wait", "For an answer of a person.", "none", "orange", 1, `sum(serin_gate_age_seconds`+some+` > bool 0)`),
			stat("Alarms about data", "The split that was seen is not the weight in force, or what a metric counts "+
				"contradicts the traffic.", "none", "red", 1, `sum(serin_sample_ratio_alarm`+some+`) + sum(serin_exposure_alarm`+some+`)`),
			stat("Longest without data", "Of all releases that are analysed.", "s", "orange", 60, `max(serin_no_data_age_seconds`+some+`)`),
			stat("Errors in the configuration", "", "none", "red", 1, `max(serin_config_errors)`),
			table(some),
			weights,
			outcomes("Where releases stand", "The phase of each rollout's newest release.",
				query{expr: "serin_release_phase" + some, legend: "{{rollout}} {{phase}}"}),
			outcomes("What the newest looks say", "",
				query{expr: `max by (rollout, outcome) (serin_verdict` + some + `)`, legend: "{{rollout}} {{outcome}}"}),
			graph("Gates: time waited", "", "s", query{expr: "serin_gate_age_seconds" + some, legend: "{{rollout}}"}),
			graph("What happened", "Events of releases, per minute.", "short",
				query{expr: `sum by (event) (rate(serin_events_total` + some + `[$__rate_interval])) * 60`, legend: "{{event}}"}),
			graph("Foreign edits put right", "Somebody else changed the gateway's configuration.", "short",
				query{expr: `increase(serin_drift_total` + some + `[$__rate_interval])`, legend: "{{rollout}}"}),
			graph("No new data", "How long the samples of an analysed release have been missing, or "+
				"their source has been silent.", "s", query{expr: "serin_no_data_age_seconds" + some, legend: "{{rollout}} {{why}}"}),
			graph("Releases that have ended", "By how, within a day.", "short",
				query{expr: `sum by (outcome) (increase(serin_releases_total` + some + `[1d]))`, legend: "{{outcome}}"}).wide(),
		},
	}
}

// table has a line for each rollout.
func table(some string) panel {
	return panel{
		title: "Rollouts", about: "A click on a name leads to its page.", kind: "table", unit: "none", width: gridWidth, height: graphSize,
		queries: []query{
			{expr: `max by (rollout) (serin_release_phase{phase="active", rollout=~"$rollout"})`, table: true},
			{expr: `max by (rollout) (serin_canary_weight_ratio` + some + `)`, table: true},
			{expr: `max by (rollout) (serin_gate_age_seconds` + some + `)`, table: true},
			{expr: `max by (rollout) (serin_sample_ratio_alarm` + some + `)`, table: true},
		},
		options: map[string]any{
			"showHeader": true, "cellHeight": "sm", "frameIndex": 0,
			"footer": map[string]any{"show": false, "reducer": []any{"sum"}, "countRows": false, "fields": ""},
		},
		more: map[string]any{"transformations": []any{
			map[string]any{"id": "joinByField", "options": map[string]any{"byField": "rollout", "mode": "outer"}},
			map[string]any{"id": "organize", "options": map[string]any{
				"excludeByName": map[string]any{"Time 1": true, "Time 2": true, "Time 3": true, "Time 4": true},
				"renameByName": map[string]any{
					"rollout": "Rollout", "Value #A": "Under way", "Value #B": "Canary's share", "Value #C": "Gate waits", "Value #D": "Alarm",
				},
			}},
		}},
		overrides: []any{
			override("Rollout", "links", link("Open it", "/rollouts/${__value.raw}")),
			override("Canary's share", "unit", "percentunit"),
			override("Gate waits", "unit", "s"),
		},
	}
}

func override(field, id string, value any) map[string]any {
	return map[string]any{"matcher": map[string]any{"id": "byName", "options": field}, "properties": []any{map[string]any{"id": id, "value": value}}}
}

// Release shows one rollout's newest release: both arms, the ratio between them, and how far a decision is.
func Release() Dashboard {
	const one, each = `{rollout="$rollout"}`, `{rollout="$rollout", metric=~"$metric"}`
	weight := graph("Canary's share of the traffic", "What is asked for on the main route.", "percentunit",
		query{expr: "serin_canary_weight_ratio" + one, legend: "asked for"}).steps()
	weight.defaults["links"], weight.defaults["max"], weight.defaults["min"] = link("Open $rollout", "/rollouts/$rollout"), 1, 0
	return Dashboard{
		UID: "serin-release", Title: "Serin / Release",
		About: "One rollout's newest release: both arms, the ratio between them, and how far a decision is.",
		variables: variables(values("rollout", "Rollout", "serin_release_phase", "rollout", false),
			values("metric", "Metric", `serin_verdict{rollout="$rollout"}`, "metric", true)),
		panels: []panel{
			stat("Under way", "1 while it is active.", "none", "blue", 1, `serin_release_phase{rollout="$rollout", phase="active"}`),
			stat("Going back", "", "none", "red", 1, `serin_release_phase{rollout="$rollout", phase="rollingBack"}`),
			stat("Canary's share", "", "percentunit", "", 0, "serin_canary_weight_ratio"+one),
			stat("Gate waits", "0 without one.", "s", "orange", 1, "serin_gate_age_seconds"+one),
			stat("Alarms about data", "", "none", "red", 1, "serin_sample_ratio_alarm"+one+" + on (rollout) serin_exposure_alarm"+one),
			stat("No data for", "", "s", "orange", 60, "max(serin_no_data_age_seconds"+one+")"),
			weight,
			outcomes("Verdicts", "Of the newest look, for each metric.", query{expr: "serin_verdict" + each, legend: "{{metric}} {{outcome}}"}),
			graph("Ratio of the arms, and the margin", "Canary's rate over baseline's. It fails when the lower bound "+
				"is above 1 and the estimate above the margin; it passes when the upper bound is below the margin.", "none",
				query{expr: "serin_comparison_bound_ratio" + each, legend: "{{metric}} {{side}} bound"},
				query{expr: "serin_comparison_ratio" + each, legend: "{{metric}} {{what}}"}).wide(),
			graph("Evidence", "Natural logarithm of the e-values: against “no worse” on the way to a fail, against "+
				"“worse by the margin” on the way to a pass.", "none",
				query{expr: "serin_evidence_log" + each, legend: "{{metric}} against {{against}}"}),
			graph("Rates of the arms", "Share of bad requests, or the mean of a gauge, since the evidence began.",
				"none", query{expr: "serin_arm_rate" + each, legend: "{{metric}} {{arm}}"}),
			graph("Requests of the arms", "That the evidence rests on.", "short",
				query{expr: "serin_arm_samples" + each, legend: "{{metric}} {{arm}}"}),
			graph("Until a write is in force",
				"Mean time from writing the gateway's configuration until every replica that was asked serves it.", "s",
				query{
					expr: `rate(serin_traffic_in_force_seconds_sum` + one +
						`[$__rate_interval]) / rate(serin_traffic_in_force_seconds_count` + one + `[$__rate_interval])`, legend: "mean",
				}),
			graph("What happened", "Events, per minute.", "short",
				query{expr: `rate(serin_events_total` + one + `[$__rate_interval]) * 60`, legend: "{{event}}"}),
			graph("Foreign edits and failed writes", "", "short",
				query{expr: `increase(serin_drift_total` + one + `[$__rate_interval])`, legend: "put right"},
				query{expr: `increase(serin_traffic_write_errors_total` + one + `[$__rate_interval])`, legend: "writes failed"}),
		},
	}
}

// rate is per second over Grafana's interval.
func rate(metric string) string { return "rate(" + metric + "[$__rate_interval])" }

// p99 is the 99th percentile of a histogram.
func p99(by, metric string) string {
	return fmt.Sprintf("histogram_quantile(0.99, sum by (%sle) (%s))", by, rate(metric+"_bucket"))
}

// Daemon shows the health of Serin itself.
func Daemon() Dashboard {
	return Dashboard{
		UID: "serin-daemon", Title: "Serin / Daemon",
		About:     "The health of Serin itself: looks, Prometheus, the gateway, the API, messages, the process.",
		variables: variables(),
		panels: append([]panel{
			stat("Errors in the configuration", "", "none", "red", 1, "max(serin_config_errors)"),
			stat("Configuration read", "How long ago it was last taken over.", "s", "", 0, "time() - max(serin_config_read_timestamp_seconds)"),
			stat("Looks missed", "In the last hour, because the daemon was late.", "none", "orange", 1,
				"sum(increase(serin_looks_missed_total[1h]))"),
			stat("Audit errors", "Actions of the last hour that could not be written to the audit log.", "none", "red",
				1, "sum(increase(serin_audit_errors_total[1h]))"),
			stat("Messages waiting", "", "none", "orange", 1, "sum(serin_notifications_waiting) or vector(0)"),
			stat("Event streams", "Pages and commands that follow live.", "none", "", 0, "sum(serin_event_streams)"),
			row("Looks and their source"),
			graph("Looks", "Per second.", "ops", query{expr: "sum(" + rate("serin_looks_total") + ")", legend: "taken"},
				query{expr: "sum(" + rate("serin_looks_missed_total") + ")", legend: "slots missed"}),
			graph("Time of a slot", "For all looks that were due together, 99th percentile.", "s",
				query{expr: p99("", "serin_look_slot_seconds"), legend: "p99"}),
			graph("Queries to Prometheus", "Per second.", "ops",
				query{expr: "sum(" + rate("serin_prometheus_queries_total") + ")", legend: "all"},
				query{expr: "sum by (kind) (" + rate("serin_prometheus_query_errors_total") + ")", legend: "without a result: {{kind}}"},
				query{expr: "sum(" + rate("serin_prometheus_query_warnings_total") + ")", legend: "warnings"}),
			graph("Time of a query", "99th percentile.", "s", query{expr: p99("", "serin_prometheus_query_duration_seconds"), legend: "p99"}),
			graph("Clock of Prometheus", "By how much it is behind. From ten seconds on its answers are not trusted.",
				"s", query{expr: "serin_prometheus_clock_skew_seconds", legend: "behind"}),
			row("Gateway"),
			graph("Writing the gateway's configuration", "99th percentile, for each rollout.", "s",
				query{expr: p99("rollout, ", "serin_traffic_write_seconds"), legend: "{{rollout}}"}),
			graph("Until a write is in force", "99th percentile, for each rollout.", "s",
				query{expr: p99("rollout, ", "serin_traffic_in_force_seconds"), legend: "{{rollout}}"}),
			graph("Writes that failed", "", "short",
				query{expr: `increase(serin_traffic_write_errors_total[$__rate_interval])`, legend: "{{rollout}}"}),
			graph("Foreign edits put right", "", "short", query{expr: `increase(serin_drift_total[$__rate_interval])`, legend: "{{rollout}}"}),
			row("API and people"),
			graph("Answers", "Per second.", "ops",
				query{expr: `sum by (code) (` + rate("serin_http_request_duration_seconds_count") + `)`, legend: "{{code}}"}),
			graph("Time of an answer", "99th percentile.", "s",
				query{expr: p99("method, ", "serin_http_request_duration_seconds"), legend: "{{method}}"}),
			graph("Actions", "What people and programs asked for, per minute.", "short",
				query{expr: `sum by (action, result) (` + rate("serin_actions_total") + `) * 60`, legend: "{{action}} {{result}}"}),
			graph("Failed sign-ins", "Per minute.", "short", query{expr: `sum(` + rate("serin_sign_in_failures_total") + `) * 60`, legend: "failed"}),
			row("Messages"),
			graph("Deliveries", "Per minute, by receiver.", "short",
				query{expr: `sum by (receiver, result) (` + rate("serin_notifications_total") + `) * 60`, legend: "{{receiver}} {{result}}"}),
			graph("Messages not delivered yet", "Age of the oldest, by receiver.", "s",
				query{expr: "serin_notifications_oldest_age_seconds", legend: "{{receiver}}"}),
			row("Spinnaker"),
			graph("Runs that have ended", "Of Kayenta's API, per minute.", "short",
				query{expr: `sum by (kind, status) (` + rate("serin_spinnaker_runs_total") + `) * 60`, legend: "{{kind}} {{status}}"}),
			graph("Runs that are open, and late intervals", "", "short",
				query{expr: "sum(serin_spinnaker_runs_open)", legend: "open"},
				query{expr: "sum(increase(serin_spinnaker_intervals_late_total[$__rate_interval]))", legend: "judged later than planned"}),
		}, process()...),
	}
}

// process are the panels about the daemon's process.
func process() []panel {
	return []panel{
		row("Process"),
		graph("Who leads", "1 for the daemon that acts, where there are several.", "none",
			query{expr: "serin_leading", legend: "{{instance}}"}).steps().wide(),
		graph("Processor", "Cores in use.", "short",
			query{expr: `rate(process_cpu_seconds_total{job=~"serin.*"}[$__rate_interval])`, legend: "{{instance}}"}),
		graph("Memory", "", "bytes", query{
			expr: `process_resident_memory_bytes{job=~"serin.*"}`, legend: "{{instance}} resident",
		}, query{expr: `go_memstats_heap_inuse_bytes{job=~"serin.*"}`, legend: "{{instance}} heap"}),
		graph("Goroutines", "", "short", query{expr: `go_goroutines{job=~"serin.*"}`, legend: "{{instance}}"}),
		graph("Open files", "", "short", query{expr: `process_open_fds{job=~"serin.*"}`, legend: "{{instance}}"}),
	}
}
