package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// still is an engine in which nothing happens.
type still struct{ server.Engine }

func (still) Rollouts() []record.View                        { return nil }
func (still) Subscribe(context.Context) <-chan record.Update { return nil }

// pipes is a network of this process, which lives in a bubble of time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, errors.New("nobody listens")
	}
}

func TestAQuietStreamLasts(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key, "serin.example.com")
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	secrets, tokens := roster()
	path := filepath.Join(dir, "tokens.yaml")
	require.NoError(t, server.SaveTokens(path, tokens))
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				verify, err := server.OpenTokens(path, quiet())
				require.NoError(t, err)
				s := server.New(server.Options{Engine: still{}, Tokens: verify, Log: quiet(), Registry: prometheus.NewRegistry()})
				network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					done <- s.Run(ctx, tls.NewListener(network, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}))
				}()
				defer func() {
					cancel()
					require.NoError(t, <-done)
				}()
				client := &http.Transport{
					DialContext: network.dial, ForceAttemptHTTP2: proto == "HTTP/2.0",
					TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // in this process
				}
				defer client.CloseIdleConnections()
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://serin.example.com/api/v1/events", nil)
				require.NoError(t, err)
				r.Header.Set("Authorization", "Bearer "+secrets["vera"])
				resp, err := client.RoundTrip(r)
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				require.Equal(t, proto, resp.Proto)
				lines := bufio.NewScanner(resp.Body)
				for began, beats := time.Now(), 0; time.Since(began) < 10*time.Minute; {
					require.True(t, lines.Scan(), "it has ended after %s: %v", time.Since(began), lines.Err())
					if lines.Text() == ": still here" {
						beats++
						require.Equal(t, time.Duration(beats)*15*time.Second, time.Since(began).Round(time.Second))
					}
				}
			})
		})
	}
}

func TestOneViewerDoesNotTakeAllEventStreams(t *testing.T) {
	d := newDaemon(t)
	var status int
	for i := range 33 {
		resp, err := http.DefaultClient.Do(d.request("vera", http.MethodGet, "/api/v1/events", ""))
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		if status = resp.StatusCode; i < 32 {
			require.Equal(t, http.StatusOK, status, i)
		}
	}
	require.Equal(t, http.StatusServiceUnavailable, status)
	resp, err := http.DefaultClient.Do(d.request("ada", http.MethodGet, "/api/v1/events", ""))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "others have theirs")
}
