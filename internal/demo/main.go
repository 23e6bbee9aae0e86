// Command demo answers the question what Serin does: behind a real Traefik, and on evidence read from it, a good version is
// tested, raised and released, and a bad one is caught and rolled back. Everything is on loopback.
//
// PROMETHEUS=1 takes the evidence from a real Prometheus instead. KEEP=1 leaves everything running at the end and
// prints the addresses. With -result, what happened is also written as JSON; the test of the demo reads it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/serindev/serin/internal/testbed"
)

// The traffic is enough to decide within the demo's margins and time. Half a percent of all requests fail whatever
// version serves them, as in real life; eight percent of the bad version's do. Nothing is known about the shop's past
// yet, so a smaller difference would have to last for minutes to be told from a passing one.
const (
	everybodyRate = 400
	betaRate      = 500
	baseErrors    = 0.005
	badErrors     = 0.08
	scrapeEvery   = 500 * time.Millisecond
)

// options say how the demo runs.
type options struct {
	// binary is the serin that is shown.
	binary string
	// result is the file for what happened, as JSON; empty for none.
	result string
	// patience is how long a single step may take.
	patience time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.binary, "serin", "", "the program `FILE` to show (default bin/serin of the repository)")
	flag.StringVar(&o.result, "result", "", "write what happened to this `FILE`, as JSON")
	flag.DurationVar(&o.patience, "patience", 3*time.Minute, "how long a single step may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Println("\nStopped; everything that was started has been stopped and removed.")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// stage is everything that the demo runs on.
type stage struct {
	*narrator
	options
	result      result
	dir         string
	blue, green *testbed.Backend
	traefik     *testbed.Traefik
	prometheus  *testbed.Prometheus
	everybody   *testbed.Load
	beta        *testbed.Load
	serin       *testbed.Process
	address     string
}

func run(ctx context.Context, o options) (err error) {
	testbed.FromOutside() // users and shop share one processor and leave the others to Traefik and Serin
	dir, err := os.MkdirTemp("", "serin-demo-")
	if err != nil {
		return err
	}
	s := &stage{narrator: newNarrator(os.Stdout), options: o, dir: dir}
	defer func() { err = errors.Join(err, s.end(ctx, err)) }()
	if err := s.build(ctx); err != nil {
		return err
	}
	if err := s.goodVersion(ctx); err != nil {
		return err
	}
	if err := s.badVersion(ctx); err != nil {
		return err
	}
	return s.report()
}

// report writes the result, if there is a file for it.
func (s *stage) report() error {
	if s.options.result == "" {
		return nil
	}
	text, err := json.MarshalIndent(s.result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.options.result, text, 0o600)
}

// build starts the servers, the load and Serin.
func (s *stage) build(ctx context.Context) (err error) {
	with := ""
	s.result.Source = "scrape"
	if os.Getenv("PROMETHEUS") != "" {
		s.result.Source, with = "prometheus", "a real Prometheus, "
	}
	s.title("Starting a real Traefik, " + with + "two versions of a small shop, users, and Serin")
	if s.blue, err = testbed.StartBackend(testbed.Behaviour{Version: "v1", ErrorRate: baseErrors}, 1); err != nil {
		return err
	}
	if s.green, err = testbed.StartBackend(testbed.Behaviour{Version: "v2", ErrorRate: baseErrors}, 2); err != nil {
		return err
	}
	if s.traefik, err = testbed.StartTraefik(ctx, testbed.TraefikConfig{}); err != nil {
		return err
	}
	if with != "" {
		s.prometheus, err = testbed.StartPrometheus(ctx, testbed.PrometheusConfig{
			ScrapeInterval: scrapeEvery, Jobs: []testbed.ScrapeJob{{Name: "traefik", Targets: []string{s.traefik.MetricsAddr}}},
		})
		if err != nil {
			return err
		}
	}
	if err := s.startSerin(ctx); err != nil {
		return err
	}
	s.everybody = testbed.StartLoad(ctx, testbed.LoadConfig{URL: s.traefik.URL("web"), Rate: everybodyRate})
	s.beta = testbed.StartLoad(ctx, testbed.LoadConfig{URL: s.traefik.URL("web"), Rate: betaRate, Header: http.Header{"X-User-Group": {"beta"}}})
	s.say("Traefik     %s   its metrics: %s", s.traefik.URL("web"), s.traefik.Metrics)
	if s.prometheus != nil {
		s.say("Prometheus  %s", s.prometheus.URL)
	}
	s.say("Serin       %s   its files: %s", s.address, s.dir)
	s.say("the shop    v1 at %s, v2 at %s; %g%% of all answers are errors", s.blue.URL, s.green.URL, 100*baseErrors)
	s.say("users       %d requests a second, and %d more from beta users (header X-User-Group: beta)", everybodyRate, betaRate)
	return nil
}

func (s *stage) startSerin(ctx context.Context) error {
	if s.binary = s.options.binary; s.binary == "" {
		root, err := testbed.Root()
		if err != nil {
			return err
		}
		s.binary = filepath.Join(root, "bin", "serin")
	}
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	s.address = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.server, s.token = s.address, filepath.Join(s.dir, "serin.token")
	files := map[string]string{
		"serin.yaml":         fmt.Sprintf(daemonYAML, port, s.metrics()),
		"rollouts/shop.yaml": fmt.Sprintf(shopYAML, filepath.Join(s.traefik.Directory, "shop.yaml"), s.traefik.API, s.blue.URL, s.green.URL),
	}
	if err := os.Mkdir(filepath.Join(s.dir, "rollouts"), 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	s.serin, err = testbed.Start(ctx, testbed.Command{
		Name: "serin", Path: s.binary, Args: []string{"daemon", "--config", filepath.Join(s.dir, "serin.yaml")},
		Ready: s.ready, Dir: s.dir,
	})
	return err
}

// metrics is the part of the daemon's document that says where metrics come from.
func (s *stage) metrics() string {
	if s.prometheus != nil {
		return fmt.Sprintf("{url: %q, scrapeInterval: %s}", s.prometheus.URL, scrapeEvery)
	}
	return fmt.Sprintf("{scrape: {targets: [%q], interval: %s}}", s.traefik.Metrics, scrapeEvery)
}

// ready returns an error unless Serin is ready.
func (s *stage) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", res.Status)
	}
	return nil
}

// end stops and removes everything, unless it is to be kept.
func (s *stage) end(ctx context.Context, failed error) error {
	if os.Getenv("KEEP") != "" && failed == nil {
		s.title("Everything keeps running (KEEP=1) until you press Ctrl-C")
		s.say("its pages   %s   sign in with the token in %s", s.address, s.token)
		s.say("its command export SERIN_SERVER=%s SERIN_TOKEN_FILE=%s; %s status shop", s.address, s.token, s.binary)
		s.say("Traefik     %s   what it serves: %s/api/http/services", s.traefik.URL("web"), s.traefik.API)
		if s.prometheus != nil {
			s.say("Prometheus  %s", s.prometheus.URL)
		}
		<-ctx.Done()
	} else if failed == nil {
		defer func() {
			s.title("Everything that was started has been stopped and removed")
			s.say("make demo KEEP=1 keeps it running, with its pages; docs/tutorial.md does the same by hand")
		}()
	}
	if s.everybody != nil {
		s.everybody.Stop()
		s.beta.Stop()
	}
	var errs []error
	if s.serin != nil {
		errs = append(errs, s.serin.Close())
	}
	if s.prometheus != nil {
		errs = append(errs, s.prometheus.Close())
	}
	if s.traefik != nil {
		errs = append(errs, s.traefik.Close())
	}
	for _, b := range []*testbed.Backend{s.blue, s.green} {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
