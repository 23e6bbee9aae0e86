package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

// answering serves on a bounded listener; /wait does not answer before the test ends.
func answering(t *testing.T, most int, proxies server.Proxies) string {
	t.Helper()
	under, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := server.Bounded(under, most, proxies)
	end := make(chan struct{})
	s := &http.Server{ConnState: l.Follow, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-end
		}
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		close(end)
		require.NoError(t, s.Close())
		<-done
	})
	return under.Addr().String()
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

// ended waits until the server has closed it.
func (c *caller) ended() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, c.answers)
	require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded, "it is open")
}

func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	address := answering(t, 20, nil)
	other := dial(t, "127.0.0.9", address)
	require.NoError(t, other.asks("/"))
	var flood []*caller
	for range 60 {
		c := dial(t, "127.0.0.1", address)
		require.NoError(t, c.asks("/"), "each new one is taken")
		flood = append(flood, c)
	}
	for _, c := range flood[:55] {
		c.ended()
	}
	require.NoError(t, flood[59].asks("/"))
	require.NoError(t, other.asks("/"), "another address keeps its own")
	for i := range 40 { // from many addresses
		c := dial(t, fmt.Sprintf("127.0.1.%d", i+1), address)
		require.NoError(t, c.asks("/"))
	}
	late := dial(t, "127.0.0.10", address)
	require.NoError(t, late.asks("/"))
}

func TestAConnectionThatIsAtWorkIsNotGivenUp(t *testing.T) {
	address := answering(t, 20, nil)
	var busy []*caller
	for range 5 {
		c := dial(t, "127.0.0.1", address)
		require.NoError(t, c.asks("/"))
		require.NoError(t, c.asks("/wait"))
		busy = append(busy, c)
	}
	refused := 0
	for range 20 { // what was asked may not have been read yet
		if c := dial(t, "127.0.0.1", address); c.asks("/") != nil {
			refused++
		}
	}
	require.NotZero(t, refused, "one address has a part of the places")
	require.NoError(t, dial(t, "127.0.0.9", address).asks("/"), "others have the rest")
	require.Len(t, busy, 5)
}

func TestAProxyBringsManyPeople(t *testing.T) {
	address := answering(t, 20, server.Proxies{netip.MustParsePrefix("127.0.0.0/24")})
	var all []*caller
	for range 15 {
		c := dial(t, "127.0.0.1", address)
		require.NoError(t, c.asks("/"))
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
