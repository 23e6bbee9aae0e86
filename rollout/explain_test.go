package rollout_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/stretchr/testify/require"
)

// toGray brings the pipeline to its first weight, in force, and then without the cohort in force again.
const toGray = "approve start\nin-force\nafter 30m\nlook pass\nin-force\nin-force\n"

// TestWaiting has a line for every case in which State.Next holds a release.
func TestWaiting(t *testing.T) {
	cases := []struct{ name, lines, want string }{
		{"a gate names who may answer and when it expires", "",
			"gate start: an answer from qa; unanswered, it is cancelled in 1d"},
		{"a pause stops everything else", "pause",
			"paused by ann (lunch): it waits for somebody to resume it"},
		{"a target that was just written is not in force", "approve start",
			"A/B step ab is not in force yet; it asks a human in 6h if it is still undecided"},
		{"a target that no replica confirms holds", "approve start\nnot-in-force unconfirmed",
			"A/B step ab is written, but no replica of the gateway confirms it; it asks a human in 6h if it is still undecided"},
		{"an A/B step needs its time and a pass", "approve start\nin-force\nafter 10m",
			"A/B step ab: it needs at least 20m more in force, a pass (no look yet); it asks a human in 5h50m if it is still undecided"},
		{"a weight needs its time and enough data", toGray + "after 4m\nlook too-few",
			"5% of traffic on the canary: it needs at least 6m more in force, enough data without a fail (now too few requests yet); it asks a human in 1h56m if it is still undecided"},
		{"a weight with enough data needs only its time", toGray + "look enough\nafter 9m55s",
			"5% of traffic on the canary: it needs at least 5s more in force; it asks a human in 1h51m if it is still undecided"},
		{"the last weight of a step needs a pass", toGray + "look enough\nafter 10m\nin-force\nafter 10m\nlook enough undecided",
			"20% of traffic on the canary: it needs a pass (now undecided); it asks a human in 1h40m if it is still undecided"},
		{"a sample-ratio alarm waits for a human", toGray + "after 10m\nlook enough alarm",
			"5% of traffic on the canary: it needs the sample-ratio alarm to clear or to be dismissed; it asks a human in 1h50m if it is still undecided"},
		{"somebody else who keeps writing is waited for", toGray + "look pass\nafter 9m50s\ndrift\ndrift\ndrift\nafter 20s",
			"5% of traffic on the canary: it needs somebody else to stop writing the gateway's configuration (calm for 40s more); it asks a human in 1h50m if it is still undecided"},
		{"missing data has a policy and a time", toGray + "look no-data\nafter 2m",
			"5% of traffic on the canary: it needs at least 8m more in force, enough data without a fail (now no new data); it asks a human in 1h58m if it is still undecided; no new data for 2m: it says so and goes on holding in 3m"},
		{"missing data that was told of goes on", toGray + "look no-data\nafter 6m",
			"5% of traffic on the canary: it needs at least 4m more in force, enough data without a fail (now no new data); it asks a human in 1h54m if it is still undecided; no new data for 6m"},
		{"a silent source has a policy of its own", toGray + "look unreachable\nafter 1m",
			"5% of traffic on the canary: it needs at least 9m more in force, enough data without a fail (now the source does not answer); it asks a human in 1h59m if it is still undecided; the source of the metrics has not answered for 1m: it goes back in 9m"},
		{"a policy's question says what it is about", "approve start\nin-force\nlook undecided\nafter 6h",
			"question ab.decide.1: the comparison is still undecided; any operator may answer approve (go on), wait, or reject (go back); A/B step ab: it needs a pass (now undecided)"},
		{"a wait has time left", toGray + "look pass\nafter 10m\nin-force\nlook pass\nafter 10m\nafter 15m",
			"step lunch: 45m left"},
		{"draining has time left", toGray + "rollback\nin-force\nafter 10s",
			"going back: traffic is on stable, the canary drains: 20s left; it counts as failed unless that is done in 14m50s"},
		{"traffic that goes back is waited for", toGray + "rollback",
			"going back: all traffic on stable is not in force yet; it counts as failed unless that is done in 15m"},
		{"a drain that is disturbed waits", toGray + "rollback\nin-force\nnot-in-force",
			"going back: all traffic on stable is not in force yet, which it was before; it counts as failed unless that is done in 15m"},
		{"a successor is named", toGray + "supersede",
			"going back: all traffic on stable is not in force yet; it counts as failed unless that is done in 15m; release R2 starts then"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := &world{d: pipeline(), now: epoch}
			w.run(t, c.lines)
			require.Equal(t, c.want, w.s.Waiting(w.d, w.now))
		})
	}
}

func (w *world) run(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines("start\n" + lines) {
		if f := strings.Fields(line); len(f) > 0 {
			require.NotContains(t, w.line(t, f[0], f[1:]), "refused", line)
		}
	}
}

func TestWaitingOfTheRest(t *testing.T) {
	d := &rollout.Definition{
		Steps: rollout.Steps{
			rollout.Gate{Name: "four", FourEyes: true, Expires: &rollout.Expiry{After: time.Minute, Then: rollout.PolicyHold}},
			rollout.Webhook{Name: "tell"}, rollout.Promote{Name: "promote"},
		},
		Verify:   rollout.Verify{For: time.Minute, Trust: true},
		Rollback: rollout.Rollback{Deadline: time.Minute, Steps: rollout.Steps{rollout.Webhook{Name: "undo"}}},
	}
	waits := func(s rollout.State) string { return s.Waiting(d, epoch) }
	active := rollout.State{Phase: rollout.Active, StepAt: epoch, StartedBy: "ann"}
	back := rollout.State{Phase: rollout.RollingBack, BackAt: epoch, Stage: 2, InForce: true}

	require.Empty(t, waits(rollout.State{}), "before its start")
	require.Empty(t, waits(rollout.State{Phase: rollout.PhaseEnded}), "after its end")

	s := active
	s.Step = -1
	require.Equal(t, "about to begin", waits(s))
	require.Equal(t, "gate four: an answer from operator, but not from ann, who has started the release; unanswered, "+
		"it says so and goes on holding in 1m", waits(active))
	s = active
	s.Told = []rollout.Deadline{rollout.GateExpired}
	require.Contains(t, waits(s), "it has expired and holds")

	s = active
	s.Step = 1
	require.Equal(t, "webhook tell: its answer", waits(s))
	s.Step = 2
	require.Equal(t, "promotion: all traffic on the canary is not in force yet", waits(s))
	s.Stage, s.UnconfirmedAt = 1, epoch.Add(-20*time.Second)
	require.Equal(t, "promotion: the exchange of roles (the canary's servers as stable) is written, but no replica of the "+
		"gateway confirms it; it counts as in force in 40s", waits(s))

	require.Equal(t, "going back: traffic is on stable, cleaning up (undo); it counts as failed unless that is done in 1m", waits(back))
	back.Stage = 3
	require.Equal(t, "it is back, and about to end", waits(back))
}

func errorsVerdict() judge.MetricVerdict {
	return judge.MetricVerdict{
		Metric: "errors", Kind: judge.Counts, Outcome: judge.Fail,
		Canary: judge.Totals{Bad: 61, Total: 2034, Rate: 61. / 2034}, Baseline: judge.Totals{Bad: 41, Total: 8120, Rate: 41. / 8120},
		Ratio: 5.94, Lower: 3.1, Upper: 9.2, Margin: 3,
		LogEvidence: judge.LogEvidence{Worse: math.Log(12_034), FailsFrom: math.Log(100), NoWorse: math.Log(1. / 400), PassFrom: math.Log(20)},
	}
}

func TestExplain(t *testing.T) {
	cases := []struct {
		name string
		edit func(*judge.MetricVerdict)
		want string
	}{
		{"a failed ratio has its counts, its bounds and its evidence", func(*judge.MetricVerdict) {},
			"errors: canary 61 of 2,034 (3.0%) against baseline 41 of 8,120 (0.50%): ratio 5.9, at least 3.1 (99%), at most 9.2 (95%); " +
				"worse than the margin allows (ratio 3.0); evidence 12,000 : 1 against “no worse”, needed 100 : 1 → fail"},
		{"an undecided one has both kinds of evidence", func(m *judge.MetricVerdict) {
			m.Outcome, m.Reason, m.Ratio, m.LogEvidence.Worse = judge.Inconclusive, judge.Undecided, 1.04, math.Log(0.5)
		}, "errors: canary 61 of 2,034 (3.0%) against baseline 41 of 8,120 (0.50%): ratio 1.0, at least 3.1 (99%), at most 9.2 (95%); " +
			"within the margin (ratio 3.0); evidence 1 : 2 against “no worse”, needed 100 : 1; " +
			"1 : 400 against “worse by the margin”, needed 20 : 1 → inconclusive, undecided"},
		{"without any data there is no ratio", func(m *judge.MetricVerdict) {
			*m = judge.MetricVerdict{Metric: "errors", Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.NoData, Detail: "no series", Optional: true}
		}, "errors: canary nothing yet against baseline nothing yet: there is no data to compare yet → inconclusive, no new data (no series); optional"},
		{"what was supposed before any data is no finding", func(m *judge.MetricVerdict) {
			m.Canary, m.Baseline, m.Ratio, m.Outcome, m.Reason = judge.Totals{}, judge.Totals{}, 1, judge.Inconclusive, judge.NoData
		}, "errors: canary nothing yet against baseline nothing yet: there is no data to compare yet → inconclusive, no new data"},
		{"a gauge has means", func(m *judge.MetricVerdict) {
			m.Kind, m.Canary, m.Baseline = judge.Gauge, judge.Totals{Rate: 1_234_567}, judge.Totals{Rate: 0.000_012}
		}, "errors: canary's mean 1,234,567 against baseline's 1.2e-05: "},
		{"an objective has no second arm", func(m *judge.MetricVerdict) {
			m.Kind, m.Baseline = judge.Objective, judge.Totals{Rate: 0.001}
		}, "errors: canary 61 of 2,034 (3.0%) against an objective of 0.10%: "},
		{"a histogram names the bound", func(m *judge.MetricVerdict) { m.Kind, m.Bound = judge.Histogram, 0.3 },
			"errors: above 0.30 canary 61 of 2,034 (3.0%) against baseline 41 of 8,120 (0.50%): "},
		{"where less is worse the margin lies below one", func(m *judge.MetricVerdict) { m.Ratio, m.Margin = 0.4, 0.98 },
			"worse than the margin allows (ratio 0.98)"},
		{"odds beyond reading are powers of ten", func(m *judge.MetricVerdict) { m.LogEvidence.Worse = 50 * math.Ln10 },
			"evidence 10^50 : 1 against “no worse”"},
		{"odds that have vanished are said so", func(m *judge.MetricVerdict) {
			m.Outcome, m.LogEvidence.Worse, m.LogEvidence.NoWorse, m.Goal = judge.Pass, math.Inf(-1), -99, true
		}, "evidence none against “no worse”, needed 100 : 1; less than 1 : 1,000,000 against “no better”, needed 20 : 1 → pass"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := errorsVerdict()
			c.edit(&m)
			v := judge.Verdict{Outcome: m.Outcome, Look: 7, At: epoch, Metrics: []judge.MetricVerdict{m}}
			e := rollout.Explain(rollout.View{Rollout: "shop", Release: &rollout.Release{ID: "R1"}, State: rollout.State{Phase: rollout.Active}, Verdict: &v})
			require.Contains(t, e.Metrics[0].Text, c.want)
		})
	}
}

// A reader who knows no word of statistics: each case has the whole paragraph.
func TestExplainPlainly(t *testing.T) {
	const arms = "On the canary, the new version, 61 of 2,034 (3.0%) counted as errors; on the baseline, which it is compared with, 41 of 8,120 (0.50%). "
	cases := []struct {
		name string
		edit func(*judge.MetricVerdict)
		want string
	}{
		{"a fail says how often that would be wrong", func(*judge.MetricVerdict) {},
			arms + "That is 5.9 times as much; up to 3.0 times is accepted. " +
				"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
		{"a fault that came late was found in a part", func(m *judge.MetricVerdict) { m.Ratio, m.Leading = 1.2, 5.9 },
			arms + "That is 1.2 times as much; up to 3.0 times is accepted. In the part of it that decided, it is 5.9 times. " +
				"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
		{"a pass says how often that would be wrong", func(m *judge.MetricVerdict) {
			m.Outcome, m.Ratio, m.LogEvidence.NoWorse = judge.Pass, 1.04, math.Log(21)
		}, arms + "That is 1.0 times as much; up to 3.0 times is accepted. " +
			"A canary that is worse than accepted would look as good as this in at most one of 21 releases; from one of 20 on, it passes."},
		{"a goal has to be reached", func(m *judge.MetricVerdict) {
			m.Outcome, m.Ratio, m.Margin, m.Goal, m.LogEvidence.NoWorse = judge.Pass, 0.4, 0.98, true, 50*math.Ln10
		}, arms + "That is 0.40 times as much; no less than 0.98 times is accepted. " +
			"A canary that is no better would look as good as this in at most one of more than 1,000,000 releases; from one of 20 on, it passes."},
		{"what is undecided says what is possible", func(m *judge.MetricVerdict) {
			m.Outcome, m.Reason, m.Ratio, m.Lower = judge.Inconclusive, judge.Undecided, 1.04, 1./245
		}, arms + "That is 1.0 times as much; up to 3.0 times is accepted. It is not decided yet: by what is known so far, it can be anything up to 9.2 times."},
		{"other reasons are said as they are", func(m *judge.MetricVerdict) { m.Outcome, m.Reason = judge.Inconclusive, judge.TooFew },
			arms + "That is 5.9 times as much; up to 3.0 times is accepted. It is not decided: too few requests yet."},
		{"without any data there is nothing to compare", func(m *judge.MetricVerdict) {
			*m = judge.MetricVerdict{Metric: "errors", Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.NoData}
		}, "On the canary, the new version, nothing yet counted as errors; on the baseline, which it is compared with, nothing yet. There is nothing to compare yet: no new data."},
		{"a gauge has means", func(m *judge.MetricVerdict) {
			m.Kind, m.Metric, m.Canary, m.Baseline, m.Ratio, m.Margin = judge.Gauge, "memory", judge.Totals{Rate: 124}, judge.Totals{Rate: 100}, 1.24, 1.2
		}, "On the canary, the new version, the mean of memory is 124; on the baseline, which it is compared with, 100. That is 1.2 times as much; up to 1.2 times is accepted. " +
			"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
		{"an objective has no second arm", func(m *judge.MetricVerdict) { m.Kind, m.Baseline = judge.Objective, judge.Totals{Rate: 0.001} },
			"On the canary, the new version, 61 of 2,034 (3.0%) counted as errors; the objective is 0.10%. That is 5.9 times as much; up to 3.0 times is accepted. " +
				"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
		{"a histogram names the bound", func(m *judge.MetricVerdict) { m.Kind, m.Bound = judge.Histogram, 0.3 },
			"On the canary, the new version, 61 of 2,034 (3.0%) were above 0.30; on the baseline, which it is compared with, 41 of 8,120 (0.50%). " +
				"That is 5.9 times as much; up to 3.0 times is accepted. " +
				"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := errorsVerdict()
			c.edit(&m)
			v := judge.Verdict{Outcome: m.Outcome, Look: 7, At: epoch, Metrics: []judge.MetricVerdict{m}}
			e := rollout.Explain(rollout.View{Rollout: "shop", Release: &rollout.Release{ID: "R1"}, State: rollout.State{Phase: rollout.Active}, Verdict: &v})
			require.Equal(t, c.want, e.Metrics[0].Plain)
			require.Contains(t, e.String(), "\n  "+m.Metric+": "+c.want+"\n    in numbers: ")
		})
	}
}

func TestExplainARelease(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	w.run(t, toGray)
	v := judge.Verdict{
		Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: 12, At: epoch, Enough: true, Decisive: "errors",
		SampleRatio: &judge.SampleRatio{Alarm: true, Weight: 0.05, Share: 0.041, Canary: 41, Baseline: 959, Fewer: math.Log(2000), AlarmFrom: math.Log(1000)},
	}
	e := rollout.LookTaken{Scope: w.s.Scope, Turn: w.s.Turn, Verdict: v}
	require.NoError(t, w.apply(e, "judge"))
	view := rollout.View{
		Rollout: "shop", Release: &rollout.Release{ID: "R1"}, State: w.s, Definition: w.d, Verdict: &v,
		Waiting: w.s.Waiting(w.d, w.now), Trouble: []string{"store: disk is full"},
	}
	require.Equal(t, `active at step gray; look 12 at 2026-01-05T09:00:00Z says inconclusive, undecided (errors)
sample ratio: 41 of 1,000 requests went to the canary (4.1%), asked for 5%: alarm, evidence 2,000 : 1 against the split asked for, needed 1,000 : 1
noise: nothing is learned yet of how much good versions of this service differ: until a release has gone well, versions that drift apart slowly may be taken for worse, and a pass waits longer
waiting: 5% of traffic on the canary: it needs at least 10m more in force, the sample-ratio alarm to clear or to be dismissed; it asks a human in 2h if it is still undecided
next: 20% of traffic on the canary, for at least 10m
trouble: store: disk is full`, rollout.Explain(view).String())

	view.Verdict.Learned = true
	require.Empty(t, rollout.Explain(view).Noise)

	require.Equal(t, "rollout shop has had no release", rollout.Explain(rollout.View{Rollout: "shop"}).String())
}

func TestNextOfEveryStep(t *testing.T) {
	d := pipeline()
	next := func(step, stage int) string {
		s := rollout.State{Phase: rollout.Active, Step: step, Stage: stage}
		return rollout.Explain(rollout.View{Release: &rollout.Release{}, State: s, Definition: d}).Next
	}
	require.Equal(t, "gate start, which a human answers", next(-1, 0))
	require.Equal(t, "A/B step ab, 50% of the cohort on the canary, for at least 30m", next(0, 0))
	require.Equal(t, "5% of traffic on the canary, for at least 10m", next(1, 0))
	require.Equal(t, "20% of traffic on the canary, for at least 10m", next(2, 0))
	require.Equal(t, "wait lunch for 1h", next(2, 1))
	require.Equal(t, "promotion: all traffic on the canary, whose servers then become stable", next(5, 0))
	require.Equal(t, "the canary's servers become stable", next(6, 0))
	require.Equal(t, "webhook announce", next(6, 1))
	require.Equal(t, "the release ends, released", next(7, 0))
}
