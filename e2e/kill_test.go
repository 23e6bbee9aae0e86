package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

var (
	eventLine = regexp.MustCompile(`msg=event .*event=(\w+) .*step=(\S*) phase=(\w+)`)
	writeLine = regexp.MustCompile(`msg="traffic written" .*(weight=\S+ cohort=\S+)`)
)

// transition names what a log line reports; it is empty for a line without a transition.
func transition(line string) string {
	if m := eventLine.FindStringSubmatch(line); m != nil {
		return m[1] + " " + m[2] + " " + m[3]
	}
	if m := writeLine.FindStringSubmatch(line); m != nil {
		return "written " + m[1]
	}
	return ""
}

// walk drives a release to its end with act, and kills the daemon whenever it logs that something has happened: at
// every event, and the first time that a target is written. It returns where the daemon died. before is the previous
// release, which has ended, or empty.
func (w *world) walk(t *testing.T, before string, act func(view)) []string {
	t.Helper()
	var died []string
	written := map[string]bool{}
	lethal := func(line string) bool {
		what := transition(line)
		if what == "" || written[what] {
			return false
		}
		if writeLine.MatchString(line) {
			written[what] = true
		}
		return true
	}
	again := func(next func(string) bool) {
		select {
		case line := <-w.log.killed:
			died = append(died, transition(line))
			require.NoError(t, w.daemon.Kill()) // waits until it is gone
			w.log.arm(next)
			require.NoError(t, w.daemon.Restart(t.Context()))
		default:
		}
	}
	w.log.arm(lethal)
	await.Until(t, "the release ends, killed again and again", func() string {
		again(lethal)
		v, err := w.view("shop")
		if err != nil {
			return err.Error()
		}
		if ended(v) && v.Release.ID != before {
			return ""
		}
		act(v)
		return v.State.Phase + " " + v.State.StepName
	})
	w.log.arm(nil)
	again(nil) // if two threads logged at once, the kill may come after the daemon has shown the end
	return died
}

// shares notes every change of the canary's share in Traefik, until the test ends.
func (w *world) shares(t *testing.T, name string) func() []int {
	var mu sync.Mutex
	var seen []int
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond) // Traefik applies a change every 100 ms at most
		defer tick.Stop()
		for {
			if now, err := w.share(name); err == nil {
				mu.Lock()
				if len(seen) == 0 || seen[len(seen)-1] != now {
					seen = append(seen, now)
				}
				mu.Unlock()
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		out := seen
		seen = nil
		if len(out) > 0 {
			seen = []int{out[len(out)-1]}
		}
		return out
	}
}

// checkHistory checks what holds for every release, however often its daemon died.
func checkHistory(t *testing.T, events []event, steps [][2]int) {
	t.Helper()
	var entered [][2]int
	for i, e := range events {
		require.Equal(t, i+1, e.Seq, "events have consecutive numbers: %+v", events)
		if e.Kind == "stepEntered" {
			entered = append(entered, [2]int{e.Step, e.Stage})
		}
	}
	require.Equal(t, steps, entered, "every step is entered once: %+v", events)
	require.Equal(t, 1, count(events, "started"), "%+v", events)
	require.Equal(t, 1, count(events, "ended"), "%+v", events)
	require.Equal(t, "ended", events[len(events)-1].Kind)
	require.Zero(t, count(events, "drifted"), "only Serin has written: %+v", events)
}

// checkLooks checks that no look is missing, and that no two looks count the same time.
func (w *world) checkLooks(t *testing.T, id string) {
	t.Helper()
	var page struct {
		Looks []struct {
			Number int
			At     time.Time
			Length time.Duration
		}
	}
	status, text := w.get("/api/v1/releases/"+id+"/looks", &page)
	require.Equal(t, http.StatusOK, status, text)
	require.NotEmpty(t, page.Looks)
	for i, l := range page.Looks {
		require.Equal(t, i+1, l.Number)
		if i > 0 {
			require.False(t, l.At.Add(-l.Length).Before(page.Looks[i-1].At), "look %d begins before the one before it ends: %+v", l.Number, page.Looks)
		}
	}
}

func noRequestFailed(t *testing.T, loads []*testbed.Load) {
	t.Helper()
	for _, l := range loads {
		c := l.Counts()
		require.Zero(t, c.Broken, c.LastError)
		for version, byStatus := range c.Status {
			require.Equal(t, []int{http.StatusOK}, statuses(byStatus), "%q", version)
		}
		require.Positive(t, c.Sent)
	}
}

func statuses(m map[int]int) (out []int) {
	for s := range m {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestADaemonKilledAtEveryTransitionLosesNothingAndDoesNothingTwice(t *testing.T) {
	for _, s := range []struct {
		store    string
		postgres bool
	}{{"SQLite", false}, {"PostgreSQL", true}} {
		t.Run(s.store, func(t *testing.T) {
			t.Parallel()
			killedAtEveryTransition(t, s.postgres)
		})
	}
}

func killedAtEveryTransition(t *testing.T, postgres bool) {
	w := newWorld(t, setup{postgres: postgres, documents: func(w *world) string { return quick("quick", "") + w.document("shop", "quick", whole) }})
	w.wait(t, "shop", "stable is served before any release", settled)
	loads := w.users(t, "shop")
	shares := w.shares(t, "shop")

	var id string
	died := w.walk(t, "", func(v view) {
		switch {
		case v.Release.ID == "":
			w.call(http.MethodPost, "/api/v1/rollouts/shop/releases", map[string]string{"key": "one"}, nil)
		case atGate(v):
			w.approve(v.Release.ID, v.Gate)
		}
		id = v.Release.ID
	})
	t.Logf("killed %d times in a release: %q", len(died), died)
	v := w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "released", v.State.Outcome, v.State.Why)
	require.True(t, v.Swapped)
	events := w.events(t, id)
	checkHistory(t, events, [][2]int{{0, 0}, {1, 0}, {1, 1}, {2, 0}, {3, 0}, {3, 1}})
	require.Equal(t, 1, count(events, "gateAnswered"))
	diedAt(t, died, "started", "stepEntered ab", "inForce ab", "lookTaken ab", "stepEntered gray", "inForce gray",
		"stepEntered full-release", "gateAnswered", "stepEntered promote", "inForce promote", "ended")
	inOrder(t, []int{0, 20, 50, 100, 0}, shares())
	w.checkLooks(t, id)
	status, text := w.call(http.MethodPost, "/api/v1/rollouts/shop/releases", map[string]string{"key": "one"}, nil)
	require.Equal(t, http.StatusOK, status, "the key still leads to the same release: %s", text)
	require.Contains(t, text, id)

	// The next release goes back by hand from its second weight.
	w.wait(t, "shop", "green is served as stable", settled)
	var back string
	died = w.walk(t, id, func(v view) {
		switch {
		case v.Release.ID == id:
			w.call(http.MethodPost, "/api/v1/rollouts/shop/releases", map[string]string{"key": "two"}, nil)
		case at(1, 1)(v) && v.State.InForce:
			w.rollback(v.Release.ID)
		}
		back = v.Release.ID
	})
	t.Logf("killed %d times in a rollback: %q", len(died), died)
	v = w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.True(t, v.Swapped, "green stays stable")
	events = w.events(t, back)
	checkHistory(t, events, [][2]int{{0, 0}, {1, 0}, {1, 1}})
	require.Equal(t, 1, count(events, "rollbackRequested"))
	diedAt(t, died, "rollbackRequested", "inForce", "drained", "cleanedUp", "ended")
	inOrder(t, []int{0, 20, 50, 0}, shares())
	w.checkLooks(t, back)
	noRequestFailed(t, loads)
}

// diedAt checks that the daemon died at three quarters of these or more. Right after a restart several events may come
// at once, especially on a busy machine, and then the kill for the first arrives after the last.
func diedAt(t *testing.T, died []string, want ...string) {
	t.Helper()
	var missed []string
	for _, what := range want {
		if !slices.ContainsFunc(died, func(s string) bool { return strings.HasPrefix(s, what) }) {
			missed = append(missed, what)
		}
	}
	require.LessOrEqual(t, len(missed), (len(want)+3)/4, "no death at %q; it died at %q", missed, died)
}

// inOrder checks that the shares were seen in this order; a brief one may have been missed.
func inOrder(t *testing.T, want, seen []int) {
	t.Helper()
	i := 0
	for _, s := range seen {
		for i < len(want) && want[i] != s {
			i++
		}
		require.Less(t, i, len(want), "saw %v, expected the order %v", seen, want)
	}
	require.Equal(t, want[len(want)-1], seen[len(seen)-1])
}

// receiver is another system that webhooks call. It records the calls.
type receiver struct {
	URL  string
	mu   sync.Mutex
	keys []string
}

// newReceiver answers after a while, so that a daemon can die in the middle of a call.
func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.keys = append(r.keys, req.Header.Get("Idempotency-Key"))
		r.mu.Unlock()
		select {
		case <-req.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// told counts the calls by key.
func (r *receiver) told() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, k := range r.keys {
		out[k]++
	}
	return out
}

func TestADaemonKilledDuringAWebhookAndASupersedingReleaseCallsOnlyWithOneKey(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	const steps = `
    - gray: {weights: [20%%], hold: 1s, decide: {max: 10m, inconclusive: rollback}}
    - webhook: {name: announce, url: '%s/announce'}
    - gate: {name: full-release}
    - promote: {}`
	w := newWorld(t, setup{documents: func(w *world) string {
		return quick("quick", "") + w.document("shop", "quick", fmt.Sprintf(steps, hook.URL))
	}})
	w.wait(t, "shop", "stable is served before any release", settled)
	loads := w.users(t, "shop")
	shares := w.shares(t, "shop")
	first := w.start(t, "shop")

	// The second release is asked to supersede the first as soon as that is at its gate.
	second := ""
	died := w.walk(t, first, func(v view) {
		switch {
		case v.Release.ID == first && atGate(v):
			w.call(http.MethodPost, "/api/v1/rollouts/shop/releases", map[string]any{"key": "two", "supersede": true}, nil)
		case v.Release.ID != first:
			if second = v.Release.ID; atGate(v) {
				w.approve(second, v.Gate)
			}
		}
	})
	t.Logf("killed %d times: %q", len(died), died)
	diedAt(t, died, "stepEntered announce", "webhookAnswered announce", "superseded", "inForce", "drained", "cleanedUp",
		"ended", "started", "gateAnswered", "stepEntered promote")
	events := w.events(t, first)
	checkHistory(t, events, [][2]int{{0, 0}, {1, 0}, {2, 0}})
	require.Equal(t, 1, count(events, "webhookAnswered"))
	require.Equal(t, 1, count(events, "superseded"))
	require.Equal(t, "superseded", events[len(events)-1].Outcome)
	events = w.events(t, second)
	checkHistory(t, events, [][2]int{{0, 0}, {1, 0}, {2, 0}, {3, 0}, {3, 1}})
	require.Equal(t, 1, count(events, "webhookAnswered"))
	require.Equal(t, "released", events[len(events)-1].Outcome)

	told := hook.told()
	t.Logf("the other system was called: %v", told)
	require.ElementsMatch(t, []string{first + "/announce", second + "/announce"}, slices.Collect(maps.Keys(told)),
		"however often it is called, all calls for a release have the same key")
	status, text := w.call(http.MethodPost, "/api/v1/rollouts/shop/releases", map[string]string{"key": "two"}, nil)
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, second, "the key has started one release")
	inOrder(t, []int{0, 20, 0, 20, 100, 0}, shares())
	w.checkLooks(t, first)
	w.checkLooks(t, second)
	noRequestFailed(t, loads)
}

func TestTrafficIsRightAgainSoonAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{documents: func(w *world) string { return quick("quick", "") + w.document("shop", "quick", grayOnly) }})
	loads := w.users(t, "shop")
	id := w.start(t, "shop")
	w.wait(t, "shop", "the first weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	old, err := os.ReadFile(w.file("shop"))
	require.NoError(t, err)
	w.wait(t, "shop", "the gate is open", func(v view) bool { return atGate(v) && settled(v) })

	require.NoError(t, w.daemon.Signal(syscall.SIGKILL))
	<-w.daemon.Done()
	// Renamed, not written in place: Traefik could read half a file, and this test itself would make requests fail.
	require.NoError(t, os.WriteFile(w.file("shop")+".new", old, 0o600))
	require.NoError(t, os.Rename(w.file("shop")+".new", w.file("shop")))
	w.waitShare(t, "shop", 20)
	begin := time.Now()
	w.restart(t)
	w.waitShare(t, "shop", 50)
	t.Logf("%v from the start of the daemon until the change made meanwhile is reverted", time.Since(begin))
	w.wait(t, "shop", "it is in force again", func(v view) bool { return atGate(v) && settled(v) })

	begin = time.Now()
	status, text := w.rollback(id)
	require.Equal(t, http.StatusOK, status, text)
	w.waitShare(t, "shop", 0)
	t.Logf("%v from a person's rollback until it is in force in Traefik", time.Since(begin))
	v := w.wait(t, "shop", "the release has ended", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
	noRequestFailed(t, loads)
}
