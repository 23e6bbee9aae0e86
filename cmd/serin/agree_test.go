package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

// TestCommandsAndPageAgreeOnAReleaseToTheSecond compares what status, history, explain and the release's page say about how
// and when a release ended, and how long it took.
func TestCommandsAndPageAgreeOnAReleaseToTheSecond(t *testing.T) {
	t.Parallel()
	h, operator := quietHouse(t)
	require.True(t, h.starts(t, "shop", operator))
	c, err := client.New(h.url, operator, nil)
	require.NoError(t, err)
	var v record.View
	read := func() {
		v, err = c.Rollout(t.Context(), "shop")
		require.NoError(t, err)
	}
	read()
	_, err = c.Act(t.Context(), v.Release.ID, server.Cancel, "wrong tag")
	require.NoError(t, err)
	await.True(t, func() bool { read(); return v.State.Ended() })
	run := func(args ...string) string {
		var out bytes.Buffer
		env := map[string]string{"SERIN_SERVER": h.url, "SERIN_TOKEN": operator}
		a := &app{stdout: &out, stderr: t.Output(), getenv: func(name string) string { return env[name] }}
		require.Equal(t, exitOK, a.run(t.Context(), args), args)
		return out.String()
	}
	took := figures.Span(v.State.EndedAt.Sub(v.Release.StartedAt))
	status, list, events := run("status", "shop"), run("history", "shop"), run("history", v.Release.ID)
	require.Contains(t, status, at(v.State.EndedAt))
	require.Contains(t, status, at(v.Release.StartedAt))
	require.Contains(t, list, at(v.Release.StartedAt)+"  "+took)
	require.Contains(t, events, at(v.State.EndedAt)+"  ended: cancelled")
	var explained tell.Explanation
	require.NoError(t, json.Unmarshal([]byte(run("explain", "shop", "-o", "json")), &explained))
	require.Equal(t, tell.Explain(v).Headline, explained.Headline)

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/sign-in", bytes.NewBufferString(url.Values{"token": {operator}, "to": {"/releases/" + v.Release.ID}}.Encode()))
	require.NoError(t, err)
	in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	in.Header.Set("Origin", h.url)
	r, err := browser.Do(in)
	require.NoError(t, err)
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode, "%s", page)
	require.Contains(t, string(page), v.State.EndedAt.UTC().Format("2006-01-02T15:04:05"), "the exact time, which the page writes in words")
	require.Contains(t, string(page), took)
	require.Contains(t, string(page), tell.HeadlineOf(v, c.Now()).Text)
	require.Contains(t, run("status", "shop"), "wrong tag")
}
