package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

// old is where the rollouts of these tests keep the version before.
var old = workload.Arm{Deployment: workload.Name{Namespace: "pro", Name: "shop-previous"}, Service: "shop-previous"}

// keeping is a rollout that keeps the version before for an hour.
func keeping(change func(*rollout.Definition)) *rollout.Definition {
	d := clustered()
	d.Cluster.Old = &rollout.Old{Arm: old, For: time.Hour}
	change(d)
	return d
}

// backToOld is the undo of release R2 of such a rollout.
func backToOld(t *testing.T, d *rollout.Definition) *rollout.Definition {
	t.Helper()
	out, err := d.Undoing("R2", nil)
	require.NoError(t, err)
	require.NoError(t, out.Check())
	return &out
}

func TestTheVersionBeforeHasPodsForAsLongAsTheRolloutSays(t *testing.T) {
	as := func(*rollout.Definition) {}
	ended := epoch
	for _, c := range []struct {
		name     string
		released *rollout.Definition
		declared *rollout.Definition
		after    time.Duration
		pods     bool
		none     bool
	}{
		{"at the end of the release", keeping(as), keeping(as), 0, true, false},
		{"up to the end of its time", keeping(as), keeping(as), time.Hour - 1, true, false},
		{"and no longer", keeping(as), keeping(as), time.Hour, false, false},
		{"a longer time that is declared later holds from the next release on", keeping(as), keeping(func(d *rollout.Definition) { d.Cluster.Old.For = 3 * time.Hour }), 2 * time.Hour, false, false},
		{"a shorter one at once", keeping(as), keeping(func(d *rollout.Definition) { d.Cluster.Old.For = time.Minute }), time.Minute, false, false},
		{"a rollout that no longer keeps it takes the pods away", keeping(as), clustered(), 0, false, false},
		{"so does one that is gone", keeping(as), nil, 0, false, false},
		{"and one whose stable is another Deployment", keeping(as), keeping(func(d *rollout.Definition) { d.Cluster.Arms.Stable.Deployment.Name = "other" }), 0, false, false},
		{"a release before the rollout kept it brings no pods", clustered(), keeping(as), 0, false, false},
		{"where it was never kept there is nothing to do", clustered(), clustered(), 0, false, true},
		{"nor without a cluster", pipeline(), pipeline(), 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			target, until, ok := c.released.OldAfter("R2", ended, ended.Add(c.after), c.declared)
			require.Equal(t, !c.none, ok)
			if c.none {
				return
			}
			require.Empty(t, target.Release, "it is no part of a release")
			require.Equal(t, workload.Arms{Stable: clustered().Cluster.Arms.Stable, Canary: old}, target.Arms)
			want := workload.Deployment{Name: old.Deployment, Replicas: &workload.Replicas{}}
			if c.pods {
				stable := target.Arms.Stable.Deployment
				want = workload.Deployment{
					Name: old.Deployment, Create: &stable, Previous: "R2", Whole: true, Replicas: &workload.Replicas{Share: 1, Of: &stable},
				}
				require.Equal(t, ended.Add(time.Hour), until)
			}
			require.Equal(t, []workload.Deployment{want}, target.Deployments)
		})
	}
}

func TestAnUndoGivesTheVersionThatWasKeptAllTheTrafficBeforeStableIsChanged(t *testing.T) {
	d := backToOld(t, keeping(func(*rollout.Definition) {}))
	w := &world{d: d, now: epoch}
	weight := func() share.Share { return w.s.Target(d, "U").Traffic.Weight }
	work := func() []workload.Deployment { return w.s.Target(d, "U").Workloads.Deployments }
	stable := d.Cluster.Arms.Stable.Deployment
	w.run(t, "")
	kept := workload.Deployment{Name: old.Deployment, Create: &stable, Previous: "R2", Whole: true, Replicas: &workload.Replicas{Share: 1, Of: &stable}}
	require.Equal(t, []workload.Deployment{kept}, work(), "its pods come first, if they are gone")
	require.Zero(t, weight())
	require.Equal(t, "shop-previous", w.s.Target(d, "U").Traffic.Canary.Service)
	w.goOn(t, "ready")
	require.Equal(t, share.Share(1), weight())
	require.True(t, w.s.Target(d, "U").Workloads.Hold, "stable can take the users again at any moment")
	w.goOn(t, "in-force\nafter 1m")
	require.Equal(t, rollout.StagePatch, w.s.Doing)
	require.Equal(t, share.Share(1), weight())
	require.Equal(t, []workload.Deployment{kept, {Name: stable, Previous: "R2"}}, work())

	w.goOn(t, "broken")
	require.Equal(t, rollout.Active, w.s.Phase, "users do not go back to the version that has to go")
	require.Equal(t, share.Share(1), weight())
	w.goOn(t, "after 1h")
	require.Equal(t, rollout.Active, w.s.Phase)
	w.goOn(t, "ready\nin-force\nafter 1m\nin-force")
	require.Zero(t, weight())
	require.Equal(t, []workload.Deployment{{Name: old.Deployment, Replicas: &workload.Replicas{}}}, work(), "it is scaled down at the end")
	w.goOn(t, "ready")
	require.Equal(t, rollout.Released, w.s.Outcome)
}

func TestAnUndoThatCannotStartThePodsOfTheVersionBeforeMovesNothing(t *testing.T) {
	d := backToOld(t, keeping(func(*rollout.Definition) {}))
	w := &world{d: d, now: epoch}
	w.run(t, "broken")
	require.Equal(t, rollout.RollingBack, w.s.Phase)
	require.False(t, w.s.Moved)
}

func TestAnUndoInARolloutWithOneDeploymentStillKnowsWhatTheCopyIsOf(t *testing.T) {
	given := keeping(func(d *rollout.Definition) { d.Cluster.Copied, d.Cluster.Kept = true, true })
	d := backToOld(t, given)
	w := &world{d: d, now: epoch}
	w.run(t, "")
	target := w.s.Target(d, "U").Workloads
	require.Equal(t, given.Cluster.Arms.Canary.Deployment, target.CopyOf())
	require.Equal(t, old.Deployment, target.Deployments[0].Name)
	require.NotNil(t, target.Deployments[0].Replicas, "its replicas are Serin's")
	require.Equal(t, "shop-canary", given.Canary.Service, "the rollout stays what it was")
	w.goOn(t, "ready\nin-force\nafter 1m")
	back := w.s.Target(d, "U").Workloads.Deployments[1]
	require.Equal(t, workload.Deployment{Name: d.Cluster.Arms.Stable.Deployment, Previous: "R2", Whole: true}, back, "the copy gets all of the template")
}

func TestTheStepsOfAnUndoHaveNamesOfTheirOwn(t *testing.T) {
	d := backToOld(t, keeping(func(d *rollout.Definition) {
		for i, step := range d.Steps {
			if promote, ok := step.(rollout.Promote); ok {
				promote.Name = "old-version"
				d.Steps[i] = promote
			}
		}
	}))
	require.Equal(t, "old-version-first", d.Steps[0].(rollout.Gray).Name)
}

func TestAVersionIsKnownToBeWorseWhereAnEarlierReleaseFoundItSo(t *testing.T) {
	require.True(t, rollout.State{Worse: true}.KnownWorse())
	require.False(t, rollout.State{}.KnownWorse())
}

func TestAllTrafficIsAWeightInAnUndoOnly(t *testing.T) {
	d := clustered()
	d.Steps = rollout.Steps{rollout.Gray{Name: "gray", Weights: []share.Share{1}, Unjudged: true}, d.Steps[len(d.Steps)-1]}
	require.ErrorContains(t, d.Check(), "below 100%")
}
