package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/server"
)

func TestOthersAreNotListenedToInTheClear(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		_, err := server.Listen(t.Context(), server.ListenConfig{Address: address})
		require.ErrorContains(t, err, "allowInsecure", address)
		l, err := server.Listen(t.Context(), server.ListenConfig{Address: address, AllowInsecure: true})
		require.NoError(t, err, address)
		require.NoError(t, l.Close())
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		l, err := server.Listen(t.Context(), server.ListenConfig{Address: address})
		require.NoError(t, err, address)
		require.NoError(t, l.Close())
	}
	_, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:-1"})
	require.Error(t, err)
	_, err = server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0", Cert: "none.pem", Key: "none.pem"})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// certificate writes a self-signed one for a name.
func certificate(t *testing.T, cert, key, name string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}), 0o600))
}

func TestOthersAreListenedToOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key, "one")
	l, err := server.Listen(t.Context(), server.ListenConfig{Address: "0.0.0.0:0", Cert: cert, Key: key})
	require.NoError(t, err, "with TLS others may come")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).HandshakeContext(t.Context()); _ = c.Close() }()
		}
	}()
	defer func() { _ = l.Close() }()
	names := func() string {
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	require.Equal(t, "one", names())
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key, "one")
	get := server.Certificates(t, cert, key)
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, "one", get())
		certificate(t, cert, key, "two")
		later := time.Now().Add(time.Hour)
		require.NoError(t, os.Chtimes(cert, later, later))
		require.Equal(t, "one", get(), "not at every handshake")
		time.Sleep(10 * time.Second)
		require.Equal(t, "two", get())
		require.NoError(t, os.WriteFile(key, []byte("half"), 0o600))
		time.Sleep(10 * time.Second)
		require.Equal(t, "two", get(), "the last good one stays")
	})
}

func TestMetricsAreForThisMachineAndForTokens(t *testing.T) {
	d := newDaemon(t)
	cases := []struct {
		name, who, host, forwarded string
		status                     int
	}{
		{"this machine needs no token", "", "", "", 200},
		{"by its name", "", "localhost:7474", "", 200},
		{"an external name does (DNS rebinding)", "", "evil.example", "", 401},
		{"and so does what a proxy forwards", "", "", "203.0.113.9", 401},
		{"a token will do", "vera", "evil.example", "", 200},
		{"but not a judge's", "judy", "evil.example", "", 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := d.request(c.who, http.MethodGet, "/metrics", "")
			if c.host != "" {
				r.Host = c.host
			}
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			a := d.do(r)
			require.Equal(t, c.status, a.status, a.body)
			if a.status == http.StatusOK {
				require.Contains(t, a.body, `serin_actions_total{action="startRelease",result="refused"} 0`, "from the start")
			}
		})
	}
}

func TestReadinessSaysNothingOfItsReason(t *testing.T) {
	d := newDaemon(t, func(o *server.Options) { o.Ready = func() error { return errors.New("secret path") } })
	a := d.do(d.request("", http.MethodGet, "/readyz", ""))
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotContains(t, a.body, "secret")
	require.Equal(t, http.StatusOK, d.do(d.request("", http.MethodGet, "/healthz", "")).status)
}

func TestAConnectionThatAsksNothingDoesNotHoldUpTheEnd(t *testing.T) {
	d := newDaemon(t)
	c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", d.url[len("http://"):])
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, d.stop())
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err, "closed")
}
