// Package traefikapi asks a Traefik what it serves, and knows what a Traefik accepts: rules, priorities, guards.
//
// The backends of traffic share it, whatever they write and wherever they write it. The package itself writes nothing.
// Start at [Client.Get] and [Compare].
package traefikapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// maxAnswer bounds one answer of the API, in bytes: one that describes a service with a thousand servers is smaller.
const maxAnswer = 1 << 20

// Enabled is the status of an object that works in Traefik's runtime configuration.
const Enabled = "enabled"

// Replica is the API of one Traefik.
type Replica struct {
	// URL is its base, without /api. It contains no credentials.
	URL string
	// User and Password are sent as basic authentication if User is set.
	User     string
	Password Secret

	whole  *whole // its answer, of [Client.Together]; nil while it has to be asked
	silent error  // why it is not to be asked, of the same
}

// Name is the address. It contains no secret.
func (p *Replica) Name() string { return strings.TrimSuffix(p.URL, "/") }

// State is what Traefik adds to an object when it shows it: whether the object works, and why it does not.
type State struct {
	Status string   `json:"status"`
	Errors []string `json:"error"`
}

// Problem says what is wrong with an object; it is empty if the object is enabled. what names the object: "router shop".
func (s State) Problem(what string) string {
	if s.Status == Enabled {
		return ""
	}
	return fmt.Sprintf("%s is %s: %s", what, s.Status, strings.Join(s.Errors, "; "))
}

// ErrNoObject is returned by [Client.Get] when the API answers that it has no such object.
var ErrNoObject = errors.New("no such object")

// Client sends requests to the APIs of replicas.
type Client struct {
	http http.Client

	mu     sync.Mutex           // guards crowds, and all that is in them
	crowds map[[2]string]*crowd // by a replica's name and user
}

// NewClient makes a client that sends requests through a copy of c, or through a new HTTP client if c is nil. It never
// follows redirects.
func NewClient(c *http.Client) *Client {
	client := &Client{}
	if c != nil {
		client.http = *c
	}
	client.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// ofTCP precedes the kinds of TCP's objects, in addresses and in a [whole] answer.
const ofTCP = "tcp/"

// GetTCP asks for /api/tcp/KIND/NAME and decodes the answer into v. It returns [ErrNoObject] if there is no such object.
func (c *Client) GetTCP(ctx context.Context, replica Replica, kind, name string, v any) error {
	if replica.whole != nil {
		return replica.whole.get(ofTCP+kind, name, v)
	}
	return c.get(ctx, replica, ofTCP+kind+"/"+url.PathEscape(name), v)
}

// Get asks for /api/http/KIND/NAME and decodes the answer into v. It returns [ErrNoObject] if there is no such object.
func (c *Client) Get(ctx context.Context, replica Replica, kind, name string, v any) error {
	if replica.whole != nil {
		return replica.whole.get(kind, name, v)
	}
	return c.get(ctx, replica, "http/"+kind+"/"+url.PathEscape(name), v)
}

// Search asks for the objects of a kind whose name contains text (or whose rule or service does), and decodes the list,
// of at most a thousand, into v.
func (c *Client) Search(ctx context.Context, replica Replica, kind, text string, v any) error {
	if replica.whole != nil {
		return replica.whole.search(kind, text, v)
	}
	return c.get(ctx, replica, "http/"+kind+"?per_page=1000&search="+url.QueryEscape(text), v)
}

func (c *Client) get(ctx context.Context, replica Replica, path string, v any) error {
	if replica.silent != nil {
		return replica.silent
	}
	body, err := c.body(ctx, replica, "/api/"+path, maxAnswer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s: %w", replica.Name()+"/api/"+path, err)
	}
	return nil
}

// errNotAPI is returned for an answer that is not the API's.
var errNotAPI = errors.New("is this the API of a Traefik?")

// silentError says why no answer came, or only a part of one.
type silentError struct{ error }

func (e silentError) Unwrap() error { return e.error }

// body is an answer of the API, of at most limit bytes. Its error is a [silentError] if there is none.
func (c *Client) body(ctx context.Context, replica Replica, path string, limit int64) ([]byte, error) {
	u := replica.Name() + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	if replica.User != "" {
		password, err := replica.Password.read()
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(replica.User, password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, silentError{err}
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", u, silentError{err})
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("GET %s: the answer is larger than %d bytes", u, limit)
	}
	if resp.StatusCode == http.StatusNotFound && isMissing(body) {
		return nil, fmt.Errorf("GET %s: %w", u, ErrNoObject)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK ||
		err != nil || kind != "application/json" {
		err := fmt.Errorf("GET %s: %s, %q: %w", u, resp.Status, resp.Header.Get("Content-Type"), errNotAPI)
		if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
			return nil, silentError{err} // it is of what stands in front of Traefik
		}
		return nil, err
	}
	return body, nil
}

// isMissing distinguishes the API's own 404, which carries a JSON message, from the 404 of a port without the API.
func isMissing(body []byte) bool {
	var answer struct {
		Message string `json:"message"`
	}
	return json.Unmarshal(body, &answer) == nil && strings.Contains(answer.Message, "not found")
}
