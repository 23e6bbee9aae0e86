package gatewayapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic/kubeobjects"
)

// alone refuses routes whose requests another rollout has: two rollouts on the same would take turns in having them.
func (r *Router) alone(ctx context.Context, s *snapshot) error {
	if r.config.Own == nil {
		for _, m := range s.mains {
			if err := r.config.claim().Refused(m.key, m.object, "rules"); err != nil {
				return err
			}
		}
		return nil
	}
	list, err := r.dynamic.Resource(resources[httpRoutes]).Namespace(r.config.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: kubeobjects.ManagedLabel + "=" + kubeobjects.Manager + "," + kubeobjects.RolloutLabel + "!=" + r.config.Rollout,
	})
	if err != nil {
		return fmt.Errorf("list the HTTPRoutes of other rollouts: %w", err)
	}
	spec := r.config.ownSpec(kubeobjects.Weights{Stable: 1})
	for _, other := range list.Items {
		if strings.HasSuffix(other.GetName(), kubeobjects.CohortSuffix) {
			continue
		}
		if theirs := kubeobjects.RawSpec(&other); sameRequests(spec, theirs) {
			return fmt.Errorf("HTTPRoute %s: %w: rollout %s has a host and a match of it", other.GetName(), ErrForeign,
				other.GetLabels()[kubeobjects.RolloutLabel])
		}
	}
	return nil
}

// sameRequests tells whether two specs share a Gateway, a host (or both have none), and a match.
func sameRequests(a, b map[string]any) bool {
	inCommon := func(of func(map[string]any) []string) bool {
		x, y := of(a), of(b)
		return len(x)+len(y) == 0 || slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	return inCommon(gatewaysIn) && inCommon(hostsIn) && inCommon(matchesIn)
}

func gatewaysIn(spec map[string]any) (out []string) {
	for _, ref := range parentRefs(spec) {
		out = append(out, parentOf(ref, "").String())
	}
	return out
}

func hostsIn(spec map[string]any) (out []string) {
	hosts, _ := spec["hostnames"].([]any)
	for _, h := range hosts {
		out = append(out, strings.ToLower(text(h)))
	}
	return out
}

func matchesIn(spec map[string]any) (out []string) {
	rules, _ := spec["rules"].([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		matches, _ := rule["matches"].([]any)
		for _, m := range matches {
			out = append(out, fmt.Sprint(m))
		}
	}
	return out
}
