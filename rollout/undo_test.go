package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// names are those of the steps.
func names(steps rollout.Steps) (out []string) {
	for _, s := range steps {
		out = append(out, s.StepName())
	}
	return out
}

func TestAnUndoIsWhatBringsTheVersionBeforeBackAndNoMore(t *testing.T) {
	before := func(change func(d *rollout.Definition)) *rollout.Before {
		d := clustered()
		for i, s := range d.Steps {
			if deploy, ok := s.(rollout.Deploy); ok {
				deploy.Images = map[string]string{"web": "shop:1"}
				d.Steps[i] = deploy
			}
		}
		change(d)
		return &rollout.Before{ID: "R1", Definition: *d}
	}
	as := func(*rollout.Definition) {}
	for _, c := range []struct {
		name   string
		now    *rollout.Definition
		before *rollout.Before
		steps  []string
		err    string
	}{
		{"the sets of servers exchange their roles once more", pipeline(), nil, []string{"promote"}, ""},
		{"the canary's Deployment, and no other, gets what it had", clustered(), before(as), []string{"canary", "promote"}, ""},
		{"another system that brings stable to a version has to undo it", awaiting(), before(as), nil, "undo it there"},
		{"what was there before a first release stable remembers itself", clustered(), nil, []string{"promote"}, ""},
		{"what Git has stays, and stable's copy gets what it remembers", oneDeployment(func(*rollout.Definition) {}), before(as), []string{"promote"}, ""},
		{"what is in tracked ConfigMaps comes back with it", oneDeployment(func(d *rollout.Definition) { d.Cluster.Track = true }), before(as), []string{"promote"}, ""},
		{"where the version before is kept, its pods get the traffic first", keeping(as), before(as), []string{"old-version", "promote"}, ""},
		{"a version that is kept could be undone by another system only", keeping(func(d *rollout.Definition) { d.Steps = awaiting().Steps }), before(as), nil, "undo it there"},
		{"a rollout that had no cluster then had other Deployments", clustered(), before(func(d *rollout.Definition) { d.Cluster = nil }), nil, "differ from those of release R1"},
		{"other Deployments are not brought back", clustered(), before(func(d *rollout.Definition) {
			d.Cluster.Arms.Canary.Deployment = workload.Name{Namespace: "pro", Name: "other"}
		}), nil, "differ from those of release R1"},
		{"what no step deployed stable remembers itself", clustered(), before(func(d *rollout.Definition) {
			d.Steps = append(rollout.Steps{d.Steps[1]}, d.Steps[4:]...)
		}), []string{"promote"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := names(c.now.Steps)
			got, err := c.now.Undoing("R2", c.before)
			require.Equal(t, given, names(c.now.Steps), "the rollout stays what it was")
			if c.err != "" {
				require.ErrorIs(t, err, rollout.ErrNotAllowed)
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.steps, names(got.Steps))
			if promote, ok := got.Steps[0].(rollout.Promote); ok && c.now.Cluster != nil {
				require.Equal(t, "R2", promote.Previous)
			}
			if deploy, ok := got.Steps[0].(rollout.Deploy); ok {
				require.Equal(t, map[string]string{"web": "shop:1"}, deploy.Images)
			}
			require.NoError(t, got.Check())
		})
	}
}

// oneDeployment is a rollout whose stable is a copy.
func oneDeployment(change func(*rollout.Definition)) *rollout.Definition {
	d := clustered()
	d.Cluster.Copied = true
	change(d)
	return d
}

// undo is a rollout of which nothing is left but what an undo does.
func undo() *rollout.Definition {
	d := clustered()
	out, err := d.Undoing("R2", &rollout.Before{ID: "R1", Definition: *d})
	if err != nil {
		panic(err)
	}
	return &out
}

func TestAnUndoThatGoesBackAfterStableWasChangedWasNotCancelled(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		want  rollout.Outcome
	}{
		"before stable is changed":           {"rollback", rollout.Cancelled},
		"once stable is changed":             {"ready\nrollback", rollout.RolledBack},
		"once stable is changed, and called": {"ready\ncancel", rollout.RolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{d: undo(), now: epoch}
			w.run(t, c.lines)
			require.Equal(t, rollout.RollingBack, w.s.Phase)
			require.Equal(t, c.want, w.s.Outcome)
		})
	}
}

func TestAnEndThatWasStoredAsCancelledIsTakenAlthoughStableHadBeenChanged(t *testing.T) {
	w := &world{d: undo(), now: epoch}
	w.run(t, "ready\nrollback\nin-force\nafter 1m\nin-force")
	for w.s.Back != rollout.BackDone {
		require.NoError(t, w.apply(rollout.DeploymentReady{Work: w.s.Work}, "cluster"))
		if e, ok := w.s.Next(w.d, w.now); ok && w.s.Back == rollout.BackCleanup {
			require.NoError(t, w.apply(e, "serin"))
		}
	}
	require.NoError(t, w.apply(rollout.Ended{Outcome: rollout.Cancelled, Why: "said so"}, "serin"))
}
