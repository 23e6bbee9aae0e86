package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Problem is an error in the API's form (RFC 9457, application/problem+json).
type Problem struct {
	// Type is one of the urn:serin:… names of the table below; about:blank where the status says it all.
	Type   string `json:"type" example:"urn:serin:gate-answered"`
	Title  string `json:"title" example:"Conflict"`
	Status int    `json:"status" example:"409"`
	Detail string `json:"detail,omitempty" example:"gate full was answered by bob at 2026-01-05T09:00:00Z: approve"`
	// RequestID finds the entry in the daemon's log that says what really happened.
	RequestID string `json:"requestId,omitempty"`
	// Release is the active one that stands in the way of a start.
	Release string `json:"release,omitempty"`
	// Answered says who answered the gate first.
	Answered *FirstAnswer `json:"answered,omitempty"`
	// Parameter is the one that is wrong.
	Parameter string `json:"parameter,omitempty"`
	// Errors are the violations of a body or a query.
	Errors []Violation `json:"errors,omitempty"`

	retryAfter time.Duration
}

// FirstAnswer says who answered a gate first, when and how.
type FirstAnswer struct {
	Gate   string         `json:"gate"`
	By     string         `json:"by"`
	At     time.Time      `json:"at"`
	Answer rollout.Answer `json:"answer"`
}

// Violation is one thing that is wrong with a request, and where.
type Violation struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" example:"body.parameters"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is how the HTTP library learns the status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is how the HTTP library learns the content type.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// ForbiddenError says that an authenticated caller may not do this.
type ForbiddenError struct{ Why string }

func (e *ForbiddenError) Error() string { return e.Why }

// table maps errors to status codes; the first match wins. Any other error is a 500, and its text goes only to the log.
// A *record.NotWrittenError is not an error to the client: see [acted].
var table = []struct {
	status int
	kind   string
	is     func(error, *Problem) bool
}{
	{http.StatusForbidden, "forbidden", typed(func(*ForbiddenError, *Problem) {})},
	{http.StatusConflict, "gate-answered", typed(func(e *rollout.AnsweredError, p *Problem) {
		p.Answered = &FirstAnswer{Gate: e.Gate, By: e.By, At: e.At, Answer: e.Answer}
	})},
	{http.StatusConflict, "active-release", typed(func(e *record.ActiveError, p *Problem) { p.Release = e.ID })},
	{http.StatusConflict, "outdated-configuration", typed(func(*OutdatedError, *Problem) {})},
	{http.StatusConflict, "unmeasurable", typed(func(*UnmeasurableError, *Problem) {})},
	{http.StatusConflict, "key-used", typed(func(e *record.StartedError, p *Problem) { p.Release = e.ID })},
	{http.StatusUnprocessableEntity, "parameter", typed(func(e *record.ParameterError, p *Problem) { p.Parameter = e.Name })},
	{http.StatusNotFound, "not-found", sentinel(record.ErrNotFound)},
	{http.StatusConflict, "not-allowed", sentinel(rollout.ErrNotAllowed)},
	{http.StatusConflict, "changed-meanwhile", sentinel(record.ErrConflict)},
}

func typed[E error](fill func(E, *Problem)) func(error, *Problem) bool {
	return func(err error, p *Problem) bool {
		var e E
		if !errors.As(err, &e) {
			return false
		}
		fill(e, p)
		return true
	}
}

func sentinel(target error) func(error, *Problem) bool {
	return func(err error, _ *Problem) bool { return errors.Is(err, target) }
}

// statusGone is recorded in the metrics when the client has given up. Nobody receives it, and it is not our fault, so it
// must not count as a 5xx.
const statusGone = 499

// problem converts err to what the client may see.
func (s *Server) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		p.RequestID = requestID(ctx)
		return p
	}
	for _, row := range table {
		p := &Problem{Type: "urn:serin:" + row.kind, Title: http.StatusText(row.status), Status: row.status, Detail: err.Error()}
		if row.is(err, p) {
			p.RequestID = requestID(ctx)
			return p
		}
	}
	id := requestID(ctx)
	if ctx.Err() != nil {
		s.o.Log.Debug("client has gone", "request", id, "err", err)
		return &Problem{Type: "about:blank", Title: "Client Closed Request", Status: statusGone, RequestID: id}
	}
	s.o.Log.Error("request", "request", id, "err", err)
	p = newProblem(http.StatusInternalServerError, "Serin could not do this; its log says why, at request %s", id)
	p.RequestID = id
	return p
}

func newProblem(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// ownErrors makes the HTTP library report invalid requests as a [Problem] too. It leaves out the values that the library
// would echo, since they may be secrets. The library has a single, process-wide hook for this.
var ownErrors = sync.OnceFunc(func() {
	huma.NewError = func(status int, text string, errs ...error) huma.StatusError {
		p := newProblem(status, "%s", text)
		for _, err := range errs {
			if err == nil {
				continue
			}
			v := Violation{Message: err.Error()}
			var d huma.ErrorDetailer
			if errors.As(err, &d) {
				v = Violation{Message: d.ErrorDetail().Message, Location: d.ErrorDetail().Location}
			}
			p.Errors = append(p.Errors, v)
		}
		return p
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, text string, errs ...error) huma.StatusError {
		err := huma.NewError(status, text, errs...)
		if p, ok := err.(*Problem); ok && ctx != nil { //nolint:errorlint // what was just made
			p.RequestID = requestID(ctx.Context())
		}
		return err
	}
})

// write sends a problem outside of the HTTP library.
func (p *Problem) write(w http.ResponseWriter, log *slog.Logger) {
	w.Header().Set("Content-Type", p.ContentType(""))
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="serin"`)
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(p.retryAfter.Seconds())+1))
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		log.Debug("client has gone", "err", err)
	}
}
