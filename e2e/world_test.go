// Package e2e answers the question whether the program works as people run it, with a real Traefik and a real Prometheus, and
// whatever breaks: the daemon is killed, the store cannot be written, Traefik and Prometheus stop or give wrong answers. Of
// Serin's packages it imports only the test bed. Start reading at [world].
package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// serin is the program under test, built once.
var serin string

func TestMain(m *testing.M) { testbed.Main(m, &serin) }

// world is Serin as people run it: the daemon as a process between a real Traefik and a real Prometheus, with two
// versions of an application and users who never stop sending requests.
type world struct {
	blue, green *testbed.Backend
	traefik     *testbed.Traefik
	prometheus  *testbed.Prometheus
	// api, exposition and metrics stand in front of Traefik's API, of its metrics, and of Prometheus; twin in front of the API
	// once more, as if it were a second replica's.
	api, exposition, metrics, twin *proxy

	dir, url, token string
	store           string // folder of the store, as this process sees it
	postgres        *testbed.Postgres
	daemon          *testbed.Process
	log             *daemonLog
}

// setup says what a world is made of.
type setup struct {
	// documents are the rollouts and analyses.
	documents func(w *world) string
	// direct: the daemon queries Prometheus directly, not through the proxy.
	direct bool
	// postgres: the store is PostgreSQL, w.postgres, instead of SQLite.
	postgres bool
	// tmpfs is the size, as mount takes it, of a file system just for the store's folder; empty for none.
	tmpfs string
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	w.blue = testbed.NewBackend(t, testbed.Behaviour{Version: "blue"})
	w.green = testbed.NewBackend(t, testbed.Behaviour{Version: "green"})
	w.traefik = testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: 100 * time.Millisecond})
	w.exposition = newProxy(t, "http://"+w.traefik.MetricsAddr)
	w.prometheus = testbed.NewPrometheus(t, testbed.PrometheusConfig{ScrapeInterval: scrapeInterval, Jobs: w.jobs()})
	w.api, w.metrics = newProxy(t, w.traefik.API), newProxy(t, w.prometheus.URL)
	w.configure(t, s)
	w.log = newDaemonLog(t, filepath.Join(w.dir, "log.fifo"), func() int {
		if w.daemon == nil {
			return 0
		}
		return w.daemon.PID()
	})
	w.begin(t, s.tmpfs)
	return w
}

// scrapeInterval is repeated in daemonYAML.
const scrapeInterval = 250 * time.Millisecond

func (w *world) jobs() []testbed.ScrapeJob {
	return []testbed.ScrapeJob{{Name: "traefik", Targets: []string{w.exposition.Listener.Addr().String()}}}
}

const daemonYAML = `apiVersion: serin.dev/v1alpha1
kind: Daemon
spec:
  listen: 127.0.0.1:%d
  config: rollouts/
  store: %s
  prometheus: {url: "%s", scrapeInterval: 250ms, timeout: 1s}
`

func (w *world) configure(t *testing.T, s setup) {
	port, err := testbed.FreePort()
	require.NoError(t, err)
	w.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	store := "sqlite:store/serin.db"
	if s.postgres {
		w.postgres = testbed.NewPostgres(t, testbed.PostgresConfig{})
		store, err = w.postgres.CreateDatabase(t.Context(), "serin")
		require.NoError(t, err)
	}
	source := w.metrics.URL
	if s.direct {
		source = w.prometheus.URL
	}
	for _, folder := range []string{"rollouts", "store"} {
		require.NoError(t, os.Mkdir(filepath.Join(w.dir, folder), 0o700))
	}
	for name, text := range map[string]string{
		"serin.yaml":             fmt.Sprintf(daemonYAML, port, store, source),
		"rollouts/rollouts.yaml": s.documents(w),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
	}
}

// begin starts the daemon for the first time. Only the daemon sees the small file system, which disappears with it.
func (w *world) begin(t *testing.T, tmpfs string) {
	t.Helper()
	w.store = filepath.Join(w.dir, "store")
	path, args := "/bin/sh", []string{"-c", `log=$1; shift; exec "$@" 2>"$log"`, "sh", w.log.path, serin, "daemon", "--config", "serin.yaml"}
	if tmpfs != "" {
		mount := `log=$1; shift; mount -t tmpfs -o size=` + tmpfs + ` serin store && cd . && exec "$@" 2>"$log"`
		args[1] = mount
		args = append([]string{"-m", path}, args...)
		if os.Getuid() != 0 {
			args = append([]string{"-U", "-r"}, args...)
		}
		var err error
		path, err = exec.LookPath("unshare")
		require.NoError(t, err)
	}
	w.daemon = testbed.New(t, testbed.Command{Name: "serin", Path: path, Args: args, Dir: w.dir})
	if tmpfs != "" {
		w.store = fmt.Sprintf("/proc/%d/root%s", w.daemon.PID(), w.store)
	}
	w.ready(t)
	folder := w.store
	if w.postgres != nil {
		folder = w.dir
	}
	token, err := os.ReadFile(filepath.Join(folder, "serin.token"))
	require.NoError(t, err)
	w.token = strings.TrimSpace(string(token))
}

func (w *world) ready(t *testing.T) {
	t.Helper()
	await.Until(t, "the daemon is ready", func() string {
		status, text := w.get("/readyz", nil)
		if status == http.StatusOK {
			return ""
		}
		return text
	})
}

// restart starts a daemon that was killed.
func (w *world) restart(t *testing.T) {
	t.Helper()
	require.NoError(t, w.daemon.Restart(t.Context()))
	w.ready(t)
}

// call sends a request to the daemon's API: see [testbed.Call].
func (w *world) call(method, path string, body, out any) (int, string) {
	client := http.Client{Timeout: await.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return testbed.Call(&client, method, w.url+path, w.token, body, out)
}

func (w *world) get(path string, out any) (int, string) {
	return w.call(http.MethodGet, path, nil, out)
}

// view is the part of a rollout's state that these tests look at.
type view struct {
	Release struct{ ID string }
	State   struct {
		Phase, Outcome, Why, StepName string
		Seq, Step, Stage              int
		InForce, Alarm                bool
		UnreachableSince, NoDataSince time.Time
	}
	Confirmation, Gate string
	Swapped            bool
	Verdict            *verdict
	Trouble            []string
}

type verdict struct {
	Outcome, Reason string
	Look            int
	Metrics         []struct {
		Canary, Baseline struct{ Bad, Total float64 }
	}
}

func (w *world) view(name string) (v view, err error) {
	status, text := w.get("/api/v1/rollouts/"+name, &v)
	if status != http.StatusOK {
		return v, fmt.Errorf("%d %s", status, text)
	}
	return v, nil
}

// wait returns once ok accepts the rollout.
func (w *world) wait(t *testing.T, name, what string, ok func(view) bool) view {
	t.Helper()
	var v view
	await.Until(t, what, func() string {
		var err error
		if v, err = w.view(name); err != nil {
			return err.Error()
		}
		if ok(v) {
			return ""
		}
		return fmt.Sprintf("%+v", v)
	})
	return v
}

func ended(v view) bool   { return v.State.Phase == "ended" }
func settled(v view) bool { return v.Confirmation == "in force" }
func atGate(v view) bool  { return v.Gate != "" }
func at(step, stage int) func(view) bool {
	return func(v view) bool { return v.State.Phase == "active" && v.State.Step == step && v.State.Stage == stage }
}

// start starts a release and returns its id.
func (w *world) start(t *testing.T, name string) string {
	t.Helper()
	w.wait(t, name, "stable is served before any release", settled)
	before, err := w.view(name)
	require.NoError(t, err)
	status, text := w.call(http.MethodPost, "/api/v1/rollouts/"+name+"/releases", map[string]any{}, nil)
	require.Contains(t, []int{200, 201}, status, text)
	return w.wait(t, name, "the release exists", func(v view) bool { return v.Release.ID != before.Release.ID }).Release.ID
}

func (w *world) approve(id, gate string) (int, string) {
	return w.call(http.MethodPost, "/api/v1/releases/"+id+"/gates/"+gate, map[string]string{"answer": "approve", "reason": "looks good"}, nil)
}

func (w *world) rollback(id string) (int, string) {
	return w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "by hand"}, nil)
}

// event is the part of an event that these tests look at.
type event struct {
	Kind, Gate, Outcome, Which, Reason string
	Seq, Step, Stage, Turn             int
}

func (w *world) events(t *testing.T, id string) []event {
	t.Helper()
	var out []event
	await.Until(t, "the events of a release", func() string {
		if status, text := w.get("/api/v1/releases/"+id+"/events", &out); status != http.StatusOK {
			return text
		}
		return ""
	})
	return out
}

func count(events []event, kind string) (n int) {
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// metric is the sum of one of the daemon's own metrics over all its labels.
func (w *world) metric(name string) (sum float64) {
	_, text := w.get("/metrics", nil)
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err == nil {
			sum += value
		}
	}
	return sum
}

// looks waits for n more slots of looks: the daemon's own measure of time.
func (w *world) looks(t *testing.T, n float64) {
	t.Helper()
	from := w.metric("serin_look_slot_seconds_count")
	await.Until(t, "looks are taken", func() string {
		if now := w.metric("serin_look_slot_seconds_count"); now < from+n {
			return fmt.Sprint(now)
		}
		return ""
	})
}

// share is the canary's percentage of a rollout's main route, according to Traefik itself.
func (w *world) share(name string) (int, error) {
	var answer struct {
		Weighted struct {
			Services []struct {
				Name   string
				Weight int
			}
		}
	}
	status, text := testbed.Call(&http.Client{Timeout: time.Minute}, http.MethodGet, w.traefik.API+"/api/http/services/"+name+"@file", "", nil, &answer)
	switch {
	case status == http.StatusNotFound:
		return 0, fmt.Errorf("%w: %s", errNoService, name)
	case status != http.StatusOK:
		return 0, errors.New(text)
	}
	canary, all := 0, 0
	for _, s := range answer.Weighted.Services {
		all += s.Weight
		if strings.HasPrefix(s.Name, name+"-canary") {
			canary += s.Weight
		}
	}
	if all == 0 {
		return 0, fmt.Errorf("no weights in %s", text)
	}
	return 100 * canary / all, nil
}

// errNoService: Traefik has no service of that name.
var errNoService = errors.New("no such service")

// waitShare waits until Traefik gives the canary this share, and returns how long that took.
func (w *world) waitShare(t *testing.T, name string, percent int) time.Duration {
	t.Helper()
	begin := time.Now()
	await.Until(t, fmt.Sprintf("%d%% to the canary in Traefik", percent), func() string {
		now, err := w.share(name)
		switch {
		case err != nil:
			return err.Error()
		case now != percent:
			return fmt.Sprint(now)
		}
		return ""
	})
	return time.Since(begin)
}

// users starts the load of a rollout once it is served: everybody, and the beta group.
func (w *world) users(t *testing.T, name string) []*testbed.Load {
	t.Helper()
	url := w.traefik.URL("web") + "/" + name
	await.Until(t, name+" is served", func() string {
		if status, text := testbed.Call(&http.Client{Timeout: time.Minute}, http.MethodGet, url, "", nil, nil); status != http.StatusOK {
			return text
		}
		return ""
	})
	all := testbed.NewLoad(t, testbed.LoadConfig{URL: url, Rate: 100})
	beta := testbed.NewLoad(t, testbed.LoadConfig{URL: url, Rate: 50, Header: http.Header{"X-User-Group": {"beta"}}})
	return []*testbed.Load{all, beta}
}
