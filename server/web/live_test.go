package web_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/web"
)

// follow opens an event stream and returns its lines.
func (b *browser) follow(path string) <-chan string {
	b.d.t.Helper()
	ctx, cancel := context.WithCancel(b.d.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.d.url+path, nil)
	require.NoError(b.d.t, err)
	resp, err := b.http.Do(r)
	require.NoError(b.d.t, err)
	require.Equal(b.d.t, http.StatusOK, resp.StatusCode)
	require.Equal(b.d.t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	b.d.t.Cleanup(func() {
		cancel()
		<-done
		_ = resp.Body.Close() // read to its end
	})
	return lines
}

// next is the next line that begins with prefix.
func next(t *testing.T, lines <-chan string, prefix string) {
	t.Helper()
	after := time.After(await.Patience)
	for {
		select {
		case line, ok := <-lines:
			require.True(t, ok, "the stream has ended before %s", prefix)
			if strings.HasPrefix(line, prefix) {
				return
			}
		case <-after:
			require.Fail(t, "nothing came", prefix)
		}
	}
}

func TestAnOpenPageIsNotifiedOfWhatConcernsItUntilItsPersonIsSignedOut(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop", nil)
	vera := d.as("vera")
	mine, all := vera.follow("/live?release="+id), vera.follow("/live")
	other := vera.follow("/live?rollout=cart")
	for _, lines := range []<-chan string{mine, all, other} {
		next(t, lines, "event: changed") // for what happened since the page was made
	}
	_, err := d.engine.Act(t.Context(), id, rollout.Paused{}, "otto")
	require.NoError(t, err)
	next(t, mine, "event: changed")
	next(t, all, "event: changed")
	require.Empty(t, strings.Join(drain(other), ""), "another rollout's page is left in peace")

	vera.submit(vera.get("/"), "Sign out", nil)
	next(t, mine, "event: ended")
	for range mine {
	}
}

// drain returns the lines that have come by now, without heartbeats.
func drain(lines <-chan string) (out []string) {
	for {
		select {
		case line := <-lines:
			if !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "data:") && line != "" {
				out = append(out, line)
			}
		default:
			return out
		}
	}
}

// oneEngine has one release.
type oneEngine struct {
	server.Engine
	view *record.View
}

func (e oneEngine) Rollout(string) (record.View, error) { return *e.view, nil }

func (e oneEngine) Release(context.Context, string) (record.View, error) { return *e.view, nil }

// countingStore has the looks of that release, more of them than a real store takes in the time of a test, and counts
// how often it is asked.
type countingStore struct {
	noStore
	looks  []record.LookRecord
	events []rollout.Event
	reads  *atomic.Int64
}

func (s countingStore) Looks(_ context.Context, _, scope string, after, limit int) ([]record.LookRecord, error) {
	if scope != "gray" {
		return nil, nil
	}
	s.reads.Add(1)
	return s.looks[min(after, len(s.looks)):min(after+limit, len(s.looks))], nil
}

func (s countingStore) Events(context.Context, string, int) ([]rollout.Event, error) {
	return s.events, nil
}

func (countingStore) History(context.Context, record.Filter) ([]record.Past, error) {
	return nil, nil
}

func TestADayOfChartsIsDrawnOnceForAllReaders(t *testing.T) {
	const looks = 9000
	example := exampleRecord(looks, "")
	store := countingStore{reads: &atomic.Int64{}}
	for _, l := range example.Looks["gray"] {
		r := record.LookRecord{Scope: "gray", Verdict: l.Verdict}
		r.Look.Number, r.Look.At, r.Look.Length, r.Look.Weight, r.Look.Observations = l.Number, l.At, l.Length, l.Weight, l.Observations
		store.looks = append(store.looks, r)
	}
	h := alone(t, func(o *web.Options) { o.Store, o.Engine = store, oneEngine{view: &example.View} })
	secrets, _ := roster()
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	read := func() string {
		answer := ask(t, h, http.MethodGet, "/releases/"+example.View.Release.ID, nil, cookies)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		var body strings.Builder
		require.NoError(t, answer.Write(&body))
		return body.String()
	}
	body := read()
	require.True(t, strings.Contains(body, "9000 looks") && strings.Contains(body, "the charts show the newest of them"))
	t.Logf("the page of a release after %d looks of five metrics has %d KB", looks, len(body)/1000)
	first := store.reads.Load()
	require.EqualValues(t, 5, first, "8,640 looks, 2,000 at a time")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { read() })
	}
	all.Wait()
	require.Equal(t, first, store.reads.Load(), "nothing has happened: nothing is read again")

	next := *example.View.Verdict
	next.Look++
	example.View.Verdict = &next
	read()
	require.Greater(t, store.reads.Load(), first, "there is a new look")
}

// A person opens the page at a gate, nobody opens it during the gray step after that, and then the release goes back: the
// page has to show the looks that were taken in between, which are the reason.
func TestEvidenceThatNobodyWatchedIsShownAfterwards(t *testing.T) {
	example := exampleRecord(50, "")
	store := countingStore{reads: &atomic.Int64{}}
	take := func(n int) {
		for _, l := range example.Looks["gray"][len(store.looks):n] {
			r := record.LookRecord{Scope: "gray", Verdict: l.Verdict}
			r.Look.Number, r.Look.At, r.Look.Length, r.Look.Weight, r.Look.Observations = l.Number, l.At, l.Length, l.Weight, l.Observations
			store.looks = append(store.looks, r)
		}
	}
	view := example.View
	h := alone(t, func(o *web.Options) { o.Store, o.Engine = &store, oneEngine{view: &view} })
	secrets, _ := roster()
	cookies := ask(t, h, http.MethodPost, "/sign-in", url.Values{"token": {secrets["vera"]}}, nil).Cookies()
	read := func() string {
		answer := ask(t, h, http.MethodGet, "/releases/"+view.Release.ID, nil, cookies)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		var body strings.Builder
		require.NoError(t, answer.Write(&body))
		return body.String()
	}
	view.State.Scope, view.State.Step = "", 1 // a wait between the A/B test and the gray steps
	require.Contains(t, read(), "No look has been taken yet")
	take(20)
	view.State.Step = 4 // the gate after the gray step
	require.Contains(t, read(), "20 looks")
	take(50)
	view.State.Step, view.State.Phase, view.State.Outcome = 5, rollout.PhaseEnded, rollout.RolledBack
	require.Contains(t, read(), "50 looks")
}
