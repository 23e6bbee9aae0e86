// Package server answers what may be asked and told over HTTP: the API under /api/v1 with its OpenAPI document,
// sign-in by bearer tokens, server-sent events, health and metrics.
//
// It decides nothing about releases: it checks who may do what, passes requests on, and records who did what. Errors
// become status codes in one table ([Problem]). The API knows no cookies, so another site's page cannot act on a user's
// behalf, and no CORS; the pages of server/web have sessions and forms of their own, and act through [Server.Act] and
// its like, so that who may and what is written down is the same everywhere. Reading needs any token, except /healthz,
// /readyz, /api/v1/version and the OpenAPI document; /metrics is open to this machine while the listener is a loopback
// one, and needs a token otherwise.
//
// Start reading at [New], then api.go.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Engine is what runs releases.
type Engine interface {
	// Rollouts are the views of all rollouts, by name; Rollout is one of them, or record.ErrNotFound.
	Rollouts() []record.View
	Rollout(name string) (record.View, error)
	// Release is the view of one release, running or ended; record.ErrNotFound if it is not there.
	Release(ctx context.Context, id string) (record.View, error)
	// Definition is what is declared of a rollout now; record.ErrNotFound if nothing is.
	Definition(name string) (*rollout.Definition, error)
	// Start starts a release. A request whose key is known gets the release that it started, whatever its ID; with
	// supersede the release may only start later, and its Version is 0 until then.
	Start(ctx context.Context, name string, req rollout.StartRequest, supersede bool) (record.Release, error)
	// Unmeasurable says, one sentence a metric, what a release with these parameters could never measure.
	Unmeasurable(ctx context.Context, name string, parameters map[string]string) []string
	Undo(ctx context.Context, name, reason string, req rollout.StartRequest) (record.Release, error)
	// Retry starts a release of the version that the last release has ended without.
	Retry(ctx context.Context, name, reason string, req rollout.StartRequest) (record.Release, error)
	// Act gives an event to a release and returns the state after it. With a *record.NotWrittenError the state is
	// the one that is being brought about all the same.
	Act(ctx context.Context, id string, event rollout.Event, by string) (rollout.State, error)
	// Subscribe returns what happens from now on until ctx ends; the channel is closed earlier for a reader that is
	// too slow, and when the engine ends.
	Subscribe(ctx context.Context) <-chan record.Update
}

// Store is what remembers releases and who did what. None of its errors leaves anything half done.
type Store interface {
	Releases(ctx context.Context, f record.Filter) ([]record.Release, error)
	History(ctx context.Context, f record.Filter) ([]record.Past, error)
	Events(ctx context.Context, id string, after int) ([]rollout.Event, error)
	Looks(ctx context.Context, release, scope string, after, limit int) ([]record.LookRecord, error)
	Audit(ctx context.Context, a record.AuditEntry) error
	AuditLog(ctx context.Context, f record.AuditFilter) ([]record.AuditEntry, error)
}

// Options is what a server is made of.
type Options struct {
	Engine Engine
	Store  Store
	Tokens *Tokens
	// Cluster authenticates tokens that are not in Serin's form; nil where there are none.
	Cluster Authenticator
	// Problems lists what is wrong with the configuration now; nil for a daemon without any.
	Problems func() []ConfigProblem
	// Ready says why the daemon cannot do its work yet; nil when it can.
	Ready func() error
	// Pages makes what people see, served wherever the API has nothing; nil for an API alone.
	Pages func(*Server) http.Handler
	// Elsewhere answers all but health and metrics, in a daemon that stands by: see [NewForwarder]. Engine, Store and
	// Pages are not used then.
	Elsewhere http.Handler
	// ExternalURL is where others reach this server, for addresses in answers; empty is what each caller has used.
	ExternalURL string
	// Proxies are trusted to name their callers in X-Forwarded-For and X-Forwarded-Proto, as are daemons that have the
	// same PeerKey. Nobody else is.
	Proxies Proxies
	PeerKey []byte
	// Version of this build.
	Version string
	Log     *slog.Logger
	// Registry takes the server's own metrics; /metrics serves all of it.
	Registry *prometheus.Registry
	// Heartbeat is how often a quiet event stream says that it is there; 0 is 15 s, below the idle limits of the
	// proxies in use.
	Heartbeat time.Duration
}

// Bounds of a connection. A body is at most some parameters and a reason; an answer is at most a page of looks.
const (
	maxBody           = 64 << 10
	maxHeader         = 32 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	// shutdownTimeout bounds how long requests may take once the daemon is stopping.
	shutdownTimeout = 5 * time.Second
)

// Server serves the API.
type Server struct {
	o       Options
	metrics *metrics
	origin  origin
	handler http.Handler
	pages   http.Handler // nil for none
	sight   Sight
	places  places      // of event streams
	late    lateEntries // of the audit log

	mu       sync.Mutex // guards loopback
	loopback bool

	stopping context.Context //nolint:containedctx // of Run: streams end with it
	stop     context.CancelFunc
}

// New makes a server; it listens on nothing before [Server.Run].
func New(o Options) *Server {
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	s := &Server{
		o: o, origin: origin{peerWord(o.PeerKey), o.Proxies, o.ExternalURL}, metrics: newMetrics(o.Registry),
		sight: NewSight(o.Engine, o.Store, o.Problems),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.handler = s.build()
	return s
}

// Handler is the whole API, for an external listener.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on l until ctx ends, then lets requests in progress finish for a few seconds; event streams end at
// once. l is closed when it returns.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	s.mu.Lock()
	s.loopback = isLoopback(l.Addr())
	s.mu.Unlock()
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	var unused unusedConns
	server.ConnState = unused.follow
	if own, ok := l.(*Listener); ok {
		server.ConnContext = own.Context
		server.ConnState = func(c net.Conn, state http.ConnState) {
			own.Follow(c, state)
			unused.follow(c, state)
		}
	}
	auditing, audited := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { s.catchUp(auditing) })
	defer background.Wait()
	defer audited() // after the last request
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.stop()
	unused.close()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-done //nolint:errcheck // Serve's error after Shutdown says nothing
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) onLoopback() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loopback
}

// unusedConns are the connections that have not carried a request yet. Clients open some in advance, and Shutdown would
// wait 5 seconds for each.
type unusedConns struct {
	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

func (u *unusedConns) follow(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.closed:
		_ = c.Close() // nothing was sent on it
	default:
		if u.conns == nil {
			u.conns = map[net.Conn]struct{}{}
		}
		u.conns[c] = struct{}{}
	}
}

func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Close() // nothing was sent on it
	}
}
