package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// How long the API server may take. It keeps no request in its queue for longer than 15 seconds; reading even the
// largest list takes less than a minute. A watch may last as long as it likes.
const (
	answerTimeout = 15 * time.Second
	readTimeout   = time.Minute
)

// errSilent reports an API server that accepts a request and does not answer.
var errSilent = errors.New("the API server does not answer")

// bounded returns c with a time limit for each request. The client's own timeout would end watches as well.
func bounded(c *rest.Config) *rest.Config {
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return inTime{next, answerTimeout, readTimeout} })
	return c
}

// inTime cancels requests that are not answered in time.
type inTime struct {
	next         http.RoundTripper
	answer, read time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p inTime) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(p.answer, func() { cancel(fmt.Errorf("%w within %s", errSilent, p.answer)) })
	res, err := p.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = why(ctx, err)
		cancel(nil)
		return nil, err
	}
	if isWatch(r) {
		timer.Stop()
	} else {
		timer.Reset(p.read)
	}
	res.Body = &bodyInTime{res.Body, ctx, func() { timer.Stop(); cancel(nil) }}
	return res, nil
}

func isWatch(r *http.Request) bool {
	watch := r.URL.Query().Get("watch")
	return watch == "true" || watch == "1"
}

// why maps a timeout, ours or the caller's, to errSilent.
func why(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errSilent):
		return cause
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errSilent, cause)
	}
	return err
}

// bodyInTime is a response body that has to be read in time.
type bodyInTime struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // of the request
	end func()
}

// Read implements io.Reader.
func (b *bodyInTime) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = why(b.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *bodyInTime) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
