package web_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

var begin = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// metrics returns one of each kind after n looks, with a user's text wherever there can be one.
func metrics(n int, text string) []judge.MetricVerdict {
	grown := func(bad, total float64) judge.Totals {
		return judge.Totals{Bad: bad * float64(n), Total: total * float64(n), Rate: bad / total}
	}
	common := judge.MetricVerdict{
		Ratio: 2, Lower: 0.5, Upper: 60 / float64(n+1), Margin: 1.5, Leading: 2, Noise: 1,
		LogEvidence: judge.LogEvidence{Worse: float64(n) / 10, FailsFrom: 5, NoWorse: -1, PassFrom: 3}, Outcome: judge.Inconclusive, Reason: judge.Undecided,
	}
	with := func(name string, k judge.Kind, edit func(*judge.MetricVerdict)) judge.MetricVerdict {
		m := common
		m.Metric, m.Kind, m.Canary, m.Baseline, m.Detail = name+text, k, grown(2, 100), grown(1, 100), text
		if edit != nil {
			edit(&m)
		}
		return m
	}
	return []judge.MetricVerdict{
		with("errors", judge.Counts, nil),
		with("slow", judge.Histogram, func(m *judge.MetricVerdict) { m.Bound = 0.3 }),
		with("objective", judge.Objective, func(m *judge.MetricVerdict) { m.Baseline = judge.Totals{Rate: 0.01} }),
		with("memory", judge.Gauge, func(m *judge.MetricVerdict) { m.Canary.Rate, m.Baseline.Rate, m.Optional = 120, 100, true }),
		with("orders", judge.Counts, func(m *judge.MetricVerdict) { m.Margin, m.Goal = 0.8, true }),
	}
}

// exampleRecord is a release at its gate after n looks of its gray step, with a user's text wherever there can be one.
func exampleRecord(n int, text string) web.Record {
	var looks []server.Look
	for i := 1; i <= n; i++ {
		l := server.Look{
			Number: i, At: begin.Add(time.Duration(i) * 10 * time.Second), Length: 10 * time.Second, Weight: []float64{0.05, 0.2, 0.5}[3*(i-1)/n],
			Verdict: judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: i, Metrics: metrics(i, text), Decisive: "errors" + text},
		}
		for _, m := range l.Verdict.Metrics {
			l.Observations = append(l.Observations, judge.Observation{Metric: m.Metric, Canary: judge.Arm{Bad: 2, Total: 100, Value: 120}, Baseline: judge.Arm{Bad: 1, Total: 100, Value: 100, Missing: i == 3}})
		}
		looks = append(looks, l)
	}
	last := looks[n-1].Verdict
	last.SampleRatio = &judge.SampleRatio{Alarm: true, Weight: 0.5, Share: 0.4, Canary: 400, Baseline: 600, Ratio: 0.6, Fewer: 9, AlarmFrom: 7}
	meta := func(seq int, by string) rollout.Meta {
		return rollout.Meta{Seq: seq, At: begin.Add(time.Duration(seq) * time.Second), By: by}
	}
	v := record.View{
		Rollout: "shop" + text, Declared: true, Release: &record.Release{ID: "01M85S15D8P8VH6SACBSNF65E0", Rollout: "shop" + text, Revision: "a1" + text, StartedBy: "ann" + text, StartedAt: begin},
		Steps: rollout.Steps{
			rollout.AB{Name: "beta" + text, Scope: "ab/beta" + text, Cohort: traffic.Cohort{Split: 0.5}}, rollout.Wait{Name: "wait", For: time.Minute},
			rollout.Gray{Name: "everybody" + text, Weights: []share.Share{0.05, 0.2, 0.5}, Scope: "gray" + text}, rollout.Webhook{Name: "tell" + text},
			rollout.Gate{Name: "full" + text, Approvers: []string{"qa" + text}}, rollout.Promote{Name: "promote"},
		},
		State: rollout.State{
			Phase: rollout.Active, Moved: true, Step: 4, StepName: "full" + text, Parameters: map[string]string{"image" + text: text}, LastVerdict: &last, Scope: "gray" + text,
			Answered: map[string]rollout.GateAnswered{"first" + text: {Meta: meta(3, "bob"+text), Answer: rollout.Approve, Reason: text}},
		},
		Verdict: &last, Gate: "full" + text, Approvers: []string{"qa" + text}, Waiting: "gate" + text, Trouble: []string{text}, Differences: []string{text}, Confirmation: traffic.Confirmation(text),
		Replicas:  []traffic.Replica{{Name: text, Err: text}},
		Arms:      &record.Arms{Canary: record.Running{Workload: workload.Name{Namespace: "shop", Name: "shop-canary"}, Image: "registry.example.com/shop:2" + text}},
		Workloads: []workload.Status{{Name: workload.Name{Namespace: "shop", Name: text}, Phase: workload.Failed, Why: text, Changed: []string{text}}},
	}
	events := []rollout.Event{
		rollout.Started{Meta: meta(1, "ann"+text), Parameters: map[string]string{"image": text}}, rollout.StepEntered{Meta: meta(2, "serin"), Step: 2, Stage: 1, Name: text},
		rollout.InForce{Meta: meta(3, "gateway"), How: text}, rollout.NotInForce{Meta: meta(4, text), Why: []string{text}}, rollout.NotInForce{Meta: meta(5, text), Unconfirmed: true},
		rollout.Drifted{Meta: meta(6, text), What: []string{text}}, rollout.LookTaken{Meta: meta(7, "judge"), Verdict: last}, rollout.AlarmDismissed{Meta: meta(8, text), Reason: text},
		rollout.GateAnswered{Meta: meta(9, text), Gate: text, Answer: rollout.Reject, Reason: text}, rollout.WebhookAnswered{Meta: meta(10, text), Detail: text}, rollout.WebhookAnswered{Meta: meta(11, text), OK: true, Detail: text},
		rollout.DeadlinePassed{Meta: meta(12, text), Which: rollout.Deadline(text), Then: rollout.Policy(text)}, rollout.Paused{Meta: meta(13, text), Reason: text}, rollout.Resumed{Meta: meta(14, text)},
		rollout.RollbackRequested{Meta: meta(15, text), Reason: text}, rollout.CancelRequested{Meta: meta(16, text), Reason: text}, rollout.Superseded{Meta: meta(17, text), Next: rollout.StartRequest{ID: text}},
		rollout.SuccessorCancelled{Meta: meta(17, text), ID: text, Reason: text},
		rollout.JobSucceeded{Meta: meta(21, text), Log: []string{text}}, rollout.JobFailed{Meta: meta(22, text), Step: 99, Why: text, Log: []string{text}},
		rollout.DeploymentReady{Meta: meta(23, text)}, rollout.DeploymentFailed{Meta: meta(24, text), Why: []string{text}},
		rollout.Drained{Meta: meta(18, text)}, rollout.CleanedUp{Meta: meta(19, text)}, rollout.Ended{Meta: meta(20, text), Outcome: rollout.Outcome(text), Why: text},
	}
	return web.Record{View: v, Explanation: tell.Explain(v), Events: events, Looks: map[string][]server.Look{"gray" + text: looks}}
}

func report(t require.TestingT, r web.Record) string {
	var out bytes.Buffer
	require.NoError(t, web.WriteReport(&out, r, begin, "ann", "v1"))
	return out.String()
}

func TestAReportSaysWhatWasCountedAndHowFarADecisionIs(t *testing.T) {
	text := report(t, exampleRecord(30, ""))
	require.Equal(t, 17, strings.Count(text, `class="serin-chart"`), "the weight and five metrics over time in two widths, and how far each decision is")
	for _, want := range []string{
		"Shall everybody get the new version?", "Look 30, ", "On the canary, the new version, ", "What the words mean", "60 of 3,000", "30 of 3,000", "share above 0.30", "the objective", "mean of its looks", "optional",
		"evidence that it is worse", "20 : 1, needed 150 : 1", "evidence that it is better", "lies below 1 with the estimate beyond the margin",
		"the whole band lies above 1", "sample-ratio alarm", "400 of 1,000 requests went to the canary (40%)",
		"Gray release everybody", "20% of traffic on the canary", "approved", "bob", "What runs", ">shop/shop-canary<", ">registry.example.com/shop:2<", ">20%</text>", ">50%</text>",
	} {
		require.True(t, strings.Contains(text, want), want) //nolint:testifylint // the page itself would fill the screen
	}
	require.Contains(t, text, `<li class="now"><span class="weight">20%</span><span class="vh"> here now</span>`)
	require.False(t, strings.Contains(text, `="http`+"s:") || strings.Contains(text, `href="`) || strings.Contains(text, "url(h"), "it loads nothing")
	require.Less(t, len(text), 200_000, "bytes of a report with five metrics")
}

func TestAReportSaysWhatAPassHasRuledOut(t *testing.T) {
	r := exampleRecord(30, "")
	m := &r.View.Verdict.Metrics[0]
	require.Equal(t, judge.Counts, m.Kind)
	m.Outcome, m.Reason, m.Rules = judge.Pass, "", 2.3
	looks := r.Looks["gray"]
	looks[len(looks)-1].Verdict = *r.View.Verdict
	r.Explanation = tell.Explain(r.View)
	text := report(t, r)
	for _, want := range []string{
		"2.3 or more is ruled out.", "A canary that is 2.3 times as bad, which is what the available time can rule out, would look as good as this in at most one of ",
		"against “2.3 times as bad”, which is what the available time can rule out", "the whole band lies below 2.3, which is what the available time can rule out.",
	} {
		require.True(t, strings.Contains(text, want), want) //nolint:testifylint // the page itself would fill the screen
	}
}

func TestAReportIsAsLargeForADayOfLooksAsForAnHour(t *testing.T) {
	hour, day := len(report(t, exampleRecord(360, ""))), len(report(t, exampleRecord(8640, "")))
	t.Logf("a report of five metrics has %d KB after an hour of looks, %d KB after a day", hour/1000, day/1000)
	require.Less(t, day, hour*11/10)
}

func TestAReportOfAReleaseWithoutLooks(t *testing.T) {
	r := exampleRecord(1, "")
	r.View.Verdict, r.View.State.LastVerdict, r.Looks, r.Events = nil, nil, nil, nil
	text := report(t, r)
	require.Contains(t, text, "No look has been taken yet")
	r = exampleRecord(1, "")
	for i := range r.Looks["gray"][0].Verdict.Metrics {
		m := &r.Looks["gray"][0].Verdict.Metrics[i]
		*m = judge.MetricVerdict{Metric: m.Metric, Kind: m.Kind, Outcome: judge.Inconclusive, Reason: judge.NoData}
	}
	require.Contains(t, report(t, r), "Nothing can be said about the ratio yet.")
}

// FuzzReport checks that users' texts add no elements to a report, and nothing that runs.
func FuzzReport(f *testing.F) {
	f.Add(evil)
	f.Add("</title></style></svg><svg onload=alert(1)>")
	f.Add("\x00\xff{{template \"x\"}}javascript:alert(1)")
	f.Add("]]>&lt;&#0;-->")
	plain := tags(f, report(f, exampleRecord(4, "x")))
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return // an empty text has no element
		}
		require.Equal(t, plain, tags(t, report(t, exampleRecord(4, text))))
	})
}
