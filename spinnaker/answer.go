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

// Bounds on what is read.
const (
	// judgeAtOnce bounds the memory for requests full of samples once they are parsed.
	judgeAtOnce = 4
	// maxHeader leaves room for X-SPINNAKER-ACCOUNTS, which lists every account that the pipeline's user may use.
	maxHeader = 256 << 10
)

// refusal is an error with the status and message that the caller gets.
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

// busy means that nothing was started: 503 is the only status after which Orca retries a POST (section 0).
func busy(format string, args ...any) error {
	return &refusal{http.StatusServiceUnavailable, fmt.Sprintf(format, args...)}
}

// reply is a handler's answer: a status, and a body that is written as JSON unless it is nil.
type reply struct {
	status int
	body   any
}

func ok(body any) *reply { return &reply{http.StatusOK, body} }

// serve turns a function that replies or refuses into an HTTP handler.
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

// refuse writes an error in the shape that Kayenta's clients can read: they break unless "error" is a string.
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
	default: // in practice the store: a 500 would fail the stage at once, a 503 is retried
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

// packFrom is the length from which an answer is compressed for clients that accept it, as Kayenta's server does: a
// shorter one fits into a packet or two anyway.
const packFrom = 2 << 10

// takesGzip reports whether the caller accepts gzip (RFC 9110, 12.5.3).
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

// prefix is a second place for the API, besides the root, for base URLs that have a path.
const prefix = "/kayenta"

// outer wraps every request: it sets security headers, cleans the path, handles panics, and answers in JSON where there
// is no endpoint.
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
		// A base URL that ends with a slash makes paths with two. The mux would redirect them, which loses the body.
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

// maxName bounds names that end up in an index of the store.
const maxName = 1000

// legible refuses names that the store could not keep.
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
				return bad("%.40q is longer than %d bytes, or not valid text", name, maxName)
			}
		}
	}
	return nil
}

// fromBrowser recognises a request that a web page sent. Spinnaker's servers never send one; any site could, through a
// user whose browser can reach this listener, which asks for no sign-in.
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
