package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// maxStreams is how many event streams may be open: each has a buffer in the engine and a connection.
const maxStreams = 256

// maxStreamsEach is how many of them one person or program may have open: enough for many pages, and it leaves places
// for others.
const maxStreamsEach = 32

// streamWrite bounds one write: a slower reader is taken to be gone.
const streamWrite = 10 * time.Second

type watchInput struct {
	Authorization string `header:"Authorization" hidden:"true"`
	Rollout       string `query:"rollout" doc:"Only this rollout"`
}

type followInput struct {
	ReleaseInput
	Authorization string `header:"Authorization" hidden:"true"`
	After         int    `query:"after" minimum:"0" doc:"Number of the last event that is known; the header Last-Event-ID goes before it"`
	LastEventID   string `header:"Last-Event-ID" pattern:"^[0-9]*$" doc:"Number of the last event that is known"`
}

// registerStreams registers the server-sent events.
func (s *Server) registerStreams(api huma.API) {
	watch := operation{
		id: "watch", path: "/events", summary: "What happens, from now on (server-sent events)",
		description: "First a `view` for each rollout, then an `event` for each event and a `view` whenever something has changed. " +
			"`lost` means that the reader was too slow: begin again.",
	}
	follow := operation{
		id: "followRelease", path: "/releases/{id}/events/stream", summary: "The events of a release, past and future (server-sent events)",
		description: "Each has its number as id, so that Last-Event-ID resumes without a gap; the stream ends with the release, and 204 " +
			"says that there is nothing more to come.",
	}
	registerStream(s, api, watch, func(in *watchInput) string { return in.Authorization }, s.watch)
	registerStream(s, api, follow, func(in *followInput) string { return in.Authorization }, s.follow)
}

func isStream(r *http.Request) bool {
	return r.URL.Path == Prefix+"/events" || r.URL.Path == LivePath || strings.HasSuffix(r.URL.Path, "/events/stream")
}

// begin checks the request of a stream and returns the function that sends it, or nil if there is nothing to send.
type begin[I any] func(context.Context, *I) (func(context.Context, *stream) error, error)

func registerStream[I any](s *Server, api huma.API, o operation, header func(*I) string, f begin[I]) {
	o.method = http.MethodGet
	op := s.huma(api, o)
	op.Responses["200"] = &huma.Response{Description: "Server-sent events", Content: map[string]*huma.MediaType{
		"text/event-stream": {}, // of a stream, not of one event
	}}
	huma.Register(api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		if who := identity(ctx); !who.Reads() {
			return nil, s.problem(ctx, forbidden(who, VerbGet, ""))
		}
		send, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			_, w := humago.Unwrap(hc)
			if send == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			s.serveStream(ctx, w, func(ctx context.Context) error {
				who, err := s.whose(ctx, header(in), remote(ctx))
				if err == nil && !who.Same(identity(ctx)) {
					err = errRolesChanged
				}
				return err
			}, send)
		}}, nil
	})
}

func (s *Server) serveStream(ctx context.Context, w http.ResponseWriter, still func(context.Context) error,
	send func(context.Context, *stream) error) {
	leave, err := s.places.enter(identity(ctx).Name)
	if err != nil {
		p := newProblem(http.StatusServiceUnavailable, "%s", err)
		p.RequestID, p.retryAfter = requestID(ctx), s.o.Heartbeat
		p.write(w, s.o.Log)
		return
	}
	defer leave()
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	ticker := time.NewTicker(s.o.Heartbeat)
	defer ticker.Stop()
	st := &stream{w: w, control: http.NewResponseController(w), beat: ticker.C, still: still}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	_ = st.control.SetReadDeadline(time.Time{}) // the server's own is for requests
	w.WriteHeader(http.StatusOK)
	if err := st.comment("serin"); err != nil {
		return
	}
	if err := send(ctx, st); err != nil && ctx.Err() == nil {
		s.o.Log.Debug("event stream ended", "request", requestID(ctx), "err", err)
	}
}

// places counts the open event streams, in all and for each reader.
type places struct {
	mu  sync.Mutex // guards what follows
	all int
	of  map[string]int
}

func (p *places) enter(who string) (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.all >= maxStreams:
		return nil, fmt.Errorf("%d event streams are open, which is the limit", maxStreams)
	case p.of[who] >= maxStreamsEach:
		return nil, fmt.Errorf("%s has %d event streams open, which is the limit for one", who, maxStreamsEach)
	}
	if p.of == nil {
		p.of = map[string]int{}
	}
	p.all++
	p.of[who]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.of[who]--; p.of[who] == 0 {
			delete(p.of, who)
		}
	}, nil
}

// stream writes server-sent events (WHATWG HTML, section 9.2).
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	beat    <-chan time.Time
	// still returns an error once the reader's token is no longer valid.
	still func(context.Context) error
}

// send writes one event; id 0 leaves the reader's last id as it is. JSON has no line breaks, so one data line will
// do.
func (st *stream) send(name string, id int, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	text := "event: " + name + "\n"
	if id > 0 {
		text += "id: " + strconv.Itoa(id) + "\n"
	}
	return st.write(text + "data: " + string(b) + "\n\n")
}

func (st *stream) comment(text string) error { return st.write(": " + text + "\n\n") }

func (st *stream) write(text string) error {
	if err := st.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return fmt.Errorf("bound a write: %w", err)
	}
	if _, err := st.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := st.control.Flush(); err != nil {
		return err
	}
	return st.control.SetWriteDeadline(time.Time{}) // HTTP/2 would end a stream on which nothing is written when it passes
}

// heartbeat keeps proxies from closing a quiet stream, and ends a stream whose token was revoked.
func (st *stream) heartbeat(ctx context.Context) error {
	if err := st.still(ctx); err != nil {
		return err
	}
	return st.comment("still here")
}

// watch streams all that happens.
func (s *Server) watch(ctx context.Context, in *watchInput) (func(context.Context, *stream) error, error) {
	if in.Rollout != "" {
		if _, err := s.sight.Rollout(ctx, in.Rollout); err != nil {
			return nil, err
		}
	}
	wanted := seenUpdates(ctx, func(u record.Update) bool { return in.Rollout == "" || in.Rollout == u.Rollout })
	return func(ctx context.Context, st *stream) error {
		updates := s.o.Engine.Subscribe(ctx) // before the views, so that nothing is between them
		for _, v := range s.o.Engine.Rollouts() {
			if wanted(record.Update{Rollout: v.Rollout}) {
				if err := st.send("view", 0, public(v)); err != nil {
					return err
				}
			}
		}
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-st.beat:
				if err := st.heartbeat(ctx); err != nil {
					return err
				}
			case u, ok := <-updates:
				if !ok {
					return st.send("lost", 0, struct{}{})
				}
				if err := s.sendUpdates(st, u, updates, wanted); err != nil {
					return err
				}
			}
		}
	}, nil
}

// seenUpdates narrows wanted to rollouts that the caller may see. An update is left out while that cannot be determined.
func seenUpdates(ctx context.Context, wanted func(record.Update) bool) func(record.Update) bool {
	return func(u record.Update) bool {
		if !wanted(u) {
			return false
		}
		ok, err := sees(ctx, u.Rollout)
		return ok && err == nil
	}
}

// errRolesChanged ends a stream whose reader may now see more or less than when it began; the reader reconnects.
var errRolesChanged = errors.New("the roles of this token have changed")

// sendUpdates sends the updates that are there, and one view for each rollout among them.
func (s *Server) sendUpdates(st *stream, u record.Update, more <-chan record.Update, wanted func(record.Update) bool) error {
	changed := map[string]bool{}
	for ok := true; ok; {
		if wanted(u) {
			changed[u.Rollout] = true
			if u.Event != nil {
				if err := st.send("event", 0, Update{Rollout: u.Rollout, Release: u.Release, Event: Event{u.Event}}); err != nil {
					return err
				}
			}
		}
		select {
		case u, ok = <-more: // closed: the caller sees it next
		default:
			ok = false
		}
	}
	for name := range changed {
		v, err := s.o.Engine.Rollout(name)
		if err != nil {
			continue // gone meanwhile
		}
		if err := st.send("view", 0, public(v)); err != nil {
			return err
		}
	}
	return nil
}

// follow streams the events of one release. What is sent is read from the store, so that nothing is sent that is
// not durable, nothing twice, and nothing left out.
func (s *Server) follow(ctx context.Context, in *followInput) (func(context.Context, *stream) error, error) {
	after := in.After
	if in.LastEventID != "" {
		n, err := strconv.Atoi(in.LastEventID)
		if err != nil || n < 0 {
			return nil, newProblem(http.StatusUnprocessableEntity, "Last-Event-ID has to be the number of an event")
		}
		after = n
	}
	v, err := s.sight.Release(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if v.State.Ended() && after >= v.State.Seq {
		return nil, nil
	}
	return func(ctx context.Context, st *stream) error {
		updates := s.o.Engine.Subscribe(ctx)
		for {
			// A right can be taken away while the token stays good.
			if ok, err := sees(ctx, v.Rollout); !ok || err != nil {
				return errors.Join(errRolesChanged, err)
			}
			last, ended, err := s.sendEvents(ctx, st, in.ID, after)
			if err != nil || ended {
				return err
			}
			after = last
			if err := s.awaitUpdate(ctx, st, updates, in.ID); err != nil {
				return err
			}
		}
	}, nil
}

func (s *Server) sendEvents(ctx context.Context, st *stream, id string, after int) (last int, ended bool, err error) {
	events, err := s.o.Store.Events(ctx, id, after)
	if err != nil {
		return after, false, err
	}
	for _, e := range events {
		after = e.Head().Seq
		if err := st.send(rollout.Kind(e), after, Event{e}); err != nil {
			return after, false, err
		}
		if _, ok := e.(rollout.Ended); ok {
			return after, true, nil
		}
	}
	return after, false, nil
}

// awaitUpdate returns when a release may have something new.
func (s *Server) awaitUpdate(ctx context.Context, st *stream, updates <-chan record.Update, id string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.beat:
			return st.heartbeat(ctx)
		case u, ok := <-updates:
			if !ok {
				return fmt.Errorf("subscription of release %s ended", id)
			}
			if u.Release == id && u.Event != nil {
				return nil
			}
		}
	}
}
