package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

// answering serves on a bounded listener; /wait says that it is asked, and does not answer before the test ends.
func answering(t *testing.T, most int, proxies server.Proxies) (address string, asked <-chan struct{}) {
	t.Helper()
	under, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := server.Bounded(under, most, proxies)
	end, begun := make(chan struct{}), make(chan struct{})
	s := &http.Server{ConnState: l.Follow, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-end
		}
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		close(end)
		require.NoError(t, s.Close())
		<-done //nolint:errcheck // it says that it was closed
	})
	return under.Addr().String(), begun
}

// caller is one connection.
type caller struct {
	t *testing.T
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, from, to string) *caller {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

func (c *caller) asks(path string) error {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: serin\r\n\r\n", path); err != nil {
		return err
	}
	if path == "/wait" {
		return nil
	}
	r, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// enters dials until it is let in: that a connection is idle shows a moment after its answer.
func enters(t *testing.T, from, to string) *caller {
	t.Helper()
	for {
		if c := dial(t, from, to); c.asks("/") == nil {
			return c
		}
		require.NoError(t, t.Context().Err())
	}
}

func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	address, _ := answering(t, 20, nil)
	other := enters(t, "127.0.0.9", address)
	var flood []*caller
	for range 60 {
		flood = append(flood, enters(t, "127.0.0.1", address))
	}
	open := 0
	for _, c := range flood {
		if c.asks("/") == nil {
			open++
		}
	}
	require.LessOrEqual(t, open, 5, "one address has a part of the places")
	require.NoError(t, other.asks("/"), "another address keeps its own")
	for i := range 40 {
		enters(t, fmt.Sprintf("127.0.1.%d", i+1), address)
	}
	enters(t, "127.0.0.10", address)
}

func TestAConnectionThatIsAtWorkIsNotGivenUp(t *testing.T) {
	address, asked := answering(t, 20, nil)
	var busy []*caller
	for range 5 {
		c := dial(t, "127.0.0.1", address)
		require.NoError(t, c.asks("/wait"))
		<-asked
		busy = append(busy, c)
	}
	refused := 0
	for range 20 {
		if c := dial(t, "127.0.0.1", address); c.asks("/") != nil {
			refused++
		}
	}
	require.Equal(t, 20, refused, "one address has a part of the places")
	require.NoError(t, dial(t, "127.0.0.9", address).asks("/"), "others have the rest")
	require.Len(t, busy, 5)
}

// Strangers who send half a request on each of their connections keep nobody out, even behind the same address.
func TestHalfARequestKeepsNobodyOut(t *testing.T) {
	d := newDaemon(t)
	to := strings.TrimPrefix(d.url, "http://")
	resp, err := http.DefaultClient.Do(d.request("vera", http.MethodGet, "/api/v1/events", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	halves := []string{
		"GET /api/v1/me HTTP/1.1\r\nHost: serin\r\n",
		"POST /api/v1/rollouts/shop/releases HTTP/1.1\r\nHost: serin\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
	}
	for i := range 600 {
		c := dial(t, "127.0.0.1", to)
		_, _ = io.WriteString(c, halves[i%2]) // it may have been given up already
		if i%100 == 99 {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Do(d.request("otto", http.MethodGet, "/api/v1/me", ""))
			require.NoError(t, err, "after %d", i)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusOK, answer.StatusCode)
		}
	}
	d.start("shop")
	read := bufio.NewReader(resp.Body)
	for line := ""; !strings.Contains(line, "shop"); {
		line, err = read.ReadString('\n')
		require.NoError(t, err, "a stream of somebody who is known goes on")
	}
}

func TestAProxyBringsManyPeople(t *testing.T) {
	address, _ := answering(t, 20, server.Proxies{netip.MustParsePrefix("127.0.0.0/24")})
	var all []*caller
	for range 15 {
		c := enters(t, "127.0.0.1", address)
		all = append(all, c)
	}
	for _, c := range all {
		require.NoError(t, c.asks("/"), "all of them are open")
	}
}

func TestTheDaemonKeepsFilesForItself(t *testing.T) {
	for files, bound := range map[int]int{0: 16, 150: 21, 1024: 240, 20_000: 1000, 1 << 30: 1000} {
		require.Equal(t, bound, server.BoundOf(files), files)
	}
}
