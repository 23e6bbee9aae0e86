package spinnaker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/serindev/serin/server"
)

// ListenConfig says where the API is served, and to whom. Spinnaker's services send no credentials unless their base URL
// contains some, so one of these has to decide who may call: a loopback address, ClientCA, Username, or AllowAnonymous.
type ListenConfig struct {
	// Address is host:port.
	Address string
	// Cert and Key are PEM files, read again when they change. Without TLS both are empty.
	Cert, Key string
	// ClientCA is a PEM file of the authorities that may sign callers' certificates. It needs TLS.
	ClientCA string
	// Username and Password are what callers put into their base URL: http://USERNAME:PASSWORD@HOST.
	Username, Password string
	// AllowAnonymous lets anyone who can reach the address use this API.
	AllowAnonymous bool
	// AllowInsecure lets passwords travel in the clear.
	AllowInsecure bool
}

// Listen opens the listener. It refuses an address that others can reach unless c says who may.
func Listen(ctx context.Context, c ListenConfig) (*server.Listener, error) {
	if c.ClientCA != "" && c.Cert == "" {
		return nil, errors.New("spinnaker: a clientCA needs TLS: set cert and key")
	}
	if (c.Username == "") != (c.Password == "") {
		return nil, errors.New("spinnaker: a username and a password belong together")
	}
	l, err := server.Listen(ctx, server.ListenConfig{
		Address: c.Address, Cert: c.Cert, Key: c.Key, ClientCA: c.ClientCA, AllowInsecure: true, // allows checks it below
	})
	if err != nil {
		return nil, fmt.Errorf("spinnaker: %w", err)
	}
	if err := c.allows(l.Addr()); err != nil {
		_ = l.Close() // nothing was accepted yet; err is the error that counts
		return nil, err
	}
	return l, nil
}

// allows checks the address that was opened, because the configured one may be a name.
func (c ListenConfig) allows(a net.Addr) error {
	tcp, ok := a.(*net.TCPAddr)
	switch {
	case ok && tcp.IP.IsLoopback():
		return nil
	case c.ClientCA == "" && c.Username == "" && !c.AllowAnonymous:
		return fmt.Errorf("spinnaker: listen on %s: others can reach this address, and nothing says who may: set tls.clientCA, basicAuth, "+
			"a loopback address, or allowAnonymous", c.Address)
	case c.Username != "" && c.Cert == "" && !c.AllowInsecure:
		return fmt.Errorf("spinnaker: listen on %s: others can reach this address and could read the password: set tls, or allowInsecure", c.Address)
	}
	return nil
}

// Bounds on a connection. Bodies full of samples are large, and Kayenta waits 90 s for its remote judge.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 5 * time.Second
	// Wrong passwords: a burst, then one a second, over all callers.
	failureBurst = 20
)

// Serve serves on l until ctx ends, then lets requests in progress finish for a few seconds. l is closed when it
// returns.
func (s *Service) Serve(ctx context.Context, l net.Listener, c ListenConfig) error {
	srv := &http.Server{
		Handler: c.guard(s.handler, s), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	if own, ok := l.(*server.Listener); ok {
		srv.ConnState = own.Follow
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve Kayenta's API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-done //nolint:errcheck // after Shutdown, Serve always returns ErrServerClosed
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", l.Addr(), err)
	}
	return nil
}

// guard asks for the password if one is configured.
func (c ListenConfig) guard(next http.Handler, s *Service) http.Handler {
	if c.Username == "" {
		return next
	}
	want := sha256.Sum256([]byte(c.Username + "\x00" + c.Password))
	failures := rate.NewLimiter(rate.Every(time.Second), failureBurst)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := r.BasicAuth()
		got := sha256.Sum256([]byte(name + "\x00" + password))
		switch {
		case ok && subtle.ConstantTimeCompare(got[:], want[:]) == 1:
			next.ServeHTTP(w, r)
		case ok && !failures.Allow():
			w.Header().Set("Retry-After", "1")
			s.refuse(w, r, &refusal{http.StatusTooManyRequests, "too many wrong passwords"})
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="serin"`)
			s.refuse(w, r, &refusal{http.StatusUnauthorized, "a username and a password are needed in the base URL"})
		}
	})
}
