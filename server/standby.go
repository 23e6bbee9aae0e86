package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Leader is where the daemon that acts is reached, without a port; ok is false while there is none.
type Leader func() (host string, ok bool)

// forwardedHeader marks what another daemon has passed on: it is not passed on again, so that two daemons that each
// take the other for the leader do not send a request back and forth. Its value is a word that only the daemons share:
// see [origin].
const forwardedHeader = "Serin-Forwarded"

// leaderRetry is how soon a caller may retry while there is no leader.
const leaderRetry = 2 * time.Second

// forwardDial bounds how long to wait for a leader that has just died.
const forwardDial = 2 * time.Second

// NewForwarder passes requests on to the daemon that leads, which listens on the same port with the same certificate:
// c is this daemon's own listener.
func NewForwarder(leader Leader, c ListenConfig, log *slog.Logger) (http.Handler, error) {
	_, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: forwardDial}).DialContext,
		TLSHandshakeTimeout: forwardDial, MaxIdleConnsPerHost: 16, IdleConnTimeout: idleTimeout,
	}
	f := &forwarder{leader: leader, scheme: "http", port: port, peers: peerWord(c.PeerKey), log: log}
	if c.Cert != "" {
		own := &certificates{cert: c.Cert, key: c.Key}
		if err := own.load(); err != nil {
			return nil, err
		}
		f.scheme, transport.TLSClientConfig = "https", own.pinned()
	}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: f.rewrite, Transport: transport, FlushInterval: -1, ModifyResponse: answered, ErrorHandler: f.failed,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return f, nil
}

// pinned is how a client trusts a server that has the same certificate: daemons of one deployment share theirs, and
// its names are those of the Service, not of a pod.
func (c *certificates) pinned() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection asks for more than a chain
		VerifyConnection: func(s tls.ConnectionState) error {
			own, err := c.get(nil)
			if err != nil {
				return err
			}
			if len(s.PeerCertificates) == 0 || string(s.PeerCertificates[0].Raw) != string(own.Certificate[0]) {
				return errors.New("the other daemon has another certificate than this one")
			}
			return nil
		},
	}
}

type forwarder struct {
	leader       Leader
	scheme, port string
	peers        string // the word that the leader knows this daemon by
	proxy        *httputil.ReverseProxy
	log          *slog.Logger
}

type leaderKey struct{}

// ServeHTTP implements http.Handler.
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, ok := f.leader()
	if !ok || r.Header.Get(forwardedHeader) != "" {
		f.nobody(w)
		return
	}
	// An answer may take as long as the leader lets it, and an event stream lasts; each write is bounded.
	to := patient{w, http.NewResponseController(w)}
	_ = to.control.SetWriteDeadline(time.Time{})
	defer to.bound() // for what net/http writes after us
	f.proxy.ServeHTTP(to, r.WithContext(context.WithValue(r.Context(), leaderKey{}, host)))
}

// patient keeps writing while the client keeps reading; a client that stops reading would hold a connection forever.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	p.bound()
	return p.ResponseWriter.Write(b)
}

func (p patient) bound() { _ = p.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

// FlushError is for http.ResponseController; the proxy flushes after each write.
func (p patient) FlushError() error {
	p.bound()
	err := p.control.Flush()
	_ = p.control.SetWriteDeadline(time.Time{}) // HTTP/2 would end a stream on which nothing is written when it passes
	return err
}

// Unwrap is for http.ResponseController.
func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (f *forwarder) rewrite(r *httputil.ProxyRequest) {
	host, _ := r.In.Context().Value(leaderKey{}).(string)
	r.SetURL(&url.URL{Scheme: f.scheme, Host: net.JoinHostPort(host, f.port)})
	r.Out.Host = r.In.Host // addresses in answers, cookies and the checks of pages are of the caller's
	// The leader gets what this daemon trusts; the caller's own headers are not passed on.
	known, _ := r.In.Context().Value(keyRequest).(request)
	client := known.remote
	if _, of, ok := strings.Cut(client, " for "); ok {
		client = of
	}
	r.Out.Header.Set("X-Forwarded-For", hostIn(client))
	r.Out.Header.Set("X-Forwarded-Proto", known.scheme())
	r.Out.Header.Set("X-Forwarded-Host", r.In.Host)
	r.Out.Header.Set(forwardedHeader, cmp.Or(f.peers, "1"))
}

// answered takes an answer of the leader's API for the word that the caller is known there: it has none for strangers.
func answered(r *http.Response) error {
	if r.StatusCode < http.StatusBadRequest && strings.HasPrefix(r.Request.URL.Path, Prefix+"/") {
		Proven(r.Request.Context())
	}
	return nil
}

func (f *forwarder) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // otherwise the caller has gone, or this daemon stands by no longer
		f.log.Warn("the daemon that leads does not answer", "leader", r.URL.Host, "err", err)
	}
	f.nobody(w)
}

func (f *forwarder) nobody(w http.ResponseWriter) {
	p := newProblem(http.StatusServiceUnavailable, "this daemon stands by, and the one that leads does not answer: another will lead in a moment")
	p.retryAfter = leaderRetry
	p.write(w, f.log)
}

// acceptAgain is how long to wait after a connection that could not be accepted.
const acceptAgain = 100 * time.Millisecond

// Relay passes connections on to the same port of the daemon that leads, byte for byte, until ctx ends. It closes l.
func Relay(ctx context.Context, l net.Listener, leader Leader, log *slog.Logger) error {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	l = boundedListener{l, newConnections(boundOf(files()), nil)}
	defer l.Close()                                          //nolint:errcheck // there is no caller to report it to
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // ends Accept
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return cmp.Or(ctx.Err(), err)
		default: // as for a moment without file descriptors; net/http goes on as well
			log.Warn("a connection was not taken", "err", err)
			time.Sleep(acceptAgain)
			continue
		}
		if own, ok := conn.(*boundedConn); ok {
			own.of.follow(own, http.StateActive) // what is asked on it is not seen here
		}
		open.Go(func() {
			if err := relay(ctx, conn, leader, port); err != nil {
				log.Warn("the daemon that leads does not answer", "err", err)
			}
		})
	}
}

// relay passes one connection on, and closes it.
func relay(ctx context.Context, conn net.Conn, leader Leader, port string) error {
	defer conn.Close() //nolint:errcheck // both ends have what there was
	host, ok := leader()
	if !ok {
		return nil
	}
	to, err := (&net.Dialer{Timeout: forwardDial}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer to.Close()                                                           //nolint:errcheck // as above
	defer context.AfterFunc(ctx, func() { _, _ = conn.Close(), to.Close() })() // ends the copies
	var both sync.WaitGroup
	both.Go(func() { pass(to, conn) })
	both.Go(func() {
		pass(conn, to)
		_ = conn.SetReadDeadline(time.Now().Add(relayLinger)) // whatever arrives now is discarded
	})
	both.Wait()
	return nil
}

// relayLinger is how long a caller has to take the end of a connection that the leader has ended: one that is closed at
// once may lose its last answer.
const relayLinger = time.Second

// pass passes on what comes from one end until that ends, or the other one takes nothing.
func pass(to, from net.Conn) {
	_, _ = io.Copy(bounded{to}, from) // who it was shows at the ends
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// bounded is a connection on which each write has an end.
type bounded struct{ net.Conn }

func (b bounded) Write(p []byte) (int, error) {
	if err := b.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}
