package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PrometheusConfig says how a Prometheus is started.
type PrometheusConfig struct {
	// ScrapeInterval of all jobs; 0: 1 s.
	ScrapeInterval time.Duration
	// Jobs are scraped; they can be changed with [Prometheus.SetJobs].
	Jobs []ScrapeJob
	// Extra is added at the end of the configuration file, such as rule_files or remote_write.
	Extra string
	// Args are added to the command line, such as --enable-feature=….
	Args []string
	// Dir holds the log, configuration and storage. Empty: a temporary folder, removed by Close.
	Dir string
}

// ScrapeJob is one job of Prometheus with its static targets.
type ScrapeJob struct {
	Name string
	// Targets are host:port.
	Targets []string
	// Path; empty: /metrics.
	Path string
	// Interval; 0: ScrapeInterval.
	Interval time.Duration
	// Labels are added to all its series.
	Labels map[string]string
	// Relabel is its metric_relabel_configs as YAML on one line; empty for none.
	Relabel string
}

// Prometheus is a running Prometheus with storage of its own.
type Prometheus struct {
	*Process
	// URL is its base URL.
	URL string

	config PrometheusConfig
}

// StartPrometheus starts a Prometheus and returns when it is ready.
func StartPrometheus(ctx context.Context, c PrometheusConfig) (*Prometheus, error) {
	path, err := Tool("prometheus")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	own := c.Dir == ""
	if own {
		if c.Dir, err = os.MkdirTemp("", "serin-prometheus-"); err != nil {
			return nil, fmt.Errorf("start prometheus: %w", err)
		}
	}
	p := &Prometheus{URL: "http://" + loopback(port), config: c}
	if err := p.writeConfig(); err != nil {
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	args := append([]string{
		"--config.file=" + p.configPath(), "--storage.tsdb.path=" + filepath.Join(c.Dir, "data"),
		"--web.listen-address=" + loopback(port), "--web.enable-lifecycle",
	}, c.Args...)
	p.Process, err = Start(ctx, Command{Name: "prometheus", Path: path, Args: args, Dir: c.Dir, Single: true, Ready: httpReady(p.URL + "/-/ready")})
	if err != nil {
		if own {
			err = errors.Join(err, os.RemoveAll(c.Dir))
		}
		return nil, err
	}
	p.ownDir = own
	return p, nil
}

func (p *Prometheus) configPath() string { return filepath.Join(p.config.Dir, "prometheus.yml") }

func (p *Prometheus) writeConfig() error {
	interval := p.config.ScrapeInterval
	if interval == 0 {
		interval = time.Second
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global:\n  scrape_interval: %s\n  scrape_timeout: %s\n  evaluation_interval: %s\n", promDuration(interval),
		promDuration(min(interval, 10*time.Second)), promDuration(interval))
	b.WriteString("scrape_configs:\n")
	for _, j := range p.config.Jobs {
		targets, err := json.Marshal(append([]string{}, j.Targets...)) // JSON is YAML
		if err != nil {
			return err
		}
		labels, err := json.Marshal(j.Labels)
		if err != nil {
			return err
		}
		path := j.Path
		if path == "" {
			path = "/metrics"
		}
		// Compression costs a Traefik a fifteenth of its processor time, and saves nothing on loopback.
		fmt.Fprintf(&b, "  - job_name: %s\n    metrics_path: %s\n    enable_compression: false\n", strconv.Quote(j.Name), strconv.Quote(path))
		if j.Interval > 0 {
			fmt.Fprintf(&b, "    scrape_interval: %s\n    scrape_timeout: %s\n", promDuration(j.Interval),
				promDuration(min(j.Interval, 10*time.Second)))
		}
		if j.Relabel != "" {
			fmt.Fprintf(&b, "    metric_relabel_configs: %s\n", j.Relabel)
		}
		fmt.Fprintf(&b, "    static_configs:\n      - targets: %s\n        labels: %s\n", targets, labels)
	}
	b.WriteString(p.config.Extra)
	return os.WriteFile(p.configPath(), []byte(b.String()), 0o600)
}

// promDuration writes whole milliseconds: Prometheus's durations have no fractions.
func promDuration(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// SetJobs replaces the jobs and makes Prometheus read its configuration again.
func (p *Prometheus) SetJobs(ctx context.Context, jobs ...ScrapeJob) error {
	p.config.Jobs = jobs
	if err := p.writeConfig(); err != nil {
		return fmt.Errorf("set the jobs of prometheus: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/-/reload", nil)
	if err != nil {
		return fmt.Errorf("reload prometheus: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reload prometheus: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reload prometheus: %s", resp.Status)
	}
	return nil
}
