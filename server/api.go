package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Prefix is where the API begins; a change that breaks clients gets a new one alongside it.
const Prefix = "/api/v1"

// build assembles the whole handler.
func (s *Server) build() http.Handler {
	ownErrors()
	mux := http.NewServeMux()
	s.registerOwn(mux)
	if s.o.Elsewhere != nil {
		return s.standby(mux)
	}
	config := huma.DefaultConfig("Serin", s.o.Version)
	config.Info.Description = "Progressive delivery on evidence: rollouts, releases, gates and what the judges say. " +
		"Errors are application/problem+json (RFC 9457)."
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "A token of tokens.yaml, or the daemon's first one (serin.token)."},
	}
	api := humago.New(mux, config)
	api.UseMiddleware(s.authenticate, s.refuseEmpty)
	s.registerRollouts(api)
	s.registerReleases(api)
	s.registerActions(api)
	s.registerRuns(api)
	s.registerDaemon(api)
	s.registerStreams(api)
	if s.o.Pages != nil {
		s.pages = s.o.Pages(s)
	}
	return s.outer(mux)
}

// registerOwn registers what every daemon answers itself, whichever one leads.
func (s *Server) registerOwn(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerPlain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.guardMetrics(promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{Registry: s.o.Registry})))
}

// standby answers what concerns this daemon alone, and forwards the rest to the one that leads.
func (s *Server) standby(mux *http.ServeMux) http.Handler {
	own := s.outer(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			own.ServeHTTP(w, r)
			return
		}
		// A leader that is frozen must not hold up the one that takes its place.
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), keyRequest, s.known(r, "")))
		defer cancel()
		defer context.AfterFunc(s.stopping, cancel)()
		s.o.Elsewhere.ServeHTTP(w, r.WithContext(ctx))
	})
}

func answerPlain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that has gone needs no answer
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			answerPlain(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
	}
	answerPlain(w, http.StatusOK, "ready\n")
}

// operation describes one operation of the API.
type operation struct {
	id, method, path, summary, description string
	// public needs no token; anybody needs a token, but no role.
	public, anybody bool
	status          int
	// also are further answers with the same body, by status, with what each means.
	also map[string]string
}

// huma is the operation in the form of the HTTP library.
func (s *Server) huma(api huma.API, o operation) huma.Operation {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: Prefix + o.path, Summary: o.summary, Description: o.description,
		MaxBodyBytes: maxBody, DefaultStatus: o.status,
		Responses: map[string]*huma.Response{"default": {
			Description: "Error",
			Content: map[string]*huma.MediaType{"application/problem+json": {
				Schema: huma.SchemaFromType(api.OpenAPI().Components.Schemas, problemType),
			}},
		}},
	}
	if !o.public {
		op.Security = []map[string][]string{{"token": {}}}
	}
	return op
}

// read registers an operation that changes nothing. Any caller who may read something gets in; f reads through the
// [Sight], which leaves out what the caller may not see.
func read[I, O any](s *Server, api huma.API, o operation, f func(context.Context, *I) (*O, error)) {
	o.method = http.MethodGet
	huma.Register(api, s.huma(api, o), func(ctx context.Context, in *I) (*O, error) {
		if !o.public {
			if who := identity(ctx); !o.anybody && !who.Reads() {
				return nil, s.problem(ctx, forbidden(who, VerbGet, ""))
			}
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// change registers an operation that changes something. f fills in the entry for the audit log, which is written whether
// f succeeds or refuses.
func change[I, O any](s *Server, api huma.API, o operation, f func(context.Context, *I, *record.AuditEntry) (*O, error)) {
	o.method = http.MethodPost
	op := s.huma(api, o)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		return audited(ctx, s, o.id, func(a *record.AuditEntry) (*O, error) { return f(ctx, in, a) })
	})
	first := op.Responses[strconv.Itoa(o.status)]
	for status, what := range o.also {
		op.Responses[status] = &huma.Response{Description: what, Headers: first.Headers, Content: first.Content}
	}
}

// audited runs an action and records its outcome, including a refusal. Its error is a *Problem.
func audited[O any](ctx context.Context, s *Server, action string, f func(*record.AuditEntry) (*O, error)) (*O, error) {
	a := &record.AuditEntry{At: time.Now().UTC(), By: identity(ctx).Name, From: remote(ctx), Action: action}
	out, err := f(a)
	var p *Problem
	if err != nil {
		p = s.problem(ctx, err)
		a.Refused = p.Detail
	}
	s.audit(ctx, *a)
	if p != nil {
		return nil, p
	}
	return out, nil
}

// acted turns the engine's result for an event into an answer. A rollback that is being carried out although it could not
// be written yet is not an error.
func acted(state rollout.State, id string, err error) (*ActionOutput, error) {
	out := &ActionOutput{Status: http.StatusOK, Body: ActionResult{Release: id, State: state}}
	var notWritten *record.NotWrittenError
	switch {
	case errors.As(err, &notWritten):
		out.Status = http.StatusAccepted
		out.Body.Warning = "traffic goes back to stable; this could not be written yet, and will be"
	case err != nil:
		return nil, err
	}
	return out, nil
}
