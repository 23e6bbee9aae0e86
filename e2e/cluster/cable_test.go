package cluster

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cable is the connection of a daemon to something that it needs. While it is cut, nothing passes and nothing is
// refused, as when packets are lost.
type cable struct {
	listener net.Listener
	to       string

	mu     sync.Mutex // guards what follows
	moved  *sync.Cond
	cut    bool
	closed bool
	ends   []net.Conn
}

// newCable leads to the host and port of an address, and returns that address with its own host and port.
func newCable(t *testing.T, address string) (c *cable, through string) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
	require.NoError(t, err)
	c = &cable{listener: listener, to: u.Host}
	c.moved = sync.NewCond(&c.mu)
	var serving sync.WaitGroup
	serving.Go(func() { c.serve(&serving) })
	t.Cleanup(func() {
		_ = listener.Close()
		c.mu.Lock()
		c.closed = true
		for _, end := range c.ends {
			_ = end.Close()
		}
		c.moved.Broadcast()
		c.mu.Unlock()
		serving.Wait()
	})
	u.Host = listener.Addr().String()
	return c, u.String()
}

func (c *cable) serve(serving *sync.WaitGroup) {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to) //nolint:noctx // on the same machine
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.ends = append(c.ends, near, far)
		if c.closed {
			_, _ = near.Close(), far.Close()
		}
		c.mu.Unlock()
		serving.Go(func() { c.carry(far, near) })
		serving.Go(func() { c.carry(near, far) })
	}
}

// carry copies what one end sends to the other, until either is closed.
func (c *cable) carry(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it may have gone
	defer from.Close() //nolint:errcheck // it may have gone
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.passable()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// passable returns once the cable is whole.
func (c *cable) passable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.cut && !c.closed {
		c.moved.Wait()
	}
}

// set cuts the cable, or makes it whole.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.moved.Broadcast()
}
