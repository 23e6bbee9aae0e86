// Package notify answers who has to be notified about a release: the people and programs that the daemon's
// configuration names ([Notifier]), and the systems that a release's webhook steps name ([Caller]).
//
// A message goes through an outbox: it is created in the transaction that records how far events have been looked at, so
// a restart neither loses nor repeats it, and it is retried until it is delivered. A call is a task that may happen only
// once: every try carries the same Idempotency-Key, so a receiver that has seen it can answer without doing it
// again. Whether a release may go on after an answer is package rollout's decision.
//
// Start reading at [Notifier.Run], then note.go for the wording.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/serindev/serin/rollout"
)

// Message is the body that a webhook gets if it has none of its own.
type Message struct {
	Rollout    string            `json:"rollout"`
	Release    string            `json:"release"`
	Revision   string            `json:"revision"`
	Step       string            `json:"step"`
	Phase      rollout.Phase     `json:"phase"`
	Why        string            `json:"why,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Limits of a call. Only the first answerLimit bytes of an answer are read, which are shown to people.
const (
	firstPause  = 500 * time.Millisecond
	longestWait = 30 * time.Second
	tryTimeout  = 10 * time.Second
	answerLimit = 4 << 10
)

// Caller calls webhooks. Redirects are not followed: only the configured address is called.
type Caller struct {
	Client *http.Client
	Log    *slog.Logger
}

// NewCaller makes a Caller with timeouts of its own.
func NewCaller(log *slog.Logger) *Caller {
	return &Caller{Log: log, Client: &http.Client{
		Timeout:       tryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Call posts until the receiver answers with 2xx, then polls the status address, if there is one, until that does the same.
// It gives up after the webhook's deadline, or at once on a 4xx answer other than 408, 425 and 429: asking again would not
// change it. A nil error means that the release may go on.
func (c *Caller) Call(ctx context.Context, key string, w rollout.Webhook, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, w.Deadline)
	defer cancel()
	body := []byte(w.Body)
	if w.Body == "" {
		var err error
		if body, err = json.Marshal(m); err != nil {
			return fmt.Errorf("encode the message: %w", err)
		}
	}
	if err := c.until(ctx, http.MethodPost, w.URL, key, w.Headers, body); err != nil {
		return fmt.Errorf("call %s: %w", host(w.URL), err)
	}
	if w.Status == "" {
		return nil
	}
	if err := c.until(ctx, http.MethodGet, w.Status, key, w.Headers, nil); err != nil {
		return fmt.Errorf("ask %s for its status: %w", host(w.Status), err)
	}
	return nil
}

// errFinal marks an answer that asking again would not change.
var errFinal = errors.New("refused")

// until tries until there is a 2xx, with growing pauses.
func (c *Caller) until(ctx context.Context, method, address, key string, headers map[string]string, body []byte) error {
	pause := firstPause
	for {
		err := c.try(ctx, method, address, key, headers, body)
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		c.Log.Warn("webhook not answered yet", "host", host(address), "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("no 2xx answer in time; the last one: %w", err)
		case <-timer.C:
		}
		pause = min(2*pause, longestWait)
	}
}

func (c *Caller) try(ctx context.Context, method, address, key string, headers map[string]string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, redact(err))
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("User-Agent", "serin")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := c.Client.Do(req)
	if err != nil {
		return redact(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	switch {
	case res.StatusCode/100 == 2 && res.StatusCode != http.StatusAccepted, res.StatusCode == http.StatusAccepted && method == http.MethodPost:
		return nil
	case res.StatusCode/100 == 4 && !retryable(res.StatusCode):
		return fmt.Errorf("%w: %s: %s", errFinal, res.Status, strings.TrimSpace(string(text)))
	}
	return fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(text)))
}

func retryable(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests
}

// redact removes the address from an error of package http: chat systems put a secret into it.
func redact(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// host returns the part of an address that may be shown.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Host
}
