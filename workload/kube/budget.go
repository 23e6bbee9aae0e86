package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"github.com/serindev/serin/workload"
)

// inTheWay is what the disruption budgets of the arms' pods were found to hinder.
type inTheWay struct {
	at    time.Time
	notes []string
}

// budgetsEvery is how often the disruption budgets are read while a release is under way. They are not watched: most
// releases meet none, and nothing depends on them.
const budgetsEvery = 5 * time.Minute

// budgetsInTheWay says in sentences which disruption budgets are in the way; see [Cluster.BudgetsInTheWay]. Without the
// right to read them it says nothing.
func (c *Cluster) budgetsInTheWay(ctx context.Context, arms workload.Arms) []string {
	c.mu.Lock()
	last, known := c.way[arms]
	c.mu.Unlock()
	if known && time.Since(last.at) < budgetsEvery {
		return last.notes
	}
	if canary, err := c.deployment(ctx, arms.Canary.Deployment, false); err != nil || canary == nil {
		return nil // there is none to be hindered by yet
	}
	notes, err := c.BudgetsInTheWay(ctx, arms)
	if err != nil {
		c.log.Debug("disruption budgets were not read", "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.way[arms] = inTheWay{time.Now(), notes}
	return notes
}

// BudgetsInTheWay says in sentences which PodDisruptionBudgets keep nodes from being drained because of a canary, or count
// its pods as stable's. None of them hinders a release: pods are scaled and not evicted.
func (c *Cluster) BudgetsInTheWay(ctx context.Context, arms workload.Arms) ([]string, error) {
	namespace := arms.Canary.Deployment.Namespace
	canary, err := c.deployment(ctx, arms.Canary.Deployment, false)
	if err != nil || canary == nil {
		return nil, err
	}
	stable, err := c.deployment(ctx, arms.Stable.Deployment, false)
	if err != nil {
		return nil, err
	}
	list, err := c.client.PolicyV1().PodDisruptionBudgets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list poddisruptionbudgets in namespace %s: %w", namespace, err)
	}
	var stablePods klabels.Set
	if stable != nil && stable.GetNamespace() == namespace {
		stablePods = podLabels(template(stable))
	}
	if canary.GetLabels()[armLabel] == armPrevious {
		return oldBudgetNotes(list.Items, podLabels(template(canary)), stablePods), nil
	}
	return budgetNotes(list.Items, podLabels(template(canary)), stablePods), nil
}

// oldBudgetNotes are about the budgets that cover the pods of the version before and stable's. Budgets of the former alone
// hinder nobody: their pods serve nobody either.
func oldBudgetNotes(list []policyv1.PodDisruptionBudget, old, stable klabels.Set) (notes []string) {
	for i := range list {
		selector, err := metav1.LabelSelectorAsSelector(list[i].Spec.Selector)
		if err == nil && stable != nil && selector.Matches(old) && selector.Matches(stable) {
			notes = append(notes, fmt.Sprintf("PodDisruptionBudget %s counts the pods of the version before as "+
				"stable's: while they run, more of stable's can be evicted than it is meant to allow. Let it select "+
				"by a label that tells them apart", list[i].Name))
		}
	}
	return notes
}

// budgetNotes are about the budgets that cover pods with the canary's labels, given those of stable's; nil for none in its
// namespace.
func budgetNotes(list []policyv1.PodDisruptionBudget, canary, stable klabels.Set) (notes []string) {
	var covers []string
	for i := range list {
		b := &list[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(canary) {
			continue
		}
		covers = append(covers, b.Name)
		s := b.Status
		switch {
		case stable != nil && selector.Matches(stable):
			notes = append(notes, fmt.Sprintf("PodDisruptionBudget %s counts the pods of both versions as one: where "+
				"the canary's fail, no node with stable's can be drained, and where they do well, too many of "+
				"stable's can be evicted. Let it select by a label that tells them apart", b.Name))
		case s.ObservedGeneration >= b.Generation && s.ExpectedPods > 0 && s.DisruptionsAllowed == 0:
			notes = append(notes, fmt.Sprintf("PodDisruptionBudget %s lets none of the canary's pods be evicted (%d "+
				"of %d are healthy, and %d have to be): a drain of their nodes waits for the end of the release",
				b.Name, s.CurrentHealthy, s.ExpectedPods, s.DesiredHealthy))
		}
	}
	if len(covers) > 1 {
		notes = append(notes, fmt.Sprintf("the canary's pods have several PodDisruptionBudgets (%s): Kubernetes "+
			"evicts no such pod at all", strings.Join(covers, ", ")))
	}
	return notes
}
