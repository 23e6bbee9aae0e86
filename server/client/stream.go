package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// silence is how long a stream may say nothing: the daemon says every 15 s that it is there.
const silence = 50 * time.Second

// Watch reads the daemon's event stream, of one rollout or of all for the empty name, until ctx ends or the stream
// does. It calls told after the first word of the daemon and whenever something has happened; what, is asked for
// with the other methods. It returns ctx's error, a *Problem where the daemon refuses, or how the stream ended.
func (c *Client) Watch(ctx context.Context, rolloutName string, told func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	query := url.Values{}
	if rolloutName != "" {
		query.Set("rollout", rolloutName)
	}
	u := c.url(query, "events")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream, application/problem+json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	watchdog := time.AfterFunc(silence, func() { cancel(errors.New("the daemon has gone silent")) })
	defer watchdog.Stop()
	resp, err := c.http.Do(req)
	if err != nil {
		return err // a *url.Error: it says method and address
	}
	defer func() { _ = resp.Body.Close() }() // read only
	if resp.StatusCode != http.StatusOK {
		return problem(resp)
	}
	err = eachEvent(resp.Body, func() { watchdog.Reset(silence) }, told)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &url.Error{Op: "read", URL: u.Redacted(), Err: err}
}

// eachEvent calls event after each server-sent event and after the first comment, and line after each line. Lines
// are not kept, however long they are: the data is asked for elsewhere.
func eachEvent(r io.Reader, line, event func()) error {
	b := bufio.NewReader(r)
	first, pending, begin := true, false, true
	for {
		part, err := b.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // a stream ends by the daemon's stop only
			}
			return err
		}
		line()
		text := bytes.TrimRight(part, "\r\n")
		switch {
		case begin && err == nil && len(text) == 0 && (pending || first):
			event()
			first, pending = false, false
		case begin && bytes.HasPrefix(text, []byte("event:")), begin && bytes.HasPrefix(text, []byte("data:")):
			pending = true
		}
		begin = err == nil
	}
}
