package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/oklog/ulid/v2"
)

var problemType = reflect.TypeFor[Problem]()

type contextKey int

const (
	keyIdentity contextKey = iota
	keyRequest
	keyConn
)

// request is what the outermost handler knows of a request.
type request struct {
	id, remote, base string
	secure           bool
}

func identity(ctx context.Context) Identity {
	i, _ := ctx.Value(keyIdentity).(Identity)
	return i
}

func requestID(ctx context.Context) string {
	r, _ := ctx.Value(keyRequest).(request)
	return r.id
}

// requestBase is the address by which the caller has reached this server, without a path. A caller who sends a false Host
// gets wrong addresses.
func requestBase(ctx context.Context) string {
	r, _ := ctx.Value(keyRequest).(request)
	return r.base
}

func remote(ctx context.Context) string {
	r, _ := ctx.Value(keyRequest).(request)
	return r.remote
}

// outer wraps every request: it assigns an id, sets security headers and bounds, recovers from panics, and answers in the
// API's own form where there is no such operation.
func (s *Server) outer(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := ulid.MustNew(ulid.Now(), rand.Reader).String()
		known := s.known(r, id)
		r = r.WithContext(context.WithValue(r.Context(), keyRequest, known))
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		rec := &recorder{ResponseWriter: w}
		began := time.Now()
		defer func() {
			if v := recover(); v != nil {
				s.panicked(rec, r, v)
			}
			s.metrics.observe(r, rec.status, time.Since(began))
			s.o.Log.Debug("request", "request", id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "from", known.remote)
		}()
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		_, pattern := mux.Handler(r)
		if s.pages != nil && pattern == "" && !strings.HasPrefix(r.URL.Path, "/api/") {
			s.pages.ServeHTTP(rec, r)
			return
		}
		if pattern == "" {
			s.noSuch(rec, r, mux)
			return
		}
		if p := checkWrite(r); p != nil {
			p.RequestID = id
			p.write(rec, s.o.Log)
			return
		}
		mux.ServeHTTP(rec, r)
	})
}

// known collects what is known about a request before it is handled.
func (s *Server) known(r *http.Request, id string) request {
	known := request{id: id}
	known.remote, known.secure = s.origin.of(r)
	known.base = known.scheme() + "://" + r.Host
	return known
}

func (r request) scheme() string {
	if r.secure {
		return "https"
	}
	return "http"
}

// panicked answers in place of a handler that has panicked. http.ErrAbortHandler is how one ends on purpose.
func (s *Server) panicked(rec *recorder, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.o.Log.Error("panic", "request", requestID(r.Context()), "path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	if rec.status == 0 {
		s.problem(r.Context(), fmt.Errorf("panic: %v", v)).write(rec, s.o.Log)
	}
}

// checkWrite protects the API's writes from other sites' pages, in addition to the lack of cookies: a form cannot send
// JSON, and a script of another origin may not without a preflight request, which nothing here allows. A request without
// a body needs no type: another site's page cannot send the token in its header.
func checkWrite(r *http.Request) *Problem {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil
	}
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return nil
	}
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "Content-Type has to be application/json")
	}
	return nil
}

// noSuch answers a request for which there is no operation, with the status and the Allow header that the mux gives.
func (s *Server) noSuch(rec *recorder, r *http.Request, mux *http.ServeMux) {
	silent := &silentWriter{header: http.Header{}}
	mux.ServeHTTP(silent, r)
	if allow := silent.header.Get("Allow"); allow != "" {
		rec.Header().Set("Allow", allow)
	}
	if silent.status < http.StatusBadRequest {
		silent.status = http.StatusNotFound // a redirect to a cleaned path: not for an API
	}
	p := newProblem(silent.status, "there is no %s %s", r.Method, r.URL.Path)
	p.RequestID = requestID(r.Context())
	p.write(rec, s.o.Log)
}

type silentWriter struct {
	header http.Header
	status int
}

func (w *silentWriter) Header() http.Header         { return w.header }
func (w *silentWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *silentWriter) WriteHeader(status int)      { w.status = status }

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// authenticate puts the caller's identity into the context, or refuses the request.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	if len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	who, err := s.whose(ctx.Context(), ctx.Header("Authorization"), remote(ctx.Context()))
	if err != nil {
		p := s.problem(ctx.Context(), err)
		if p.Status == http.StatusUnauthorized || p.Status == http.StatusTooManyRequests {
			s.metrics.signInFailures.Inc()
		}
		s.writeProblem(ctx, p)
		return
	}
	next(huma.WithValue(ctx, keyIdentity, who))
}

// refuseEmpty refuses a number or a time that is given and empty, which the HTTP library treats as absent.
func (s *Server) refuseEmpty(ctx huma.Context, next func(huma.Context)) {
	u := ctx.URL()
	query := u.Query()
	for _, p := range ctx.Operation().Parameters {
		if p.In != "query" || p.Schema == nil || p.Schema.Type == huma.TypeString && p.Schema.Format == "" {
			continue
		}
		if query.Has(p.Name) && query.Get(p.Name) == "" {
			problem := newProblem(http.StatusUnprocessableEntity, "validation failed")
			problem.RequestID = requestID(ctx.Context())
			problem.Errors = []Violation{{Message: "expected a value", Location: "query." + p.Name}}
			s.writeProblem(ctx, problem)
			return
		}
	}
	next(ctx)
}

func (s *Server) writeProblem(ctx huma.Context, p *Problem) {
	_, w := humago.Unwrap(ctx)
	p.write(w, s.o.Log)
}

func (s *Server) whose(ctx context.Context, header, from string) (Identity, error) {
	token, err := bearer(header)
	if err != nil {
		return Identity{}, err
	}
	return s.verify(ctx, token, from)
}

// ErrUnknownToken is what an [Authenticator] returns for an invalid token.
var ErrUnknownToken = errors.New("this token is not known, or has expired")

// verify returns the owner of a token, and remembers the caller as that owner.
func (s *Server) verify(ctx context.Context, token, from string) (Identity, error) {
	who, err := s.ownerOf(ctx, token, from)
	if err == nil {
		Proven(ctx)
	}
	return who, err
}

// ownerOf returns the owner of a token. One in Serin's form is looked up among its own; any other is the cluster's.
func (s *Server) ownerOf(ctx context.Context, token, from string) (Identity, error) {
	if s.o.Cluster == nil || nameIn(token) != "" {
		return s.o.Tokens.Verify(ctx, token, from)
	}
	var who Identity
	verify := func() (err error) {
		who, err = s.o.Cluster.Verify(ctx, token)
		if errors.Is(err, ErrUnknownToken) {
			err = newProblem(http.StatusUnauthorized, "%s", err)
		}
		return err
	}
	var err error
	if s.o.Cluster.Genuine(ctx, token) {
		err = verify()
	} else {
		err = s.o.Tokens.braked(from, verify)
	}
	return who, err
}

// bearer takes the token out of an Authorization header.
func bearer(header string) (string, error) {
	scheme, token, ok := strings.Cut(header, " ")
	if token = strings.TrimSpace(token); !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", newProblem(http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer serin_…")
	}
	return token, nil
}

// guardMetrics lets this machine read metrics without a token while only it can reach the listener, and otherwise
// callers with a token. The Host header has to name this machine, so that no web page can reach them through a host
// name of its own (DNS rebinding).
func (s *Server) guardMetrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.onLoopback() && localHost(r.Host) && r.Header.Get("X-Forwarded-For") == "" {
			next.ServeHTTP(w, r)
			return
		}
		who, err := s.whose(r.Context(), r.Header.Get("Authorization"), remote(r.Context()))
		if err == nil { // the metrics name every rollout
			var all bool
			if all, err = who.May(r.Context(), VerbGet, ""); err == nil && !all {
				err = forbidden(who, VerbGet, "")
			}
		}
		if err != nil {
			s.problem(r.Context(), err).write(w, s.o.Log)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
