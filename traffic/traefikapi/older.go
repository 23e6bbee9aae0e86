package traefikapi

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"

	"github.com/serindev/serin/traffic"
)

// CheckRule is [ParseRule] for a rule that a person wrote. A rule in the syntax of Traefik 2 is refused, and the error
// shows it in the syntax of Traefik 3. So is a rule that Traefik 3 accepts and no request matches.
func CheckRule(rule string) error {
	rule = strings.TrimSpace(rule)
	if strings.Contains(rule, "{{") {
		return fmt.Errorf("rule %q: Serin fills in no templates of Traefik's: write the value", rule)
	}
	err := ParseRule(rule)
	now, ok := modern(rule)
	if ok && ParseRule(now) == nil && (err != nil || strings.ReplaceAll(now, " ", "") != strings.ReplaceAll(canonical(rule), " ", "")) {
		if whole, _ := matched(now); ParseRule(whole) == nil {
			now = whole
		}
		return fmt.Errorf("rule %q is not as Traefik 3 takes it. Write %s", rule, now)
	}
	if now, why := matched(rule); why != "" && ParseRule(now) == nil {
		return fmt.Errorf("rule %q: %s. Write %s", rule, why, now)
	}
	if err != nil {
		if meant, why := guess(rule); why != "" && CheckRule(meant) == nil {
			return fmt.Errorf("rule %q: %s. Write %s", rule, why, meant)
		}
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// canonical returns a rule with its values quoted as [modern] quotes them, or the rule itself if it cannot be parsed.
func canonical(rule string) string {
	e, err := parser.ParseExpr(rule)
	if err != nil {
		return rule
	}
	text, err := rewrite(e, func(name string, values []string) string { return called(name, values) })
	if err != nil {
		return rule
	}
	return text
}

// inQuotes matches values in the single quotes of YAML and shells.
var inQuotes = regexp.MustCompile("'([^'\"`]*)'")

// modern returns a rule in the syntax of Traefik 3; ok is false if it is valid in neither syntax.
func modern(rule string) (text string, ok bool) {
	if !strings.ContainsAny(rule, "`\"") {
		rule = inQuotes.ReplaceAllString(rule, "`$1`")
	}
	e, err := parser.ParseExpr(rule)
	if err != nil {
		return "", false
	}
	text, err = rewrite(e, modernCall)
	return text, err == nil
}

var errNoRule = errors.New("no rule")

// rewrite prints a rule, with each matcher as call prints it.
func rewrite(e ast.Expr, call func(name string, values []string) string) (string, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		x, err := rewrite(e.X, call)
		return "(" + x + ")", err
	case *ast.UnaryExpr:
		x, err := rewrite(e.X, call)
		if e.Op != token.NOT {
			err = errNoRule
		}
		return "!" + x, err
	case *ast.BinaryExpr:
		x, errX := rewrite(e.X, call)
		y, errY := rewrite(e.Y, call)
		err := errors.Join(errX, errY)
		if e.Op != token.LAND && e.Op != token.LOR {
			err = errNoRule
		}
		return x + " " + e.Op.String() + " " + y, err
	case *ast.CallExpr:
		name, ok := e.Fun.(*ast.Ident)
		if !ok {
			return "", errNoRule
		}
		values := make([]string, len(e.Args))
		for i, a := range e.Args {
			lit, ok := a.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return "", errNoRule
			}
			var err error
			if values[i], err = strconv.Unquote(lit.Value); err != nil {
				return "", err
			}
		}
		return call(name.Name, values), nil
	}
	return "", errNoRule
}

func called(name string, values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = traffic.Quote(v)
	}
	return name + "(" + strings.Join(quoted, ", ") + ")"
}

// template matches a part of a host or path that Traefik 2 read as a named regular expression.
var template = regexp.MustCompile(`\{[A-Za-z0-9_-]*:?([^{}]*(?:\{[0-9,]+\}[^{}]*)*)\}`)

// modernCall returns a matcher of Traefik 2 in the syntax of Traefik 3 (its migration guide, Router Rule Matchers).
func modernCall(name string, values []string) string {
	switch name {
	case "Headers", "HeadersRegexp":
		return called(strings.Replace(name, "Headers", "Header", 1), values)
	case "HostHeader":
		name = "Host"
	case "Query":
		if len(values) == 1 {
			if key, value, found := strings.Cut(values[0], "="); found {
				return called(name, []string{key, value})
			}
		}
		return called(name, values)
	case "Host", "HostRegexp", "Path", "PathPrefix", "PathRegexp", "Method", "ClientIP":
	default:
		return called(name, values)
	}
	alternatives := make([]string, len(values))
	for i, v := range values {
		alternatives[i] = modernValue(name, v)
	}
	if len(alternatives) < 2 {
		return strings.Join(alternatives, "")
	}
	return "(" + strings.Join(alternatives, " || ") + ")"
}

func modernValue(name, value string) string {
	named := template.FindStringIndex(value)
	switch {
	case named == nil || !strings.Contains(value, "{") || name == "Method" || name == "ClientIP":
		return called(name, []string{value})
	case strings.HasSuffix(name, "Regexp") && !regexp.MustCompile(`\{[A-Za-z0-9_-]+:`).MatchString(value):
		return called(name, []string{value}) // a quantifier such as {2,3}
	}
	var b strings.Builder
	b.WriteByte('^')
	at := 0
	for _, m := range template.FindAllStringSubmatchIndex(value, -1) {
		b.WriteString(regexp.QuoteMeta(value[at:m[0]]))
		inner := value[m[2]:m[3]]
		if !strings.Contains(value[m[0]:m[1]], ":") || inner == "" {
			inner = "[^/.]+"
		}
		b.WriteString(inner)
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(value[at:]))
	if name != "PathPrefix" {
		b.WriteByte('$')
	}
	if strings.HasPrefix(name, "Path") {
		return called("PathRegexp", []string{b.String()})
	}
	return called("HostRegexp", []string{b.String()})
}
