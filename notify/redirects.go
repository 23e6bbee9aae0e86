package notify

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// errRedirect is why a message is not sent again to another address.
var errRedirect = errors.New("it answers with a redirect, which is not followed: say the address that it leads to")

// RefuseRedirects keeps messages, and the secrets in them and in their addresses, from being sent again to an address that an
// answer names. Most of shoutrrr's services have a client that nothing can be set on, and all of these use the process's default
// transport, so that is what it changes: call it before anything else uses HTTP. Questions (GET without a body) may be redirected
// as before.
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

// CloseIdleConnections is what [http.Client] asks a transport for.
func (t steadfast) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// stay does the same for a service that has a transport of its own.
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
