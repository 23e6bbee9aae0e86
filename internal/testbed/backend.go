package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// VersionHeader says which backend has sent a response.
const VersionHeader = "X-Version"

// Behaviour is what a backend does with a request.
type Behaviour struct {
	// Version is in the header X-Version and in the body.
	Version string
	// ErrorRate is the share of requests answered with 500, 0 to 1, drawn independently for each request.
	ErrorRate float64
	// Latency is added to every request, SlowLatency to a share SlowRate of them.
	Latency     time.Duration
	SlowRate    float64
	SlowLatency time.Duration
}

// Backend is an application server in this process whose behaviour can be changed while it runs.
type Backend struct {
	// URL is its base URL; Stop and Restart do not change it.
	URL string

	mu        sync.Mutex // guards all below
	behaviour Behaviour
	random    *rand.Rand
	counts    map[int]int
	server    *http.Server
	served    chan struct{}
}

// StartBackend starts a backend on a free loopback port. Which requests fail follows from seed and the order of the
// requests.
func StartBackend(b Behaviour, seed uint64) (*Backend, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := Unserved(b, seed)
	s.URL = "http://" + loopback(port)
	return s, s.Restart()
}

// Unserved is a backend that does not listen: another server calls its ServeHTTP.
func Unserved(b Behaviour, seed uint64) *Backend {
	return &Backend{behaviour: b, counts: map[int]int{}, random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a test's dice
}

// Set changes the behaviour from the next request on.
func (b *Backend) Set(change func(*Behaviour)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.behaviour)
}

// Requests is the number of requests answered since the start, and how many of them with each status.
func (b *Backend) Requests() (total int, byStatus map[int]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	byStatus = map[int]int{}
	for status, n := range b.counts {
		byStatus[status] = n
		total += n
	}
	return total, byStatus
}

// Stop closes the port and all connections; Restart opens it again.
func (b *Backend) Stop() error {
	b.mu.Lock()
	server, served := b.server, b.served
	b.server = nil
	b.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	return err
}

// Restart listens on the same port again; a backend that is listening is stopped first.
func (b *Backend) Restart() error {
	if err := b.Stop(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", b.URL[len("http://"):]) //nolint:noctx // it returns at once
	if err != nil {
		return fmt.Errorf("start a backend: %w", err)
	}
	server := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, Protocols: WithoutTLS()}
	served := make(chan struct{})
	b.mu.Lock()
	b.server, b.served = server, served
	b.mu.Unlock()
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("backend %s: %v", b.URL, err)) // a loopback listener does not break
		}
	}()
	return nil
}

// WithoutTLS are the protocols that an application server speaks in the clear: HTTP/1, and HTTP/2 (h2c).
func WithoutTLS() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Close is Stop; a backend leaves nothing behind.
func (b *Backend) Close() error { return b.Stop() }

// ServeHTTP answers a request with the version, and with 500 or late if the behaviour says so.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	now := b.behaviour
	status, wait := http.StatusOK, now.Latency
	if b.random.Float64() < now.ErrorRate {
		status = http.StatusInternalServerError
	}
	if b.random.Float64() < now.SlowRate {
		wait += now.SlowLatency
	}
	b.counts[status]++
	b.mu.Unlock()
	if wait > 0 {
		if !pause(r.Context(), wait) {
			return
		}
	}
	w.Header().Set(VersionHeader, now.Version)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, now.Version+"\n") //nolint:errcheck,gosec // the client may have gone
}

// pause waits for d; it returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
