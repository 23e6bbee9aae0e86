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

// The database of a daemon of November 2026, with one release that is released and one that waits at its last gate:
// an A/B step, two weights, fifty looks of a real Prometheus, and what the first release has taught. It is as that
// version wrote it, and is not made again.
const (
	earlierStore    = "testdata/serin-2026-11.db.gz"
	earlierReleased = "01M8MPV4THAC7270DBPP2GADD9"
	earlierUnderWay = "01M8MPW3Q4NRDF1TJ3AQEP4S2B"
)

// openEarlier opens a copy of that database.
func openEarlier(t *testing.T) *store.Store {
	file, err := os.Open(earlierStore)
	require.NoError(t, err)
	defer file.Close()
	packed, err := gzip.NewReader(file)
	require.NoError(t, err)
	b, err := io.ReadAll(packed)
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

func TestTheStoreOfAnEarlierVersionIsTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 29, 23, 0, 0, 0, time.UTC)))
		s := openEarlier(t)
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

		ended, err := e.Release(t.Context(), earlierReleased)
		require.NoError(t, err)
		require.Equal(t, rollout.Released, ended.State.Outcome)
		require.Equal(t, "looks good", ended.State.Answered["full-release"].Reason)
		require.Equal(t, judge.Pass, ended.State.LastVerdict.Outcome)
		looks, err := s.Looks(t.Context(), earlierReleased, "gray", 0, 1000)
		require.NoError(t, err)
		require.NotEmpty(t, looks, "its charts are drawn from them")

		v, err := e.Rollout("shop")
		require.NoError(t, err)
		require.Equal(t, earlierUnderWay, v.Release.ID)
		require.Equal(t, "full-release", v.Gate)
		require.True(t, v.Swapped, "the first release's canary is live")
		require.Equal(t, "50%", v.Target.Weight.String())
		evidence, err := s.Evidence(t.Context(), earlierUnderWay, "gray")
		require.NoError(t, err)
		require.NotEmpty(t, evidence.Snapshot)
		require.Greater(t, evidence.Since[len(evidence.Since)-1].Number, 14, "it goes on looking, with the evidence that it had")

		_, err = e.Act(t.Context(), earlierUnderWay, rollout.GateAnswered{Gate: "full-release", Answer: rollout.Approve}, "quinn")
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		v, err = e.Rollout("shop")
		require.NoError(t, err)
		require.Equal(t, rollout.Released, v.State.Outcome, v.State.Why)
		require.False(t, v.Swapped, "the roles are exchanged once more")
	})
}
