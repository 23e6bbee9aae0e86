package traefik

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"

	"github.com/serindev/serin/traffic"
)

// CohortRule is the rule of the cohort's route: what the route's own rule matches, and the matcher too. It refuses a
// rule that would change its meaning between the parentheses, such as one that ends in a comment.
func CohortRule(rule string, m traffic.Matcher) (string, error) {
	match, err := m.Text()
	if err != nil {
		return "", err
	}
	rule = strings.TrimSpace(rule)
	if _, err := parser.ParseExpr(rule); err != nil {
		return "", fmt.Errorf("rule %q: %w", rule, err)
	}
	whole := cohortPrefix(rule) + match + cohortSuffix
	fset := token.NewFileSet()
	expr, err := parser.ParseExprFrom(fset, "", whole, parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("rule %q cannot be combined with a cohort's: %w", rule, err)
	}
	and, ok := expr.(*ast.BinaryExpr)
	if !ok || and.Op != token.LAND || fset.Position(and.OpPos).Offset != len("(")+len(rule)+len(") ") {
		return "", fmt.Errorf("rule %q cannot be combined with a cohort's", rule)
	}
	return whole, nil
}

// CohortMatch is the part of a cohort route's rule that came from its matcher, as [traffic.Matcher.Text] writes it; ok is false if
// the rule is not one that [CohortRule] made of this route's rule.
func CohortMatch(route, cohort string) (match string, ok bool) {
	match, ok = strings.CutPrefix(cohort, cohortPrefix(strings.TrimSpace(route)))
	if !ok {
		return "", false
	}
	return strings.CutSuffix(match, cohortSuffix)
}

const cohortSuffix = ")"

func cohortPrefix(rule string) string { return "(" + rule + ") && (" }
