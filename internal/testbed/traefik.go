package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TraefikConfig says how a Traefik is started; its zero value is ready to use.
type TraefikConfig struct {
	// Directory is what the file provider watches. Empty: a new one in the process's folder.
	Directory string
	// EntryPoints are the names of the entry points for traffic; empty: "web".
	EntryPoints []string
	// Buckets are the bounds in seconds of its latency histograms; empty: Traefik's own (0.1, 0.3, 1.2, 5).
	Buckets []float64
	// Throttle is providersThrottleDuration; 0: Traefik's own (2 s).
	Throttle time.Duration
	// Host is the address that it listens on; empty: 127.0.0.1.
	Host string
	// LogLevel is "INFO" if empty. AccessLog writes a line per request to the log.
	LogLevel  string
	AccessLog bool
	// Args are added to the command line.
	Args []string
	// Dir holds the log and, unless Directory is set, the watched folder. Empty: a temporary folder, removed by Close.
	Dir string
}

// Traefik is a running Traefik with the file provider, its API and its metrics on entry points of their own.
type Traefik struct {
	*Process
	// Directory is the watched one.
	Directory string
	// API is the base URL of the API, without a path. Metrics is the URL to scrape, MetricsAddr its host and port.
	API         string
	Metrics     string
	MetricsAddr string

	entryPoints map[string]string
}

// StartTraefik starts a Traefik and returns when its API answers.
func StartTraefik(ctx context.Context, c TraefikConfig) (*Traefik, error) {
	path, err := Tool("traefik")
	if err != nil {
		return nil, err
	}
	t := &Traefik{entryPoints: map[string]string{}}
	dir, own := c.Dir, false
	if dir == "" {
		if dir, err = os.MkdirTemp("", "serin-traefik-"); err != nil {
			return nil, fmt.Errorf("start traefik: %w", err)
		}
		own = true
	}
	if t.Directory = c.Directory; t.Directory == "" {
		t.Directory = filepath.Join(dir, "dynamic")
		if err := os.MkdirAll(t.Directory, 0o755); err != nil { //nolint:gosec // nothing secret
			return nil, fmt.Errorf("start traefik: %w", err)
		}
	}
	if err := writeDefaultCertificate(t.Directory); err != nil {
		return nil, fmt.Errorf("start traefik: %w", err)
	}
	args, err := t.args(c)
	if err != nil {
		return nil, fmt.Errorf("start traefik: %w", err)
	}
	t.Process, err = Start(ctx, Command{Name: "traefik", Path: path, Args: args, Dir: dir, Single: true, Ready: httpReady(t.API + "/api/overview")})
	if err != nil {
		if own {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return nil, err
	}
	t.ownDir = own
	return t, nil
}

// writeDefaultCertificate gives Traefik a certificate. Without one it makes a new one, with a new RSA key, each time
// its configuration changes: a tenth of a second of processor time, and most of what a change costs.
func writeDefaultCertificate(directory string) error {
	text, err := defaultCertificate()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, "default-certificate.yaml"), []byte(text), 0o600)
}

// defaultCertificate is the configuration of one certificate for all Traefiks of this process.
var defaultCertificate = sync.OnceValues(func() (string, error) {
	authority, err := NewAuthority()
	if err != nil {
		return "", err
	}
	cert, key, err := authority.Serve("default.example.com")
	return fmt.Sprintf("tls: {stores: {default: {defaultCertificate: {certFile: %q, keyFile: %q}}}}\n", cert, key), err
})

// args chooses the ports and returns the command line.
func (t *Traefik) args(c TraefikConfig) ([]string, error) {
	names := c.EntryPoints
	if len(names) == 0 {
		names = []string{"web"}
	}
	args := []string{
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
		"--providers.file.directory=" + t.Directory, "--providers.file.watch=true",
		"--api.insecure=true", // on the entry point "traefik"
		"--metrics.prometheus=true", "--metrics.prometheus.entrypoint=metrics",
		"--metrics.prometheus.addserviceslabels=true", "--metrics.prometheus.addrouterslabels=true",
		"--metrics.prometheus.addentrypointslabels=true",
	}
	for _, name := range append([]string{"traefik", "metrics"}, names...) {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		address := net.JoinHostPort(cmp.Or(c.Host, "127.0.0.1"), strconv.Itoa(port))
		t.entryPoints[name] = address
		args = append(args, "--entrypoints."+name+".address="+address)
		if slices.Contains(names, name) { // otherwise a router without entry points would be served on the metrics' one too
			args = append(args, "--entrypoints."+name+".asdefault=true")
		}
	}
	t.API = "http://" + t.entryPoints["traefik"]
	t.MetricsAddr = t.entryPoints["metrics"]
	t.Metrics = "http://" + t.MetricsAddr + "/metrics"
	if len(c.Buckets) > 0 {
		text := make([]string, len(c.Buckets))
		for i, b := range c.Buckets {
			text[i] = strconv.FormatFloat(b, 'f', -1, 64)
		}
		args = append(args, "--metrics.prometheus.buckets="+strings.Join(text, ","))
	}
	if c.Throttle > 0 {
		args = append(args, "--providers.providersthrottleduration="+c.Throttle.String())
	}
	level := c.LogLevel
	if level == "" {
		level = "INFO"
	}
	args = append(args, "--log.level="+level)
	if c.AccessLog {
		args = append(args, "--accesslog=true")
	}
	return append(args, c.Args...), nil
}

// Addr is the host and port of an entry point, empty if there is none of that name.
func (t *Traefik) Addr(entryPoint string) string { return t.entryPoints[entryPoint] }

// URL is the base URL of an entry point, over HTTP.
func (t *Traefik) URL(entryPoint string) string { return "http://" + t.entryPoints[entryPoint] }

// TraefikKnows reports whether the Traefik of these tests has an option of the command line, without the dashes.
func TraefikKnows(tb testing.TB, option string) bool {
	tb.Helper()
	traefik, err := Tool("traefik")
	if err != nil {
		tb.Fatal(err)
	}
	help, err := exec.CommandContext(tb.Context(), traefik, "--help").CombinedOutput() //nolint:gosec // the server of the tests
	if err != nil {
		tb.Fatalf("%v: %s", err, help)
	}
	return strings.Contains(strings.ToLower(string(help)), "--"+option)
}
