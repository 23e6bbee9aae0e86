package testbed

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// logged is a server that writes a log.
type logged interface {
	io.Closer
	LogTail() string
}

// follow ends a server when the test ends, and shows the end of its log if the test failed.
func follow(tb testing.TB, name string, s logged) {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of the log of %s:\n%s", name, s.LogTail())
		}
		if err := s.Close(); err != nil {
			tb.Errorf("end %s: %v", name, err)
		}
	})
}

// New starts a command for a test. See [Start].
func New(tb testing.TB, c Command) *Process {
	tb.Helper()
	p, err := Start(tb.Context(), c)
	require.NoError(tb, err)
	follow(tb, c.Name, p)
	return p
}

// NewTraefik starts a Traefik for a test. See [StartTraefik].
func NewTraefik(tb testing.TB, c TraefikConfig) *Traefik {
	tb.Helper()
	t, err := StartTraefik(tb.Context(), c)
	require.NoError(tb, err)
	follow(tb, "traefik", t)
	return t
}

// NewPrometheus starts a Prometheus for a test. See [StartPrometheus].
func NewPrometheus(tb testing.TB, c PrometheusConfig) *Prometheus {
	tb.Helper()
	p, err := StartPrometheus(tb.Context(), c)
	require.NoError(tb, err)
	follow(tb, "prometheus", p)
	return p
}

// NewPostgres starts a PostgreSQL for a test. See [StartPostgres].
func NewPostgres(tb testing.TB, c PostgresConfig) *Postgres {
	tb.Helper()
	p, err := StartPostgres(tb.Context(), c)
	require.NoError(tb, err)
	follow(tb, "postgres", p)
	return p
}

// DeadURL is an address where nothing listens: that of a backend that has been stopped.
func DeadURL(tb testing.TB) string {
	tb.Helper()
	b := NewBackend(tb, Behaviour{})
	require.NoError(tb, b.Stop())
	return b.URL
}

// NewBackend starts a backend for a test. See [StartBackend]; its random numbers are always the same.
func NewBackend(tb testing.TB, behaviour Behaviour) *Backend {
	tb.Helper()
	b, err := StartBackend(behaviour, 1)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("end a backend: %v", err)
		}
	})
	return b
}

// NewLoad starts a load that ends with the test. See [StartLoad].
func NewLoad(tb testing.TB, c LoadConfig) *Load {
	tb.Helper()
	l := StartLoad(context.WithoutCancel(tb.Context()), c)
	tb.Cleanup(func() { l.Stop() })
	return l
}
