package metricset

import (
	"fmt"
	"regexp"
	"strings"
)

// BreakoutError says that a value of a scope would change a query beyond the place that the template gives it.
// Kayenta would send such a query; Serin does not, because who may start an analysis need not be who may write
// configs.
type BreakoutError struct {
	// Name of the binding, and the value that does not fit there.
	Name, Value string
}

func (e *BreakoutError) Error() string {
	text := fmt.Sprintf("${%s}: the value %.80q would change the query beyond its place: within quotes no quote, backslash or line break is taken, "+
		"elsewhere only letters, digits and _ : .", e.Name, e.Value)
	if listOfMatchers.MatchString(e.Value) {
		text += `; spinnaker.matchersInScopes: true in the daemon's document lets scopes hold whole matchers`
	}
	return text
}

// maxDepth is how often a value may stand for another one; deeper means that they stand for each other.
const maxDepth = 16

// maxQuery bounds an expanded query: Prometheus takes no longer ones in practice, and values that stand for several
// others could grow without end.
const maxQuery = 64 << 10

// expand replaces ${name} and ${name:-text} in a template. $${name} stays as ${name}, what is not closed stays as it
// is, and values are expanded themselves. A name that is bound to nothing fails the template.
//
// With matchers a value outside of quotes may also be a list of matchers.
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
			whole := b.Len() < len(promQL) && strings.HasPrefix(b.String()+value, promQL) // a filter that would become a query
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

// listOfMatchers is PromQL's matchers in double quotes, separated by commas: a text that closes no brace and begins no
// expression.
var listOfMatchers = regexp.MustCompile(`^\s*` + oneMatcher + `(\s*,\s*` + oneMatcher + `)*\s*,?\s*$`)

const oneMatcher = `[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*"([^"\\\n\r\x00]|\\[^\n\r\x00])*"`

// next cuts a template at its first ${…}: the text before it, what is within, and the rest.
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

// value is what a name stands for; own says that it is text of the template itself, a default.
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

// quotes follows PromQL's quotes and comments through a text.
type quotes struct {
	open    byte // the quote that is open, # for a comment, 0 for none
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

// fits says whether a value stays within its place: the quotes that are open there, or none.
func fits(value string, open byte) bool {
	if open == '"' || open == '\'' || open == '`' {
		return !strings.ContainsAny(value, "\"'`\\\n\r\x00")
	}
	return strings.TrimLeft(value, plainCharacters) == ""
}

// plainCharacters are those of names, numbers and durations: no PromQL is made of them alone that a name is not.
const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:."
