package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// CloudEvents posts notes to a program as CloudEvents 1.0 in JSON ("structured mode"), signed as Standard Webhooks
// 1.0 does: the header webhook-signature is v1, and the base64 of the HMAC-SHA256 of "ID.TIMESTAMP.BODY", where ID
// and TIMESTAMP are the headers webhook-id and webhook-timestamp. A note that is sent again has the same ID, so that the
// receiver can recognise it.
//
// https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
type CloudEvents struct {
	url    string
	key    []byte
	source string
	secret redactor
	client *http.Client
}

// keyPrefix begins a secret that is written in base64.
const keyPrefix = "whsec_"

// NewCloudEvents takes the address to post to, the secret to sign with (whsec_ and base64, or the bytes themselves)
// and the source that events name: the daemon's own address, or empty.
func NewCloudEvents(url, secret, source string) (*CloudEvents, error) {
	c := &CloudEvents{url: url, key: []byte(secret), source: source, secret: newRedactor(url)}
	if encoded, ok := strings.CutPrefix(secret, keyPrefix); ok {
		var err error
		if c.key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("the secret begins with whsec_ but is not base64 after that")
		}
	}
	if len(c.key) == 0 {
		return nil, errors.New("the secret is empty")
	}
	if c.source == "" {
		c.source = "/serin"
	}
	c.client = &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Send posts a note once. The error is a *RetryError if the receiver says when to try again, and wraps [ErrRefused] if
// it will never take this note.
func (c *CloudEvents) Send(ctx context.Context, key string, n Note) error {
	body, err := c.encode(key, n)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return errors.New(c.secret.text(err))
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)
	req.Header.Set("User-Agent", "serin")
	req.Header.Set("Webhook-Id", key)
	req.Header.Set("Webhook-Timestamp", now)
	req.Header.Set("Webhook-Signature", sign(c.key, key, now, body))
	status, err := c.secret.post(c.client, req)
	switch status {
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// encode makes the event of a note, which is the same at every try.
func (c *CloudEvents) encode(key string, n Note) ([]byte, error) {
	e := event.New(event.CloudEventsVersionV1)
	e.SetID(key)
	e.SetSource(c.source)
	e.SetType("dev.serin.release." + string(n.Kind))
	e.SetSubject(n.Rollout + "/" + n.Release)
	e.SetTime(n.At)
	if err := e.SetData(event.ApplicationJSON, n); err != nil {
		return nil, fmt.Errorf("encode note %s: %w", key, err)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", key, err)
	}
	return body, nil
}

// sign is the value of the header webhook-signature.
func sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
