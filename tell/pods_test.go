package tell_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/workload"
)

func TestAPlanSaysWhatPodsMakeOfWeights(t *testing.T) {
	said := func(split *workload.Split) []string {
		return tell.Pods(&rollout.Definition{
			Cluster: &rollout.Cluster{Split: split},
			Steps:   rollout.Steps{rollout.Gray{Weights: []share.Share{0.1, 0.5}}, rollout.Promote{}},
		})
	}
	require.Equal(t, []string{"the canary gets whole pods, the nearest to each weight and at least one: of 12 pods, 10% is 1 (8.3%), 50% is 6"}, said(&workload.Split{Total: 12}))
	require.Equal(t, []string{"the canary gets whole pods, the nearest to each weight and at least one: of 4 pods, for instance, 10% cannot be taken, 50% is 2; what is further off than 5% is refused"},
		said(&workload.Split{Tolerance: 0.05}))
	require.Empty(t, said(nil))
	require.Empty(t, tell.Pods(nil))
}

func TestAPlanSaysHowLongTheVersionBeforeIsKept(t *testing.T) {
	old := rollout.Old{Arm: workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: "shop-previous"}}, For: 90 * time.Minute}
	require.Equal(t, "for 1h30m after a release the version before has as many pods as stable, in shop-previous, so that an undo takes seconds",
		tell.Kept(&rollout.Definition{Cluster: &rollout.Cluster{Old: &old}}))
	require.Empty(t, tell.Kept(&rollout.Definition{Cluster: &rollout.Cluster{}}))
	require.Empty(t, tell.Kept(&rollout.Definition{}))
	require.Empty(t, tell.Kept(nil))
}
