package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
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
	require.Contains(t, w.s.Waiting(d, w.now), "counts as in force in 1m")
	w.pass(d.Rollback.Deadline)
	require.Equal(t, rollout.RolledBack, w.s.Outcome, w.s.Why)
	require.Less(t, w.s.EndedAt.Sub(epoch), 5*time.Minute)
}

func TestAtAGateThereIsNothingToSkipAlsoWhereAQuestionIsOpen(t *testing.T) {
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

func TestAReplicaThatWasNotHeardOfMakesTheDrainLongerInWordsToo(t *testing.T) {
	w := &world{d: pipeline(), now: epoch}
	for _, line := range [][]string{{"start"}, {"approve", "start"}, {"in-force"}, {"rollback"}, {"in-force", "traefik-2"}} {
		e, by := w.event(line[0], line[1:])
		require.NoError(t, w.apply(e, by), line)
		w.settle()
	}
	at, ok := w.s.Deadline(w.d, w.now)
	require.True(t, ok)
	require.Equal(t, time.Minute, at.Sub(w.now))
	require.Contains(t, w.s.Waiting(w.d, w.now), "the canary drains: 1m left")
}
