package testcluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/serindev/serin/internal/testbed"
)

// redial is how often a relay tries to reach an API server that is down.
const redial = 50 * time.Millisecond

// relay stands between the API server and all clients that are not under test. While the API server is down, it holds
// their connections: a client that is refused waits up to a minute before it tries again, and no test should have to
// wait for controllers, kwok and Traefik.
type relay struct {
	to       string
	listener net.Listener
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func startRelay(to string) (*relay, error) {
	port, err := testbed.FreePort()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it returns at once
	if err != nil {
		return nil, fmt.Errorf("relay to the API server: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{to: to, listener: l, stop: cancel}
	r.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			r.running.Go(func() { r.pass(ctx, client) })
		}
	})
	return r, nil
}

func (r *relay) url() string { return "https://" + r.listener.Addr().String() }

func (r *relay) close() error {
	err := r.listener.Close()
	r.stop()
	r.running.Wait()
	return err
}

// pass connects a client to the API server, as soon as that is up, until either closes the connection.
func (r *relay) pass(ctx context.Context, client net.Conn) {
	server, err := r.dial(ctx)
	if err != nil {
		client.Close() //nolint:errcheck,gosec // it is over
		return
	}
	join(ctx, client, server)
}

// join copies between two connections until either is closed or ctx ends, and closes both.
func join(ctx context.Context, a, b net.Conn) {
	var ways sync.WaitGroup
	defer ways.Wait()
	defer a.Close() //nolint:errcheck // it is over
	defer b.Close() //nolint:errcheck // it is over
	over := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		ways.Go(func() {
			io.Copy(way[0], way[1]) //nolint:errcheck,gosec // either end may go at any time
			over <- struct{}{}
		})
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

func (r *relay) dial(ctx context.Context) (net.Conn, error) {
	tick := time.NewTicker(redial)
	defer tick.Stop()
	for {
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp4", r.to)
		if err == nil {
			return server, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
