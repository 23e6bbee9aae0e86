package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

var reliability = flag.String("reliability", "", "try every fault on the real servers, and write the table into this page")

// realFault is something that breaks while a release's canary goes bad.
type realFault struct {
	name string
	does string
	// begin breaks it; end repairs it, and is called once the canary gets no traffic.
	begin func(w *world, t *testing.T) (end func())
	// always: every `make test` tries it, not only `make reliability`.
	always bool
	// at is where the release is meanwhile; nil is at 20%.
	at    *place
	hangs bool // the canary hangs until its clients give up
	// mounts: the daemon has a mount namespace of its own, which ends with it.
	mounts bool
	// lasts: it is repaired only after the release has ended.
	lasts bool
}

func (f realFault) place() *place { return cmp.Or(f.at, &shop) }

// place is a point in a release, with a rollout of its own.
type place struct {
	name    string // what the page calls it
	rollout string
	policy  string // the rollout's analysis
	steps   string
	// reach takes a release there from its first weight.
	reach func(w *world, t *testing.T, id string)
	// cohort: only a group of users gets the canary, by a route of its own.
	cohort bool
	// back: a person rolls the release back at the moment the fault begins.
	back bool
	// undone: a person answers the last gate at the moment the fault begins, and undoes the release once users fail.
	undone bool
}

const (
	staysAt = `
    - gray: {weights: [%s], hold: 1h, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
	compares = `
    - ab:
        cohort: {header: {name: X-User-Group, value: beta}}
        split: 50%
        decide: {min: 1h, max: 2h, inconclusive: gate}
    - promote: {}`
	advances = `
    - gray: {weights: [20%, 50%], hold: 4s, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
	asks = `
    - gray: {weights: [50%], hold: 1s, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`
)

var (
	shop      = place{name: "20%", rollout: "shop", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	hasty     = place{name: "20%", rollout: "impatient", policy: "impatiently", steps: fmt.Sprintf(staysAt, "20%")}
	wary      = place{name: "20%", rollout: "wary", policy: "warily", steps: fmt.Sprintf(staysAt, "20%")}
	hanging   = place{name: "20%", rollout: "hanging", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	returning = place{name: "20%, and a person sends it back", rollout: "returning", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%"), back: true}
	ahead     = place{name: "20%", rollout: "ahead", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	behind    = place{name: "20%", rollout: "behind", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%")}
	between   = place{name: "between 20 and 50%", rollout: "between", policy: "patiently", steps: advances}
	half      = place{name: "50%", rollout: "half", policy: "patiently", steps: fmt.Sprintf(staysAt, "50%")}
	beta      = place{name: "A/B", rollout: "beta", policy: "patiently", steps: compares, cohort: true}
	promoting = place{name: "during promote, and a person undoes it", rollout: "promoting", policy: "patiently", steps: asks, undone: true, reach: gate("promoting")}
	paused    = place{name: "paused", rollout: "paused", policy: "patiently", steps: fmt.Sprintf(staysAt, "20%"), reach: (*world).pause}
	gated     = place{name: "at a gate", rollout: "gated", policy: "patiently", steps: asks, reach: gate("gated")}
)

var places = []*place{&shop, &hasty, &wary, &hanging, &returning, &ahead, &behind, &between, &promoting, &half, &beta, &paused, &gated}

func gate(rollout string) func(*world, *testing.T, string) {
	return func(w *world, t *testing.T, _ string) { w.wait(t, rollout, "the gate is open", atGate) }
}

func (w *world) pause(t *testing.T, id string) {
	status, text := w.call(http.MethodPost, "/api/v1/releases/"+id+"/pause", map[string]string{"reason": "to look at it"}, nil)
	require.Equal(t, http.StatusOK, status, text)
}

// service is the Traefik service that splits the place's users.
func (p *place) service() string {
	if p.cohort {
		return p.rollout + "-ab"
	}
	return p.rollout
}

// served is the percentage of the place's users that Traefik sends to the canary.
func (w *world) served(p *place) (int, error) {
	percent, err := w.share(p.service())
	if err == nil || !p.cohort || !errors.Is(err, errNoService) {
		return percent, err
	}
	return w.share(p.rollout) // the group has no route of its own
}

// off waits until Traefik sends nobody to the canary, and returns how long that took.
func (w *world) off(t *testing.T, p *place) time.Duration {
	begin := time.Now()
	await.Until(t, "nobody is served by the canary in Traefik", func() string {
		switch percent, err := w.served(p); {
		case err != nil:
			return err.Error()
		case percent > 0:
			return fmt.Sprint(percent)
		}
		return ""
	})
	return time.Since(begin)
}

// everywhere tries a fault at several places.
func everywhere(f realFault, at ...*place) (out []realFault) {
	for _, p := range at {
		f.at = p
		out = append(out, f)
	}
	return out
}

// realFaults has a list for each world. The worlds run in parallel, the faults of a world one after the other.
var realFaults = [][]realFault{{
	{name: "nothing", does: "goes back when the evidence is there", begin: nothingBroken, always: true},
	{name: "the daemon is killed, and started again after two seconds", does: "goes on where it was", begin: (*world).killDaemon},
	{name: "the daemon is stopped by SIGSTOP for ten seconds", does: "goes on where it was", begin: stopDaemon(10 * time.Second), always: true},
	{name: "the daemon is stopped by SIGSTOP for a minute", does: "goes on where it was", begin: stopDaemon(time.Minute)},
	// It comes last because clients that give up late would count against the next release.
	{name: "nothing, and the canary hangs", does: "goes back when its clients give up", begin: nothingBroken, hangs: true, at: &hanging},
}, {
	{name: "Traefik's API answers with errors", does: "judges what is written", begin: apiAnswers(broken)},
	{name: "Traefik's API is silent", does: "judges what is written", begin: apiAnswers(silent), always: true},
	{name: "Traefik's folder is read-only for ten seconds", does: "goes back as soon as it can write", begin: (*world).readOnly, mounts: true, always: true},
	{name: "Traefik's folder is on a disk that is full for ten seconds", does: "goes back as soon as it can write", begin: (*world).full, mounts: true, always: true},
	{name: "somebody has added a router to Serin's file", does: "goes back, leaves the router, and says so", begin: (*world).addRouter},
	{name: "the store is on a disk that is full", does: "brings the traffic back first, and writes that when it can", begin: (*world).fill, mounts: true},
	{name: "strangers hold a thousand of the daemon's connections", does: "needs none of them", begin: (*world).crowd},
}, {
	{name: "Prometheus takes 800 ms of the second that it has", does: "looks as often", begin: (*world).slowPrometheus, always: true},
	{name: "Prometheus is killed and started again after three seconds", does: "judges what came in between", begin: (*world).restartPrometheus},
	{name: "either of two Prometheus behind one address answers", does: "counts no restart where there was none", begin: (*world).pair, always: true},
	{name: "the rollout's document is deleted", does: "keeps the release's plan", begin: (*world).deleteDocument},
	{name: "the rollout's document is broken", does: "keeps the release's plan", begin: (*world).breakDocument},
	{name: "Prometheus is gone, and its policy is rollback after three seconds", does: "goes back by its policy", begin: (*world).endPrometheus, at: &hasty},
	{name: "samples are dated a minute late, and its policy is rollback after eight seconds", does: "goes back by its policy", begin: dated(-time.Minute), at: &wary},
}, {
	// Alone in its world: once the dates are right again, Prometheus takes no sample for a minute.
	{name: "samples are dated a minute ahead", does: "judges them when their time has come", begin: dated(time.Minute)},
}, slices.Concat(
	everywhere(realFault{name: "nothing", does: "goes back when the evidence is there", begin: nothingBroken}, &between, &half, &beta, &paused, &gated),
	everywhere(realFault{name: "Traefik's API is silent", does: "judges what is written", begin: apiAnswers(silent)}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
	everywhere(realFault{
		name: "Traefik's folder is on a disk that is full for ten seconds", does: "goes back as soon as it can write", begin: (*world).full, mounts: true,
	}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
), clockFaults, slices.Concat(
	everywhere(realFault{name: "the daemon is killed, and started again after two seconds", does: "goes on where it was", begin: (*world).killDaemon}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
	everywhere(realFault{
		name: "Prometheus is killed and started again after three seconds", does: "judges what came in between", begin: (*world).restartPrometheus,
	}, &between, &half, &beta, &paused, &gated, &returning, &promoting),
)}

// Traefik stops sending users to a failing canary whatever else is broken, and the release's outcome says so. How long
// that took is written into the page, and depends on the machine.
func TestABadVersionNeverStaysOnTheRealServers(t *testing.T) {
	took := make([][]time.Duration, len(realFaults))
	for i, faults := range realFaults {
		took[i] = make([]time.Duration, len(faults))
		t.Run("world "+strconv.Itoa(i+1), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setupFor(faults))
			for k, f := range faults {
				if f.always || *reliability != "" {
					t.Run(f.name, func(t *testing.T) { took[i][k] = w.brave(t, f) })
				}
			}
		})
	}
	t.Cleanup(func() {
		if *reliability != "" && !t.Failed() {
			writeTable(t, took)
		}
	})
}

// setupFor is what these faults need.
func setupFor(faults []realFault) setup {
	s := setup{documents: func(w *world) string {
		text := counting(quick("patiently", patient)) + counting(quick("impatiently", impatient)) + counting(quick("warily", noSamples))
		for _, p := range places {
			text += w.document(p.rollout, p.policy, p.steps)
		}
		return text
	}}
	if slices.ContainsFunc(faults, func(f realFault) bool { return f.mounts }) {
		s.tmpfs = "64m"
	}
	return s
}

// noSamples is a policy that rolls back when no samples come.
const noSamples = `  unreachable: {for: 10m, then: hold}
  noData: {for: 8s, then: rollback}`

// counting makes an analysis count clients that gave up as errors.
func counting(document string) string {
	return strings.Replace(document, "preset: traefik-errors", "preset: traefik-errors\n      codes: [5xx, 499]", 1)
}

// usersOf are the place's users. Those of a canary that hangs give up after a second; all others are patient, since
// requests that wait on a busy machine would count as failures of both arms.
func (w *world) usersOf(t *testing.T, p *place) *testbed.Load {
	c := testbed.LoadConfig{URL: w.traefik.URL("web") + "/" + p.rollout, Rate: 150, Workers: 100, Timeout: 20 * time.Second}
	if p == &hanging {
		c.Timeout = time.Second
	}
	if p.cohort {
		c.Header = http.Header{"X-User-Group": {"beta"}}
	}
	return testbed.NewLoad(t, c)
}

// brave makes the canary fail while something is broken, and returns how long it took until Traefik sent nobody there.
func (w *world) brave(t *testing.T, f realFault) time.Duration {
	p := f.place()
	w.wait(t, p.rollout, "stable is served", settled)
	load := w.usersOf(t, p)
	id := w.start(t, p.rollout)
	w.wait(t, p.rollout, "the weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	w.looks(t, 3)
	if p.reach != nil {
		p.reach(w, t, id)
	}
	percent, err := w.served(p)
	require.NoError(t, err)
	require.NotZero(t, percent, "users get the canary")
	end := f.begin(w, t)
	w.green.Set(func(b *testbed.Behaviour) {
		if b.ErrorRate = 1; f.hangs {
			b.ErrorRate, b.Latency = 0, time.Minute
		}
	})
	var took time.Duration
	switch {
	case p.undone:
		took = w.undone(t, p, id, load)
	case p.back:
		go w.sendBack(id)
		fallthrough
	default:
		took = w.off(t, p)
	}
	t.Logf("%v until nobody is served by the canary", took)
	if f.lasts {
		defer end()
	} else {
		end()
	}
	w.green.Set(func(b *testbed.Behaviour) { b.ErrorRate, b.Latency = 0, 0 })
	v := w.wait(t, p.rollout, "the release has ended", func(v view) bool { return (v.Release.ID == id || p.undone) && ended(v) })
	if v.Release.ID != id { // it was fully promoted, and then undone
		require.Equal(t, "released", v.State.Outcome, v.State.Why)
		require.Equal(t, 1, count(w.events(t, id), "ended"))
		load.Stop()
		return took
	}
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	if v.Verdict != nil {
		t.Logf("the last look: %+v", *v.Verdict)
	}
	asked := count(w.events(t, id), "rollbackRequested")
	require.LessOrEqual(t, asked, 1)
	require.True(t, p.back || p.undone || asked == 0, "no person has asked for it")
	load.Stop()
	return took
}

// sendBack is a person who asks for a rollback until the daemon answers.
func (w *world) sendBack(id string) {
	for end := time.Now().Add(await.Patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if status, _ := w.rollback(id); status != 0 {
			return
		}
	}
}

// undone is a person who approves the promotion of a version that then fails, and undoes it as soon as the daemon
// allows that. It returns how long it took until all users got the previous version. The promotion swaps the versions
// behind the names, so undone goes by the answers that users get.
func (w *world) undone(t *testing.T, p *place, id string, load *testbed.Load) time.Duration {
	begin := time.Now()
	await.Until(t, "the promotion is approved", func() string {
		status, text := w.approve(id, "full-release")
		if status == http.StatusOK || status == http.StatusConflict {
			return ""
		}
		return text
	})
	await.Until(t, "no user gets the version that fails", func() string {
		said, _ := w.rollback(id)
		if said == http.StatusConflict { // it has ended: the new version is in service
			w.call(http.MethodPost, "/api/v1/rollouts/"+p.rollout+"/undo", map[string]string{"reason": "it fails", "key": id}, nil)
		}
		before := load.Counts()
		time.Sleep(200 * time.Millisecond)
		now := load.Counts()
		if now.Answered("green") > before.Answered("green") || now.Answered("blue") == before.Answered("blue") {
			return fmt.Sprintf("%d answers by the version that fails", now.Answered("green")-before.Answered("green"))
		}
		return ""
	})
	return time.Since(begin)
}

func nothingBroken(*world, *testing.T) func() { return func() {} }

func (w *world) killDaemon(t *testing.T) func() {
	require.NoError(t, w.daemon.Kill())
	return later(t, 2*time.Second, func() error { return w.daemon.Restart(t.Context()) })
}

func stopDaemon(d time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		require.NoError(t, w.daemon.Signal(syscall.SIGSTOP))
		return later(t, d, func() error { return w.daemon.Signal(syscall.SIGCONT) })
	}
}

// later calls right after d; the function it returns waits until that is done.
func later(t *testing.T, d time.Duration, right func() error) func() {
	done := make(chan error, 1)
	time.AfterFunc(d, func() { done <- right() })
	return func() { require.NoError(t, <-done) }
}

func apiAnswers(instead http.HandlerFunc) func(w *world, t *testing.T) func() {
	return func(w *world, _ *testing.T) func() {
		w.api.answer(instead)
		return func() { w.api.answer(nil) }
	}
}

func (w *world) slowPrometheus(t *testing.T) func() {
	through := newProxy(t, w.prometheus.URL)
	w.metrics.answer(func(out http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(800 * time.Millisecond):
			through.Config.Handler.ServeHTTP(out, r)
		case <-r.Context().Done():
		}
	})
	return func() { w.metrics.answer(nil) }
}

func (w *world) restartPrometheus(t *testing.T) func() {
	require.NoError(t, w.prometheus.Kill())
	return later(t, 3*time.Second, func() error { return w.prometheus.Restart(t.Context()) })
}

func (w *world) endPrometheus(t *testing.T) func() {
	require.NoError(t, w.prometheus.Kill())
	return func() { require.NoError(t, w.prometheus.Restart(t.Context())) }
}

// pair puts a second Prometheus behind the same address, with the same targets. They answer in turn, and each scrapes
// at times of its own.
func (w *world) pair(t *testing.T) func() {
	second := testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: scrapeInterval, Jobs: w.jobs()})
	w.looks(t, 3)
	handlers := []http.Handler{newProxy(t, w.prometheus.URL).Config.Handler, newProxy(t, second.URL).Config.Handler}
	var asked atomic.Int64
	w.metrics.answer(func(out http.ResponseWriter, r *http.Request) {
		handlers[asked.Add(1)%2].ServeHTTP(out, r)
	})
	return func() { w.metrics.answer(nil) }
}

// dated gives Traefik's samples timestamps that are off by d, like an exporter whose clock is wrong.
func dated(d time.Duration) func(w *world, t *testing.T) func() {
	return func(w *world, t *testing.T) func() {
		u, err := url.Parse("http://" + w.traefik.MetricsAddr)
		require.NoError(t, err)
		through := httputil.NewSingleHostReverseProxy(u)
		w.exposition.answer(func(out http.ResponseWriter, r *http.Request) {
			r.Header.Del("Accept-Encoding")
			r.Header.Set("Accept", "text/plain;version=0.0.4")
			answer := httptest.NewRecorder()
			through.ServeHTTP(answer, r)
			out.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			out.WriteHeader(answer.Code)
			at := strconv.FormatInt(time.Now().Add(d).UnixMilli(), 10)
			for line := range strings.Lines(answer.Body.String()) {
				if line[0] != '#' && line[0] != '\n' {
					line = strings.TrimSuffix(line, "\n") + " " + at + "\n"
				}
				_, _ = io.WriteString(out, line)
			}
		})
		return func() { w.exposition.answer(nil) }
	}
}

// enter runs a program in the daemon's mount namespace.
func (w *world) enter(args ...string) error {
	out, err := exec.Command("nsenter", append([]string{"-m", "-t", strconv.Itoa(w.daemon.PID())}, args...)...).CombinedOutput() //nolint:noctx,gosec // it ends at once
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// readOnly makes Traefik's folder read-only for the daemon, like a failed file system, but not for Traefik.
func (w *world) readOnly(t *testing.T) func() {
	folder := w.traefik.Directory
	require.NoError(t, w.enter("mount", "--bind", folder, folder))
	require.NoError(t, w.enter("mount", "-o", "remount,bind,ro", folder))
	// -l: the daemon may have a file open at that moment.
	return later(t, 10*time.Second, func() error { return w.enter("umount", "-l", folder) })
}

// full puts Traefik's folder on a small, full file system for the daemon, but not for Traefik.
func (w *world) full(t *testing.T) func() {
	const fill = `mount -t tmpfs -o size=512k full "$1" && cp "$2"/* "$1" && ! cat /dev/zero 2>/dev/null >"$1/external"`
	folder, copied := w.traefik.Directory, t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(folder)))
	require.NoError(t, w.enter("sh", "-c", fill, "sh", folder, copied))
	return later(t, 10*time.Second, func() error { return w.enter("umount", "-l", folder) })
}

// addRouter adds a foreign router to shop's file, and checks that it is still there in the end.
func (w *world) addRouter(t *testing.T) func() {
	before, err := os.ReadFile(w.file("shop"))
	require.NoError(t, err)
	const theirs = "\n    theirs: {rule: \"Path(`/theirs`)\", service: noop@internal}"
	require.NoError(t, os.WriteFile(w.file("shop"), []byte(strings.Replace(string(before), "\n  routers:", "\n  routers:"+theirs, 1)), 0o600))
	w.wait(t, "shop", "it is said", func(v view) bool { return strings.Contains(strings.Join(v.Trouble, " "), "theirs") })
	return func() {
		after, err := os.ReadFile(w.file("shop"))
		require.NoError(t, err)
		require.Contains(t, string(after), "theirs: {rule: \"Path(`/theirs`)\", service: noop@internal}")
		require.NoError(t, os.Remove(w.file("shop"))) // a person repairs it
	}
}

// crowd holds connections to the daemon open, and sends nothing.
func (w *world) crowd(t *testing.T) func() {
	var held []net.Conn
	dialer := net.Dialer{Timeout: time.Second}
	for range 1000 {
		c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			break // it takes no more
		}
		held = append(held, c)
	}
	require.NotEmpty(t, held)
	return func() {
		for _, c := range held {
			_ = c.Close()
		}
	}
}

func (w *world) rollouts() string { return filepath.Join(w.dir, "rollouts", "rollouts.yaml") }

// change changes the documents, waits until the daemon has read them, and returns a function that restores them.
func (w *world) change(t *testing.T, change func(text string) string, read string) func() {
	before, err := os.ReadFile(w.rollouts())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.rollouts(), []byte(change(string(before))), 0o600))
	await.Until(t, "the daemon has read it", func() string {
		_, text := w.get("/api/v1/config/problems", nil)
		_, shop := w.get("/api/v1/rollouts/shop", nil)
		if strings.Contains(text+shop, read) {
			return ""
		}
		return text + shop
	})
	return func() { require.NoError(t, os.WriteFile(w.rollouts(), before, 0o600)) }
}

func (w *world) deleteDocument(t *testing.T) func() {
	document := w.document(shop.rollout, shop.policy, shop.steps)
	return w.change(t, func(text string) string { return strings.Replace(text, document, "", 1) }, `"declared":false`)
}

func (w *world) breakDocument(t *testing.T) func() {
	return w.change(t, func(text string) string { return strings.ReplaceAll(text, "hold: 1h", "hold: many") }, "many")
}

// writeTable replaces the table in its page.
func writeTable(t *testing.T, took [][]time.Duration) {
	const begin, end = "## On the real servers\n", "\n## What is not in the table"
	b, err := os.ReadFile(*reliability)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(b), begin)
	require.True(t, found)
	_, rest, found = strings.Cut(rest, end)
	require.True(t, found)
	var table strings.Builder
	table.WriteString("\n| what is broken | where it stands | what Serin does | off the traffic after |\n|---|---|---|---|\n")
	for i, faults := range realFaults {
		for k, f := range faults {
			fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", f.name, f.place().name, f.does, took[i][k].Round(100*time.Millisecond))
		}
	}
	intro := "\nThe built binary, a real Traefik and a real Prometheus, which scrapes every 250 ms; 150 requests a second, of which " +
		"a fifth get the canary unless it says otherwise, and a look a second, so that the times are shorter than above. " +
		"All of the canary's requests fail from the moment that the fault begins, until Traefik itself says that nobody gets it.\n"
	require.NoError(t, os.WriteFile(*reliability, []byte(head+begin+intro+table.String()+end+rest), 0o600))
}
