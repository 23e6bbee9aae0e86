package notify_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serindev/serin/notify"
	"github.com/serindev/serin/rollout"
	"github.com/stretchr/testify/require"
)

func call(t *testing.T, w rollout.Webhook, answer http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	w.URL = server.URL + "/hooks/secret"
	if w.Status != "" {
		w.Status = server.URL + w.Status
	}
	if w.Deadline == 0 {
		w.Deadline = time.Minute
	}
	caller := notify.NewCaller(slog.New(slog.DiscardHandler))
	return caller.Call(t.Context(), "R1/announce", w, notify.Message{Rollout: "shop", Release: "R1", Step: "announce"})
}

func TestWebhookSendsItsKeyAndDescribesTheRelease(t *testing.T) {
	var body, key string
	err := call(t, rollout.Webhook{Headers: map[string]string{"X-Team": "web"}}, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body, key = string(b), r.Header.Get("Idempotency-Key")+" "+r.Header.Get("X-Team")
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"rollout":"shop","release":"R1","revision":"","step":"announce","phase":""}`, body)
	require.Equal(t, "R1/announce web", key)
}

func TestWebhookTriesAgainWithTheSameKey(t *testing.T) {
	var keys []string
	err := call(t, rollout.Webhook{Body: `{"text":"hi"}`}, func(w http.ResponseWriter, r *http.Request) {
		if keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	require.NoError(t, err)
	require.Equal(t, []string{"R1/announce", "R1/announce"}, keys)
}

func TestWebhookTreatsARefusalAsFinalAndHidesTheAddress(t *testing.T) {
	var calls atomic.Int32
	err := call(t, rollout.Webhook{}, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, "no such channel", http.StatusNotFound)
	})
	require.ErrorContains(t, err, "404 Not Found: no such channel")
	require.NotContains(t, err.Error(), "secret")
	require.EqualValues(t, 1, calls.Load())
}

// inProcess answers without a network, so that no time passes in a synctest bubble.
type inProcess struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestWebhookGivesUpAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		caller := notify.NewCaller(slog.New(slog.DiscardHandler))
		caller.Client.Transport = inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tries++
			w.WriteHeader(http.StatusServiceUnavailable)
		})}
		begun := time.Now()
		err := caller.Call(t.Context(), "R1/announce", rollout.Webhook{URL: "http://chat.example.com/hooks/secret", Deadline: time.Minute}, notify.Message{})
		require.ErrorContains(t, err, "no 2xx answer in time; the last one: 503 Service Unavailable")
		require.Equal(t, time.Minute, time.Since(begun))
		require.Equal(t, 7, tries, "after pauses of 0.5, 1, 2, 4, 8 and 16 seconds, and not after one of 30")
	})
}

func TestWebhookPollsTheStatusUntilItSucceeds(t *testing.T) {
	var polls atomic.Int32
	err := call(t, rollout.Webhook{Status: "/status"}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || polls.Add(1) == 1 {
			w.WriteHeader(http.StatusAccepted)
		}
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, polls.Load())
}

// stopper is a log handler that calls a function at the first warning: that an answer was not 2xx.
type stopper struct {
	slog.Handler
	stop context.CancelFunc
}

func (s stopper) Enabled(context.Context, slog.Level) bool { return true }

func (s stopper) Handle(context.Context, slog.Record) error {
	s.stop()
	return nil
}

func TestWebhookDoesNotFollowRedirects(t *testing.T) {
	var elsewhere atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			elsewhere.Store(true)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	caller := notify.NewCaller(slog.New(stopper{slog.DiscardHandler, stop}))
	err := caller.Call(ctx, "R1/announce", rollout.Webhook{URL: server.URL, Deadline: time.Minute}, notify.Message{})
	require.ErrorContains(t, err, "302 Found")
	require.False(t, elsewhere.Load())
}
