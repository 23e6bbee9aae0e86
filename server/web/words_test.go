package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// underWayView is a release of 1.4.2 at a weight that is in force.
func underWayView() record.View {
	return record.View{
		Rollout: "shop", Release: &record.Release{ID: "01", Rollout: "shop"},
		Steps: rollout.Steps{rollout.Gray{Name: "canary", Weights: []share.Share{0.05, 0.2, 0.5}}},
		State: rollout.State{Phase: rollout.Active, Moved: true, InForce: true, Parameters: map[string]string{"image": "shop:1.4.2"}},
	}
}

func TestTimesAreWrittenAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "a second ago", time.Second: "a second ago", 40 * time.Second: "40 s ago", 90 * time.Second: "1 min ago", 59 * time.Minute: "59 min ago",
		time.Hour: "1 hour ago", 26 * time.Hour: "1 day ago", 6 * 24 * time.Hour: "6 days ago", 8 * 24 * time.Hour: "24 Feb 12:00", 400 * 24 * time.Hour: "28 Jan 2025 12:00",
	} {
		require.Equal(t, want, ago(noon.Add(-d), noon), d)
	}
	require.Equal(t, "11:59:00", clock(noon.Add(-time.Minute), noon))
}

func TestWhatUsersGotAfterARollback(t *testing.T) {
	v := underWayView()
	fail := judge.Verdict{Outcome: judge.Fail, Decisive: "errors", Metrics: []judge.MetricVerdict{{Metric: "errors", Kind: judge.Counts, Canary: judge.Totals{Bad: 13, Total: 70}}}}
	v.State.Phase, v.State.Outcome, v.State.LastVerdict = rollout.PhaseEnded, rollout.RolledBack, &fail
	meta := func(seq int, after time.Duration) rollout.Meta { return rollout.Meta{Seq: seq, At: noon.Add(after)} }
	events := []rollout.Event{
		rollout.Started{Meta: meta(1, 0)}, rollout.InForce{Meta: meta(2, time.Second)},
		rollout.LookTaken{Meta: meta(3, 10*time.Second), Verdict: fail}, rollout.InForce{Meta: meta(4, 12*time.Second)}, rollout.InForce{Meta: meta(5, 20*time.Second)},
	}
	scopes := []Scope{{requests: 60}, {requests: 16}}
	require.Equal(t, &Users{
		StableAt: noon.Add(12 * time.Second), After: "2s", What: "it was found worse",
		Reached: "About 76 requests reached 1.4.2; 13 of 70 judged counted as errors.",
	}, newUsers(v, events, scopes))
	require.Zero(t, newUsers(v, events[:3], scopes).StableAt, "nothing is promised that was not confirmed")

	// It was found worse and went on, because a person had decided so; it was turned back later.
	sentOn := append([]rollout.Event{events[0], rollout.LookTaken{Meta: meta(2, 2*time.Second), Verdict: fail}, rollout.InForce{Meta: meta(3, 3*time.Second)}}, events[2:]...)
	v.State.BackAt = noon.Add(10 * time.Second)
	require.Equal(t, noon.Add(12*time.Second), newUsers(v, sentOn, scopes).StableAt)
	v.State.Outcome = rollout.Released
	require.Nil(t, newUsers(v, events, scopes))
	v.State.Outcome, v.State.Moved = rollout.RolledBack, false
	require.Nil(t, newUsers(v, events, scopes), "no traffic has moved")
}

func TestTheWeightIsDrawnAsAskedForAndAsServed(t *testing.T) {
	v := underWayView()
	v.State.Phase = rollout.RollingBack
	meta := func(seq int, after time.Duration) rollout.Meta { return rollout.Meta{Seq: seq, At: noon.Add(after)} }
	events := []rollout.Event{
		rollout.Started{Meta: meta(1, 0)}, rollout.StepEntered{Meta: meta(2, time.Second), What: rollout.StageGray, Prepare: true},
		rollout.StepEntered{Meta: meta(3, 2*time.Second), What: rollout.StageGray}, rollout.InForce{Meta: meta(4, 3*time.Second)},
		rollout.StepEntered{Meta: meta(5, 9*time.Second), Stage: 1, What: rollout.StageGray}, rollout.RollbackRequested{Meta: meta(6, 10*time.Second)},
		rollout.InForce{Meta: meta(7, 11*time.Second)},
	}
	c := weightChart(v, events, stretch{noon, noon.Add(time.Minute)})
	values := func(i int) (out []float64) {
		for _, p := range c.Lines[i].Points {
			out = append(out, p.Value)
		}
		return out
	}
	require.Equal(t, []float64{0, 0.05, 0.2, 0, 0}, values(0), "asked for")
	require.Equal(t, []float64{0, 0.05, 0, 0}, values(1), "20% never came into force")
	require.Equal(t, "taken back", c.Moments[0].Name)
}

func TestTheWeightOfAReleaseThatWentOnAlthoughItWasWorseIsDrawnToItsEnd(t *testing.T) {
	v := underWayView()
	meta := func(seq int, after time.Duration) rollout.Meta { return rollout.Meta{Seq: seq, At: noon.Add(after)} }
	events := []rollout.Event{
		rollout.Started{Meta: meta(1, 0)}, rollout.StepEntered{Meta: meta(2, time.Second), What: rollout.StageGray},
		rollout.LookTaken{Meta: meta(3, 2*time.Second), Verdict: judge.Verdict{Outcome: judge.Fail}},
		rollout.StepEntered{Meta: meta(4, 9*time.Second), Stage: 1, What: rollout.StageGray},
	}
	asked := func() (out []float64) {
		for _, p := range weightChart(v, events, stretch{noon, noon.Add(time.Minute)}).Lines[0].Points {
			out = append(out, p.Value)
		}
		return out
	}
	underWay := asked()
	v.State.Phase, v.State.Outcome, v.State.EndedAt = rollout.PhaseEnded, rollout.Released, noon.Add(time.Minute)
	require.Equal(t, underWay, asked(), "a person had said that it goes on")
	require.Equal(t, []float64{0, 0.05, 0.2, 0.2}, underWay)
}
