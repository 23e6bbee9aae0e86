package server_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

func TestAReleaseFromStartToEnd(t *testing.T) {
	d := newDaemon(t)

	a := d.post("otto", "/rollouts/shop/releases", `{"key":"ci-1","parameters":{"image":"shop:1.4"}}`)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	id := as[record.Release](t, a).ID
	v := d.until(id, func(v record.View) bool { return v.Gate == "start" })
	require.Equal(t, "shop:1.4", v.State.Parameters["image"])

	a = d.post("olga", "/rollouts/shop/releases", `{"key":"ci-1"}`)
	require.Equal(t, http.StatusOK, a.status, "the same key gets the same release")
	require.Equal(t, id, as[record.Release](t, a).ID)

	a = d.post("otto", "/rollouts/shop/releases", `{"key":"ci-2"}`)
	require.Equal(t, http.StatusConflict, a.status, "there is one active release")
	require.Equal(t, id, as[server.Problem](t, a).Release)

	a = d.post("quinn", "/releases/"+id+"/gates/start", `{"answer":"approve","reason":"fine"}`)
	require.Equal(t, http.StatusOK, a.status, a.body)
	a = d.post("ada", "/releases/"+id+"/gates/start", `{"answer":"reject"}`)
	require.Equal(t, http.StatusConflict, a.status, "the second answer")
	first := as[server.Problem](t, a).Answered
	require.NotNil(t, first, a.body)
	require.Equal(t, "quinn", first.By)
	require.Equal(t, rollout.Approve, first.Answer)
	require.False(t, first.At.IsZero())

	d.until(id, func(v record.View) bool { return v.Gate == "four" })
	a = d.post("otto", "/releases/"+id+"/gates/four", `{"answer":"approve"}`)
	require.Equal(t, http.StatusForbidden, a.status, "who starts may not answer a gate for a second pair of eyes")
	a = d.post("olga", "/releases/"+id+"/gates/four", `{"answer":"approve"}`)
	require.Equal(t, http.StatusOK, a.status, a.body)

	v = d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.Released, v.State.Outcome)
	a = d.post("ada", "/releases/"+id+"/gates/start", `{"answer":"reject"}`)
	require.Equal(t, "quinn", as[server.Problem](t, a).Answered.By, "also once it has ended")
	a = d.post("otto", "/releases/"+id+"/rollback", `{"reason":"too late"}`)
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, d.get("vera", "/releases/"+id+"/explain").body, "released")
	require.Contains(t, d.get("vera", "/rollouts/shop/explain").body, "released")

	var audit []string
	for _, e := range as[[]record.AuditEntry](t, d.get("vera", "/audit?rollout=shop")) {
		line := e.By + " " + e.Action
		if e.Refused != "" {
			line += " refused"
		}
		require.Contains(t, e.From, "127.0.0.1:")
		audit = append(audit, line)
	}
	require.Equal(t, []string{
		"otto rollbackRelease refused", "ada answerGate refused", "olga answerGate", "otto answerGate refused",
		"ada answerGate refused", "quinn answerGate", "otto startRelease refused", "olga startRelease", "otto startRelease",
	}, audit, "the newest first, refusals too")
}

func TestActionsOfAnOperator(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")

	a := d.post("otto", "/releases/"+id+"/pause", `{"reason":"lunch"}`)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "lunch", as[server.ActionResult](t, a).State.Pause.Reason)
	require.Equal(t, http.StatusConflict, d.post("otto", "/releases/"+id+"/pause", `{}`).status)
	require.Equal(t, http.StatusOK, d.post("olga", "/releases/"+id+"/resume", ``).status, "without a body")
	require.Equal(t, http.StatusConflict, d.post("olga", "/releases/"+id+"/dismiss-alarm", `{}`).status, "there is no alarm")

	a = d.post("olga", "/rollouts/shop/releases", `{"supersede":true}`)
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	next := as[record.Release](t, a).ID
	d.until(next, func(v record.View) bool { return v.Gate == "start" })
	v := d.until(id, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.OutcomeSuperseded, v.State.Outcome)

	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+next+"/cancel", `{"reason":"not today"}`).status)
	v = d.until(next, func(v record.View) bool { return v.State.Ended() })
	require.Equal(t, rollout.Cancelled, v.State.Outcome)

	ended := as[[]record.Release](t, d.get("vera", "/releases?rollout=shop&phase=ended&limit=1"))
	require.Equal(t, next, ended[0].ID, "the newest first")
	ended = as[[]record.Release](t, d.get("vera", "/releases?before="+next+"&outcome=superseded"))
	require.Equal(t, id, ended[0].ID)
	for query, want := range map[string][]string{
		"by=olga": {next}, "by=otto": {id}, "by=nobody": {}, "since=2000-01-01T00:00:00Z&by=otto": {id}, "until=2000-01-01T00:00:00Z": {},
		"since=9999-12-31T23:59:59Z": {}, "until=0000-01-01T00:00:00Z": {},
	} {
		ids := []string{}
		for _, r := range as[[]record.Release](t, d.get("vera", "/releases?rollout=shop&"+query)) {
			ids = append(ids, r.ID)
		}
		require.Equal(t, want, ids, query)
	}
	require.Equal(t, http.StatusUnprocessableEntity, d.get("vera", "/releases?since=yesterday").status)

	id = d.start("cart")
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/rollback", `{}`).status)
	d.until(id, func(v record.View) bool { return v.State.Ended() })
}

func TestASupersedingStartIsRepeatedWithItsKey(t *testing.T) {
	f := &waiting{}
	d := newDaemon(t, func(o *server.Options) { f.Engine, o.Engine = o.Engine, f })
	first := d.post("otto", "/rollouts/cart/releases", `{"key":"ci-7","supersede":true}`)
	require.Equal(t, http.StatusAccepted, first.status, first.body)
	require.Equal(t, "R7", as[record.Release](t, first).ID)
	require.NotEqual(t, http.StatusAccepted, d.post("otto", "/rollouts/cart/releases", `{"key":"ci-8"}`).status)
	require.NotEqual(t, http.StatusAccepted, d.post("otto", "/rollouts/cart/releases", `{}`).status)
}

// waiting is the real engine at a moment too short for a test to catch: a release goes back and its successor waits.
type waiting struct{ server.Engine }

func (w *waiting) Rollout(name string) (record.View, error) {
	v, err := w.Engine.Rollout(name)
	v.State.Phase, v.State.Successor = rollout.RollingBack, &rollout.StartRequest{ID: "R7", Key: "ci-7", By: "otto"}
	return v, err
}

func TestARefusalHasItsStatus(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	long := strings.Repeat("x", 5000)
	cases := []struct {
		name, who, path, body string
		status                int
		kind                  string
	}{
		{"an unknown rollout", "otto", "/rollouts/nope/releases", `{}`, 404, "urn:serin:not-found"},
		{"a parameter that is not declared", "otto", "/rollouts/cart/releases", `{"parameters":{"x":"1"}}`, 422, "urn:serin:parameter"},
		{"a parameter that does not match", "otto", "/rollouts/cart/releases", `{"parameters":{"image":"evil"}}`, 422, "urn:serin:parameter"},
		{"a parameter that is too long", "otto", "/rollouts/cart/releases", `{"parameters":{"image":"` + long + `"}}`, 422, "urn:serin:parameter"},
		{"an unknown release", "otto", "/releases/01ARZ3NDEKTSV4RRFFQ69G5FAV/pause", `{}`, 404, "urn:serin:not-found"},
		{"an unknown gate", "ada", "/releases/" + id + "/gates/nope", `{"answer":"approve"}`, 404, "urn:serin:not-found"},
		{"a gate that is not open yet", "ada", "/releases/" + id + "/gates/four", `{"answer":"approve"}`, 409, "urn:serin:not-allowed"},
		{"waiting is no answer to a gate", "ada", "/releases/" + id + "/gates/start", `{"answer":"wait"}`, 409, "urn:serin:not-allowed"},
		{"an answer that is none", "ada", "/releases/" + id + "/gates/start", `{"answer":"perhaps"}`, 422, ""},
		{"another user's gate", "otto", "/releases/" + id + "/gates/start", `{"answer":"approve"}`, 403, "urn:serin:forbidden"},
		{"an unknown field", "otto", "/releases/" + id + "/pause", `{"resaon":"typo"}`, 422, ""},
		{"a reason that is too long", "otto", "/releases/" + id + "/pause", `{"reason":"` + long + `"}`, 422, ""},
		{"a body that is no JSON", "otto", "/releases/" + id + "/pause", `{`, 400, ""},
		{"a body that is too large", "otto", "/releases/" + id + "/pause", `{"reason":"` + strings.Repeat(long, 20) + `"}`, 413, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := d.post(c.who, c.path, c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
			p := as[server.Problem](t, a)
			require.Equal(t, c.status, p.Status)
			if c.kind != "" {
				require.Equal(t, c.kind, p.Type)
				require.Equal(t, a.header.Get("X-Request-Id"), p.RequestID)
			}
		})
	}
	v, err := d.engine.Release(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, v.State.Pause, "nothing of it was done")
}

// TestRoles holds the section Who may of the release's specification.
func TestRoles(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	reads := []string{
		"/rollouts", "/rollouts/shop", "/rollouts/shop/explain", "/releases", "/releases/" + id, "/releases/" + id + "/explain",
		"/releases/" + id + "/events", "/releases/" + id + "/looks", "/audit", "/config/problems",
	}
	for _, path := range reads {
		for who := range people {
			want := http.StatusOK
			if who == "judy" {
				want = http.StatusForbidden
			}
			require.Equal(t, want, d.get(who, path).status, "%s reads %s", who, path)
		}
		a := d.get("", path)
		require.Equal(t, http.StatusUnauthorized, a.status, path)
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
	}
	require.Equal(t, server.Identity{Name: "quinn", Roles: []string{"qa"}}, as[server.Identity](t, d.get("quinn", "/me")))
	require.Equal(t, "v1", as[server.Version](t, d.get("", "/version")).Version, "without a token")

	for _, path := range []string{"/rollouts/cart/releases", "/releases/" + id + "/resume", "/releases/" + id + "/dismiss-alarm"} {
		for who, allowed := range map[string]bool{"vera": false, "quinn": false, "judy": false, "otto": true, "ada": true} {
			status := d.post(who, path, `{}`).status
			require.Equal(t, allowed, status != http.StatusForbidden, "%s posts %s: %d", who, path, status)
		}
		require.Equal(t, http.StatusUnauthorized, d.post("", path, `{}`).status)
	}
}

func TestWritesNeedJSON(t *testing.T) {
	d := newDaemon(t)
	for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"} {
		r := d.request("otto", http.MethodPost, "/api/v1/rollouts/shop/releases", `{}`)
		r.Header.Set("Content-Type", ct)
		require.Equal(t, http.StatusUnsupportedMediaType, d.do(r).status, ct)
	}
	r := d.request("otto", http.MethodPost, "/api/v1/rollouts/shop/releases", `{}`)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusCreated, d.do(r).status)
}

func TestAnswersHaveTheirSecurityHeaders(t *testing.T) {
	d := newDaemon(t)
	for path, status := range map[string]int{"/api/v1/rollouts": 200, "/api/v1/nope": 404, "/healthz": 200, "/readyz": 200, "/": 404} {
		r := d.request("vera", http.MethodGet, path, "")
		r.Header.Set("Origin", "https://evil.example")
		a := d.do(r)
		require.Equal(t, status, a.status, path)
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Contains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
		require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
		require.Empty(t, a.header.Get("Set-Cookie"))
	}
	a := d.do(d.request("vera", http.MethodDelete, "/api/v1/rollouts", ""))
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	r := d.request("vera", http.MethodPost, "/api/v1/rollouts", "")
	a = d.do(r)
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	require.Contains(t, a.header.Get("Allow"), "GET")
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(t, http.StatusUnprocessableEntity, d.get("vera", "/releases?limit=0").status)
	require.Equal(t, http.StatusUnprocessableEntity, d.get("vera", "/releases?limits=1").status, "a misspelt filter filters nothing")
}

func TestTextStaysText(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	reason := "<script>alert(1)</script> '; DROP TABLE audit; -- {{.}} \u2028 \x1b[31m\n\nevent: ended\ndata: {}\n\n ${x} %s"
	body, err := json.Marshal(server.ReasonBody{Reason: reason})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/pause", string(body)).status)

	require.Equal(t, reason, as[record.View](t, d.get("vera", "/releases/"+id)).State.Pause.Reason)
	events := as[[]server.Event](t, d.get("vera", "/releases/"+id+"/events?after=4"))
	require.Equal(t, reason, events[0].Event.(rollout.Paused).Reason)
	require.Equal(t, reason, as[[]record.AuditEntry](t, d.get("vera", "/audit"))[0].Detail)
	a := d.get("vera", "/releases/"+id+"/events")
	require.Equal(t, "application/json", a.header.Get("Content-Type"))

	s := d.stream("vera", "/releases/"+id+"/events/stream", "")
	for kind := ""; kind != "paused"; {
		m := s.next()
		kind = m.event
		require.NotEqual(t, "ended", kind, "a line break in a reason ends no message")
		if kind == "paused" {
			require.Equal(t, reason, as[server.Event](t, answer{body: m.data}).Event.(rollout.Paused).Reason)
		}
	}
	require.Equal(t, http.StatusNotFound, d.get("vera", "/rollouts/"+`%2e%2e%2f%2e%2e%2fetc%2fpasswd`).status)
	require.Equal(t, http.StatusNotFound, d.get("vera", "/releases/"+`'%20OR%201=1%20--`).status)
}

func TestWebhooksKeepTheirSecrets(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	for _, path := range []string{"/rollouts", "/rollouts/shop", "/releases/" + id} {
		a := d.get("ada", path)
		require.NotContains(t, a.body, "s3cret", path)
		require.Contains(t, a.body, "https://chat.example.com/***", path)
	}
	v, err := d.engine.Release(t.Context(), id)
	require.NoError(t, err)
	require.Contains(t, v.Steps[2].(rollout.Webhook).URL, "s3cret", "what the engine holds is untouched")
}

func TestLooksArePagedForCharts(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	var records []record.LookRecord
	for i := 1; i <= 5; i++ {
		at := time.Date(2026, 1, 5, 9, 0, i, 0, time.UTC)
		records = append(records, record.LookRecord{
			Release: id, Scope: "gray", Turn: 1,
			Look:    judge.Look{Number: i, At: at, Length: time.Second, Weight: 0.05, Observations: []judge.Observation{{Metric: "errors"}}},
			Verdict: judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: i, At: at},
		})
	}
	require.NoError(t, d.store.SaveLooks(t.Context(), records))
	page := as[server.LookPage](t, d.get("vera", "/releases/"+id+"/looks?limit=3"))
	require.Equal(t, "gray", page.Scope, "the last scope of the plan")
	require.Len(t, page.Looks, 3)
	require.Equal(t, 3, page.Next)
	page = as[server.LookPage](t, d.get("vera", "/releases/"+id+"/looks?scope=gray&limit=3&after=3"))
	require.Len(t, page.Looks, 2)
	require.Zero(t, page.Next)
	require.Equal(t, "errors", page.Looks[0].Observations[0].Metric)
}

func TestProblemsOfTheConfigurationAreShown(t *testing.T) {
	want := []server.ConfigProblem{{File: "shop.yaml", Line: 14, Text: "weights have to grow"}}
	d := newDaemon(t, func(o *server.Options) { o.Problems = func() []server.ConfigProblem { return want } })
	require.Equal(t, want, as[[]server.ConfigProblem](t, d.get("vera", "/config/problems")))
}

// stream is an open event stream.
type stream struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

type message struct{ event, id, data string }

func (d *daemon) stream(who, path, last string) *stream {
	d.t.Helper()
	r := d.request(who, http.MethodGet, "/api/v1"+path, "")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(d.t, err)
	d.t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(d.t, http.StatusOK, resp.StatusCode)
	require.Equal(d.t, "text/event-stream", resp.Header.Get("Content-Type"))
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return &stream{t: d.t, resp: resp, in: in}
}

// next reads a message; its event is empty for a comment, and "EOF" at the end.
func (s *stream) next() (m message) {
	for s.in.Scan() {
		name, value, _ := strings.Cut(s.in.Text(), ": ")
		switch name {
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data":
			m.data = value
		case "":
			if s.in.Text() == "" && m != (message{}) {
				return m
			}
			if value != "" {
				m.data = "# " + value
			}
		}
	}
	return message{event: "EOF"}
}

// event skips comments.
func (s *stream) event() message {
	for {
		if m := s.next(); m.event != "" {
			return m
		}
	}
}

func TestAStreamIsResumedWithoutAGap(t *testing.T) {
	d := newDaemon(t)
	id := d.start("shop")
	s := d.stream("vera", "/releases/"+id+"/events/stream", "")
	require.Equal(t, message{"started", "1", s.peek(d, id, 1)}, s.event())
	for range 3 {
		s.event()
	}

	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/pause", `{}`).status)
	require.Equal(t, "5", s.event().id, "as it happens")
	_ = s.resp.Body.Close()

	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/resume", `{}`).status)
	require.Equal(t, http.StatusOK, d.post("otto", "/releases/"+id+"/cancel", `{}`).status)
	s = d.stream("vera", "/releases/"+id+"/events/stream", "5")
	var kinds, ids []string
	for {
		m := s.event()
		if m.event == "EOF" {
			break
		}
		kinds, ids = append(kinds, m.event), append(ids, m.id)
	}
	require.Equal(t, []string{"resumed", "cancelRequested", "ended"}, kinds, "what came meanwhile, and then the end")
	require.Equal(t, []string{"6", "7", "8"}, ids)

	r := d.request("vera", http.MethodGet, "/api/v1/releases/"+id+"/events/stream?after=8", "")
	require.Equal(t, http.StatusNoContent, d.do(r).status, "there is nothing more to come")
	require.Equal(t, http.StatusNotFound, d.get("vera", "/releases/nope/events/stream").status)
	r = d.request("vera", http.MethodGet, "/api/v1/releases/"+id+"/events/stream", "")
	r.Header.Set("Last-Event-ID", "many")
	require.Equal(t, http.StatusUnprocessableEntity, d.do(r).status)
}

// peek returns the data of the event with a number.
func (s *stream) peek(d *daemon, id string, seq int) string {
	events, err := d.store.Events(d.t.Context(), id, seq-1)
	require.NoError(d.t, err)
	b, err := json.Marshal(server.Event{Event: events[0]})
	require.NoError(d.t, err)
	return string(b)
}

func TestWatchingShowsViewsAndEvents(t *testing.T) {
	d := newDaemon(t)
	s := d.stream("vera", "/events", "")
	var names []string
	for range plans() {
		m := s.event()
		require.Equal(t, "view", m.event)
		names = append(names, as[record.View](t, answer{body: m.data}).Rollout)
	}
	require.Equal(t, []string{"big", "cart", "shop"}, names)
	one := d.stream("vera", "/events?rollout=cart", "")
	require.Contains(t, one.event().data, `"rollout":"cart"`)

	id := d.start("shop")
	d.start("cart")
	for {
		m := s.event()
		require.NotEqual(t, "EOF", m.event)
		if m.event == "event" {
			u := as[server.Update](t, answer{body: m.data})
			require.Equal(t, id, u.Release)
			require.Equal(t, "started", rollout.Kind(u.Event.Event))
			break
		}
	}
	for {
		m := one.event()
		require.NotContains(t, m.data, `"rollout":"shop"`, "only the one that was asked for")
		if m.event == "event" {
			break
		}
	}
	require.Equal(t, http.StatusNotFound, d.get("vera", "/events?rollout=nope").status)
	require.Equal(t, http.StatusForbidden, d.get("judy", "/events").status)
	require.Equal(t, http.StatusUnauthorized, d.get("", "/events").status)

	require.NoError(t, d.stop())
	for m := s.event(); m.event != "EOF"; m = s.event() {
		require.Contains(t, []string{"view", "event", "lost"}, m.event)
	}
}

func TestAQuietStreamSendsHeartbeatsUntilItsTokenIsRevoked(t *testing.T) {
	d := newDaemon(t, func(o *server.Options) { o.Heartbeat = 20 * time.Millisecond })
	id := d.start("shop")
	s := d.stream("vera", "/releases/"+id+"/events/stream", "4")
	require.Equal(t, "# serin", s.next().data)
	require.Equal(t, "# still here", s.next().data)
	_, tokens := roster()
	var rest []server.Token
	for _, token := range tokens {
		if token.Name != "vera" {
			rest = append(rest, token)
		}
	}
	require.NoError(t, server.SaveTokens(d.tokens, rest))
	for m := s.next(); m.event != "EOF"; m = s.next() {
		require.Equal(t, "# still here", m.data)
	}
	require.Equal(t, http.StatusUnauthorized, d.get("vera", "/rollouts").status)
}

func TestTheDocumentDescribesEveryOperation(t *testing.T) {
	d := newDaemon(t)
	for path, ops := range d.schemas.paths {
		require.True(t, strings.HasPrefix(path, server.Prefix), path)
		for method, op := range ops {
			op := op.(map[string]any)
			require.NotEmpty(t, op["summary"], "%s %s", method, path)
			_, secured := op["security"]
			require.Equal(t, path != server.Prefix+"/version", secured, path)
			require.Contains(t, op["responses"], "default", "%s %s", method, path)
		}
	}
	require.Contains(t, d.do(d.request("", http.MethodGet, "/openapi.yaml", "")).body, "openapi: 3.1.0")
}
