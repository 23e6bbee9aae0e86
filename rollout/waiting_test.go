package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// toGray brings the pipeline to its first weight, in force, and then without the cohort in force again.
const toGray = "approve start\nin-force\nafter 30m\nlook pass\nin-force\nin-force\n"

// TestWaiting has a line for every case in which State.Next holds a release.
func TestWaiting(t *testing.T) {
	cases := []struct{ name, lines, want string }{
		{"a gate names who may answer and when it expires", "",
			"gate start: an answer from qa; unanswered, it is cancelled in 1d"},
		{"a pause stops everything else", "pause",
			"paused by ann (lunch): it waits to be resumed"},
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
		{"so does what a metric counts", toGray + "after 10m\nlook enough contradiction",
			"5% of traffic on the canary: it needs the alarm about contradictory exposures to clear or to be dismissed; it asks a human in 1h50m if it is still undecided"},
		{"somebody else who keeps writing is waited for", toGray + "look pass\nafter 9m50s\ndrift\ndrift\ndrift\nafter 20s",
			"5% of traffic on the canary: it needs other writers to leave the gateway's configuration alone (for 40s more); it asks a human in 1h50m if it is still undecided"},
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
			require.Equal(t, c.want, tell.Waiting(w.s, w.d, w.now))
		})
	}
}

func (w *world) run(t *testing.T, lines string) {
	t.Helper()
	w.goOn(t, "start\n"+lines)
}

func (w *world) goOn(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
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
	waits := func(s rollout.State) string { return tell.Waiting(s, d, epoch) }
	active := rollout.State{Phase: rollout.Active, StepAt: epoch, StartedBy: "ann"}
	back := rollout.State{Phase: rollout.RollingBack, BackAt: epoch, Back: rollout.BackCleanup, InForce: true}

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
	back.Back = rollout.BackDone
	require.Equal(t, "it is back, and about to end", waits(back))
}
