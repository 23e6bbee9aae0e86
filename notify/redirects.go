package notify

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// errRedirect is why a message is not sent again to another address.
var errRedirect = errors.New("it answers with a redirect, which is not followed: configure the address that it leads to")

// RefuseRedirects keeps messages, and the secrets in them and in their addresses, from being sent again to the address in a
// redirect. Most of shoutrrr's services have an HTTP client that cannot be configured, and these use the process's default
// transport, so this function replaces that: call it before anything else uses HTTP. Requests that carry nothing (GET or HEAD
// without a body) may be redirected as before.
func RefuseRedirects() { http.DefaultTransport = steadfast{http.DefaultTransport} }

// steadfast is a transport on which no request that carries anything is redirected.
type steadfast struct{ http.RoundTripper }

func (t steadfast) RoundTrip(r *http.Request) (*http.Response, error) {
	first := r
	for first.Response != nil { // the answer that has redirected a client here
		first = first.Response.Request
	}
	asks := (first.Body == nil || first.Body == http.NoBody) && (first.Method == http.MethodGet || first.Method == http.MethodHead)
	if first != r && !asks {
		return nil, errRedirect
	}
	return t.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is called by [http.Client].
func (t steadfast) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// stay makes a service with a transport of its own refuse redirects, too.
func stay(s types.Service) {
	stop := func(*http.Request, []*http.Request) error { return errRedirect }
	if s, ok := s.(interface{ GetHTTPClient() *http.Client }); ok && s.GetHTTPClient() != nil {
		s.GetHTTPClient().CheckRedirect = stop
	}
	if s, ok := s.(*ntfy.Service); ok {
		s.SetHTTPClient(&http.Client{Timeout: sendTimeout, CheckRedirect: stop, Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.Config.DisableTLSVerification}, //nolint:gosec // as its address says
		}})
	}
}
