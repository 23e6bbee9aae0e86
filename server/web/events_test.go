package web_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server/web"
)

// A release that waits for weeks while someone edits the gateway has thousands of events.
func TestThousandsOfEventsAreListedPageByPage(t *testing.T) {
	const n = 5000
	example := exampleRecord(3, "")
	store := countingStore{reads: &atomic.Int64{}}
	store.events = append(store.events, rollout.Started{Meta: rollout.Meta{Seq: 1, At: begin, By: "ann"}})
	for i := 2; i <= n; i++ {
		store.events = append(store.events, rollout.Drifted{
			Meta: rollout.Meta{Seq: i, At: begin.Add(time.Duration(i) * time.Minute), By: "gateway"}, What: []string{fmt.Sprintf("weight-%d-of-somebody", i)},
		})
	}
	h := alone(t, func(o *web.Options) { o.Store, o.Engine = store, oneEngine{view: &example.View} })
	secrets, _ := roster()
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	read := func(path string) string {
		r := ask(t, h, http.MethodGet, path, nil, cookies)
		require.Equal(t, http.StatusOK, r.StatusCode, path)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		harmless(t, string(b))
		return string(b)
	}
	word := regexp.MustCompile(`weight-\d+-of-somebody`)
	here := "/releases/" + example.View.Release.ID
	page := read(here)
	require.Len(t, word.FindAllString(page, -1), 60, "the newest")
	require.Equal(t, fmt.Sprintf("weight-%d-of-somebody", n), word.FindString(page))
	require.Contains(t, page, `<a href="`+here+`/events">All 5000 events</a>`)
	t.Logf("the page of a release with %d events has %d KB", n, len(page)/1000)

	older := regexp.MustCompile(`<a href="([^"]+)" rel="next">Older ones</a>`)
	seen, pages := map[string]bool{}, 0
	for at := here + "/events"; at != ""; pages++ {
		page = read(at)
		require.Less(t, len(page), 100_000, "bytes")
		for _, w := range word.FindAllString(page, -1) {
			require.False(t, seen[w], w)
			seen[w] = true
		}
		at = ""
		if m := older.FindStringSubmatch(page); m != nil {
			at = html.UnescapeString(m[1])
		}
	}
	require.Len(t, seen, n-1)
	require.Equal(t, n/200, pages)
	require.Contains(t, page, "Started")
	require.Contains(t, page, "The newest ones")
	for _, before := range []string{"x", "-1", "0", "999999"} {
		require.Contains(t, read(here+"/events?before="+before), fmt.Sprintf("weight-%d-of-somebody", n))
	}
	require.NotContains(t, read(here+"/events?before=1"), "weight-")

	store.events = store.events[:60]
	h = alone(t, func(o *web.Options) { o.Store, o.Engine = store, oneEngine{view: &example.View} })
	cookies = ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	page = read(here)
	require.Len(t, word.FindAllString(page, -1), 59)
	require.NotContains(t, page, "/events\">All", "there are no more")
}
