package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
)

var reliability = flag.String("reliability", "", "try every fault on the real servers, and write the table into this page")

// realFault is something that is broken around a release whose canary goes bad.
type realFault struct {
	name string
	does string
	// begin breaks it; end puts it right and is called once the canary is off the traffic.
	begin func(w *world, t *testing.T) (end func())
	// always: it is tried by every `make test`, and not only by `make reliability`.
	always bool
	// by is the rollout that it is tried with, shop where it is empty.
	by    string
	hangs bool // the canary hangs until its clients give up
	// mounts: the daemon sees file systems of its own, which end with it.
	mounts bool
}

func (f realFault) rollout() string { return cmp.Or(f.by, "shop") }

// realFaults are tried one after the other in each world, and the worlds next to each other.
var realFaults = [][]realFault{{
	{name: "nothing", does: "goes back when the evidence is there", begin: nothingBroken, always: true},
	{name: "the daemon is killed, and started again after two seconds", does: "goes on where it was", begin: (*world).killDaemon},
	{name: "the daemon is stopped by SIGSTOP for ten seconds", does: "goes on where it was", begin: (*world).stopDaemon, always: true},
	// The last one, since clients that give up late would count against the next release.
	{name: "nothing, and the canary hangs", does: "goes back when its clients give up", begin: nothingBroken, hangs: true},
}, {
	{name: "Traefik's API answers with errors", does: "judges what is written", begin: apiAnswers(broken)},
	{name: "Traefik's API is silent", does: "judges what is written", begin: apiAnswers(silent), always: true},
	{name: "Traefik's folder is read-only for ten seconds", does: "goes back as soon as it can write", begin: (*world).readOnly, mounts: true, always: true},
	{name: "strangers hold a thousand of the daemon's connections", does: "needs none of them", begin: (*world).crowd},
}, {
	{name: "Prometheus takes 800 ms of the second that it has", does: "looks as often", begin: (*world).slowPrometheus, always: true},
	{name: "Prometheus is killed and started again after three seconds", does: "judges what came in between", begin: (*world).restartPrometheus},
	{name: "the rollout's document is deleted", does: "keeps the release's plan", begin: (*world).deleteDocument},
	{name: "the rollout's document is broken", does: "keeps the release's plan", begin: (*world).breakDocument},
	{name: "Prometheus is gone, and its policy is rollback after three seconds", does: "goes back by its policy", begin: (*world).endPrometheus, by: "impatient"},
}}

const standing = `
    - gray: {weights: [20%], hold: 1h, decide: {max: 2h, inconclusive: gate}}
    - gate: {name: full-release}
    - promote: {}`

// A canary that fails its users is off the traffic of a real Traefik whatever else is broken, and the release says so in
// the end. How long it took is written into the page, and depends on the machine.
func TestABadVersionNeverStaysOnTheRealServers(t *testing.T) {
	took := make([][]time.Duration, len(realFaults))
	var wait sync.WaitGroup
	wait.Add(len(realFaults))
	for i, faults := range realFaults {
		took[i] = make([]time.Duration, len(faults))
		t.Run("world "+strconv.Itoa(i+1), func(t *testing.T) {
			t.Parallel()
			defer wait.Done()
			made := setup{documents: func(w *world) string {
				return counting(quick("patiently", patient)) + counting(quick("impatiently", impatient)) +
					w.document("shop", "patiently", standing) + w.document("impatient", "impatiently", standing)
			}}
			if slices.ContainsFunc(faults, func(f realFault) bool { return f.mounts }) {
				made.tmpfs = "64m"
			}
			w := newWorld(t, made)
			for _, name := range []string{"shop", "impatient"} {
				if slices.ContainsFunc(faults, func(f realFault) bool { return f.rollout() == name }) {
					w.wait(t, name, "stable is served", settled)
					testbed.NewLoad(t, testbed.LoadConfig{URL: w.traefik.URL("web") + "/" + name, Rate: 150, Workers: 100, Timeout: time.Second})
				}
			}
			for k, f := range faults {
				if f.always || *reliability != "" {
					t.Run(f.name, func(t *testing.T) { took[i][k] = w.brave(t, f) })
				}
			}
		})
	}
	t.Cleanup(func() {
		wait.Wait()
		if *reliability != "" && !t.Failed() {
			writeTable(t, took)
		}
	})
}

// counting lets an analysis count the clients that gave up among the errors.
func counting(document string) string {
	return strings.Replace(document, "preset: traefik-errors", "preset: traefik-errors\n      codes: [5xx, 499]", 1)
}

// brave lets the canary go bad while something is broken, and says after how long Traefik sent nobody there.
func (w *world) brave(t *testing.T, f realFault) time.Duration {
	name := f.rollout()
	id := w.start(t, name)
	w.wait(t, name, "the weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	w.waitShare(t, name, 20)
	w.looks(t, 3)
	end := f.begin(w, t)
	w.green.Set(func(b *testbed.Behaviour) {
		if b.ErrorRate = 1; f.hangs {
			b.ErrorRate, b.Latency = 0, time.Minute
		}
	})
	took := w.waitShare(t, name, 0)
	t.Logf("%v until nobody is served by the canary", took)
	end()
	w.green.Set(func(b *testbed.Behaviour) { b.ErrorRate, b.Latency = 0, 0 })
	v := w.wait(t, name, "the release has ended", func(v view) bool { return v.Release.ID == id && ended(v) })
	require.Equal(t, "rolledBack", v.State.Outcome, v.State.Why)
	require.Zero(t, count(w.events(t, id), "rollbackRequested"), "no person has asked for it")
	return took
}

func nothingBroken(*world, *testing.T) func() { return func() {} }

func (w *world) killDaemon(t *testing.T) func() {
	require.NoError(t, w.daemon.Kill())
	return later(t, 2*time.Second, func() error { return w.daemon.Restart(t.Context()) })
}

func (w *world) stopDaemon(t *testing.T) func() {
	require.NoError(t, w.daemon.Signal(syscall.SIGSTOP))
	return later(t, 10*time.Second, func() error { return w.daemon.Signal(syscall.SIGCONT) })
}

// later puts something right after a time; what it returns waits until that is done.
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

// readOnly lets the daemon see Traefik's folder read-only, as a file system that has failed is; Traefik sees it as it was.
func (w *world) readOnly(t *testing.T) func() {
	enter := func(args ...string) error {
		out, err := exec.Command("nsenter", append([]string{"-m", "-t", strconv.Itoa(w.daemon.PID())}, args...)...).CombinedOutput() //nolint:noctx,gosec // it ends at once
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	folder := w.traefik.Directory
	require.NoError(t, enter("mount", "--bind", folder, folder))
	require.NoError(t, enter("mount", "-o", "remount,bind,ro", folder))
	return later(t, 10*time.Second, func() error { return enter("umount", folder) })
}

// crowd holds connections to the daemon and says nothing.
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

// change changes the documents, waits until the daemon has read them, and returns what brings them back.
func (w *world) change(t *testing.T, change func(text string) string, read string) func() {
	before, err := os.ReadFile(w.rollouts())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.rollouts(), []byte(change(string(before))), 0o600))
	until(t, "the daemon has read it", func() string {
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
	shop := w.document("shop", "patiently", standing)
	return w.change(t, func(text string) string { return strings.Replace(text, shop, "", 1) }, `"declared":false`)
}

func (w *world) breakDocument(t *testing.T) func() {
	return w.change(t, func(text string) string { return strings.ReplaceAll(text, "hold: 1h", "hold: many") }, "many")
}

// writeTable puts the table into its page, in the place of the one before.
func writeTable(t *testing.T, took [][]time.Duration) {
	const begin, end = "## On the real servers\n", "\n## What is not in the table"
	b, err := os.ReadFile(*reliability)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(b), begin)
	require.True(t, found)
	_, rest, found = strings.Cut(rest, end)
	require.True(t, found)
	var table strings.Builder
	table.WriteString("\n| what is broken | what Serin does | off the traffic after |\n|---|---|---|\n")
	for i, faults := range realFaults {
		for k, f := range faults {
			fmt.Fprintf(&table, "| %s | %s | %s |\n", f.name, f.does, took[i][k].Round(100*time.Millisecond))
		}
	}
	intro := "\nThe built binary, a real Traefik and a real Prometheus, which scrapes every 250 ms; 150 requests a second, of which " +
		"a fifth get the canary, and a look a second, so that the times are shorter than above. " +
		"All of the canary's requests fail from the moment that the fault begins, until Traefik itself says that nobody gets it.\n"
	require.NoError(t, os.WriteFile(*reliability, []byte(head+begin+intro+table.String()+end+rest), 0o600))
}
