package engine_test

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic/traffictest/trusted"
)

// openEarlier opens a copy of a database that an earlier version of Serin wrote.
func openEarlier(t *testing.T, packed string) *store.Store {
	file, err := os.Open(packed) //nolint:gosec // a fixture
	require.NoError(t, err)
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	require.NoError(t, err)
	b, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "serin.db")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	s, err := store.Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	return s
}

// noData is a Prometheus without any series.
type noData struct{}

func (noData) Fetch(_ context.Context, asks []analysis.Ask) []analysis.Answer {
	return make([]analysis.Answer, len(asks))
}

// Each published version has a database here, testdata/serin-VERSION.db.gz, as that version wrote it: the rollout shop
// with a finished release and one that waits at its last gate, full-release, with the looks of both and what was
// learned from the first. A new file needs no code.
func TestTheStoreOfEachEarlierVersionIsRead(t *testing.T) {
	files, err := filepath.Glob("testdata/serin-*.db.gz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { takenOver(t, file) })
	}
}

func takenOver(t *testing.T, file string) {
	synctest.Test(t, func(t *testing.T) {
		s := openEarlier(t, file)
		releases, err := s.Releases(t.Context(), record.Filter{Rollout: "shop"})
		require.NoError(t, err)
		require.Len(t, releases, 2, "the newest first")
		underWay, released := releases[0].ID, releases[1].ID
		time.Sleep(time.Until(releases[0].StartedAt.Add(12 * time.Hour)))
		gateway := trusted.New("shop")
		e := engine.New(engine.Options{
			Store: s, Source: noData{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry(),
			NewJudge:  func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
			NewRouter: func(string, record.Gateway) (engine.Router, error) { return gateway, nil },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		defer func() {
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, s.Close())
		}()
		e.SetPlans(map[string]record.Plan{})
		time.Sleep(time.Minute)
		synctest.Wait()

		ended, err := e.Release(t.Context(), released)
		require.NoError(t, err)
		require.Equal(t, rollout.Released, ended.State.Outcome)
		require.Equal(t, "looks good", ended.State.Answered["full-release"].Reason)
		require.Equal(t, judge.Pass, ended.State.LastVerdict.Outcome)
		looks, err := s.Looks(t.Context(), released, "gray", 0, 1000)
		require.NoError(t, err)
		require.NotEmpty(t, looks, "they are needed for its charts")

		v, err := e.Rollout("shop")
		require.NoError(t, err)
		require.Equal(t, underWay, v.Release.ID)
		require.Equal(t, "full-release", v.Gate)
		require.True(t, v.Swapped, "the first release's canary is live")
		require.Equal(t, "50%", v.Target.Weight.String())
		evidence, err := s.Evidence(t.Context(), underWay, "gray")
		require.NoError(t, err)
		require.NotEmpty(t, evidence.Snapshot)
		require.Greater(t, evidence.Since[len(evidence.Since)-1].Number, 14, "it continues to look, with the evidence that it had")

		_, err = e.Act(t.Context(), underWay, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Approve}, "quinn")
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		v, err = e.Rollout("shop")
		require.NoError(t, err)
		require.Equal(t, rollout.Released, v.State.Outcome, v.State.Why)
		require.False(t, v.Swapped, "the roles are exchanged once more")
	})
}
