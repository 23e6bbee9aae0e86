package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/traffic"
)

func TestAGatewayThatFallsSilentWhileTheCanaryDrainsIsTrustedToo(t *testing.T) {
	d := pipeline()
	d.Verify.Trust = true
	w := &world{d: d, now: epoch}
	for _, line := range [][]string{{"start"}, {"approve", "start"}, {"in-force"}, {"rollback"}, {"in-force"}, {"not-in-force", "unconfirmed"}} {
		e, by := w.event(line[0], line[1:])
		require.NoError(t, w.apply(e, by), line)
		w.settle()
	}
	require.Contains(t, tell.Waiting(w.s, d, w.now), "counts as in force in 1m")
	w.pass(d.Rollback.Deadline)
	require.Equal(t, rollout.RolledBack, w.s.Outcome, w.s.Why)
	require.Less(t, w.s.EndedAt.Sub(epoch), 5*time.Minute)
}

func TestNothingCanBeSkippedAtAGateEvenWithAnOpenQuestion(t *testing.T) {
	d := pipeline()
	for i := range d.Scopes {
		d.Scopes[i].Unreachable = rollout.Patience{For: 10 * time.Minute, Then: rollout.PolicyGate, Blind: time.Hour}
	}
	w := &world{d: d, now: epoch}
	for _, line := range [][]string{
		{"start"}, {"approve", "start"}, {"in-force"}, {"go-on", "full"}, {"in-force"}, {"in-force"}, {"in-force"}, {"in-force"}, {"look", "unreachable"},
	} {
		e, by := w.event(line[0], line[1:])
		require.NoError(t, w.apply(e, by), line)
		w.settle()
	}
	w.pass(11 * time.Minute)
	require.NotNil(t, w.s.Question)
	require.Equal(t, "full", w.s.Gate)
	e, by := w.event("go-on", nil)
	require.ErrorIs(t, w.apply(e, by), rollout.ErrNotAllowed, "the gate would stay, and that nothing can be seen would not count for as long")
	w.pass(time.Hour)
	require.Equal(t, rollout.RollingBack, w.s.Phase)
}

func TestAReplicaThatDidNotAnswerMakesTheDrainLongerInWordsToo(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	for _, line := range [][]string{{"start"}, {"approve", "start"}, {"in-force"}, {"rollback"}, {"in-force", "traefik-2"}} {
		e, by := w.event(line[0], line[1:])
		require.NoError(t, w.apply(e, by), line)
		w.settle()
	}
	at, ok := w.s.Deadline(w.d, w.now)
	require.True(t, ok)
	require.Equal(t, time.Minute, at.Sub(w.now))
	require.Contains(t, tell.Waiting(w.s, w.d, w.now), "the canary drains: 1m left")
}

func TestAGateThatNobodyHasAnsweredIsNotLeftByAnyEvent(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	w.run(t, "")
	require.Equal(t, "start", w.s.OpenGate())
	require.ErrorIs(t, w.apply(rollout.StepEntered{Step: 1, Name: "ab", What: rollout.StageAB, Scope: "ab/ab"}, "eve"), rollout.ErrNotAllowed)
}

func TestAFinishedStepIsStillHeldByWhatFollows(t *testing.T) {
	const toLunch = toGray + "look pass\nafter 10m\nin-force\nlook pass\nafter 10m\n"
	for _, c := range []struct{ name, lines, want string }{
		{"the released version has to be served", "approve start\nin-force\ngo-on full\nin-force\nin-force\nin-force\nin-force\napprove full\nin-force\nin-force\nnot-in-force\nwebhook ok",
			"webhook announce: the exchange of roles (the canary's servers as stable) is not in force yet"},
		{"a wait that is over holds nothing but a promotion", toLunch + "look enough leaning\nafter 30m", "step lunch: 30m left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{d: pipeline(), now: epoch}
			w.run(t, c.lines)
			require.Equal(t, c.want, tell.Waiting(w.s, w.d, w.now))
		})
	}

	t.Run("evidence that leans keeps from a promotion, and what follows is said", func(t *testing.T) {
		d := pipeline()
		d.Steps = rollout.Steps{d.Steps[2], d.Steps[3], d.Steps[6]}
		w := &world{d: d, now: epoch}
		w.run(t, "in-force\nlook pass\nafter 10m\nin-force\nlook pass\nafter 10m\nlook enough leaning\nafter 1h")
		require.Equal(t, "step lunch: it needs evidence that does not lean towards worse; it asks a human in 1h if it is still undecided",
			tell.Waiting(w.s, w.d, w.now))
	})
}

func TestAPreviewBeforeThePromotionLosesNoEvidenceThatLeans(t *testing.T) {
	d := pipeline()
	look := rollout.Preview{Name: "look", Route: traffic.Preview{Host: "preview.example.com"}}
	d.Steps = rollout.Steps{d.Steps[2], d.Steps[3], look, d.Steps[6]}
	w := &world{d: d, now: epoch}
	w.run(t, "in-force\nlook pass\nafter 10m\nin-force\nlook pass\nafter 10m\nlook enough leaning\nafter 1h\nin-force")
	require.Equal(t, "step look: it needs evidence that does not lean towards worse; it asks a human in 2h if it is still undecided",
		tell.Waiting(w.s, w.d, w.now))
	w.lines(t, []string{"look", "enough"})
	require.Equal(t, "promote", w.s.StepName)
}

func TestAPromotionAllowedByAPersonIsNotHeldByEarlierEvidence(t *testing.T) {
	d := pipeline()
	d.Steps = slices.DeleteFunc(d.Steps, func(s rollout.Step) bool { return s.StepName() != "more" && s.StepName() != "promote" })
	w := begun(t, d, []string{"in-force"}, []string{"look", "leaning"}, []string{"after", "10h"})
	gate := w.s.OpenGate()
	require.NotEmpty(t, gate)
	w.lines(t, []string{"approve", gate})
	require.Equal(t, "promote", w.s.StepName, "the last step")
	require.NotContains(t, w.s.Holds(d, w.now), rollout.Leans{})
	require.Empty(t, w.s.Dues(d, w.now))
}
