package metricset

import (
	"fmt"
	"strings"

	"github.com/serindev/serin/judge/kayenta"
)

// CheckSources refuses a config with a metric that does not come from Prometheus. Like Kayenta's reader, whose wording it
// follows, it goes by the type of the query and nothing else.
func CheckSources(c kayenta.Config) error {
	for _, m := range c.Metrics {
		switch m.Query.Type {
		case "prometheus":
		case "":
			return fmt.Errorf("missing type id property 'type' in the query of metric '%s': expected \"type\": \"prometheus\"", m.Name)
		default:
			return fmt.Errorf("Could not resolve type id '%s' of the query of metric '%s': Serin reads prometheus only.", m.Query.Type, m.Name) //nolint:staticcheck,revive // Kayenta's words
		}
	}
	return nil
}

// ConfigWarnings says which parts of a config will not do what they seem to, in the order of its metrics. Kayenta stores
// such a config without a warning, and its runs fail or query something other than what was meant.
func ConfigWarnings(c kayenta.Config, rules Rules) []string {
	var all []string
	for _, place := range c.Ignored {
		all = append(all, place+" is not read")
	}
	for _, m := range c.Metrics {
		template, err := templateOf(c.Templates, m.Query)
		if err != nil {
			all = append(all, fmt.Sprintf("metric %q: every run will fail: %v", m.Name, err))
			continue
		}
		if name := matcherPlace(template); name != "" && !rules.Matchers {
			all = append(all, fmt.Sprintf("metric %q: ${%s} stands in the place of a whole matcher, and values that are matchers are refused: "+
				`write label="${%s}", or set spinnaker.matchersInScopes in the daemon's document`, m.Name, name, name))
		}
		if call := looksLikePromQL(template); call != "" {
			all = append(all, fmt.Sprintf("metric %q: its template calls %s(…), but is used as a filter within "+
				"%s{…}: begin it with %q if it is a whole query",
				m.Name, call, m.Query.MetricName, promQL))
		}
	}
	return all
}

// Same lists the metrics whose query and time range are the same for both arms, so that the arms cannot differ whatever
// the canary does.
func Same(asks []Ask) []string {
	var names []string
	for _, a := range asks {
		c, x := a.Control, a.Experiment
		if c.PromQL == x.PromQL && c.Scope.Start.Equal(x.Scope.Start) && c.Scope.End.Equal(x.Scope.End) {
			names = append(names, a.Name)
		}
	}
	return names
}

// matcherPlace returns the first name in a template that stands in the place of a whole matcher: alone between the commas
// of a filter, or within the braces of a query. A name with a default is skipped, because the default may be a matcher.
func matcherPlace(template string) string {
	whole := strings.HasPrefix(template, promQL)
	var q quotes
	braces, before := 0, byte(',')
	for rest := template; rest != ""; {
		text, name, after, found := next(rest)
		for i := range len(text) {
			outside := q.open == 0
			q.read(text[i : i+1])
			switch c := text[i]; {
			case !outside || c == ' ' || c == '\t' || c == '\n':
			case c == '{':
				braces, before = braces+1, c
			case c == '}':
				braces, before = braces-1, c
			default:
				before = c
			}
		}
		if rest = after; !found {
			continue
		}
		following := strings.TrimLeft(after, " \t\n")
		alone := (before == ',' || before == '{') && (following == "" || following[0] == ',' || following[0] == '}')
		if q.open == 0 && alone && (!whole || braces > 0) && !strings.Contains(name, ":-") {
			return name
		}
		before = '$'
	}
	return ""
}

// looksLikePromQL returns the function that a template calls at its beginning, which a filter would not do.
func looksLikePromQL(template string) string {
	name, _, call := strings.Cut(strings.TrimSpace(template), "(")
	if !call || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_ ") != "" {
		return ""
	}
	return strings.TrimSpace(name)
}
