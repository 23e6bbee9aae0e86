package traefikapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// When requests of several rollouts to one replica become one.
const (
	// window is the time in which questions are counted: rollouts under way ask every five seconds.
	window = 5 * time.Second
	// busy is how many questions a window takes for them to be gathered; fewer are asked at once, each by itself.
	busy = 16
	// gather is how long the first one waits for others. Rollouts ask at the same time, but not within the same millisecond.
	gather = 100 * time.Millisecond
	// enough is how many questions make the whole configuration worth asking for: each stands for about six requests.
	enough = 8
	// worth is how large the whole answer may be, in bytes for each question that it answers. A Traefik with thousands
	// of other teams' routers is better asked only for the few that matter.
	worth = 128 << 10
	// maxWhole bounds the whole answer in bytes, and wholeTimeout the time for it: a caller that got none of it still has
	// to ask for single objects, and has two seconds for everything.
	maxWhole     = 64 << 20
	wholeTimeout = time.Second
	// respite is how long a replica is not asked for its whole configuration after it did not return it.
	respite = time.Minute
)

// crowd is everyone who asks one replica.
type crowd struct {
	since     time.Time // the window that is counted
	last, now int       // questions in the window before, and in this one
	size      int       // of the newest whole answer
	open      *gathering
	closed    time.Time // until when it is not asked for its whole configuration, which it did not return
}

// gathering is questions that wait for one answer.
type gathering struct {
	askers int
	done   chan struct{}
	whole  *whole // nil where each has to ask by itself
}

// whole is the configuration of a replica at one time: its objects by kind and name, as the API shows them.
type whole map[string]map[string]json.RawMessage

// Together returns replica, with everything that the API says about it if many ask it at the same time: [Client.Get],
// [Client.GetTCP] and [Client.Search] then answer from that, without a request. What they say was true at some time after
// Together was called. Callers ask it once for each observation.
func (c *Client) Together(ctx context.Context, replica Replica) Replica {
	key := [2]string{replica.Name(), replica.User}
	now := time.Now()
	c.mu.Lock()
	if c.crowds == nil {
		c.crowds = map[[2]string]*crowd{}
	}
	at := c.crowds[key]
	if at == nil {
		at = &crowd{since: now}
		c.crowds[key] = at
	}
	if at.count(now); now.Before(at.closed) || max(at.last, at.now) < busy {
		c.mu.Unlock()
		return replica
	}
	g := at.open
	if g == nil {
		g = &gathering{done: make(chan struct{})}
		at.open = g
		// Not the caller's context: others wait for the same answer.
		go c.answer(context.WithoutCancel(ctx), replica, at, g)
	}
	g.askers++
	c.mu.Unlock()
	select {
	case <-g.done:
		replica.whole = g.whole
	case <-ctx.Done():
	}
	return replica
}

// count notes a question.
func (w *crowd) count(now time.Time) {
	switch passed := now.Sub(w.since); {
	case passed >= 2*window || passed < 0:
		w.since, w.last, w.now = now, 0, 0
	case passed >= window:
		w.since, w.last, w.now = now, w.now, 0
	}
	w.now++
}

// answer gets the answer of a gathering, if it is worth it.
func (c *Client) answer(ctx context.Context, replica Replica, at *crowd, g *gathering) {
	defer close(g.done)
	time.Sleep(gather)
	c.mu.Lock()
	at.open = nil
	ask := g.askers >= enough && at.size <= g.askers*worth
	c.mu.Unlock()
	if !ask {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	found, size, err := c.fetchWhole(ctx, replica)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		// Each asks by itself, and reports what is wrong. A Traefik that does not open rawdata, or takes too long for it, would
		// cost all of them that time at every question.
		at.closed = time.Now().Add(respite)
		return
	}
	at.size, g.whole = size, found
}

func (c *Client) fetchWhole(ctx context.Context, replica Replica) (*whole, int, error) {
	body, err := c.body(ctx, replica, "/api/rawdata", maxWhole)
	if err != nil {
		return nil, 0, err
	}
	w := whole{}
	if err := json.Unmarshal(body, (*rawdata)(&w)); err != nil {
		return nil, 0, fmt.Errorf("GET /api/rawdata: %w", err)
	}
	return &w, len(body), nil
}

// rawdata decodes the kinds that are asked for.
type rawdata whole

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawdata) UnmarshalJSON(data []byte) error {
	var all struct{ Routers, Services, Middlewares, TCPRouters, TCPServices map[string]json.RawMessage }
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*r = rawdata{
		"routers": all.Routers, "services": all.Services, "middlewares": all.Middlewares,
		ofTCP + "routers": all.TCPRouters, ofTCP + "services": all.TCPServices,
	}
	return nil
}

// get is [Client.Get] from a whole answer.
func (w whole) get(kind, name string, v any) error {
	data, ok := w[kind][name]
	if !ok {
		return fmt.Errorf("%s %s: %w", kind, name, ErrNoObject)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return nil
}

// search is [Client.Search] from a whole answer, by name alone.
func (w whole) search(kind, text string, v any) error {
	var found []string
	for name := range w[kind] {
		if strings.Contains(name, text) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	list := make([]json.RawMessage, len(found))
	for i, name := range found {
		list[i] = named(name, w[kind][name])
	}
	data, err := json.Marshal(list)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("%s like %s: %w", kind, text, err)
	}
	return nil
}

// named is an object with its name in it, as lists have it.
func named(name string, object json.RawMessage) json.RawMessage {
	rest := bytes.TrimSpace(object)
	key, err := json.Marshal(name)
	if err != nil || len(rest) < 2 || rest[0] != '{' {
		return object
	}
	out := append([]byte(`{"name":`), key...)
	if rest = bytes.TrimSpace(rest[1:]); rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...)
}
