package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// forgetful is a cluster that refuses writes to its Deployments.
type forgetful struct{ Workloads }

func (forgetful) Seen(context.Context, workload.Name, string) error {
	return errors.New("deployments.apps is forbidden")
}

// Apply gets the work that an ended release leaves.
func (forgetful) Apply(context.Context, workload.Target) (workload.Observed, error) {
	return workload.Observed{}, nil
}

func (forgetful) Tell(context.Context, string, []workload.Name, workload.Notice) {}

func TestATemplateThatCannotBeMarkedStartsOneRelease(t *testing.T) {
	e, _ := learner(t, nil)
	e.o.Workloads = forgetful{}
	l := newLoop(e, "pay")
	defer l.helpers.Wait()
	name := workload.Name{Namespace: "pro", Name: "pay"}
	l.plan = &record.Plan{Rollout: rollout.Definition{
		Name: "pay", Cluster: &rollout.Cluster{Triggers: []workload.Name{name}}, Steps: rollout.Steps{rollout.Promote{Name: "promote"}},
	}}
	seen := func(hash string) string {
		l.templateSeen(t.Context(), name, workload.Template{Hash: hash, New: true}, nil)
		return l.rel.record.ID
	}
	first := seen("bad")
	_, err := l.append(t.Context(), l.rel.event(rollout.CancelRequested{}, "ann"))
	require.NoError(t, err)
	require.True(t, l.advance(t.Context()))
	require.True(t, l.rel.state.Ended())
	require.Equal(t, first, seen("bad"), "a person who cancelled it does not want it back ten seconds later")
	second := seen("fixed")
	require.NotEqual(t, first, second)
}

func TestATemplateThatComesBackStartsAReleaseAgain(t *testing.T) {
	e, _ := learner(t, nil)
	l := newLoop(e, "pay")
	key, err := l.triggerKey(t.Context(), "template/pro/pay/h1")
	require.NoError(t, err)
	require.Equal(t, "template/pro/pay/h1", key)

	record := record.Release{ID: "01B", Rollout: "pay", Plan: []byte("{}"), Key: key, Version: 1, Phase: rollout.Active, StartedBy: triggered, StartedAt: time.Now()}
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
