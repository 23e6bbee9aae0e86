package server

import (
	"crypto/x509"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Certificates returns who the certificate is for that a handshake would get.
func Certificates(t *testing.T, cert, key string) func() string {
	t.Helper()
	c := &certificates{cert: cert, key: key}
	require.NoError(t, c.load())
	return func() string {
		pair, err := c.get(nil)
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		require.NoError(t, err)
		return leaf.DNSNames[0]
	}
}

// OldToken makes a token with an Argon2id hash, as they were made before.
func OldToken(t *testing.T, name string, roles ...string) (secret string, token Token) {
	t.Helper()
	secret, token, err := NewToken(name, roles)
	require.NoError(t, err)
	h := hash{time: 2, memory: 19 * 1024, threads: 1, salt: []byte("0123456789abcdef")}
	h.key = h.of(secret, 32)
	token.Hash = h.String()
	return secret, token
}

// Bounded takes at most so many connections from l.
func Bounded(l net.Listener, most int, proxies Proxies) *Listener {
	conns := newConnections(most, proxies)
	return &Listener{boundedListener{l, conns}, conns}
}

// BoundOf is how many connections a listener takes where a process may have so many files.
var BoundOf = boundOf

// RunStatusOf is the word of a release for a pipeline.
var RunStatusOf = runStatus
