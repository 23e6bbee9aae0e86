package tell_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/frozen"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// TestEveryEventHasWords: what has no words of its own is shown by the name of its kind.
func TestEveryEventHasWords(t *testing.T) {
	for _, line := range frozen.Lines(t, "../rollout/testdata/stored/events.jsonl") {
		e, err := rollout.DecodeEvent([]byte(line))
		require.NoError(t, err)
		w := tell.Event(e, nil)
		require.NotEmpty(t, w.Text)
		switch e.(type) {
		case rollout.Started, rollout.Paused, rollout.Resumed, rollout.Superseded: // whose kinds are their words
		default:
			require.NotEqual(t, rollout.Kind(e), w.Text)
		}
	}
}

func TestAnEventInALine(t *testing.T) {
	by := rollout.Meta{By: "ann"}
	steps := pipeline().Steps
	for want, e := range map[string]rollout.Event{
		"started by ann: image=shop:2":                      rollout.Started{Meta: by, Parameters: map[string]string{"image": "shop:2"}},
		"gate start: a human is asked":                      rollout.StepEntered{Name: "start", What: rollout.StageGate},
		"step gray: 20% of traffic on the canary":           rollout.StepEntered{Name: "gray", Step: 2, Stage: 1, What: rollout.StageGray},
		"step gray: the canary gets its capacity first":     rollout.StepEntered{Name: "gray", Step: 2, Prepare: true},
		"gate start rejected by ann: too slow":              rollout.GateAnswered{Meta: by, Gate: "start", Answer: rollout.Reject, Reason: "too slow"},
		"gate g wait extended by ann":                       rollout.GateAnswered{Meta: by, Gate: "g", Answer: rollout.KeepWaiting},
		"rollback requested by ann: smells":                 rollout.RollbackRequested{Meta: by, Reason: "smells"},
		"webhook announce failed: 503":                      rollout.WebhookAnswered{Meta: by, Step: 7, Detail: "503"},
		"job of step 9 failed: exit code 1":                 rollout.JobFailed{Meta: by, Step: 8, Why: "exit code 1"},
		"time is up: there is no new data: it asks a human": rollout.DeadlinePassed{Which: rollout.NoDataFor, Then: rollout.PolicyGate},
		"ended: rolled back: the canary is worse":           rollout.Ended{Meta: by, Outcome: rollout.RolledBack, Why: "the canary is worse"},
		"look 7: too few requests yet: errors":              rollout.LookTaken{Verdict: judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.TooFew, Look: 7, Decisive: "errors"}},
		"look 9: undecided: errors; slow would have sent it back, but is a dry run": rollout.LookTaken{Verdict: judge.Verdict{
			Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: 9, Decisive: "errors", Metrics: []judge.MetricVerdict{{Metric: "slow", DryRun: true, Outcome: judge.Fail}}}},
		"in force: every replica of the gateway serves it":           rollout.InForce{How: "api"},
		"in force: word-of-a-later-version":                          rollout.InForce{How: "word-of-a-later-version"},
		"sent on without waiting at all steps but gates by ann: fix": rollout.WentOn{Meta: by, Full: true, Reason: "fix"},
	} {
		require.Equal(t, want, tell.Event(e, steps).Line(e.Head().By))
	}
}
