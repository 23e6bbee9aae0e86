package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
)

func TestTimeWithoutTraefikDoesNotCount(t *testing.T) {
	t.Parallel()
	// It takes two observations, five seconds apart, to know that a replica does not answer: the hold is much longer.
	steps := strings.ReplaceAll(slow, "hold: 8s", "hold: 25s")
	w := newWorld(t, setup{documents: func(w *world) string { return quick("quick", "") + w.document("shop", "quick", steps) }})
	loads := w.users(t, "shop")
	id := w.start(t, "shop")
	inForce := func(stage int) func(view) bool {
		return func(v view) bool { return at(0, stage)(v) && v.State.InForce && settled(v) }
	}

	// Its API does not answer: the first weight is written and served, but the daemon cannot know that.
	w.wait(t, "shop", "the first weight is in force", inForce(0))
	old, err := os.ReadFile(w.file("shop"))
	require.NoError(t, err)
	w.api.answer(broken)
	w.wait(t, "shop", "it is not known to be in force", func(v view) bool { return !v.State.InForce && !settled(v) })
	w.looks(t, 6)
	v, err := w.view("shop")
	require.NoError(t, err)
	require.True(t, at(0, 0)(v), "time that is not in force does not count: %+v", v)
	w.api.answer(nil)
	w.wait(t, "shop", "it is in force again", inForce(0))
	noRequestFailed(t, loads)

	// Traefik stops, and all requests fail, which is not the canary's fault.
	w.wait(t, "shop", "the second weight is in force", inForce(1))
	require.NoError(t, w.traefik.Kill())
	w.wait(t, "shop", "it is shown", func(v view) bool { return !v.State.InForce && !settled(v) })
	w.looks(t, 6)
	v, err = w.view("shop")
	require.NoError(t, err)
	require.True(t, at(0, 1)(v), "time without Traefik does not count: %+v", v)
	require.NotNil(t, v.Verdict)
	require.NotEqual(t, "fail", v.Verdict.Outcome)
	require.NoError(t, os.Remove(w.file("shop"))) // its volume has gone with it
	require.NoError(t, w.traefik.Restart(t.Context()))
	begin := time.Now()
	w.waitShare(t, "shop", 50)
	t.Logf("%v from the start of Traefik until its lost file is back", time.Since(begin))
	w.wait(t, "shop", "the gate is open", func(v view) bool { return atGate(v) && settled(v) })

	// An external edit changes its file.
	before, drifted := w.metric("serin_drift_total"), count(w.events(t, id), "drifted")
	require.NoError(t, os.WriteFile(w.file("shop"), old, 0o600))
	begin = time.Now()
	await.Until(t, "the edit is seen", func() string {
		if count(w.events(t, id), "drifted") > drifted {
			return ""
		}
		return "no event yet"
	})
	w.waitShare(t, "shop", 50)
	took := time.Since(begin)
	t.Logf("%v from a foreign edit until it is reverted", took)
	require.Equal(t, before+1, w.metric("serin_drift_total"))
	events := w.events(t, id)
	require.Zero(t, count(events, "rollbackRequested"), "%+v", events)
	v = w.wait(t, "shop", "it stays at the gate", func(v view) bool { return atGate(v) && settled(v) })
	require.Equal(t, "active", v.State.Phase)

	status, text := w.approve(id, v.Gate)
	require.Equal(t, 200, status, text)
	v = w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
}
