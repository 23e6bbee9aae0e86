package web

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
)

func TestEveryStepThatComparesKeepsItsEvidenceOnThePage(t *testing.T) {
	v := record.View{Steps: rollout.Steps{
		rollout.Mirror{Name: "copies", Scope: "mirror/copies"},
		rollout.AB{Name: "beta", Scope: "ab/beta"},
		rollout.Gray{Name: "small", Scope: "gray", Weights: []share.Share{0.05}},
		rollout.Gray{Name: "unjudged", Unjudged: true, Weights: []share.Share{0.2}},
		rollout.Gray{Name: "large", Scope: "gray", Weights: []share.Share{0.5}},
		rollout.Promote{Name: "promote"},
		rollout.Watch{Name: "after", Scope: "watch/after"},
	}}
	require.Equal(t, []string{"mirror/copies", "ab/beta", "gray", "watch/after"}, Scopes(v))
}

func TestAComparisonHasTheStepsOfBothReleases(t *testing.T) {
	rows := map[string][2]string{}
	for _, r := range facts(Detail{Steps: []Step{{Name: "beta", Took: "1h"}}}, Detail{Steps: []Step{{Name: "gray", Took: "2h"}}}) {
		rows[r.Name] = [2]string{r.A, r.B}
	}
	require.Equal(t, [2]string{"1h", "–"}, rows["Step beta"])
	require.Equal(t, [2]string{"–", "2h"}, rows["Step gray"])
}
