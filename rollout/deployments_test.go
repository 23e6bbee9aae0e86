package rollout_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

func TestANewTemplateSetsTheParametersForItsImages(t *testing.T) {
	d := clustered()
	canary := d.Cluster.Arms.Canary.Deployment
	require.Equal(t, map[string]string{"image": "shop:3"}, d.ParametersOf(canary, map[string]string{"web": "shop:3", "sidecar": "envoy:1"}))
	require.Empty(t, d.ParametersOf(canary, map[string]string{"sidecar": "envoy:1"}))
	require.Empty(t, d.ParametersOf(workload.Name{Namespace: "pro", Name: "other"}, map[string]string{"web": "shop:3"}))
}

func TestARunningJobIsStoppedUnlessItsManifestSaysOtherwise(t *testing.T) {
	const until = "is suspended in namespace pro: what it has done is not known"
	for name, c := range map[string]struct {
		manifest string
		ended    rollout.Event // of the Job, before the cancellation
		stops    bool
		says     string
	}{
		"it runs":                  {manifest: `{}`, stops: true, says: "cancelled: no more; job migrate had not ended, and " + until},
		"it runs and is to run on": {manifest: `{"metadata": {"annotations": {"serin.dev/when-cancelled": "run-on"}}}`, says: "cancelled: no more; job migrate had not ended, and runs on in namespace pro"},
		"it is complete":           {manifest: `{}`, ended: rollout.JobSucceeded{}, says: "cancelled: no more"},
		"it has failed":            {manifest: `{}`, ended: rollout.JobFailed{Why: "no such table"}, says: "cancelled: no more"},
	} {
		t.Run(name, func(t *testing.T) {
			d := clustered()
			job := d.Steps[0].(rollout.Job)
			job.Namespace, job.Manifest = "pro", []byte(c.manifest)
			d.Steps[0] = job
			s := rollout.State{}
			take := func(e rollout.Event) {
				t.Helper()
				var err error
				s, err = s.Apply(e.With(rollout.Meta{Seq: s.Seq + 1, At: epoch, By: "ann"}))
				require.NoError(t, err)
			}
			take(rollout.Started{Rollout: "shop", Revision: "a1", Parameters: map[string]string{"image": "shop:2"}})
			first, ok := s.Next(d, epoch)
			require.True(t, ok)
			take(first)
			require.Len(t, s.Target(d, "01J").Tasks, 1)
			if c.ended != nil {
				take(c.ended)
			}
			require.Empty(t, s.Target(d, "01J").Workloads.Stop)
			take(rollout.CancelRequested{Reason: "no more"})
			stops := func() {
				t.Helper()
				want := []workload.JobName(nil)
				if c.stops {
					want = []workload.JobName{{Key: "01J/migrate", Namespace: "pro"}}
				}
				require.Equal(t, want, s.Target(d, "01J").Workloads.Stop)
			}
			stops()
			end, ok := s.Next(d, epoch)
			require.True(t, ok)
			take(end)
			require.Equal(t, rollout.Cancelled, s.Outcome)
			require.Equal(t, c.says, s.Why)
			stops()
		})
	}
}

func TestACanaryIsNotDrainedWhileStableIsNotInForce(t *testing.T) {
	s := rollout.State{}
	take := func(e rollout.Event) error {
		next, err := s.Apply(e.With(rollout.Meta{Seq: s.Seq + 1, At: epoch, By: "ann"}))
		s = next
		return err
	}
	require.NoError(t, take(rollout.Started{Rollout: "shop", Revision: "a1", Parameters: map[string]string{"image": "shop:2"}}))
	require.NoError(t, take(rollout.StepEntered{Step: 0, Name: "ab", What: rollout.StageAB, Scope: "ab"}))
	require.NoError(t, take(rollout.RollbackRequested{}))
	require.NoError(t, take(rollout.InForce{Turn: s.Turn, How: "api"}))
	require.NoError(t, take(rollout.NotInForce{Turn: s.Turn}))
	before := s
	require.ErrorIs(t, take(rollout.Drained{Leave: true}), rollout.ErrNotAllowed)
	require.Equal(t, before, s)
	require.NoError(t, take(rollout.InForce{Turn: s.Turn, How: "api"}))
	require.NoError(t, take(rollout.Drained{Leave: true}))
}

func TestDeploymentsHaveAStateAtRestOnlyWhereStableIsACopy(t *testing.T) {
	d := pipeline()
	_, ok := d.AtRest()
	require.False(t, ok, "without a cluster")
	d = clustered()
	_, ok = d.AtRest()
	require.False(t, ok, "two Deployments are their owner's between releases")
	d.Cluster.Copied = true
	target, ok := d.AtRest()
	require.True(t, ok)
	require.Equal(t, d.Cluster.Arms, target.Arms)
}

// The new version works on the canary's pods until stable, which has the new version as well, has all of its pods
// again.
func TestAWorkersCanaryKeepsItsPodsUntilStableHasItsOwnAgain(t *testing.T) {
	d := clustered()
	d.Cluster.Split = &workload.Split{}
	gray := slices.IndexFunc(d.Steps, func(s rollout.Step) bool { return s.StepName() == "more" })
	canary := d.Cluster.Arms.Canary.Deployment
	for _, c := range []struct {
		doing  rollout.StageKind
		weight share.Share // of the work
		pods   share.Share // that the canary keeps pods for
		free   bool        // pods without a part of the work are allowed
	}{
		{rollout.StagePatch, 0.5, 0.5, false},
		{rollout.StageReturn, 0, 0.5, true},
		{rollout.StageLeave, 0, 0, false},
	} {
		t.Run(string(c.doing), func(t *testing.T) {
			s := rollout.State{Phase: rollout.Active, Doing: c.doing, Step: len(d.Steps) - 2, GrayStep: gray, CohortStep: -1, Moved: true, Worked: true}
			require.IsType(t, rollout.Promote{}, d.Steps[s.Step])
			target := s.Target(d, "R1")
			require.Equal(t, c.weight, target.Traffic.Weight)
			require.Equal(t, c.free, target.Traffic.Out)
			require.Equal(t, canary, target.Workloads.Deployments[0].Name)
			require.Equal(t, c.pods, target.Workloads.Deployments[0].Replicas.Share)
		})
	}
}
