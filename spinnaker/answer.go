package spinnaker

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/serindev/serin/record"
)

// Bounds of what is read.
const (
	// judgeAtOnce bounds the memory of requests full of samples in their parsed form.
	judgeAtOnce = 4
	// maxHeader has room for X-SPINNAKER-ACCOUNTS, which lists every account that the user of a pipeline may use.
	maxHeader = 256 << 10
)

// refusal is an answer that is not what was asked for.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func bad(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &refusal{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// busy says that nothing was started: Orca tries a POST again after a 503 and after nothing else (section 0).
func busy(format string, args ...any) error {
	return &refusal{http.StatusServiceUnavailable, fmt.Sprintf(format, args...)}
}

// reply is what a handler answers: a status and a body, which is written as JSON unless it is nil.
type reply struct {
	status int
	body   any
}

func ok(body any) *reply { return &reply{http.StatusOK, body} }

// serve makes a handler of a function that answers or refuses.
func (s *Service) serve(f func(*http.Request) (*reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		s.write(w, r, out.status, out.body)
	}
}

// refuse writes an error in the shape that Kayenta's clients read: "error" is a string, or they fall over.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known *refusal
	var tooLarge *http.MaxBytesError
	status, message := http.StatusServiceUnavailable, "Serin cannot answer this now; its log says why"
	switch {
	case errors.As(err, &known):
		status, message = known.status, known.message
	case errors.As(err, &tooLarge):
		status, message = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, record.ErrNotFound):
		status, message = http.StatusNotFound, err.Error()
	default: // the store, in practice: 500 would fail a stage at once, 503 is tried again
		s.o.Log.Error("spinnaker request", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if status == http.StatusBadRequest || status == http.StatusNotFound {
		s.write(w, r, status, map[string]string{"message": message})
		return
	}
	s.write(w, r, status, map[string]any{
		"timestamp": time.Now().UnixMilli(), "status": status, "error": http.StatusText(status), "message": message, "path": r.URL.Path,
	})
}

func (s *Service) write(w http.ResponseWriter, r *http.Request, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil {
		s.o.Log.Error("encode an answer", "path", r.URL.Path, "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if len(b) < packFrom {
		w.WriteHeader(status)
		_, _ = w.Write(b) // a client that has gone needs no answer
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if !takesGzip(r) {
		w.WriteHeader(status)
		_, _ = w.Write(b)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	_, _ = z.Write(b)
	_ = z.Close()
}

// packFrom is how long an answer is that is compressed for those who take it, as Kayenta's server does: shorter ones fit into
// a packet or two.
const packFrom = 2 << 10

// takesGzip tells whether a caller reads gzip (RFC 9110, 12.5.3).
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, weighted := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
		if !strings.EqualFold(coding, "gzip") {
			continue
		}
		q, err := strconv.ParseFloat(weight, 64)
		return !weighted || err == nil && q > 0
	}
	return false
}

// decode reads a body as Jackson would: unknown fields are ignored.
func decode(b []byte, into any) error {
	if err := json.Unmarshal(quoteBare(b), into); err != nil {
		return bad("%s", unreadable(err))
	}
	return nil
}

func unreadable(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf("the body cannot be read: %s: unexpected %s", wrong.Field, wrong.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("the body is not JSON: %v at byte %d", err, syntax.Offset)
	}
	return fmt.Sprintf("the body cannot be read: %v", err)
}

func decodeBody(r *http.Request, into any) error {
	b, err := readBody(r, maxBody, decodedTimes)
	if err != nil {
		return err
	}
	return decode(b, into)
}

// prefix is where the API is found besides its root, for callers that want one.
const prefix = "/kayenta"

// outer wraps every request: security headers, a clean path, a panic handler, and JSON where there is no endpoint.
func (s *Service) outer(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if err, is := v.(error); is && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				s.o.Log.Error("panic", "path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
				s.refuse(w, r, &refusal{http.StatusInternalServerError, "internal error in Serin; its log has the details"})
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if fromBrowser(r) {
			s.refuse(w, r, &refusal{http.StatusForbidden, "this API is for servers, not for pages in a browser"})
			return
		}
		r = r.Clone(r.Context())
		r, closed := s.bounded(w, r)
		defer closed()
		// A base URL that ends with a slash gives two; a redirect would lose the body.
		r.URL.Path, r.URL.RawPath = path.Clean("/"+strings.TrimPrefix(path.Clean("/"+r.URL.Path), prefix)), ""
		if err := legible(r); err != nil {
			s.refuse(w, r, err)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			s.noSuch(w, r, mux)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// maxName bounds what stands in an index of the store.
const maxName = 1000

// legible refuses names that no store keeps.
func legible(r *http.Request) error {
	isName := func(text string) bool {
		return len(text) <= maxName && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
	}
	if !isName(r.URL.Path) {
		return notFound("there is nothing of this name")
	}
	for name, values := range r.URL.Query() {
		for _, v := range values {
			if name != "customInlineTemplate" && !isName(v) {
				return bad("%.40q is longer than %d bytes, or no text", name, maxName)
			}
		}
	}
	return nil
}

// fromBrowser recognises a page's request, which Spinnaker's servers never send: it could come from any site, by way
// of a user who can reach this listener without signing in.
func fromBrowser(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || site != "" && site != "none"
}

func (s *Service) noSuch(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	status := http.StatusNotFound
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(context.WithoutCancel(r.Context()))
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			status = http.StatusMethodNotAllowed
			w.Header().Add("Allow", method)
		}
	}
	s.refuse(w, r, &refusal{status, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
}
