package daemon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNoRequestWaitsForASilentAPIServerAndAWatchLasts(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/silent" {
			_, _ = io.WriteString(w, "begun ")
			w.(http.Flusher).Flush()
		}
		select {
		case <-over:
			_, _ = io.WriteString(w, "ended")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	const moment = 50 * time.Millisecond
	client := func(answer, read time.Duration) *http.Client {
		return &http.Client{Transport: inTime{http.DefaultTransport, answer, read}}
	}
	get := func(ctx context.Context, c *http.Client, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
		require.NoError(t, err)
		return c.Do(req)
	}

	_, err := get(t.Context(), client(moment, time.Hour), "/silent") //nolint:bodyclose // there is none
	require.ErrorIs(t, err, errSilent)
	require.ErrorContains(t, err, "within 50ms")
	_, err = get(t.Context(), client(moment, time.Hour), "/silent?watch=true") //nolint:bodyclose // there is none
	require.ErrorIs(t, err, errSilent, "a watch begins in time, too")

	hurried, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	_, err = get(hurried, client(time.Hour, time.Hour), "/silent") //nolint:bodyclose // there is none
	require.ErrorIs(t, err, errSilent, "the caller's own timeout is reported in the same words")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = get(stopped, client(time.Hour, time.Hour), "/silent") //nolint:bodyclose // there is none
	require.NotErrorIs(t, err, errSilent, "who does not wait any longer cannot say so")

	halfway, err := get(t.Context(), client(time.Hour, moment), "/halfway")
	require.NoError(t, err)
	_, err = io.ReadAll(halfway.Body)
	require.ErrorIs(t, err, errSilent, "an answer has an end as well")
	require.NoError(t, halfway.Body.Close())

	watch, err := get(t.Context(), client(time.Hour, moment), "/events?watch=1")
	require.NoError(t, err)
	time.AfterFunc(4*moment, func() { close(over) }) // what other requests may not take
	text, err := io.ReadAll(watch.Body)
	require.NoError(t, err)
	require.Equal(t, "begun ended", string(text))
	require.NoError(t, watch.Body.Close())
}
