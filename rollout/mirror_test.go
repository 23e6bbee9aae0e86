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
