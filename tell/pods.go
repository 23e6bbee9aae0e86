package tell

import (
	"fmt"
	"strings"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// exampleTotal is how many pods the words assume if the number is unknown.
const exampleTotal = 4

// Pods says which shares of pods the weights become, for a rollout whose work is divided by pods; empty for any other.
func Pods(d *rollout.Definition) (lines []string) {
	if d == nil || d.Cluster == nil || d.Cluster.Split == nil {
		return nil
	}
	split := *d.Cluster.Split
	total, which := int64(split.Total), "pods"
	if total == 0 {
		total, which = exampleTotal, "pods, for instance"
	}
	var words []string
	for _, s := range d.Steps {
		gray, ok := s.(rollout.Gray)
		if !ok {
			continue
		}
		for _, w := range gray.Weights {
			stable, canary, err := split.Divide(total, w)
			if err != nil {
				words = append(words, fmt.Sprintf("%s cannot be taken", w))
				continue
			}
			part := fmt.Sprintf("%s is %d", w, canary)
			if served := workload.Rounded(workload.Served(stable, canary)); served != w {
				part += fmt.Sprintf(" (%s)", served)
			}
			words = append(words, part)
		}
	}
	if len(words) == 0 {
		return nil
	}
	line := fmt.Sprintf("the canary gets whole pods, the nearest to each weight and at least one: of %d %s, %s", total,
		which, strings.Join(words, ", "))
	if split.Tolerance > 0 {
		line += fmt.Sprintf("; what is further off than %s is refused", split.Tolerance)
	}
	return []string{line}
}

// Kept says how long the version before keeps its pods after a release, and what for; empty for a rollout that keeps none.
func Kept(d *rollout.Definition) string {
	if d == nil || d.Cluster == nil || d.Cluster.Old == nil {
		return ""
	}
	return fmt.Sprintf("for %s after a release the version before has as many pods as stable, in %s, so that an undo takes seconds",
		figures.Span(d.Cluster.Old.For), d.Cluster.Old.Arm.Deployment.Name)
}
