package tell_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// underWayView is a release of 1.4.2 at the second of three weights, in force for two of three minutes.
func underWayView() record.View {
	v := record.View{
		Rollout: "shop", Release: &record.Release{ID: "01", Rollout: "shop"},
		Steps: rollout.Steps{
			rollout.Gray{Name: "canary", Weights: []share.Share{0.05, 0.2, 0.5}, Hold: 3 * time.Minute},
			rollout.Gate{Name: "full"}, rollout.Promote{Name: "promote"},
		},
		State: rollout.State{
			Phase: rollout.Active, Step: 0, Stage: 1, StepName: "canary", Moved: true, InForce: true, Parameters: map[string]string{"image": "shop:1.4.2"},
			Look:         &judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Decisive: "errors", Enough: true},
			InForceSince: noon.Add(-2 * time.Minute), StageAt: noon.Add(-2 * time.Minute), StepAt: noon.Add(-8 * time.Minute),
		},
		Verdict: &judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Decisive: "errors"},
		Waiting: "20% of traffic on the canary: it needs this and that",
	}
	v.Target.Weight = 0.2
	return v
}

func TestTheWeightsToComeSayWhenAtTheEarliest(t *testing.T) {
	v := underWayView()
	due := func() (out []time.Time) {
		for _, w := range tell.PlanOf(v, nil, noon)[0].Weights {
			out = append(out, w.Due)
		}
		return out
	}
	require.Equal(t, []time.Time{{}, {}, noon.Add(time.Minute)}, due())
	v.State.Stage = 0
	require.Equal(t, []time.Time{{}, noon.Add(time.Minute), noon.Add(4 * time.Minute)}, due(), "each lasts as long as it has to")
	v.State.InForceSince = noon.Add(-time.Hour)
	require.Equal(t, []time.Time{{}, noon, noon.Add(3 * time.Minute)}, due())
	v.State.Alarm = true
	require.Equal(t, make([]time.Time, 3), due(), "nobody knows how long that lasts")
	v.State.Alarm, v.State.Pause = false, &rollout.Paused{}
	require.Equal(t, make([]time.Time, 3), due())
}

type headline = tell.Headline

// headlineCase is a change to a release, and its headline.
type headlineCase struct {
	name string
	edit func(*record.View)
	want headline
}

func (c headlineCase) holds(t *testing.T) {
	v := underWayView()
	c.edit(&v)
	require.Equal(t, c.want, tell.HeadlineOf(v, noon))
}

// after is the given number of minutes after noon.
func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestTheHeadlineSaysWhatIsTheMatterAndWhatComesNext(t *testing.T) {
	for _, c := range []headlineCase{
		{"a weight says when the next one comes", func(*record.View) {},
			headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "50% of the traffic in 1 min if nothing gets worse."}},
		{"a weight whose time is over says what it lacks", func(v *record.View) {
			v.State.InForceSince, v.State.Look.Enough = after(-9), false
		}, headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "50% of the traffic as soon as there is enough data."}},
		{"the last weight is left on a pass", func(v *record.View) { v.State.Stage, v.State.InForceSince = 2, after(-9) },
			headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "A person is asked (gate full) once it is shown to be no worse (errors)."}},
		{"before the first look", func(v *record.View) { v.State.Look = nil },
			headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "50% of the traffic in 1 min at the earliest, as soon as there is enough data."}},
		{"evidence that leans towards worse holds", func(v *record.View) { v.State.Look.Leaning = true },
			headline{"wait", "20% of the traffic is on 1.4.2, held: the evidence leans towards worse (errors)", after(-2), true, "20% of traffic on the canary: it needs this and that."}},
		{"a weight that is not served yet", func(v *record.View) { v.State.InForce = false },
			headline{"go", "20% of the traffic is on its way to 1.4.2", after(-2), true, "20% of traffic on the canary: it needs this and that."}},
		{"a pause names the person and the reason", func(v *record.View) {
			v.State.Pause = &rollout.Paused{Meta: rollout.Meta{By: "olga", At: after(-1)}, Reason: "lunch"}
		}, headline{"wait", "Paused by olga: lunch", after(-1), false, "It waits until somebody resumes it. A version that turns out worse still goes back by itself."}},
		{"a gate is a question", func(v *record.View) { v.State.Step, v.Gate, v.GateSince = 1, "full", after(-3) },
			headline{"wait", "Shall everybody get 1.4.2?", after(-3), false, ""}},
		{"a policy's question says what it is about", func(v *record.View) {
			v.State.Question, v.Gate = &rollout.Question{About: rollout.DecideMax}, "canary.decide.1"
		}, headline{"wait", "It is still not decided whether it is worse: shall 1.4.2 go on?", time.Time{}, false, ""}},
		{"an alarm holds", func(v *record.View) { v.State.Alarm = true },
			headline{"wait", "20% of the traffic is on 1.4.2, held: the gateway does not split the traffic as it was asked to", after(-2), true, "20% of traffic on the canary: it needs this and that."}},
		{"one look without data is no news", func(v *record.View) { v.State.NoDataSince = noon.Add(-7 * time.Millisecond) },
			headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "50% of the traffic in 1 min if nothing gets worse."}},
		{"a minute without data is", func(v *record.View) { v.State.NoDataSince = after(-1) },
			headline{"wait", "20% of the traffic is on 1.4.2, held: there is no new data", after(-2), true, "20% of traffic on the canary: it needs this and that."}},
		{"a metric of which the source says why is named", func(v *record.View) {
			v.State.NoDataSince = after(-1)
			v.Verdict.Metrics = []judge.MetricVerdict{
				{Metric: "extra", Optional: true, Reason: judge.NoData, Detail: "no live series of extra"}, {Metric: "errors", Reason: judge.NoData},
				{Metric: "slow", Reason: judge.NoData, Detail: "h_bucket has no bucket with the bound 0.25; there are 0.1, 0.3"},
			}
		}, headline{"wait", "20% of the traffic is on 1.4.2, held: there is no new data", after(-2), true,
			"slow cannot be measured: h_bucket has no bucket with the bound 0.25; there are 0.1, 0.3. 20% of traffic on the canary: it needs this and that."}},
		{"an A/B test", func(v *record.View) {
			v.Steps[0] = rollout.AB{Name: "beta", Cohort: traffic.Cohort{Split: 0.5}, Decide: rollout.Decide{Min: time.Hour}}
			v.State.Stage = 0
		}, headline{"go", "A/B test: 50% of the cohort is on 1.4.2", after(-2), true, "A person is asked (gate full) in 58 min at the earliest, once it is shown to be no worse (errors)."}},
	} {
		t.Run(c.name, c.holds)
	}
}

func TestTheHeadlineOfWhatGoesBackOrHasEnded(t *testing.T) {
	for _, c := range []headlineCase{
		{"going back", func(v *record.View) {
			v.State.Phase, v.State.Why, v.State.WhyBy, v.State.BackAt = rollout.RollingBack, "the canary is worse: errors", "judge", after(-1)
		}, headline{"bad", "Going back to stable: the canary is worse: errors", after(-1), false, "20% of traffic on the canary: it needs this and that."}},
		{"rolled back by the judge", func(v *record.View) {
			v.State.Phase, v.State.Outcome, v.State.Why, v.State.WhyBy, v.State.EndedAt = rollout.PhaseEnded, rollout.RolledBack, "the canary is worse: errors", "judge", after(-1)
		}, headline{"bad", "Rolled back: the canary is worse: errors", after(-1), false, ""}},
		{"rolled back by a person does not look like it", func(v *record.View) {
			v.State.Phase, v.State.Outcome, v.State.Why, v.State.WhyBy, v.State.EndedAt = rollout.PhaseEnded, rollout.RolledBack, "rolled back: no reason given", "olga", after(-1)
		}, headline{"bad", "Rolled back (by olga)", after(-1), false, ""}},
		{"released", func(v *record.View) {
			v.State.Phase, v.State.Outcome, v.State.Why, v.State.EndedAt = rollout.PhaseEnded, rollout.Released, "every step is done", after(-1)
		}, headline{"ok", "Released: 1.4.2 serves everybody", after(-1), false, ""}},
		{"no version is known", func(v *record.View) { v.State.Parameters = nil },
			headline{"go", "20% of the traffic is on the new version", after(-2), true, "50% of the traffic in 1 min if nothing gets worse."}},
		{"no release", func(v *record.View) { v.Release = nil }, headline{"rest", "It has had no release", time.Time{}, false, ""}},
	} {
		t.Run(c.name, c.holds)
	}
}

func TestTheButtonsOfAGateSayWhatTheyDo(t *testing.T) {
	v := underWayView()
	v.State.Step, v.Gate = 1, "full"
	approve, reject := tell.Consequences(v)
	require.Equal(t, "Approve: all users get 1.4.2", approve)
	require.Equal(t, "Reject: all users back to stable", reject)
	v.State.Moved = false
	v.Steps[2] = rollout.Gray{Weights: []share.Share{0.05}}
	approve, reject = tell.Consequences(v)
	require.Equal(t, "Approve: 5% of the traffic gets 1.4.2", approve)
	require.Equal(t, "Reject: end the release", reject)
}

func TestTheHeadlineSaysThatAReleaseWaitsForItsWindow(t *testing.T) {
	for _, c := range []headlineCase{
		{"a window that is waited for holds", func(v *record.View) {
			v.State.Awaited = &rollout.WindowAwaited{Closed: calendar.Closed{Until: after(60), Zone: "Europe/Berlin"}}
		}, headline{"wait", "20% of the traffic is on 1.4.2, held: it waits for a window, until Wed 2026-03-04 14:00 (Europe/Berlin)", after(-2), true, "20% of traffic on the canary: it needs this and that."}},
		{"one that has opened does not", func(v *record.View) {
			v.State.Awaited = &rollout.WindowAwaited{Closed: calendar.Closed{Until: after(0), Zone: "Europe/Berlin"}}
		}, headline{"go", "20% of the traffic is on 1.4.2", after(-2), true, "50% of the traffic in 1 min if nothing gets worse."}},
		{"a release that has not begun", func(v *record.View) {
			v.State.Step, v.State.StepName, v.State.AwaitedAt = -1, "", after(-9)
			v.State.Awaited = &rollout.WindowAwaited{Closed: calendar.Closed{Until: after(60), Zone: "UTC", Freeze: "audit"}}
		}, headline{"wait", "It has not begun: it waits for the end of a freeze (audit), until Wed 2026-03-04 13:00 (UTC)", after(-9), false, "20% of traffic on the canary: it needs this and that."}},
	} {
		t.Run(c.name, c.holds)
	}
}
