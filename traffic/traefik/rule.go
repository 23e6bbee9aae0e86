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

// LaneRule is the rule of a lane's route in front of the main one: what the main route's own rule matches, and match too,
// which is as [traffic.Matcher.Text] writes it. It refuses a rule that would change its meaning between the parentheses,
// such as one that ends in a comment.
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

// PreviewRule is the rule of a preview's route in front of the main one. It refuses a host that the main route's rule names: the
// preview has all requests of its host, so all users of that one would be on the canary.
func PreviewRule(rule string, p traffic.Preview) (string, error) {
	match, err := p.Text()
	switch {
	case err != nil:
		return "", err
	case p.Host == "":
		return LaneRule(rule, match)
	case slices.Contains(hostsOf(rule), p.Host):
		return "", fmt.Errorf("preview: %s is the users' own host, by the rule %s: expected another host, or match alone, which picks some of the users' requests", p.Host, strings.TrimSpace(rule))
	}
	return match, nil
}

// hostsOf are the hosts that a rule names, in small letters; those that it excludes are not among them.
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

// LaneMatch is the part of the rule of a lane's route that is not the main route's; ok is false if the rule is not one that
// [LaneRule] made of that route's rule.
func LaneMatch(route, whole string) (match string, ok bool) {
	match, ok = strings.CutPrefix(whole, lanePrefix(strings.TrimSpace(route)))
	if !ok {
		return "", false
	}
	return strings.CutSuffix(match, laneSuffix)
}

const laneSuffix = ")"

func lanePrefix(rule string) string { return "(" + rule + ") && (" }
