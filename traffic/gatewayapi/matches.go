package gatewayapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

const pattern = "RegularExpression"

// narrowed returns a route's match, as JSON, with further conditions.
func narrowed(match map[string]any, conditions []traffic.Condition) (map[string]any, error) {
	out := deepCopy(match)
	for _, c := range conditions {
		list := "headers"
		if c.Query {
			list = "queryParams"
		}
		have, _ := out[list].([]any)
		for _, h := range have {
			if m, ok := h.(map[string]any); ok && (m["name"] == c.Name || !c.Query && strings.EqualFold(text(m["name"]), c.Name)) {
				return nil, fmt.Errorf("the route already has a condition on %s, and can have only one", c.Field())
			}
		}
		out[list] = append(have, map[string]any{"type": kindOf(c), "name": c.Name, "value": c.Value})
	}
	return out, nil
}

func kindOf(c traffic.Condition) string {
	if c.Regexp {
		return pattern
	}
	return "Exact"
}

// fragments returns the parts of Traefik's router rules that come from a match's conditions.
func fragments(match map[string]any) []string {
	var out []string
	for list, matcher := range map[string]string{"headers": "Header", "queryParams": "Query"} {
		all, _ := match[list].([]any)
		for _, c := range all {
			m, _ := c.(map[string]any)
			kind := matcher
			if m["type"] == pattern {
				kind += "Regexp"
			}
			out = append(out, fmt.Sprintf("%s(%q,%q)", kind, text(m["name"]), text(m["value"])))
		}
	}
	return out
}

func deepCopy(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("JSON of a match: %v", err)) // it was JSON
	}
	return kubeobjects.SpecMap(json.RawMessage(data))
}

func text(v any) string { s, _ := v.(string); return s }
