package notify_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
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
		w.Deadline = 5 * time.Second
	}
	caller := notify.NewCaller(slog.New(slog.DiscardHandler))
	return caller.Call(t.Context(), "R1/announce", w, notify.Message{Rollout: "shop", Release: "R1", Step: "announce"})
}

func TestWebhookSendsItsKeyAndWhatItIsAbout(t *testing.T) {
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

func TestWebhookTakesARefusalAsFinalAndDoesNotShowItsAddress(t *testing.T) {
	var calls atomic.Int32
	err := call(t, rollout.Webhook{}, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, "no such channel", http.StatusNotFound)
	})
	require.ErrorContains(t, err, "404 Not Found: no such channel")
	require.NotContains(t, err.Error(), "secret")
	require.EqualValues(t, 1, calls.Load())
}

func TestWebhookGivesUpAtItsDeadline(t *testing.T) {
	err := call(t, rollout.Webhook{Deadline: 50 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	require.ErrorContains(t, err, "no good answer in time")
}

func TestWebhookPollsTheStatusUntilItSaysSo(t *testing.T) {
	var polls atomic.Int32
	err := call(t, rollout.Webhook{Status: "/status"}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || polls.Add(1) == 1 {
			w.WriteHeader(http.StatusAccepted)
		}
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, polls.Load())
}

func TestWebhookDoesNotFollowRedirects(t *testing.T) {
	err := call(t, rollout.Webhook{Deadline: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
	})
	require.ErrorContains(t, err, "302 Found")
}
