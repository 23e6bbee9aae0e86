package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
)

func TestATemplateThatComesBackStartsAReleaseAgain(t *testing.T) {
	e, _ := learner(t, nil)
	l := newLoop(e, "pay")
	key, err := l.triggerKey(t.Context(), "template/pro/pay/h1")
	require.NoError(t, err)
	require.Equal(t, "template/pro/pay/h1", key)

	record := rollout.Release{ID: "01B", Rollout: "pay", Plan: []byte("{}"), Key: key, Version: 1, Phase: rollout.Active, StartedBy: triggered, StartedAt: time.Now()}
	first := rollout.Started{Meta: rollout.Meta{Seq: 1, At: time.Now(), By: triggered}, Rollout: "pay", Key: key}
	require.NoError(t, e.o.Store.Create(t.Context(), record, first))
	key, err = l.triggerKey(t.Context(), "template/pro/pay/h1")
	require.NoError(t, err)
	require.Equal(t, "template/pro/pay/h1", key, "the release under way is this template's")

	record.Phase, record.Outcome, record.Version, record.EndedAt = rollout.PhaseEnded, rollout.RolledBack, 2, time.Now()
	ended := rollout.Ended{Meta: rollout.Meta{Seq: 2, At: time.Now(), By: rollout.Serin}, Outcome: rollout.RolledBack}
	require.NoError(t, e.o.Store.Append(t.Context(), record, 1, ended))
	key, err = l.triggerKey(t.Context(), "template/pro/pay/h1")
	require.NoError(t, err)
	require.Equal(t, "template/pro/pay/h1/01B", key)
}
