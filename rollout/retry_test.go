package rollout_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// goOnBack applies one more event to a release that goes back.
func (w *world) goOnBack(t *testing.T) {
	t.Helper()
	switch {
	case !w.s.InForce:
		require.NoError(t, w.apply(rollout.InForce{Turn: w.s.Turn, How: "api"}, "gateway"))
	case !w.s.WorkReady:
		require.NoError(t, w.apply(rollout.DeploymentReady{Work: w.s.Work}, "cluster"))
	case len(w.d.Rollback.Steps) > 0 && w.s.Back == rollout.BackCleanup:
		require.NoError(t, w.apply(rollout.CleanedUp{}, "serin"))
	}
	w.pass(w.d.Rollback.Drain)
}

// migrated are the lines of a clustered release whose Job succeeded and whose pre-release is not ready.
var migrated = [][]string{{"job", "ok"}, {"broken"}}

// filled puts a second Job behind the first.
func filled(then, now *rollout.Definition) {
	fill := rollout.Step(rollout.Job{Name: "fill", Manifest: []byte(`{"fill":"${image}"}`)})
	then.Steps, now.Steps = slices.Insert(then.Steps, 1, fill), slices.Insert(now.Steps, 1, fill)
}

// filledAfterAnother is filled, with a first Job that is declared otherwise now.
func filledAfterAnother(then, now *rollout.Definition) {
	filled(then, now)
	create := now.Steps[0].(rollout.Job)
	create.Manifest = []byte(`{"image":"${image}","new":true}`)
	now.Steps[0] = create
}

func TestARetryRunsNoJobAgainWhoseWorkIsStillThere(t *testing.T) {
	for _, c := range retries() {
		t.Run(c.name, c.run)
	}
}

// retry is a release, later changes to its plan and state, and the Jobs that a retry does not run again.
type retry struct {
	name  string
	plans func(then, now *rollout.Definition)
	state func(*rollout.State)
	lines [][]string
	done  []string
	err   string
}

func retries() []retry {
	job := func(d *rollout.Definition) rollout.Job { return d.Steps[0].(rollout.Job) }
	return []retry{
		{"a Job that succeeded", nil, nil, migrated, []string{"migrate"}, ""},
		{"a Job that failed runs again", nil, nil, [][]string{{"job", "failed"}}, nil, ""},
		{"a Job that is declared otherwise now runs again", func(_, now *rollout.Definition) {
			other := job(now)
			other.Manifest = []byte(`{"image":"${image}","new":true}`)
			now.Steps[0] = other
		}, nil, migrated, nil, ""},
		{"a Job runs again after one that does", filledAfterAnother, nil, [][]string{{"job", "ok"}, {"job", "ok"}, {"broken"}}, nil, ""},
		{"a Job after one that does not", filled, nil, [][]string{{"job", "ok"}, {"job", "ok"}, {"broken"}}, []string{"migrate", "fill"}, ""},
		{"a Job runs again after a webhook, which is called again", func(then, now *rollout.Definition) {
			hook := rollout.Step(rollout.Webhook{Name: "announce", URL: "https://example.com"})
			then.Steps, now.Steps = slices.Insert(then.Steps, 0, hook), slices.Insert(now.Steps, 0, hook)
		}, nil, [][]string{{"webhook", "ok"}, {"job", "ok"}, {"broken"}}, nil, ""},
		{"a Job before a webhook", func(then, now *rollout.Definition) {
			hook := rollout.Step(rollout.Webhook{Name: "announce", URL: "https://example.com"})
			then.Steps, now.Steps = slices.Insert(then.Steps, 1, hook), slices.Insert(now.Steps, 1, hook)
		}, nil, [][]string{{"job", "ok"}, {"webhook", "ok"}, {"broken"}}, []string{"migrate"}, ""},
		{"a Job runs again where the pod template in Git is the version", func(_, now *rollout.Definition) { now.Cluster.Copied = true }, nil, migrated, nil, ""},
		{"a Job of a version that no parameter names runs again", nil, func(s *rollout.State) { s.Parameters = nil }, migrated, nil, ""},
		{"a Job runs again where steps of the rollout's own went back", func(then, _ *rollout.Definition) {
			then.Rollback.Steps = rollout.Steps{job(then)}
		}, nil, migrated, nil, ""},
		{"a Job runs again where going back did not end well", nil, func(s *rollout.State) { s.Outcome = rollout.Failed }, migrated, nil, ""},
		{"a Job that now comes after the canary's Deployment runs again", func(_, now *rollout.Definition) {
			now.Steps[0], now.Steps[3] = now.Steps[3], now.Steps[0]
		}, nil, migrated, nil, ""},
		{"a Job that did not run at all", func(then, now *rollout.Definition) {
			then.Steps[0], now.Steps[0] = rollout.Wait{Name: "migrate"}, job(now)
		}, nil, [][]string{{"broken"}}, nil, ""},
		{"a Job that succeeded, in a release that was cancelled before the next step", nil, func(s *rollout.State) { s.Step, s.Job = 0, &rollout.JobEnded{} }, migrated, []string{"migrate"}, ""},
		{"a Job that had not ended when the release was cancelled runs again", nil, func(s *rollout.State) { s.Step, s.Job = 0, nil }, migrated, nil, ""},
		{"a release that brought its version into service", nil, func(s *rollout.State) { s.Outcome = rollout.Released }, migrated, nil, "has been released: there is nothing to try again"},
		{"an undo", nil, func(s *rollout.State) { s.Undoes = "R0" }, migrated, nil, "ask for the undo again"},
		{"a release that is under way", nil, nil, nil, nil, "has not ended"},
	}
}

func (c retry) run(t *testing.T) {
	then, now := clustered(), clustered()
	if c.plans != nil {
		c.plans(then, now)
	}
	w := begun(t, then, c.lines...)
	for len(c.lines) > 0 && !w.s.Ended() {
		w.goOnBack(t)
	}
	if c.state != nil {
		c.state(&w.s)
	}
	last := rollout.Attempt{ID: "R1", Definition: *then, State: w.s}
	done, err := now.Retrying(last)
	if c.err != "" {
		require.ErrorIs(t, err, rollout.ErrNotAllowed)
		require.ErrorContains(t, err, c.err)
		return
	}
	require.NoError(t, err)
	require.Equal(t, c.done, done)
}

// retried is a release that repeats one whose Job succeeded.
func retried(t require.TestingT, d *rollout.Definition) *world {
	w := &world{d: d, now: epoch}
	require.NoError(t, w.apply(rollout.Started{
		Rollout: "shop", Revision: "a1", Parameters: map[string]string{"image": "shop:2"}, Retries: "R1", Done: []string{"migrate"},
	}, "ann"))
	w.settle()
	return w
}

func TestAJobThatIsNotRunAgainIsPassedAtOnceAndMentioned(t *testing.T) {
	w := retried(t, clustered())
	require.Equal(t, "pre-release", w.s.StepName)
	require.Equal(t, "it tries the version of release R1 again: job migrate succeeded in release R1 and is not run again", tell.Origin(w.s))
	require.Equal(t, "image=shop:2; job migrate succeeded in release R1 and is not run again", tell.Event(w.log[0], w.d.Steps).Detail)
	require.NoError(t, w.apply(rollout.DeploymentFailed{Work: w.s.Work, Why: []string{"no such image"}}, "cluster"))
	require.Empty(t, w.s.LeftBehind(w.d))
}

func TestAJobThatIsNotRunAgainHoldsNothing(t *testing.T) {
	w := &world{d: clustered(), now: epoch}
	require.NoError(t, w.apply(rollout.Started{Rollout: "shop", Revision: "a1", Parameters: map[string]string{"image": "shop:2"}, Retries: "R1", Done: []string{"migrate"}}, "ann"))
	e, ok := w.s.Next(w.d, w.now)
	require.True(t, ok)
	next, err := w.s.Apply(e)
	require.NoError(t, err)
	require.Equal(t, "migrate", next.StepName)
	require.Empty(t, next.Holds(w.d, w.now))
	require.Empty(t, next.Target(w.d, "R2").Tasks)
}

func TestARetryOfARetryKnowsTheJobsOfTheFirst(t *testing.T) {
	w := retried(t, clustered())
	require.NoError(t, w.apply(rollout.CancelRequested{}, "ann"))
	w.s.Phase, w.s.Outcome = rollout.PhaseEnded, rollout.Cancelled
	done, err := w.d.Retrying(rollout.Attempt{ID: "R2", Definition: *w.d, State: w.s})
	require.NoError(t, err)
	require.Equal(t, []string{"migrate"}, done)
}
