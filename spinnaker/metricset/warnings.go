package metricset

import (
	"fmt"
	"strings"

	"github.com/serindev/serin/judge/kayenta"
)

// CheckSources holds that every metric of a config asks Prometheus, in words close to those of Kayenta's reader, which
// chooses the class of a query by its type and takes nothing else for it.
func CheckSources(c kayenta.Config) error {
	for _, m := range c.Metrics {
		switch m.Query.Type {
		case "prometheus":
		case "":
			return fmt.Errorf("missing type id property 'type' in the query of metric '%s': expected \"type\": \"prometheus\"", m.Name)
		default:
			return fmt.Errorf("Could not resolve type id '%s' of the query of metric '%s': Serin reads prometheus.", m.Query.Type, m.Name) //nolint:staticcheck,revive // Kayenta's words
		}
	}
	return nil
}

// ConfigWarnings tells in words what of a config will not do what it seems to, in the order of its metrics. Kayenta
// stores such a config without a word, and its runs end in errors, or ask something else than was meant.
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
			all = append(all, fmt.Sprintf("metric %q: ${%s} stands where a whole matcher has to be, and values that are matchers are refused: "+
				`write label="${%s}", or set spinnaker.matchersInScopes in the daemon's document`, m.Name, name, name))
		}
		if call := looksLikePromQL(template); call != "" {
			all = append(all, fmt.Sprintf("metric %q: its template calls %s(…), but is taken as a filter within %s{…}: begin it with %q if it is a whole query",
				m.Name, call, m.Query.MetricName, promQL))
		}
	}
	return all
}

// Same lists the metrics for which both arms are asked the same query over the same time, so that they cannot differ
// whatever the canary does.
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

// matcherPlace is the first name of a template that stands where a matcher has to be: alone between the commas of a
// filter, or within the braces of a query. A name with a default may mean text of the template itself.
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

// looksLikePromQL is the function that a filter begins with, as only a query would.
func looksLikePromQL(template string) string {
	name, _, call := strings.Cut(strings.TrimSpace(template), "(")
	if !call || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_ ") != "" {
		return ""
	}
	return strings.TrimSpace(name)
}
