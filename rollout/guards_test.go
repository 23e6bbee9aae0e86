package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

// begun is a release of a rollout after these lines of a script.
func begun(t *testing.T, d *rollout.Definition, lines ...[]string) *world {
	t.Helper()
	w := &world{d: d, now: epoch}
	w.lines(t, append([][]string{{"start"}}, lines...)...)
	return w
}

func TestAReleaseWasFoundWorseIfItsLastVerdictSaysSo(t *testing.T) {
	require.False(t, rollout.State{}.FoundWorse())
	require.False(t, rollout.State{LastVerdict: &judge.Verdict{Outcome: judge.Pass}}.FoundWorse())
	require.True(t, rollout.State{LastVerdict: &judge.Verdict{Outcome: judge.Fail}}.FoundWorse())
}

func (w *world) lines(t *testing.T, lines ...[]string) {
	t.Helper()
	for _, line := range lines {
		require.NotContains(t, w.line(t, line[0], line[1:]), "refused", "%v", line)
	}
}

// passed is the lines that end a stage with a verdict.
func passed() [][]string {
	return [][]string{{"in-force"}, {"look", "pass"}, {"after", "30m"}}
}

func TestARolloutMayBeginWithAnABTest(t *testing.T) {
	d := pipeline()
	d.Steps = d.Steps[1:] // without the gate: the A/B test is the first step
	w := begun(t, d)
	require.NotNil(t, w.s.Target(d, "R1").Traffic.Cohort)
	w.lines(t, passed()...)
	require.Equal(t, "gray", w.s.StepName)
	require.NotNil(t, w.s.Target(d, "R1").Traffic.Cohort, "the cohort keeps its route until the weight after it is in force")
	w.lines(t, []string{"in-force"})
	require.Nil(t, w.s.Target(d, "R1").Traffic.Cohort)
}

func TestAPromotionEndsTheABTestBeforeIt(t *testing.T) {
	for name, first := range map[string]int{"the first step": 1, "a later step": 0} {
		t.Run(name, func(t *testing.T) {
			d := awaiting()
			steps := rollout.Steps{d.Steps[2], d.Steps[4]} // the gate, the A/B test
			d.Steps = append(steps[first:], d.Steps[len(d.Steps)-2])
			w := begun(t, d)
			if first == 0 {
				w.lines(t, []string{"approve", "start"})
			}
			require.Equal(t, "ab", w.s.StepName)
			w.lines(t, []string{"ready"})
			w.lines(t, passed()...)
			require.Equal(t, "promote", w.s.StepName)
			require.Nil(t, w.s.Target(d, "R1").Traffic.Cohort)
			w.lines(t, []string{"in-force"})
			require.Empty(t, w.s.Target(d, "R1").Analyse, "nobody is on the canary any more")
		})
	}
}

func TestACanaryGetsNoTrafficBeforeItsCapacityIsThere(t *testing.T) {
	d := clustered()
	d.Steps = d.Steps[4:] // from the A/B test on
	w := begun(t, d)
	require.NotNil(t, w.s.Pending, "the A/B test waits for the canary's pods")
	stage := *w.s.Pending
	enter := func(change func(*rollout.StepEntered)) error {
		e := stage
		e.Prepare = false
		change(&e)
		_, err := w.s.Apply(e.With(rollout.Meta{Seq: w.s.Seq + 1, At: w.now, By: "serin"}))
		return err
	}
	require.ErrorIs(t, enter(func(*rollout.StepEntered) {}), rollout.ErrNotAllowed, "the pods are not there")
	require.NoError(t, w.apply(rollout.DeploymentReady{Work: w.s.Work}, "cluster"))
	require.NoError(t, enter(func(*rollout.StepEntered) {}))
	require.ErrorIs(t, enter(func(e *rollout.StepEntered) { e.Prepare = true }), rollout.ErrNotAllowed, "they are prepared once")
	require.ErrorIs(t, enter(func(e *rollout.StepEntered) { e.Step += 2 }), rollout.ErrNotAllowed, "it is another step's capacity")
	require.ErrorIs(t, enter(func(e *rollout.StepEntered) { e.Stage += 2 }), rollout.ErrNotAllowed, "it is another weight's capacity")
}

func TestAnAnswerClosesOnlyItsOwnQuestion(t *testing.T) {
	w := begun(t, pipeline(), []string{"approve", "start"}, []string{"in-force"}, []string{"look", "unreachable"}, []string{"after", "10m"}, []string{"after", "6h"})
	require.NotNil(t, w.s.Question)
	require.Len(t, w.s.Later, 1, "the A/B test is undecided, and its metrics do not answer")
	first, second := w.s.Question.Name, w.s.Later[0].Name
	w.lines(t, []string{"wait", second})
	require.Equal(t, first, w.s.Question.Name)
	require.Empty(t, w.s.Later)
}

// The time for which a weight is in force adds up over interruptions: a hold of ten minutes takes ten minutes of it.
func TestTimeInForceAddsUpOverInterruptions(t *testing.T) {
	w := begun(t, pipeline(), append([][]string{{"approve", "start"}}, passed()...)...)
	require.Equal(t, "gray", w.s.StepName)
	w.lines(t, []string{"in-force"}) // and the cohort's route goes, which has to be in force as well
	for range 3 {
		w.lines(t, []string{"in-force"}, []string{"look", "pass"}, []string{"after", "3m"}, []string{"not-in-force"}, []string{"after", "10s"})
	}
	require.Equal(t, 9*time.Minute, w.s.ForceFor)
	w.lines(t, []string{"in-force"}, []string{"look", "pass"}, []string{"after", "59s"})
	require.Zero(t, w.s.Stage)
	w.lines(t, []string{"after", "1s"})
	require.Equal(t, 1, w.s.Stage, "ten minutes in all")
}

func TestAVerdictIsNewsIfAnythingInItIsNew(t *testing.T) {
	lacking := func(names ...string) judge.Verdict {
		v := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided}
		for _, name := range names {
			v.Metrics = append(v.Metrics, judge.MetricVerdict{Metric: name, Reason: judge.NoData})
		}
		return v
	}
	undecided := judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided}
	with := func(change func(*judge.Verdict)) judge.Verdict {
		v := undecided
		change(&v)
		return v
	}
	for name, c := range map[string]struct {
		last *judge.Verdict
		now  judge.Verdict
		want bool
	}{
		"the first":                            {nil, undecided, true},
		"the same":                             {&undecided, undecided, false},
		"too few where it was undecided":       {&undecided, with(func(v *judge.Verdict) { v.Reason = judge.TooFew }), false},
		"another outcome":                      {&undecided, with(func(v *judge.Verdict) { v.Outcome, v.Reason = judge.Pass, "" }), true},
		"enough now":                           {&undecided, with(func(v *judge.Verdict) { v.Enough = true }), true},
		"it leans now":                         {&undecided, with(func(v *judge.Verdict) { v.Leaning = true }), true},
		"an alarm":                             {&undecided, with(func(v *judge.Verdict) { v.SampleRatio = &judge.SampleRatio{Alarm: true} }), true},
		"a metric has no data":                 {&undecided, lacking("errors"), true},
		"it has data again":                    {new(lacking("errors")), undecided, true},
		"it still has none":                    {new(lacking("errors")), lacking("errors"), false},
		"another one has none":                 {new(lacking("errors")), lacking("slow"), true},
		"a change within a warm-up is no news": {nil, with(func(v *judge.Verdict) { v.Reason = judge.WarmingUp }), false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, rollout.News(c.last, c.now, false)) })
	}
	require.False(t, rollout.News(nil, undecided, true), "unsettled")
	require.True(t, rollout.News(nil, judge.Verdict{Outcome: judge.Fail}, true), "a fail is news however unsettled")
	require.True(t, rollout.News(nil, judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Unreachable}, true), "so is that there is nothing to be seen")
}

func TestADeadlineActsOnceUnlessItIsALackOfData(t *testing.T) {
	w := begun(t, pipeline(), []string{"approve", "start"}, []string{"in-force"})
	tell := func(which rollout.Deadline) error {
		return w.apply(rollout.DeadlinePassed{Which: which, Then: rollout.PolicyHold}, "serin")
	}
	require.NoError(t, tell(rollout.DecideMax))
	require.ErrorIs(t, tell(rollout.DecideMax), rollout.ErrNotAllowed)
	for _, which := range []rollout.Deadline{rollout.NoDataFor, rollout.UnreachableFor} {
		require.NoError(t, tell(which))
		require.NoError(t, tell(which), "stores of earlier versions have it again at each step")
	}
}

func TestARollbackClearsTheStateOfTheStep(t *testing.T) {
	w := begun(t, pipeline(), append([][]string{{"approve", "start"}}, passed()...)...)
	require.Positive(t, w.s.GrayStep)
	require.Positive(t, w.s.CohortStep)
	w.lines(t, []string{"rollback"})
	require.Equal(t, [2]int{-1, -1}, [2]int{w.s.GrayStep, w.s.CohortStep})
	require.Empty(t, w.s.Target(w.d, "R1").Analyse)
}
