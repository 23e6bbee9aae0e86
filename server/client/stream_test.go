package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsOfAStream(t *testing.T) {
	for _, c := range []struct {
		name, text string
		events     int
	}{
		{"nothing", "", 0},
		{"the first word counts, later comments do not", ": serin\n\n: still here\n\n: still here\n\n", 1},
		{"each event", ": serin\n\nevent: view\ndata: {}\n\nevent: event\nid: 4\ndata: {}\n\n", 3},
		{"lines that end with CR LF", "data: {}\r\n\r\ndata: {}\r\n\r\n", 2},
		{"an event that is cut off is none", "data: {}\n\ndata: {}", 1},
		{"a line that is longer than any buffer", ": serin\n\ndata: " + strings.Repeat("x", 1<<20) + "\n\n", 2},
		{"a long line that has what looks like a field in it", ": serin\n\n: " + strings.Repeat("data:", 1<<16) + "\n\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			require.ErrorIs(t, eachEvent(strings.NewReader(c.text), func() {}, func() { n++ }), io.ErrUnexpectedEOF)
			require.Equal(t, c.events, n)
		})
	}
}

func FuzzAStreamOfAnythingEnds(f *testing.F) {
	f.Add(": serin\n\nevent: view\ndata: {}\n\n")
	f.Add("data")
	f.Fuzz(func(t *testing.T, text string) {
		lines, events := 0, 0
		err := eachEvent(strings.NewReader(text), func() { lines++ }, func() { events++ })
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.LessOrEqual(t, events, lines)
	})
}

func TestWatching(t *testing.T) {
	status := http.StatusOK
	var asked *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.WriteHeader(status)
		_, _ = io.WriteString(w, ": serin\n\nevent: view\ndata: {}\n\n")
	}))
	defer s.Close()
	c, err := New(s.URL, "secret", nil)
	require.NoError(t, err)
	n := 0
	err = c.Watch(t.Context(), "shop", func() { n++ })
	require.True(t, Temporary(err), err)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 2, n)
	require.Equal(t, "/api/v1/events?rollout=shop", asked.URL.String())
	require.Equal(t, "Bearer secret", asked.Header.Get("Authorization"))

	status = http.StatusUnauthorized
	require.Equal(t, status, StatusOf(c.Watch(t.Context(), "", func() { n++ })))
	require.Equal(t, 2, n)
}
