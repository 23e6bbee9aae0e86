package dashboards

import "maps"

// panel is one panel of a dashboard before it has its place.
type panel struct {
	title, about, kind, unit string
	width, height            int
	queries                  []query
	// more is merged into the panel; options and defaults into its options and field defaults.
	more, options, defaults map[string]any
	overrides               []any
}

// query is one expression with its legend. A table is an instant query.
type query struct {
	expr, legend string
	table        bool
}

// Widths and heights in Grafana's grid of 24 columns.
const (
	gridWidth  = 24
	graphSize  = 8
	statHeight = 4
	rowHeight  = 1
)

// graph is values over time.
func graph(title, about, unit string, queries ...query) panel {
	return panel{
		title: title, about: about, kind: "timeseries", unit: unit, width: 12, height: graphSize, queries: queries,
		options: map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []any{}},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
		defaults: map[string]any{"custom": map[string]any{
			"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": false,
		}},
	}
}

// steps draws values that hold until the next one, as weights do.
func (p panel) steps() panel {
	custom := p.defaults["custom"].(map[string]any)
	custom["lineInterpolation"], custom["fillOpacity"] = "stepAfter", 10
	return p
}

// wide takes the whole width.
func (p panel) wide() panel {
	p.width = gridWidth
	return p
}

// stat is one number, in colour from a threshold on; empty colours leave it as it is.
func stat(title, about, unit, colour string, from float64, expr string) panel {
	steps := []any{map[string]any{"color": "text", "value": nil}}
	if colour != "" {
		steps = append(steps, map[string]any{"color": colour, "value": from})
	}
	return panel{
		title: title, about: about, kind: "stat", unit: unit, width: 4, height: statHeight, queries: []query{{expr: expr, legend: "__auto"}},
		options: map[string]any{
			"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "value", "wideLayout": true, "orientation": "auto",
			"showPercentChange": false, "percentChangeColorMode": "standard",
			"reduceOptions": map[string]any{"calcs": []any{"lastNotNull"}, "fields": "", "values": false},
		},
		defaults: map[string]any{"thresholds": map[string]any{"mode": "absolute", "steps": steps}},
	}
}

// outcomes shows which of several series is 1, over time.
func outcomes(title, about string, queries ...query) panel {
	colours := []struct{ name, colour string }{
		{"fail", "red"}, {"rollingBack", "red"}, {"pass", "green"}, {"active", "blue"}, {"inconclusive", "text"}, {"ended", "text"},
	}
	p := panel{
		title: title, about: about, kind: "state-timeline", unit: "none", width: 12, height: graphSize, queries: queries,
		options: map[string]any{
			"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.8,
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []any{}},
			"tooltip": map[string]any{"mode": "single", "sort": "none"},
		},
		defaults: map[string]any{"custom": map[string]any{"fillOpacity": 70, "lineWidth": 0}},
	}
	p.defaults["mappings"] = []any{map[string]any{"type": "value", "options": map[string]any{
		"0": map[string]any{"text": "no", "color": "transparent", "index": 0}, "1": map[string]any{"text": "yes", "index": 1},
	}}}
	for _, c := range colours {
		p.overrides = append(p.overrides, map[string]any{
			"matcher":    map[string]any{"id": "byRegexp", "options": "/(^| )" + c.name + "$/"},
			"properties": []any{map[string]any{"id": "color", "value": map[string]any{"mode": "fixed", "fixedColor": c.colour}}},
		})
	}
	return p
}

// json puts a panel at a place of the grid.
func (p panel) json(id, x, y int) map[string]any {
	if p.kind == "row" {
		return map[string]any{
			"type": "row", "id": id, "title": p.title, "collapsed": false, "panels": []any{}, "gridPos": grid(x, y, gridWidth, rowHeight),
		}
	}
	defaults := map[string]any{"unit": p.unit}
	maps.Copy(defaults, p.defaults)
	overrides := p.overrides
	if overrides == nil {
		overrides = []any{}
	}
	var targets []any
	for i, q := range p.queries {
		t := map[string]any{
			"refId": string(rune('A' + i)), "datasource": source(), "expr": q.expr, "legendFormat": q.legend,
			"editorMode": "code", "range": !q.table, "instant": q.table,
		}
		if q.table {
			t["format"] = "table"
		}
		targets = append(targets, t)
	}
	out := map[string]any{
		"id": id, "type": p.kind, "title": p.title, "description": p.about, "datasource": source(), "gridPos": grid(x, y, p.width, p.height),
		"targets": targets, "options": p.options, "fieldConfig": map[string]any{"defaults": defaults, "overrides": overrides},
	}
	maps.Copy(out, p.more)
	return out
}

func grid(x, y, w, h int) map[string]any { return map[string]any{"x": x, "y": y, "w": w, "h": h} }

func source() map[string]any { return map[string]any{"type": "prometheus", "uid": "${datasource}"} }

func row(title string) panel {
	return panel{title: title, kind: "row", width: gridWidth, height: rowHeight}
}
