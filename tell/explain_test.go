package tell_test

import (
	"math"
	"testing"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// pipeline has steps of most kinds.
func pipeline() *rollout.Definition {
	return &rollout.Definition{Steps: rollout.Steps{
		rollout.Gate{Name: "start"},
		rollout.AB{Name: "ab", Cohort: traffic.Cohort{Split: 0.5}, Decide: rollout.Decide{Min: 30 * time.Minute}},
		rollout.Gray{Name: "gray", Weights: []share.Share{0.05, 0.2}, Hold: 10 * time.Minute},
		rollout.Wait{Name: "lunch", For: time.Hour},
		rollout.Gray{Name: "more", Weights: []share.Share{0.5}, Hold: 10 * time.Minute},
		rollout.Gate{Name: "full"},
		rollout.Promote{Name: "promote"},
		rollout.Webhook{Name: "announce"},
	}}
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
		{"evidence is enough and the odds for more than the margin are not", func(m *judge.MetricVerdict) {
			m.Outcome, m.Reason, m.LogEvidence.Worse, m.LogEvidence.Beyond = judge.Inconclusive, judge.Undecided, math.Log(370), math.Log(12)
		}, "evidence 370 : 1 against “no worse”, needed 100 : 1, but 12 : 1 for “worse by more than the margin”, needed 20 : 1; " +
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
		{"a mean says of how many values it is, and is held against the margin itself", func(m *judge.MetricVerdict) {
			m.Kind, m.Canary, m.Baseline = judge.Mean, judge.Totals{Total: 240, Rate: 31.5}, judge.Totals{Total: 960, Rate: 30}
		}, "errors: canary's mean of 240 values 32 against baseline's of 960, 30: ratio"},
		{"an objective has no second arm", func(m *judge.MetricVerdict) {
			m.Kind, m.Baseline = judge.Objective, judge.Totals{Rate: 0.001}
		}, "errors: canary 61 of 2,034 (3.0%) against an objective of 0.10%: "},
		{"a histogram names the bound", func(m *judge.MetricVerdict) { m.Kind, m.Bound = judge.Histogram, 0.3 },
			"errors: above 0.30 canary 61 of 2,034 (3.0%) against baseline 41 of 8,120 (0.50%): "},
		{"a pass by a given time says what it rules out", func(m *judge.MetricVerdict) {
			m.Outcome, m.Rules, m.LogEvidence.NoWorse = judge.Pass, 2.3, math.Log(31)
		}, "; 31 : 1 against “2.3 times as bad”, which is what the available time can rule out, needed 20 : 1 → pass"},
		{"where fewer is worse it says how far down", func(m *judge.MetricVerdict) {
			m.Outcome, m.Margin, m.Rules, m.LogEvidence.NoWorse = judge.Pass, 0.8, 0.4, math.Log(31)
		}, "; 31 : 1 against “a fall to 0.4 times”, which is what the available time can rule out, needed 20 : 1 → pass"},
		{"a value of a label is named", func(m *judge.MetricVerdict) { m.By, m.Value = "route", "/cart" },
			"errors: route \"/cart\": canary 61 of 2,034 (3.0%) against baseline 41 of 8,120 (0.50%): "},
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
			e := tell.Explain(record.View{Rollout: "shop", Release: &record.Release{ID: "R1"}, State: rollout.State{Phase: rollout.Active}, Verdict: &v})
			require.Contains(t, e.Metrics[0].Text, c.want)
		})
	}
}

// A reader who knows no word of statistics: each case has the whole paragraph.
func TestExplainPlainly(t *testing.T) { //nolint:funlen // a table
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
			arms + "That is 1.2 times as much; up to 3.0 times is accepted. Since it got worse, it is 5.9 times. " +
				"A canary that is no worse would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
		{"a pass says how often that would be wrong", func(m *judge.MetricVerdict) {
			m.Outcome, m.Ratio, m.LogEvidence.NoWorse = judge.Pass, 1.04, math.Log(21)
		}, arms + "That is 1.0 times as much; up to 3.0 times is accepted. " +
			"A canary that is worse than accepted would look as good as this in at most one of 21 releases; from one of 20 on, it passes."},
		{"a pass by a given time says what it rules out", func(m *judge.MetricVerdict) {
			m.Outcome, m.Ratio, m.Rules, m.LogEvidence.NoWorse = judge.Pass, 1.04, 2.3, math.Log(21)
		}, arms + "That is 1.0 times as much; up to 3.0 times is accepted. A canary that is 2.3 times as bad, which is what the available time can rule out, " +
			"would look as good as this in at most one of 21 releases; from one of 20 on, it passes."},
		{"where fewer is worse it says how far down", func(m *judge.MetricVerdict) {
			m.Outcome, m.Ratio, m.Margin, m.Rules, m.LogEvidence.NoWorse = judge.Pass, 0.9, 0.8, 0.4, math.Log(21)
		}, arms + "That is 0.90 times as much; no less than 0.80 times is accepted. A canary with a fall to 0.4 times, which is what the available time can rule out, " +
			"would look as good as this in at most one of 21 releases; from one of 20 on, it passes."},
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
		{"a mean says of how many values it is", func(m *judge.MetricVerdict) {
			m.Kind, m.Metric, m.Canary, m.Baseline, m.Ratio, m.Margin = judge.Mean, "orders", judge.Totals{Total: 240, Rate: 60}, judge.Totals{Total: 960, Rate: 30}, 2, 1.2
		}, "On the canary, the new version, the mean of 240 values of orders is 60; on the baseline, which it is compared with, that of 960 is 30. That is 2.0 times as much; up to 1.2 times is accepted. " +
			"A canary within what is accepted would look as bad as this in at most one of 12,000 releases; from one of 100 on, it goes back."},
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
			e := tell.Explain(record.View{Rollout: "shop", Release: &record.Release{ID: "R1"}, State: rollout.State{Phase: rollout.Active}, Verdict: &v})
			require.Equal(t, c.want, e.Metrics[0].Plain)
			require.Contains(t, e.String(), "\n  "+m.Metric+": "+c.want+"\n    in numbers: ")
		})
	}
}

func TestExplainARelease(t *testing.T) {
	v := judge.Verdict{
		Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: 12, At: epoch, Enough: true, Decisive: "errors",
		Contradictions: []judge.Contradiction{
			{Metric: "orders", Against: judge.AgainstRequests, Canary: 7959, Baseline: 1424, OtherCanary: 1423, OtherBaseline: 7120, Ratio: 28},
			{Metric: "jobs", Against: judge.AgainstWeight, Canary: 100, Baseline: 900, Ratio: 0.5},
			{Metric: "logins", Against: "orders", Canary: 100, Baseline: 900, OtherCanary: 400, OtherBaseline: 1600, Ratio: 0.44},
		},
		SampleRatio: &judge.SampleRatio{Alarm: true, Weight: 0.05, Share: 0.041, Canary: 41, Baseline: 959, Fewer: math.Log(2000), AlarmFrom: math.Log(1000)},
	}
	view := record.View{
		Rollout: "shop", Release: &record.Release{ID: "R1"}, State: rollout.State{Phase: rollout.Active, Step: 2, StepName: "gray"}, Definition: pipeline(), Verdict: &v,
		Waiting: "5% of traffic on the canary: it needs at least 10m more in force", Trouble: []string{"store: disk is full"},
	}
	require.Equal(t, `active at step gray; look 12 at 2026-01-05T09:00:00Z says inconclusive, undecided (errors)
sample ratio: 41 of 1,000 requests went to the canary (4.1%), asked for 5%: alarm, evidence 2,000 : 1 against the split asked for, needed 1,000 : 1
exposure: alarm: orders counts 7,959 on the canary and 1,424 on the baseline, where the gateway sent 1,423 and 7,120 requests: 28 times as much on the canary as there should be; alarm: jobs counts 100 on the canary and 900 on the baseline, which is not the weight in force: 2 times too little on the canary; alarm: logins counts 100 on the canary and 900 on the baseline, where orders counts 400 and 1,600: 2.3 times too little on the canary; the labels of the arms may be swapped or name another version, or an arm is counted twice; nothing passes until that is fixed, or dismissed by a human for this weight
noise: nothing is known yet of how much good versions of this service differ: neither stable's past nor a release says it, so a usual amount is assumed, and a pass waits longer
waiting: 5% of traffic on the canary: it needs at least 10m more in force
next: 20% of traffic on the canary, for at least 10m
trouble: store: disk is full`, tell.Explain(view).String())

	view.State.Dismissed = true
	require.Contains(t, tell.Explain(view).Exposure, "on the canary; dismissed by a human for this weight")
	view.State.Dismissed = false

	view.Verdict.Learned = true
	require.Empty(t, tell.Explain(view).Noise)
	view.Verdict.Begun = "the evidence began again"
	require.Equal(t, "the evidence began again", tell.Explain(view).Noise)
	view.Verdict.Learned = false
	require.Contains(t, tell.Explain(view).Noise, "the evidence began again; nothing is known yet")

	require.Equal(t, "rollout shop has had no release", tell.Explain(record.View{Rollout: "shop"}).String())
}

func TestWhatLeansSaysBothThingsThatAFailNeeds(t *testing.T) {
	m := errorsVerdict()
	m.Outcome, m.Reason, m.Leaning, m.Leading = judge.Inconclusive, judge.Undecided, true, 5
	m.LogEvidence.Worse, m.LogEvidence.Beyond = math.Log(370), math.Log(12)
	v := judge.Verdict{Outcome: m.Outcome, Reason: m.Reason, Look: 7, At: epoch, Leaning: true, Enough: true, Decisive: "errors", Metrics: []judge.MetricVerdict{m}}
	s := rollout.State{Phase: rollout.Active, Step: 2, InForce: true, InForceSince: epoch, Look: &v}
	require.Contains(t, tell.Waiting(s, pipeline(), epoch.Add(time.Hour)), "(errors looks 5.0 times the baseline's; evidence 370 : 1 that it is worse, "+
		"12 : 1 that it is by more than the margin; to fail it needs 100 : 1 and 20 : 1)")
}

func TestAGateSaysWhatWasRuledOut(t *testing.T) {
	m := errorsVerdict()
	m.Outcome, m.Rules = judge.Pass, 2.3
	slow, undecided := m, m
	slow.Metric, slow.Rules = "slow", 0
	undecided.Metric, undecided.Outcome = "orders", judge.Inconclusive
	fewer := m
	fewer.Metric, fewer.Rules = "logins", 0.4
	s := rollout.State{Phase: rollout.Active, LastVerdict: &judge.Verdict{Metrics: []judge.MetricVerdict{m, slow, undecided, fewer}}}
	require.Contains(t, tell.Waiting(s, pipeline(), epoch), "gate start (errors: 2.3 times as bad is ruled out; logins: a fall to 0.4 times is ruled out): an answer from ")
}

func TestNextOfEveryStep(t *testing.T) {
	d := pipeline()
	next := func(step, stage int) string {
		s := rollout.State{Phase: rollout.Active, Step: step, Stage: stage}
		return tell.Explain(record.View{Release: &record.Release{}, State: s, Definition: d}).Next
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
