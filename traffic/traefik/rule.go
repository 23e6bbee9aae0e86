package traefik

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
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

// PreviewRule is the rule of a preview's route.
func PreviewRule(rule string, p traffic.Preview) (string, error) {
	match, err := p.Text()
	if err != nil || p.Host != "" {
		return match, err
	}
	return LaneRule(rule, match)
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
