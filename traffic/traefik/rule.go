package traefik

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"

	"github.com/serindev/serin/traffic"
)

// LaneRule returns the rule of a lane's route in front of the main one. It matches what both the main route's rule and match
// do; match is in the notation of [traffic.Matcher.Text]. It refuses a rule whose meaning would change between the
// parentheses, such as one that ends in a comment.
func LaneRule(rule, match string) (string, error) {
	rule = strings.TrimSpace(rule)
	if _, err := parser.ParseExpr(rule); err != nil {
		return "", fmt.Errorf("rule %q: %w", rule, err)
	}
	whole := lanePrefix(rule) + match + laneSuffix
	fset := token.NewFileSet()
	expr, err := parser.ParseExprFrom(fset, "", whole, parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("rule %q cannot be combined with further conditions: %w", rule, err)
	}
	and, ok := expr.(*ast.BinaryExpr)
	if !ok || and.Op != token.LAND || fset.Position(and.OpPos).Offset != len("(")+len(rule)+len(") ") {
		return "", fmt.Errorf("rule %q cannot be combined with further conditions", rule)
	}
	return whole, nil
}

// CohortRule is [LaneRule] with a cohort's matcher.
func CohortRule(rule string, m traffic.Matcher) (string, error) {
	match, err := m.Text()
	if err != nil {
		return "", err
	}
	return LaneRule(rule, match)
}

// PreviewRule returns the rule of a preview's route in front of the main one. It refuses a host that the main route's rule
// names: the preview takes all requests of its host, so all users of that host would be on the canary.
func PreviewRule(rule string, p traffic.Preview) (string, error) {
	match, err := p.Text()
	switch {
	case err != nil:
		return "", err
	case p.Host == "":
		return LaneRule(rule, match)
	case slices.Contains(hostsOf(rule), p.Host):
		return "", fmt.Errorf("preview: %s is the users' own host, by the rule %s: expected another host, or match "+
			"alone, which selects some of the users' requests", p.Host, strings.TrimSpace(rule))
	}
	return match, nil
}

// hostsOf returns the hosts that a rule names, in lower case, without those that it excludes.
func hostsOf(rule string) (out []string) {
	expr, err := parser.ParseExpr(strings.TrimSpace(rule))
	if err != nil {
		return nil
	}
	ast.Inspect(expr, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.UnaryExpr:
			return n.Op != token.NOT
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); !ok || !strings.EqualFold(name.Name, "Host") {
				return true
			}
			for _, arg := range n.Args {
				if lit, ok := arg.(*ast.BasicLit); ok {
					if host, err := strconv.Unquote(lit.Value); err == nil {
						out = append(out, strings.ToLower(strings.TrimSuffix(host, ".")))
					}
				}
			}
		}
		return true
	})
	return out
}

// LaneMatch returns the part of a lane's rule that is not the main route's. ok is false if [LaneRule] did not make the rule
// from that of the given route.
func LaneMatch(route, whole string) (match string, ok bool) {
	match, ok = strings.CutPrefix(whole, lanePrefix(strings.TrimSpace(route)))
	if !ok {
		return "", false
	}
	return strings.CutSuffix(match, laneSuffix)
}

const laneSuffix = ")"

func lanePrefix(rule string) string { return "(" + rule + ") && (" }
