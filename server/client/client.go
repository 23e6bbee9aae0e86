// Package client answers what a program says to Serin's HTTP API, in types. It knows the wire form and nothing of
// what people see; the commands of serin are written on it, and other programs may be.
//
// Start reading at [Client].
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

const (
	// maxAnswer bounds what is read of one answer: a thousand looks with all their numbers are some megabytes.
	maxAnswer = 64 << 20
	// maxProblem bounds what is read of an error.
	maxProblem = 64 << 10
	// timeout of one request. A start waits for the store, which may take its time on a busy disk.
	timeout = 30 * time.Second
)

// Client asks one daemon. It may be used by several goroutines.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	// ahead is how far the daemon's clock is ahead of this one, in nanoseconds.
	ahead atomic.Int64
}

// New makes a client of the daemon at server (http://127.0.0.1:7474; a path before /api/v1 may follow). token may be
// empty. transport is nil for the default one. It sends no request yet.
func New(server, token string, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil {
		// The parser's message would show a password.
		return nil, errors.New("address of the daemon: expected http://HOST:PORT or https://HOST:PORT")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address of the daemon %s: expected http://HOST:PORT or https://HOST:PORT", u.Redacted())
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token has characters that no token has")
	}
	return &Client{
		base: u.JoinPath("api", "v1"), token: token,
		http: &http.Client{
			Transport: transport,
			// A daemon never redirects. A server that does is not one, and gets no token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Problem is an answer that is an error (RFC 9457), as much of it as could be read.
type Problem struct{ server.Problem }

// Error is the detail, or as much as is known.
func (p *Problem) Error() string {
	out := p.Detail
	if out == "" {
		out = p.Title
	}
	if out == "" {
		out = http.StatusText(p.Status)
	}
	for _, e := range p.Errors {
		switch {
		case e.Message == "" || e.Message == out:
		case e.Location == "":
			out += "; " + e.Message
		default:
			out += "; " + e.Location + ": " + e.Message
		}
	}
	if p.RequestID != "" && p.Status >= http.StatusInternalServerError && !strings.Contains(out, p.RequestID) {
		out += " (request " + p.RequestID + ")"
	}
	if p.Detail == "" && p.Title == "" { // not Serin's words: a proxy's, or those of another program at this address
		return fmt.Sprintf("the answer is not Serin's: %d %s", p.Status, out)
	}
	return out
}

// StatusOf is the HTTP status of an error that the daemon answered with, and 0 for every other error.
func StatusOf(err error) int {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status
	}
	return 0
}

// Temporary tells whether the same request may succeed later: the daemon was not reached, or said so.
func Temporary(err error) bool {
	switch status := StatusOf(err); status {
	case 0:
		_, isURL := errors.AsType[*url.Error](err)
		return isURL
	case http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}

// do sends a request with a JSON body (nil for none) and decodes the answer into out (nil for none). It returns the
// status of a good answer. An error of the daemon is a *Problem; a *url.Error means that there was no answer.
func (c *Client) do(ctx context.Context, method string, u *url.URL, body, out any) (int, error) {
	status, _, err := c.send(ctx, method, u, body, out)
	return status, err
}

// send is do, with the header of the answer.
func (c *Client) send(ctx context.Context, method string, u *url.URL, body, out any) (int, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, fmt.Errorf("encode the request: %w", err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return 0, nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err // a *url.Error: it says method and address
	}
	defer func() { _ = resp.Body.Close() }() // read only
	c.compare(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return 0, nil, problem(resp)
	}
	if out == nil {
		return resp.StatusCode, resp.Header, nil
	}
	return resp.StatusCode, resp.Header, decode(resp, u, out)
}

// compare learns the daemon's time from the date of an answer, which has whole seconds.
func (c *Client) compare(resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	ahead := time.Until(at.Add(time.Second / 2))
	if ahead.Abs() < 2*time.Second { // the way takes that long
		ahead = 0
	}
	c.ahead.Store(int64(ahead))
}

// Now is the daemon's time, as far as its last answer told it: this machine's clock may be another.
func (c *Client) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func decode(resp *http.Response, u *url.URL, out any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return &url.Error{Op: "read", URL: u.Redacted(), Err: err}
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("the answer of %s is larger than %d bytes", u.Redacted(), maxAnswer)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer of %s is not Serin's: %w", u.Redacted(), err)
	}
	return nil
}

// problem reads an error. What does not come from Serin, such as a proxy's page, is reported by its status alone.
func problem(resp *http.Response) error {
	p := &Problem{}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil || json.Unmarshal(b, p) != nil {
		*p = Problem{}
	}
	p.Status = resp.StatusCode // what was sent counts, not what is said of it
	return p
}

func (c *Client) get(ctx context.Context, out any, query url.Values, path ...string) error {
	_, err := c.do(ctx, http.MethodGet, c.url(query, path...), nil, out)
	return err
}

// url escapes each element of a path.
func (c *Client) url(query url.Values, path ...string) *url.URL {
	escaped := make([]string, len(path))
	for i, p := range path {
		escaped[i] = url.PathEscape(p)
	}
	u := c.base.JoinPath(escaped...)
	u.RawQuery = query.Encode()
	return u
}

// Rollouts are all of them, by name.
func (c *Client) Rollouts(ctx context.Context) ([]record.View, error) {
	var out []record.View
	err := c.get(ctx, &out, nil, "rollouts")
	return out, err
}

// Rollout is one of them with its newest release.
func (c *Client) Rollout(ctx context.Context, name string) (record.View, error) {
	var out record.View
	err := c.get(ctx, &out, nil, "rollouts", name)
	return out, err
}

// Started is what became of a start.
type Started struct {
	Release record.Release
	// Known: the key had already started it. Pending: it starts once the release that it supersedes has ended; until
	// then nothing is known of it.
	Known, Pending bool
}

// Start starts a release. A *Problem with status 409 names the release that is active.
func (c *Client) Start(ctx context.Context, name string, s server.StartBody) (Started, error) {
	var out Started
	status, err := c.do(ctx, http.MethodPost, c.url(nil, "rollouts", name, "releases"), s, &out.Release)
	out.Known, out.Pending = status == http.StatusOK, status == http.StatusAccepted
	return out, err
}

// Releases that match a filter and have each word of a query, the newest first. The daemon searches a part of a long history for
// each request; it is asked again until there are enough, or no more.
func (c *Client) Releases(ctx context.Context, f record.Filter, query string) ([]record.Past, error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"rollout": f.Rollout, "phase": string(f.Phase), "outcome": string(f.Outcome), "by": f.By, "before": f.Before,
		"since": timeText(f.Since), "until": timeText(f.Until), "q": query,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var out []record.Past
	for {
		if f.Limit > 0 {
			q.Set("limit", strconv.Itoa(f.Limit-len(out)))
		}
		var found []record.Past
		_, header, err := c.send(ctx, http.MethodGet, c.url(q, "releases"), nil, &found)
		out = append(out, found...)
		next := header.Get(server.NextHeader)
		if err != nil || next == "" || f.Limit > 0 && len(out) >= f.Limit {
			return out, err
		}
		q.Set("before", next)
	}
}

// timeText is a time as the API reads it; the zero time is none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Release is one release, running or ended.
func (c *Client) Release(ctx context.Context, id string) (record.View, error) {
	var out record.View
	err := c.get(ctx, &out, nil, "releases", id)
	return out, err
}

// Events are those of one release after the given number, in order.
func (c *Client) Events(ctx context.Context, id string, after int) ([]rollout.Event, error) {
	q := url.Values{}
	if after > 0 {
		q.Set("after", strconv.Itoa(after))
	}
	var page []server.Event
	if err := c.get(ctx, &page, q, "releases", id, "events"); err != nil {
		return nil, err
	}
	out := make([]rollout.Event, len(page))
	for i, e := range page {
		out[i] = e.Event
	}
	return out, nil
}

// Looks are those of a scope of a release after the given number, in order, at most limit (5,000).
func (c *Client) Looks(ctx context.Context, id, scope string, after, limit int) (server.LookPage, error) {
	var out server.LookPage
	q := url.Values{"scope": {scope}, "limit": {strconv.Itoa(limit)}}
	if after > 0 {
		q.Set("after", strconv.Itoa(after))
	}
	err := c.get(ctx, &out, q, "releases", id, "looks")
	return out, err
}

// Explain says why a release stands where it stands.
func (c *Client) Explain(ctx context.Context, id string) (tell.Explanation, error) {
	var out tell.Explanation
	err := c.get(ctx, &out, nil, "releases", id, "explain")
	return out, err
}

// ExplainRollout says the same of a rollout's newest release.
func (c *Client) ExplainRollout(ctx context.Context, name string) (tell.Explanation, error) {
	var out tell.Explanation
	err := c.get(ctx, &out, nil, "rollouts", name, "explain")
	return out, err
}

// Answer answers a gate or a question. A *Problem with status 409 says who was first.
func (c *Client) Answer(ctx context.Context, id, gate string, answer rollout.Answer, reason string) (server.ActionResult, error) {
	var out server.ActionResult
	body := server.AnswerBody{Answer: answer, Reason: reason}
	_, err := c.do(ctx, http.MethodPost, c.url(nil, "releases", id, "gates", gate), body, &out)
	return out, err
}

// Act does something to a release. The result has a warning where it could not be written yet.
func (c *Client) Act(ctx context.Context, id string, action server.Action, reason string) (server.ActionResult, error) {
	var out server.ActionResult
	_, err := c.do(ctx, http.MethodPost, c.url(nil, "releases", id, string(action)), server.ReasonBody{Reason: reason}, &out)
	return out, err
}

// Promote lets a release go on without waiting.
func (c *Client) Promote(ctx context.Context, id string, b server.PromoteBody) (server.ActionResult, error) {
	var out server.ActionResult
	_, err := c.do(ctx, http.MethodPost, c.url(nil, "releases", id, "promote"), b, &out)
	return out, err
}

// Undo starts a release that brings back the version before the last one. The same key undoes nothing twice.
func (c *Client) Undo(ctx context.Context, name string, b server.UndoBody) (Started, error) {
	var out Started
	status, err := c.do(ctx, http.MethodPost, c.url(nil, "rollouts", name, "undo"), b, &out.Release)
	out.Known = status == http.StatusOK
	return out, err
}

// Retry starts a release that tries the version of the last one again. The same key retries nothing twice.
func (c *Client) Retry(ctx context.Context, name string, b server.RetryBody) (Started, error) {
	var out Started
	status, err := c.do(ctx, http.MethodPost, c.url(nil, "rollouts", name, "retry"), b, &out.Release)
	out.Known = status == http.StatusOK
	return out, err
}

// Problems is what is wrong with the daemon's configuration now.
func (c *Client) Problems(ctx context.Context) ([]server.ConfigProblem, error) {
	var out []server.ConfigProblem
	err := c.get(ctx, &out, nil, "config", "problems")
	return out, err
}

// Audit is what people and programs did, the newest first; limit 0 leaves the number to the daemon.
func (c *Client) Audit(ctx context.Context, f record.AuditFilter) ([]record.AuditEntry, error) {
	q := url.Values{}
	if f.Rollout != "" {
		q.Set("rollout", f.Rollout)
	}
	if f.By != "" {
		q.Set("by", f.By)
	}
	if len(f.Actions) == 1 { // the API takes one
		q.Set("action", f.Actions[0])
	}
	if !f.Since.IsZero() {
		q.Set("since", timeText(f.Since))
	}
	if !f.Until.IsZero() {
		q.Set("until", timeText(f.Until))
	}
	if f.Before > 0 {
		q.Set("before", strconv.FormatInt(f.Before, 10))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var out []record.AuditEntry
	err := c.get(ctx, &out, q, "audit")
	return out, err
}
