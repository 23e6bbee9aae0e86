package analysis

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// matcher is one label matcher. Before substitution its value may hold placeholders.
type matcher struct {
	label string
	op    string // = != =~ !~
	value string
}

// selector is a parsed [Selector]: matchers are ascending by label, operator and value.
type selector struct {
	name     string
	matchers []matcher
}

// parseSelector reads a plain vector selector: a name and matchers, no range, no offset, no quoted names.
func parseSelector(text string) (selector, error) {
	all, err := tokens(text)
	if err != nil {
		return selector{}, err
	}
	var ts []token
	for _, t := range all {
		if t.kind != tokenSpace {
			ts = append(ts, t)
		}
	}
	if len(ts) == 0 || ts[0].kind != tokenWord || !isMetricName(ts[0].text) {
		return selector{}, fmt.Errorf("a selector begins with the name of a metric")
	}
	s := selector{name: ts[0].text}
	if ts = ts[1:]; len(ts) == 0 {
		return s, nil
	}
	if ts[0].text != "{" {
		return selector{}, fmt.Errorf("%q at character %d: a selector is a name and matchers in braces, nothing else%s",
			ts[0].text, ts[0].at+1, alone(text, all))
	}
	rest, err := s.parseMatchers(ts[1:])
	if err != nil {
		return selector{}, err
	}
	if len(rest) > 0 {
		return selector{}, fmt.Errorf("%q at character %d: a selector ends with its braces; "+
			"Serin adds the range itself%s", rest[0].text, rest[0].at+1, alone(text, all))
	}
	slices.SortFunc(s.matchers, func(a, b matcher) int {
		return strings.Compare(a.label+"\x00"+a.op+"\x00"+a.value, b.label+"\x00"+b.op+"\x00"+b.value)
	})
	s.matchers = slices.Compact(s.matchers)
	return s, nil
}

// alone is the advice what to write in place of an expression: its counters, without the functions around them.
func alone(text string, ts []token) string {
	found := counters(text, ts)
	if len(found) == 0 {
		return ""
	}
	what := "the counter alone, " + found[0]
	if len(found) > 1 {
		what = "each counter alone, " + strings.Join(found, " and ") + ", at a field of its own"
	}
	if len(variables(strings.Join(found, ""))) == 0 {
		what += `, with a matcher that distinguishes the arms: {pod=~"${pods}"} on Kubernetes, {instance=~"${instances}"} without it`
	}
	return ". Write " + what + ". Serin reads the raw samples and counts itself: no rate(), no sum()"
}

// grouping holds the keywords of PromQL that are followed by labels in parentheses.
var grouping = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}

// counters returns the selectors in an expression as written, each once.
func counters(text string, all []token) (found []string) {
	ts := slices.DeleteFunc(slices.Clone(all), func(t token) bool { return t.kind == tokenSpace })
	for i := 0; i < len(ts); i++ {
		next := func(sign string) bool { return i+1 < len(ts) && ts[i+1].text == sign }
		end := func(sign string) { // moves behind the closing sign
			for i < len(ts) && ts[i].text != sign {
				i++
			}
		}
		switch t := ts[i]; {
		case t.text == "[":
			end("]")
		case t.kind != tokenWord || !isMetricName(t.text) || slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, t.text):
		case slices.Contains(grouping, strings.ToLower(t.text)):
			if next("(") {
				end(")")
			}
		case next("("), next("by"), next("without"): // a function
		default:
			to := t.at + len(t.text)
			if next("{") {
				end("}")
				if i == len(ts) {
					return nil
				}
				to = ts[i].at + 1
			}
			if s := text[t.at:to]; !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	return found
}

// parseMatchers reads up to the closing brace and returns what comes after it.
func (s *selector) parseMatchers(ts []token) ([]token, error) {
	for {
		switch {
		case len(ts) == 0:
			return nil, fmt.Errorf("the closing brace is missing")
		case ts[0].text == "}":
			return ts[1:], nil
		case len(ts) < 3 || ts[0].kind != tokenWord || !isLabelName(ts[0].text) || !isMatch(ts[1].text) || ts[2].kind != tokenString:
			return nil, fmt.Errorf("%q at character %d: expected a matcher like label=\"value\"", ts[0].text, ts[0].at+1)
		}
		if ts[0].text == "__name__" {
			return nil, fmt.Errorf("the metric's name stands before the braces, not in them")
		}
		value, err := unquote(ts[2].text)
		if err != nil {
			return nil, err
		}
		s.matchers = append(s.matchers, matcher{ts[0].text, ts[1].text, value})
		ts = ts[3:]
		if len(ts) > 0 && ts[0].text == "," {
			ts = ts[1:]
		} else if len(ts) > 0 && ts[0].text != "}" {
			return nil, fmt.Errorf("%q at character %d: expected a comma or the closing brace", ts[0].text, ts[0].at+1)
		}
	}
}

// ParseMatchers reads label matchers in the form between the braces of a selector, and returns their canonical form.
// Variables are refused, because the matchers are the same for both arms.
func ParseMatchers(text string) (string, error) {
	s, err := parseSelector("m{" + text + "}")
	if err != nil {
		return "", fmt.Errorf("expected label matchers such as cluster=\"eu-1\", job=~\"traefik.*\": %w", err)
	}
	for _, m := range s.matchers {
		if strings.Contains(m.value, "${") {
			return "", fmt.Errorf("%s=%s: these matchers are the same for both arms, so they cannot have variables", m.label, quote(m.value))
		}
		if _, err := (Names{}).into(m.value, m.op); err != nil {
			return "", err
		}
	}
	return join(s.matchers), nil
}

// EqualMatchers returns the matchers, in their canonical form, for series with all of these labels.
func EqualMatchers(labels map[string]string) (string, error) {
	var s selector
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if !isLabel(label) || label == "__name__" {
			return "", fmt.Errorf("%q is not the name of a label", label)
		}
		s.matchers = append(s.matchers, matcher{label, "=", labels[label]})
	}
	return ParseMatchers(join(s.matchers))
}

func isMatch(op string) bool { return op == "=" || op == "!=" || op == "=~" || op == "!~" }

func isMetricName(s string) bool { return s[0] < '0' || s[0] > '9' }

func isLabelName(s string) bool { return isMetricName(s) && !strings.Contains(s, ":") }

// String is the canonical form, which is valid PromQL once no placeholders are left.
func (s selector) String() string { return s.name + "{" + join(s.matchers) + "}" }

func join(ms []matcher) string {
	var b strings.Builder
	for i, m := range ms {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(m.label + m.op + quote(m.value))
	}
	return b.String()
}

// within reports whether s selects a part of what o selects, because it has all of o's matchers; rest are its
// additional ones.
func (s selector) within(o selector) (rest []matcher, ok bool) {
	if s.name != o.name {
		return nil, false
	}
	for _, m := range s.matchers {
		if !slices.Contains(o.matchers, m) {
			rest = append(rest, m)
		}
	}
	return rest, len(s.matchers)-len(rest) == len(o.matchers)
}

// substitute puts values into the matchers. s is not changed.
func (s selector) substitute(n Names) (selector, error) {
	out := selector{name: s.name, matchers: slices.Clone(s.matchers)}
	for i := range out.matchers {
		m := &out.matchers[i]
		if m.value == "${service}" && n.severalServices() {
			if pattern, plain := map[string]string{"=": "=~", "!=": "!~"}[m.op]; plain {
				m.op = pattern
			}
		}
		value, err := n.into(m.value, m.op)
		if err != nil {
			return selector{}, err
		}
		m.value = value
	}
	return out, nil
}

// into replaces the placeholders of a matcher's value. In a regular expression values are quoted, and several mean any
// of them; otherwise there has to be exactly one.
func (n Names) into(template, op string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(template, "${")
		b.WriteString(before)
		if !found {
			break
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("${ is not closed in %q", template)
		}
		pattern := op == "=~" || op == "!~"
		if own, ok := n.Patterns[name]; ok {
			if !pattern {
				return "", fmt.Errorf("${%s} is a pattern: use =~ instead of %s", name, op)
			}
			b.WriteString("(?:" + own + ")")
			template = rest
			continue
		}
		values, err := n.lookup(name)
		if err != nil {
			return "", err
		}
		switch {
		case pattern:
			b.WriteString(anyOf(values))
		case len(values) == 1:
			b.WriteString(values[0])
		default:
			return "", fmt.Errorf("${%s} has %d values here: use =~ instead of %s", name, len(values), op)
		}
		template = rest
	}
	if op == "=~" || op == "!~" {
		if _, err := compile(b.String()); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// severalServices reports whether the arm's requests are counted under several names.
func (n Names) severalServices() bool { return strings.Contains(n.Service, ",") }

func (n Names) lookup(name string) ([]string, error) {
	values, ok := n.Vars[name]
	if name == "service" && n.Service != "" {
		values, ok = strings.Split(n.Service, ","), true
	}
	switch {
	case !isVariable(name):
		return nil, fmt.Errorf("${%s} is not a variable", name)
	case !ok || len(values) == 0:
		return nil, fmt.Errorf("${%s} has no value", name)
	}
	for _, v := range values {
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("the value of ${%s} is not valid UTF-8: %q", name, v)
		}
	}
	return values, nil
}

// isVariable reports whether a name consists of letters, digits, underscores and dashes, at most 64.
func isVariable(name string) bool {
	for _, c := range []byte(name) {
		if !isWord(c) && c != '-' || c == ':' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// anyOf is a regular expression that matches exactly the values.
func anyOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}

// alternation is the matcher, without its label, that selects exactly the values.
func alternation(values []string) string {
	if len(values) == 1 {
		return "=" + quote(values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	// Without a group around it Prometheus reads a plain alternation as a set of values.
	return "=~" + quote(strings.Join(quoted, "|"))
}

// compile reads a matcher's regular expression as Prometheus does: anchored on both sides, dot matching all.
func compile(pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile("^(?s:" + pattern + ")$")
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", pattern, err)
	}
	return re, nil
}

// substituteExpression puts values into the label matchers of a whole expression. A placeholder anywhere else is an
// error. The text around the values stays as it is.
func (n Names) substituteExpression(text string) (string, error) {
	ts, err := tokens(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	var open []string  // brackets
	var last [2]string // the last two tokens that are not white space
	for _, t := range ts {
		out := t.text
		switch inMatcher := len(open) > 0 && open[len(open)-1] == "{" && isMatch(last[1]) && isWordText(last[0]); {
		case t.kind == tokenString && inMatcher:
			if out, err = n.intoLiteral(t.text, last[1]); err != nil {
				return "", err
			}
		case strings.Contains(t.text, "${"), t.text == "$":
			return "", fmt.Errorf("at character %d: ${…} may stand inside the value of a label matcher and nowhere else", t.at+1)
		case t.kind == tokenOperator:
			if open, err = brackets(open, t); err != nil {
				return "", err
			}
		}
		if t.kind != tokenSpace {
			last = [2]string{last[1], t.text}
		}
		b.WriteString(out)
	}
	if len(open) > 0 {
		return "", fmt.Errorf("%q is not closed", open[len(open)-1])
	}
	if last[1] == "" {
		return "", fmt.Errorf("is empty")
	}
	return b.String(), nil
}

func isWordText(s string) bool { return s != "" && isWord(s[0]) }

// intoLiteral substitutes in a literal; without placeholders it stays as written.
func (n Names) intoLiteral(literal, op string) (string, error) {
	value, err := unquote(literal)
	if err != nil {
		return "", err
	}
	out, err := n.into(value, op)
	if err != nil || out == value {
		return literal, err
	}
	return quote(out), nil
}

func brackets(open []string, t token) ([]string, error) {
	closes := map[string]string{")": "(", "]": "[", "}": "{"}
	switch t.text {
	case "(", "[", "{":
		return append(open, t.text), nil
	case ")", "]", "}":
		if len(open) == 0 || open[len(open)-1] != closes[t.text] {
			return nil, fmt.Errorf("%q at character %d closes nothing", t.text, t.at+1)
		}
		return open[:len(open)-1], nil
	}
	return open, nil
}

// variables returns the names to which a matcher's value or an expression refers, as written.
func variables(text string) []string {
	var out []string
	for {
		_, after, found := strings.Cut(text, "${")
		if !found {
			return out
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return out
		}
		out = append(out, name)
		text = rest
	}
}
