package traefikcrd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/rules"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// alone refuses rules whose requests another rollout in the namespace has already: Traefik would give them to either. Rollouts
// that share a host but differ in anything else, such as the path, do not conflict.
func (r *Router) alone(ctx context.Context, rules []string) error {
	list, err := r.traefik.TraefikV1alpha1().TraefikServices(r.config.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: kubeobjects.ManagedLabel + "=" + kubeobjects.Manager + "," + kubeobjects.RolloutLabel + "!=" + r.config.Rollout,
	})
	if err != nil {
		return fmt.Errorf("list the TraefikServices of other rollouts: %w", err)
	}
	for _, other := range list.Items {
		for _, theirs := range rulesIn(other.Annotations[ruleAnnotation]) {
			for _, rule := range rules {
				if sameRequests(rule, theirs) {
					return fmt.Errorf("rule %s: %w: rollout %s has %s", rule, ErrForeign, other.Labels[kubeobjects.RolloutLabel], theirs)
				}
			}
		}
	}
	return nil
}

// rulesOf returns the text of [ruleAnnotation]: the rule, or several as a JSON list.
func rulesOf(rules []string) string {
	if len(rules) == 1 {
		return rules[0]
	}
	data, err := json.Marshal(rules)
	if err != nil {
		panic(fmt.Sprintf("JSON of rules: %v", err)) // texts have one
	}
	return string(data)
}

// rulesIn returns the rules in the text of an annotation.
func rulesIn(text string) []string {
	var rules []string
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &rules) == nil {
		return rules
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

// sameRequests reports whether two rules have a host in common, or neither has any, and all other matchers are the same.
func sameRequests(a, b string) bool {
	hostsA, restA, errA := matchersOf(a)
	hostsB, restB, errB := matchersOf(b)
	if errA != nil || errB != nil {
		return a == b
	}
	if !slices.Equal(restA, restB) {
		return false
	}
	return len(hostsA)+len(hostsB) == 0 || slices.ContainsFunc(hostsA, func(h string) bool { return slices.Contains(hostsB, h) })
}

// matchersOf returns the hosts of a rule in lower case, and its other matchers as texts, both sorted.
func matchersOf(rule string) (hosts, rest []string, err error) {
	tree, err := traefikapi.RuleTree(rule)
	if err != nil {
		return nil, nil, err
	}
	var walk func(t *rules.Tree)
	walk = func(t *rules.Tree) {
		switch {
		case t == nil:
		case t.RuleLeft != nil || t.RuleRight != nil:
			walk(t.RuleLeft)
			walk(t.RuleRight)
		case t.Matcher == "Host" && !t.Not:
			for _, h := range t.Value {
				hosts = append(hosts, strings.ToLower(h))
			}
		default:
			rest = append(rest, fmt.Sprintf("%t %s %q", t.Not, t.Matcher, t.Value))
		}
	}
	walk(tree)
	slices.Sort(hosts)
	slices.Sort(rest)
	return hosts, rest, nil
}
