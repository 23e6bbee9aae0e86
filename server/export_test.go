package server

import (
	"crypto/x509"
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

// RunStatusOf is the word of a release for a pipeline.
var RunStatusOf = runStatus
