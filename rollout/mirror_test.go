package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

// copies puts a preview and copies of requests in front of a plan.
func copies(d *rollout.Definition, at int) *rollout.Definition {
	d.Steps = slices.Insert(slices.Clone(d.Steps), at,
		rollout.Step(rollout.Preview{Name: "look", Route: traffic.Preview{Host: "preview.example.com"}}),
		rollout.Step(rollout.Mirror{
			Name: "copies", Copies: traffic.Mirror{Share: 0.25}, For: 15 * time.Minute, Scope: "mirror/copies",
			Decide: rollout.Decide{Max: 24 * time.Hour, Inconclusive: rollout.PolicyGate},
		}))
	scope := d.Scopes[0]
	scope.Name = "mirror/copies"
	d.Scopes = append(slices.Clip(d.Scopes), scope)
	return d
}

func copied() *rollout.Definition { return copies(pipeline(), 0) }

func copiedInCluster() *rollout.Definition { return copies(clustered(), 2) }

// switchedInCluster promotes right after the copies, with no weight before it.
func switchedInCluster() *rollout.Definition {
	d := copiedInCluster()
	d.Steps = slices.DeleteFunc(d.Steps, func(s rollout.Step) bool {
		switch s.(type) {
		case rollout.AB, rollout.Gray, rollout.Preview, rollout.Wait:
			return true
		default:
			return false
		}
	})
	return d
}

// copiedTwiceInCluster sends all requests to the canary once more, after a part of them.
func copiedTwiceInCluster() *rollout.Definition {
	d := switchedInCluster()
	i := slices.IndexFunc(d.Steps, func(s rollout.Step) bool { return s.StepName() == "copies" })
	all := d.Steps[i].(rollout.Mirror)
	all.Name, all.Scope, all.Copies.Share = "all", "mirror/all", 1
	d.Steps = slices.Insert(d.Steps, i+1, rollout.Step(all))
	d.Steps = slices.DeleteFunc(d.Steps, func(s rollout.Step) bool { return s.StepName() == "canary" }) // it has its version already
	scope := d.Scopes[len(d.Scopes)-1]
	scope.Name = all.Scope
	d.Scopes = append(slices.Clip(d.Scopes), scope)
	return d
}

// TestMoreCopiesWaitForTheirCapacity: a second mirror step begins once the canary has the pods for it.
func TestMoreCopiesWaitForTheirCapacity(t *testing.T) {
	w := begun(t, copiedTwiceInCluster(), []string{"job", "ok"}, []string{"ready"}, []string{"ready"}, []string{"in-force"}, []string{"look", "undecided", "enough"}, []string{"after", "15m"})
	require.Equal(t, "all", w.s.StepName)
	require.NotNil(t, w.s.Pending)
	want := w.s.Target(w.d, "R1")
	require.Equal(t, share.Share(0.25), want.Traffic.Mirror.Share, "capacity first")
	require.Equal(t, share.Share(1), want.Workloads.Deployments[0].Replicas.Share)
	before := w.s.Turn
	w.lines(t, []string{"ready"})
	require.Equal(t, share.Share(1), w.s.Target(w.d, "R1").Traffic.Mirror.Share)
	require.Greater(t, w.s.Turn, before)
}

// TestCopiesEndByATargetOfTheirOwn: the promotion on Kubernetes keeps the weights and ends the copies, which is not in
// force until it was observed.
func TestCopiesEndByATargetOfTheirOwn(t *testing.T) {
	w := begun(t, switchedInCluster(), []string{"job", "ok"}, []string{"ready"}, []string{"ready"}, []string{"in-force"}, []string{"look", "undecided", "enough"}, []string{"after", "15m"}, []string{"approve", "start"}, []string{"ready"})
	require.Equal(t, "full", w.s.StepName)
	require.NotNil(t, w.s.Target(w.d, "R1").Traffic.Mirror)
	before := w.s.Turn
	require.NoError(t, w.apply(rollout.GateAnswered{Gate: "full", Answer: rollout.Approve}, "bob"))
	w.settle()
	require.Equal(t, rollout.StagePatch, w.s.Doing)
	require.Nil(t, w.s.Target(w.d, "R1").Traffic.Mirror)
	require.Greater(t, w.s.Turn, before)
	require.False(t, w.s.InForce)
}

func TestCopiesAreComparedOnALaneOfTheirOwn(t *testing.T) {
	w := begun(t, copied(), []string{"in-force"}, []string{"in-force"})
	target := w.s.Target(w.d, "R1")
	require.Equal(t, "mirror/copies", target.Analyse)
	require.Equal(t, traffic.MirrorLane, target.Lane)
	require.Equal(t, share.Share(0.2), target.Exposure, "25 copies for 100 requests that stable answers")
	require.Zero(t, target.Traffic.Weight)
	require.False(t, w.s.Moved, "no user is on the canary")

	v := record.View{Rollout: "shop", Release: &record.Release{ID: "R1"}, State: w.s, Steps: w.d.Steps, Definition: w.d}
	require.Equal(t, "2 gets copies of 25% of the requests, and no user its answers", tell.HeadlineOf(v, w.now).Text)
}

func TestACanaryThatFailsOnCopiesGoesBackWithoutAUser(t *testing.T) {
	w := begun(t, copied(), []string{"in-force"}, []string{"in-force"}, []string{"look", "fail"})
	require.Equal(t, rollout.RollingBack, w.s.Phase)
	require.Equal(t, rollout.RolledBack, w.s.Outcome)
	require.Nil(t, w.s.Target(w.d, "R1").Traffic.Mirror)
	require.False(t, w.s.Moved)
}

func TestTheCanaryHasThePreviewAndCopiesOfTheStepsSoFar(t *testing.T) {
	w := begun(t, copied(), []string{"in-force"}, []string{"in-force"})
	require.NotNil(t, w.s.Target(w.d, "R1").Traffic.Preview)
	back := w.s
	back.Previewed = false
	require.Nil(t, back.Target(w.d, "R1").Traffic.Preview)

	beyond := w.s // an event of another plan than this one
	beyond.Step = len(w.d.Steps)
	require.NotNil(t, beyond.Target(w.d, "R1").Traffic.Preview)
	require.NotNil(t, beyond.Target(w.d, "R1").Traffic.Mirror)

	first := copied()
	first.Steps = slices.Delete(first.Steps, 0, 1)
	w = begun(t, first, []string{"in-force"})
	require.NotNil(t, w.s.Target(w.d, "R1").Traffic.Mirror)
	beyond = w.s
	beyond.Previewed = true
	require.Nil(t, beyond.Target(w.d, "R1").Traffic.Preview, "no step has one")

	steps := copiedTwiceInCluster().Steps
	m, ok := steps.Mirror("mirror/all")
	require.True(t, ok)
	require.Equal(t, "all", m.Name)
	_, ok = steps.Mirror("gray")
	require.False(t, ok)
}

func TestCopiesComeBeforeUsers(t *testing.T) {
	mirror := rollout.Mirror{Name: "m", Copies: traffic.Mirror{Share: 0.1}, For: time.Minute, Scope: "mirror/m"}
	gray := rollout.Gray{Name: "g", Weights: []share.Share{0.1}, Scope: "gray"}
	preview := rollout.Preview{Name: "p", Route: traffic.Preview{Host: "preview.example.com"}}
	promote := rollout.Promote{Name: "promote"}
	bad, unjudged := mirror, mirror
	bad.Copies.Share, unjudged.Unjudged = 0.005, true
	for says, steps := range map[string]rollout.Steps{
		"mirror after users have been on": {gray, mirror, promote},
		"gateways copy whole percents":    {bad, promote},
		"of a step that compares nothing": {unjudged, promote},
		"preview after promote":           {promote, preview},
		"expected a host, a matcher":      {rollout.Preview{Name: "p"}, promote},
	} {
		d := pipeline()
		d.Steps = steps
		require.ErrorContains(t, d.Check(), says)
	}
	require.NoError(t, copied().Check())
	require.NoError(t, copiedInCluster().Check())
}

func TestACanaryHasTheCapacityForItsCopies(t *testing.T) {
	w := begun(t, copiedInCluster(), []string{"job", "ok"}, []string{"ready"}, []string{"ready"}, []string{"in-force"})
	require.Equal(t, "copies", w.s.StepName)
	require.NotNil(t, w.s.Pending)
	want := w.s.Target(w.d, "R1")
	require.Nil(t, want.Traffic.Mirror, "capacity first")
	require.Equal(t, share.Share(0.25), want.Workloads.Deployments[0].Replicas.Share)
}
