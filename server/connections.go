package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Bounds of open connections. Each takes a file descriptor, and the daemon's own files, Traefik's routes and the store
// among them, must always find one.
const (
	// maxConns of one listener: far above the people and programs of one Serin; some 7 KB each.
	maxConns = 1000
	// leastConns is the minimum, however few files a process may have.
	leastConns = 16
	// filesReserved are kept for the daemon's own files and connections.
	filesReserved = 64
	// filesPerConn: there are two listeners, and a standby opens a second connection for each that it accepts.
	filesPerConn = 4
	// partOfOne: one address gets at most this fraction of the connections.
	partOfOne = 4
)

// boundOf is how many connections a listener accepts in a process that may open the given number of files.
func boundOf(files int) int {
	return min(max((files-filesReserved)/filesPerConn, leastConns), maxConns)
}

// Listener takes a bounded number of connections, in all and of each address. When all places are taken, a new
// connection gets the place of an idle one, the oldest of the address that has most; if none is idle, the new one is
// closed at once. So idle connections cannot keep others out. Where callers prove who they are (see
// [Listener.Context]), connections of callers who have not done so are given up first, even with a request under way:
// half a request is easily sent.
type Listener struct {
	net.Listener
	conns *connections
}

// Context is for http.Server.ConnContext; it lets requests prove who their caller is.
func (l *Listener) Context(ctx context.Context, c net.Conn) context.Context {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	l.conns.proving = true
	if own := bounding(c); own != nil {
		return context.WithValue(ctx, keyConn, own)
	}
	return ctx
}

// Proven marks the caller of a request as known, so that its connection is not given up for a stranger's.
func Proven(ctx context.Context) {
	if own, ok := ctx.Value(keyConn).(*boundedConn); ok {
		own.of.mu.Lock()
		defer own.of.mu.Unlock()
		own.proven = true
	}
}

// bounding is the connection below TLS; nil if it is not bounded.
func bounding(c net.Conn) *boundedConn {
	if own, ok := c.(*tls.Conn); ok {
		c = own.NetConn()
	}
	own, _ := c.(*boundedConn)
	return own
}

// Follow is for http.Server.ConnState, which reports the idle connections.
func (l *Listener) Follow(c net.Conn, state http.ConnState) {
	if own := bounding(c); own != nil {
		l.conns.follow(own, state)
	}
}

// boundedListener is the listener below TLS.
type boundedListener struct {
	net.Listener
	conns *connections
}

// Accept implements net.Listener.
func (l boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if own := l.conns.take(c); own != nil {
			return own, nil
		}
		_ = c.Close() // there is no room
	}
}

// connections holds the open connections of one listener.
type connections struct {
	most, each int
	trusted    Proxies // each carries many people, so only the overall bound applies to it

	mu      sync.Mutex // guards what follows
	count   int
	of      map[string][]*boundedConn // by address, the one that is idle for longest first
	proving bool                      // callers prove who they are
}

func newConnections(most int, trusted Proxies) *connections {
	return &connections{most: most, each: max(most/partOfOne, 1), trusted: trusted, of: map[string][]*boundedConn{}}
}

// boundedConn is one of them. Closing it frees its place.
type boundedConn struct {
	net.Conn
	of     *connections
	from   string
	single bool // the bound of one address holds
	active bool // something is asked; guarded by of.mu
	proven bool // by a caller who is known; guarded by of.mu
	gone   bool // guarded by of.mu
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.of.leave(c)
	return c.Conn.Close()
}

// CloseWrite lets the other end know that nothing more comes.
func (c *boundedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// take finds a place for a connection, and returns nil if there is none.
func (l *connections) take(c net.Conn) *boundedConn {
	own := &boundedConn{Conn: c, of: l, from: source(c.RemoteAddr().String()), single: !l.trusted.has(c.RemoteAddr().String())}
	l.mu.Lock()
	var gives *boundedConn
	switch {
	case own.single && len(l.of[own.from]) >= l.each:
		gives = l.first(l.of[own.from])
	case l.count >= l.most:
		gives = l.fromMost()
	default:
		l.add(own)
		l.mu.Unlock()
		return own
	}
	if gives == nil {
		l.mu.Unlock()
		return nil
	}
	l.remove(gives)
	l.add(own)
	l.mu.Unlock()
	_ = gives.Conn.Close() // it is idle, or a stranger's
	return own
}

// add takes a connection in. l.mu is held.
func (l *connections) add(c *boundedConn) {
	l.count++
	l.of[c.from] = append(l.of[c.from], c)
}

// fromMost is the connection to give up, one of the address with the most connections; nil if there is none. l.mu is
// held.
func (l *connections) fromMost() (gives *boundedConn) {
	most := 0
	for _, of := range l.of {
		c := l.first(of)
		switch {
		case c == nil:
		case gives == nil, l.strange(c) && !l.strange(gives), l.strange(c) == l.strange(gives) && len(of) > most:
			gives, most = c, len(of)
		}
	}
	return gives
}

// first is the connection of one address that gives its place up before the others: a stranger's, else an idle one; nil if
// there is none. l.mu is held.
func (l *connections) first(of []*boundedConn) (idle *boundedConn) {
	for _, c := range of {
		if l.strange(c) {
			return c
		}
		if !c.active && idle == nil {
			idle = c
		}
	}
	return idle
}

// strange reports whether a connection's caller is unknown although callers can prove who they are. l.mu is held.
func (l *connections) strange(c *boundedConn) bool { return l.proving && !c.proven }

func (l *connections) leave(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

// remove takes a connection out. l.mu is held.
func (l *connections) remove(c *boundedConn) {
	if c.gone {
		return
	}
	c.gone = true
	l.count--
	l.unlist(c)
}

func (l *connections) unlist(c *boundedConn) {
	of := l.of[c.from]
	for i, other := range of {
		if other == c {
			of = append(of[:i], of[i+1:]...)
			break
		}
	}
	if l.of[c.from] = of; len(of) == 0 {
		delete(l.of, c.from)
	}
}

func (l *connections) follow(c *boundedConn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone {
		return
	}
	c.active = state == http.StateActive || state == http.StateHijacked
	if state == http.StateIdle { // it is the one that was used last
		l.unlist(c)
		l.of[c.from] = append(l.of[c.from], c)
	}
}

// Proxies are the addresses that are trusted to name the caller for whom they forward a request.
type Proxies []netip.Prefix

// has tells whether an address, with or without a port, is one of them.
func (p Proxies) has(remote string) bool {
	ip, err := netip.ParseAddr(hostIn(remote))
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, prefix := range p {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

func hostIn(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}
