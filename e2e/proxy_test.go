package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands in front of a real server and forwards everything, until [proxy.answer] replaces the answers.
type proxy struct {
	*httptest.Server
	instead atomic.Pointer[http.HandlerFunc]
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	through := httputil.NewSingleHostReverseProxy(u)
	through.ErrorLog = log.New(io.Discard, "", 0)
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead := p.instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.CloseClientConnections() // including those that are waiting for an answer
		p.Close()
	})
	return p
}

// answer answers every request with f from now on; nil passes them on again.
func (p *proxy) answer(f http.HandlerFunc) {
	if f == nil {
		p.instead.Store(nil)
		return
	}
	p.instead.Store(&f)
}

func broken(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "out of order", http.StatusInternalServerError)
}

// silent never answers.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice when the client leaves
	<-r.Context().Done()
}
