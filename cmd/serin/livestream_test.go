package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// A hundred events, each a change, cost about as many requests; an event announces the end.
func TestWaitingFollowsTheEventStream(t *testing.T) {
	var asked atomic.Int64
	questions, stream := make(chan struct{}, 1000), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/rollouts/shop/releases", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		assert.NoError(t, json.NewEncoder(w).Encode(record.Release{ID: first, Rollout: "shop"}))
	})
	const changes = 100
	mux.HandleFunc("GET /api/v1/releases/{id}", func(w http.ResponseWriter, _ *http.Request) {
		s := rollout.State{Phase: rollout.Active}
		if asked.Add(1) > changes {
			s = rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.Released}
		}
		assert.NoError(t, json.NewEncoder(w).Encode(record.View{Rollout: "shop", Release: &record.Release{ID: first}, State: s}))
		questions <- struct{}{}
	})
	mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "shop", r.URL.Query().Get("rollout"))
		_, _ = io.WriteString(w, ": serin\n\n")
		for {
			assert.NoError(t, http.NewResponseController(w).Flush())
			select {
			case <-r.Context().Done():
				close(stream)
				return
			case <-questions: // it was polled, so something may happen
				_, _ = io.WriteString(w, "event: view\ndata: {}\n\n")
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, getenv: func(name string) string {
		return map[string]string{"SERIN_SERVER": server.URL, "SERIN_TOKEN": "t"}[name]
	}}
	require.Equal(t, exitOK, a.run(t.Context(), []string{"start", "shop", "--wait"}), stderr.String())
	require.Contains(t, stdout.String(), "released")
	<-stream // the stream is closed
}
