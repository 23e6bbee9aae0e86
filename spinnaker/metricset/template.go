package metricset

import (
	"fmt"
	"regexp"
	"strings"
)

// BreakoutError means that a value of a scope would change a query beyond its place in the template. Kayenta would send
// such a query. Serin does not, because people who may start an analysis need not be allowed to write configs.
type BreakoutError struct {
	// Name is that of the binding, Value the one that does not fit there.
	Name, Value string
}

func (e *BreakoutError) Error() string {
	text := fmt.Sprintf("${%s}: the value %.80q would change the query beyond its place: within quotes it must not "+
		"contain a quote, backslash or line break, "+
		"elsewhere it must consist of letters, digits and _ : .", e.Name, e.Value)
	if listOfMatchers.MatchString(e.Value) {
		text += `; spinnaker.matchersInScopes: true in the daemon's document allows scopes that are whole matchers`
	}
	return text
}

// maxDepth bounds values that refer to other values: a deeper chain is taken for a cycle.
const maxDepth = 16

// maxQuery bounds an expanded query. Real queries are far shorter, and values that refer to several others could grow
// exponentially.
const maxQuery = 64 << 10

// expand replaces ${name} and ${name:-text} in a template. $${name} becomes ${name}, an unclosed ${ stays as it is, and
// values are expanded as well. An unbound name without a default is an error.
//
// With matchers, a value outside of quotes may also be a list of matchers.
func expand(template string, bound map[string]string, matchers bool) (string, error) {
	x := expander{bound: bound}
	var b strings.Builder
	var q quotes
	for rest := template; rest != ""; {
		text, name, after, found := next(rest)
		q.read(text)
		b.WriteString(text)
		if rest = after; !found {
			continue
		}
		value, own, err := x.value(name, 0)
		if err != nil {
			return "", fmt.Errorf("Problem evaluating custom filter template: %s", template) //nolint:staticcheck,revive // Kayenta's words
		}
		if !own {
			name, _, _ = strings.Cut(name, ":-")
			whole := b.Len() < len(promQL) && strings.HasPrefix(b.String()+value, promQL) // the value would turn a filter into a query
			asMatchers := matchers && q.open == 0 && listOfMatchers.MatchString(value)
			if whole || q.escaped || !fits(value, q.open) && !asMatchers {
				return "", &BreakoutError{Name: name, Value: value}
			}
		} else {
			q.read(value)
		}
		if b.WriteString(value); b.Len() > maxQuery {
			return "", fmt.Errorf("the expanded query is longer than %d bytes", maxQuery)
		}
	}
	return b.String(), nil
}

// listOfMatchers matches PromQL matchers in double quotes, separated by commas: such a text closes no brace and begins
// no expression.
var listOfMatchers = regexp.MustCompile(`^\s*` + oneMatcher + `(\s*,\s*` + oneMatcher + `)*\s*,?\s*$`)

const oneMatcher = `[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*"([^"\\\n\r\x00]|\\[^\n\r\x00])*"`

// next cuts a template at its first ${…} and returns the text before it, what is within, and the rest.
func next(template string) (text, name, rest string, found bool) {
	var b strings.Builder
	for {
		i := strings.Index(template, "${")
		if i < 0 {
			return b.String() + template, "", "", false
		}
		end := strings.IndexByte(template[i:], '}')
		if end < 0 {
			return b.String() + template, "", "", false
		}
		end += i
		if i > 0 && template[i-1] == '$' { // an escaped one
			b.WriteString(template[:i-1] + template[i:end+1])
			template = template[end+1:]
			continue
		}
		b.WriteString(template[:i])
		return b.String(), template[i+2 : end], template[end+1:], true
	}
}

type expander struct{ bound map[string]string }

// value returns the expanded value of a name; own means that it is the template's own default.
func (x expander) value(name string, depth int) (value string, own bool, err error) {
	name, otherwise, hasDefault := strings.Cut(name, ":-")
	value, ok := x.bound[name]
	switch {
	case depth > maxDepth:
		return "", false, fmt.Errorf("${%s} refers to itself", name)
	case !ok && hasDefault:
		return otherwise, true, nil
	case !ok:
		return "", false, fmt.Errorf("${%s} is not bound", name)
	}
	var b strings.Builder
	for rest := value; rest != ""; {
		text, inner, after, found := next(rest)
		b.WriteString(text)
		if rest = after; !found {
			continue
		}
		more, _, err := x.value(inner, depth+1)
		if err != nil {
			return "", false, err
		}
		if b.WriteString(more); b.Len() > maxQuery {
			return "", false, fmt.Errorf("${%s} is longer than %d bytes", name, maxQuery)
		}
	}
	return b.String(), false, nil
}

// quotes tracks PromQL's quotes and comments through a text.
type quotes struct {
	open    byte // the open quote, # within a comment, 0 outside of both
	escaped bool
}

func (q *quotes) read(text string) {
	for i := range len(text) {
		c := text[i]
		switch {
		case q.escaped:
			q.escaped = false
		case q.open == '#':
			if c == '\n' {
				q.open = 0
			}
		case q.open == 0:
			if c == '"' || c == '\'' || c == '`' || c == '#' {
				q.open = c
			}
		case c == '\\' && q.open != '`':
			q.escaped = true
		case c == q.open:
			q.open = 0
		}
	}
}

// fits reports whether a value stays within its place, given the quote that is open there.
func fits(value string, open byte) bool {
	if open == '"' || open == '\'' || open == '`' {
		return !strings.ContainsAny(value, "\"'`\\\n\r\x00")
	}
	return strings.TrimLeft(value, plainCharacters) == ""
}

// plainCharacters are those of names, numbers and durations. They cannot form any other PromQL.
const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:."
