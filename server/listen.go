package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// ListenConfig is where the API is served.
type ListenConfig struct {
	// Address is host:port; an empty host is every address of the machine.
	Address string
	// Cert and Key are PEM files; both are empty without TLS. They are read again when they change.
	Cert, Key string
	// ClientCA is a PEM file with the authorities that clients' certificates have to be of; empty asks for none. It
	// needs Cert.
	ClientCA string
	// Proxies may bring the requests of many people: the bound of connections from one address does not hold for them.
	Proxies Proxies
	// PeerKey is a secret that all daemons of one deployment have, by which they trust what they say of their
	// callers; without one the leader takes the standby for the caller.
	PeerKey []byte
	// AllowInsecure permits an address that is not loopback without TLS: tokens then travel in the clear.
	AllowInsecure bool
}

// Listen opens the listener. It refuses an address that others can reach unless TLS is on or AllowInsecure says so.
func Listen(ctx context.Context, c ListenConfig) (*Listener, error) {
	var certs *certificates
	if c.Cert != "" || c.Key != "" {
		certs = &certificates{cert: c.Cert, key: c.Key}
		if err := certs.load(); err != nil {
			return nil, err
		}
	}
	clients, err := clientAuthorities(c.ClientCA)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Address, err)
	}
	conns := newConnections(boundOf(files()), c.Proxies)
	bounded := boundedListener{l, conns}
	if certs != nil {
		config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get, NextProtos: []string{"h2", "http/1.1"}}
		if clients != nil {
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, clients
		}
		return &Listener{tls.NewListener(bounded, config), conns}, nil
	}
	// What was asked for may be a name; what was opened is an address.
	if !isLoopback(l.Addr()) && !c.AllowInsecure {
		_ = l.Close() // nothing was accepted; the refusal is what counts
		return nil, fmt.Errorf("listen on %s: others can reach this address and could read tokens: set tls, a "+
			"loopback address, or allowInsecure", c.Address)
	}
	return &Listener{bounded, conns}, nil
}

// clientAuthorities reads the certificates that clients' have to be signed by; nil where none are asked for.
func clientAuthorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read the client authorities: there is no certificate in %s", path)
	}
	return pool, nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// certificates serves a certificate and reloads it when its files change. If they cannot be read, the last good one stays
// in use: a half-written renewal must not stop the API.
type certificates struct {
	cert, key string

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// recheck is how often the files of a certificate are looked at, at most.
const recheck = 10 * time.Second

func (c *certificates) load() error {
	stamp := c.stamps()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("load the certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificates) stamps() (out [2]time.Time) {
	for i, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			out[i] = info.ModTime()
		}
	}
	return out
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= recheck {
		c.checked = now
		if c.stamps() != c.stamp {
			_ = c.load() // the last good one stays
		}
	}
	return c.current, nil
}
