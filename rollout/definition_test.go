package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/workload"
)

func TestADefinitionThatTheStateMachineCannotRunIsRefused(t *testing.T) {
	gray := func(weights ...share.Share) rollout.Gray {
		return rollout.Gray{Name: "gray", Weights: weights, Scope: "gray"}
	}
	promote, wait := rollout.Promote{Name: "promote"}, rollout.Wait{Name: "wait"}
	for name, c := range map[string]struct {
		steps, back rollout.Steps
		want        string // empty if it can be run
	}{
		"one weight below all":                 {steps: rollout.Steps{gray(0.999), promote}},
		"weights that grow over several steps": {steps: rollout.Steps{gray(0.1, 0.2), rollout.Gray{Name: "more", Weights: []share.Share{0.3}}, promote}},
		"a duplicate name":                     {steps: rollout.Steps{wait, wait, promote}, want: `steps[1]: name "wait" is empty or used twice`},
		"no name":                              {steps: rollout.Steps{rollout.Wait{}, promote}, want: `steps[0]: name "" is empty or used twice`},
		"no weights":                           {steps: rollout.Steps{gray(), promote}, want: "steps[0]: no weights"},
		"a weight of zero":                     {steps: rollout.Steps{gray(0), promote}, want: "steps[0].weights[0]: 0% after 0%: weights have to grow, below 100%"},
		"the same weight again":                {steps: rollout.Steps{gray(0.1, 0.1), promote}, want: "steps[0].weights[1]: 10% after 10%: weights have to grow, below 100%"},
		"a smaller weight in a later step":     {steps: rollout.Steps{gray(0.2), rollout.Gray{Name: "more", Weights: []share.Share{0.1}}, promote}, want: "steps[1].weights[0]: 10% after 20%: weights have to grow, below 100%"},
		"all of the traffic":                   {steps: rollout.Steps{gray(1), promote}, want: "steps[0].weights[0]: 100% after 0%: weights have to grow, below 100%"},
		"a weight after the promotion":         {steps: rollout.Steps{promote, gray(0.1)}, want: "steps[1]: gray after promote"},
		"no promotion":                         {steps: rollout.Steps{wait}, want: "steps: no promote"},
		"two promotions":                       {steps: rollout.Steps{promote, rollout.Promote{Name: "again"}}, want: "steps[1]: a second promote"},
		"a Job without a cluster":              {steps: rollout.Steps{rollout.Job{Name: "migrate"}, promote}, want: "steps[0]: job needs Kubernetes"},
		"a Deployment without a cluster":       {steps: rollout.Steps{rollout.Deploy{Name: "canary"}, promote}, want: "steps[0]: deploy needs Kubernetes"},
		"a wait on the way back":               {steps: rollout.Steps{promote}, back: rollout.Steps{wait}, want: "rollback.steps[0]: only jobs and webhooks"},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&rollout.Definition{Steps: c.steps, Rollback: rollout.Rollback{Steps: c.back}}).Check()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.want)
		})
	}
	require.NoError(t, clustered().Check())
}

func TestWhoMayAnswerAGate(t *testing.T) {
	d := &rollout.Definition{Steps: rollout.Steps{
		rollout.Gate{Name: "open"}, rollout.Gate{Name: "qa", Approvers: []string{"qa", "olga"}}, rollout.Gate{Name: "four", FourEyes: true}, rollout.Promote{Name: "promote"},
	}}
	for _, c := range []struct {
		name, gate, user string
		roles            []string
		want             string // empty: yes
	}{
		{"every operator, where nobody is named", "open", "ann", []string{"operator"}, ""},
		{"no viewer", "open", "ann", []string{"viewer"}, "gate open is answered by operator, not by ann"},
		{"a role that is named", "qa", "bob", []string{"viewer", "qa"}, ""},
		{"a user who is named", "qa", "olga", []string{"viewer"}, ""},
		{"no operator, where others are named", "qa", "ann", []string{"operator"}, "gate qa is answered by qa or olga, not by ann"},
		{"an admin, anywhere", "qa", "root", []string{"admin"}, ""},
		{"a second person", "four", "bob", []string{"operator"}, ""},
		{"not the person who started it, where a second is needed", "four", "ann", []string{"operator"}, "gate four needs a second pair of eyes: ann has started the release"},
		{"not even as an admin", "four", "ann", []string{"admin"}, "gate four needs a second pair of eyes: ann has started the release"},
		{"every operator, at a question that a policy asks", "gray.decide.1", "ann", []string{"operator"}, ""},
		{"nobody by the name of another step", "promote", "ann", []string{"qa"}, "gate promote is answered by operator, not by ann"},
	} {
		t.Run(c.name, func(t *testing.T) { says(t, c.want, d.MayAnswer(c.gate, c.user, c.roles, "ann")) })
	}
}

func TestWhoMayLetAReleaseGoOn(t *testing.T) {
	named := &rollout.Override{Approvers: []string{"lead", "olga"}, FourEyes: true}
	for _, c := range []struct {
		name  string
		of    *rollout.Override
		user  string
		roles []string
		want  string // empty: yes
	}{
		{"every operator, where nothing is said", nil, "ann", []string{"operator"}, ""},
		{"no viewer", nil, "bob", []string{"viewer"}, "[operator] may let a release go on without waiting, not bob"},
		{"every operator, where nobody is named", &rollout.Override{}, "ann", []string{"operator"}, ""},
		{"a role that is named", named, "bob", []string{"lead"}, ""},
		{"a user who is named", named, "olga", nil, ""},
		{"no operator, where others are named", named, "bob", []string{"operator"}, "[lead olga] may let a release go on without waiting, not bob"},
		{"an admin", named, "root", []string{"admin"}, ""},
		{"not the person who started it, where a second is needed", named, "ann", []string{"lead"}, "going on without waiting needs a second pair of eyes: ann has started the release"},
		{"the person who started it, where none is", &rollout.Override{Approvers: []string{"lead"}}, "ann", []string{"lead"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &rollout.Definition{Override: c.of}
			says(t, c.want, d.MayOverride(c.user, c.roles, "ann"))
		})
	}
}

// says compares an error with its text; an empty text means no error.
func says(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.EqualError(t, err, want)
}

// Only a fault of the store can remove steps from a definition; that must not end the daemon.
func TestAReleaseBeyondItsLastStepStandsStill(t *testing.T) {
	for name, d := range map[string]*rollout.Definition{"servers": pipeline(), "cluster": awaiting()} {
		t.Run(name, func(t *testing.T) {
			w := begun(t, d, []string{"pause"})
			for _, phase := range []rollout.Phase{rollout.Active, rollout.RollingBack, rollout.PhaseEnded} {
				s := w.s
				s.Phase, s.Step, s.Back, s.Out, s.InForce = phase, len(d.Steps), rollout.BackCleanup, true, true
				require.NotPanics(t, func() { s.Target(d, "R1"); s.Holds(d, epoch); s.Dues(d, epoch); s.LeftBehind(d) })
				s.Out = false
				require.NotPanics(t, func() { s.Target(d, "R1") })
			}
			_, ok := w.s.Next(d, epoch)
			require.False(t, ok)
		})
	}
}

func TestWhatADeployStepAsksFor(t *testing.T) {
	deployment := func(step rollout.Deploy, parameters map[string]string) workload.Deployment {
		d := clustered()
		step.Name, step.Deployment = "canary", d.Cluster.Arms.Canary.Deployment
		d.Steps[0] = step
		s, err := rollout.State{}.Apply(rollout.Started{Meta: rollout.Meta{Seq: 1}, Parameters: parameters})
		require.NoError(t, err)
		s, err = s.Apply(rollout.StepEntered{Meta: rollout.Meta{Seq: 2}, Name: "canary", What: rollout.StageDeploy})
		require.NoError(t, err)
		return s.Target(d, "R1").Workloads.Deployments[0]
	}
	image := map[string]string{"image": "shop:2"}
	template := []byte(`{"metadata":{"labels":{"version":"${image}"}}}`)
	t.Run("images, filled in", func(t *testing.T) {
		got := deployment(rollout.Deploy{Images: map[string]string{"web": "${image}"}}, image)
		require.Equal(t, map[string]string{"web": "shop:2"}, got.Images)
		require.Nil(t, got.Template)
		require.Empty(t, got.Unfilled)
	})
	t.Run("a template, filled in, and no images", func(t *testing.T) {
		got := deployment(rollout.Deploy{Template: template}, image)
		require.JSONEq(t, `{"metadata":{"labels":{"version":"shop:2"}}}`, string(got.Template))
		require.Nil(t, got.Images)
		require.Empty(t, got.Unfilled)
	})
	t.Run("and what cannot be filled in says so", func(t *testing.T) {
		require.Contains(t, deployment(rollout.Deploy{Images: map[string]string{"web": "${image}"}}, nil).Unfilled, "image")
		require.Contains(t, deployment(rollout.Deploy{Template: template}, nil).Unfilled, "image")
	})
}
