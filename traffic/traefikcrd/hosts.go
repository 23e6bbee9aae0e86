package traefikcrd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/rules"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic/kubeobjects"
	"github.com/serindev/serin/traffic/traefikapi"
)

// alone refuses a route whose requests another rollout of the namespace has: two rollouts on one host would take
// turns in having them. Rollouts that share a host and differ in anything else, such as the path, are none.
func (r *Router) alone(ctx context.Context, rule string) error {
	list, err := r.traefik.TraefikV1alpha1().TraefikServices(r.config.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: kubeobjects.ManagedLabel + "=" + kubeobjects.Manager + "," + kubeobjects.RolloutLabel + "!=" + r.config.Rollout,
	})
	if err != nil {
		return fmt.Errorf("list the TraefikServices of other rollouts: %w", err)
	}
	for _, other := range list.Items {
		if theirs := other.Annotations[ruleAnnotation]; theirs != "" && sameRequests(rule, theirs) {
			return fmt.Errorf("rule %s: %w: rollout %s has %s", rule, ErrForeign, other.Labels[kubeobjects.RolloutLabel], theirs)
		}
	}
	return nil
}

// sameRequests tells whether two rules have a host in common, or none both, and the same other matchers.
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

// matchersOf are the hosts of a rule, in small letters, and its other matchers as texts, both sorted.
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
