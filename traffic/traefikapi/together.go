package traefikapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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
	// maxWhole bounds the whole answer in bytes, and wholeTimeout the time for it. That is longer than anybody waits: a slow
	// Traefik gets slower if answers are given up and asked for again.
	maxWhole     = 64 << 20
	wholeTimeout = 10 * time.Second
	// slow is how long a whole answer takes from a Traefik that is not to be asked more: nobody asks it by itself.
	slow = time.Second
	// keep is how old the answer of a slow Traefik may be when it is used, from when it was asked for.
	keep = wholeTimeout + window
	// pause is how long a Traefik that gave no answer is left alone.
	pause = time.Second
	// respite is how long a replica is not asked for its whole configuration after it refused that, at most; it is window the
	// first time. A Traefik that starts refuses everything for a moment.
	respite = time.Minute
)

// crowd is everyone who asks one replica.
type crowd struct {
	since     time.Time // the window that is counted
	last, now int       // questions in the window before, and in this one
	size      int       // of the newest whole answer
	open      *gathering
	flight    chan struct{} // full while a whole answer is on its way: there is never a second one
	slow      bool          // the newest took long, or did not come
	kept      *whole        // the newest of a slow replica
	keptFrom  time.Time     // when it was asked for
	rest      time.Time     // until when the replica is left alone
	closed    time.Time     // until when it is not asked for its whole configuration, which it refused
	refused   int           // how often in a row
}

// gathering is questions that wait for one answer.
type gathering struct {
	askers int
	done   chan struct{}
	whole  *whole // nil where each has to ask by itself
	silent error  // why nobody is to ask
}

// whole is the configuration of a replica at one time: its objects by kind and name, as the API shows them.
type whole map[string]map[string]json.RawMessage

// Asker is a rollout that asks what its replicas serve. Its zero value has not written yet.
type Asker struct{ wrote atomic.Pointer[time.Time] }

// Wrote notes that the rollout has written, or may have: older answers say nothing about that.
func (a *Asker) Wrote() {
	now := time.Now()
	a.wrote.Store(&now)
}

// wroteBefore reports whether all that the rollout has written was written before a time.
func (a *Asker) wroteBefore(t time.Time) bool {
	wrote := a.wrote.Load()
	return wrote != nil && wrote.Before(t)
}

// Together returns replica, with everything that the API says about it if many ask it at the same time: [Client.Get],
// [Client.GetTCP] and [Client.Search] then answer from that, without a request. What they say was true at some time after
// Together was called or, of a slow replica, after the asker's last write and within the last seconds. From one that gives
// no answer in time they return an error: many who asked it all the same would keep it from answering. Callers ask once for
// each observation.
func (c *Client) Together(ctx context.Context, replica Replica, a *Asker) Replica {
	now := time.Now()
	c.mu.Lock()
	at := c.crowdOf(&replica, now)
	if now.Sub(at.keptFrom) >= keep {
		at.kept = nil
	}
	if at.count(now); now.Before(at.closed) || at.questions() < busy {
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
	if a.wroteBefore(at.keptFrom) {
		replica.whole = at.kept
	}
	c.mu.Unlock()
	if replica.whole != nil {
		return replica
	}
	select {
	case <-g.done:
		replica.whole, replica.silent = g.whole, g.silent
	case <-ctx.Done():
		replica.silent = fmt.Errorf("GET %s%s: there was no answer in time: %w", replica.Name(), rawdataPath, ctx.Err())
	}
	return replica
}

// crowdOf is everyone who asks a replica. The caller holds the lock.
func (c *Client) crowdOf(replica *Replica, now time.Time) *crowd {
	key := [2]string{replica.Name(), replica.User}
	if c.crowds == nil {
		c.crowds = map[[2]string]*crowd{}
	}
	at := c.crowds[key]
	if at == nil {
		at = &crowd{since: now, flight: make(chan struct{}, 1)}
		c.crowds[key] = at
	}
	return at
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

// questions is how many come in a window.
func (w *crowd) questions() int { return max(w.last, w.now) }

// isWorth reports whether the whole configuration is the cheaper answer. From a slow replica it is, even for a few
// questions of many.
func (w *crowd) isWorth(askers int) bool {
	if w.slow {
		askers = w.questions()
	}
	return askers >= enough && w.size <= askers*worth
}

// answer gets the answer of a gathering, if it is worth it. Questions join the gathering until then.
func (c *Client) answer(ctx context.Context, replica Replica, at *crowd, g *gathering) {
	defer close(g.done)
	time.Sleep(gather)
	at.flight <- struct{}{}
	defer func() { <-at.flight }()
	c.mu.Lock()
	rest := time.Until(at.rest)
	c.mu.Unlock()
	time.Sleep(rest)
	c.mu.Lock()
	at.open = nil
	ask := at.isWorth(g.askers)
	c.mu.Unlock()
	if !ask {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	asked := time.Now()
	found, size, err := c.fetchWhole(ctx, replica)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	at.kept = nil
	var silent silentError
	switch {
	case err == nil:
		at.size, at.refused, at.slow, g.whole = size, 0, now.Sub(asked) > slow, found
		if at.slow {
			at.kept, at.keptFrom = found, asked
		}
	case errors.As(err, &silent):
		at.slow, at.rest, g.silent = true, now.Add(pause), err
	default: // it does not open rawdata: each asks by itself, and reports what is wrong
		at.slow, at.closed = false, now.Add(min(window<<at.refused, respite))
		at.refused = min(at.refused+1, 4)
	}
}

const rawdataPath = "/api/rawdata"

func (c *Client) fetchWhole(ctx context.Context, replica Replica) (*whole, int, error) {
	body, err := c.body(ctx, replica, rawdataPath, maxWhole)
	if err != nil {
		return nil, 0, err
	}
	w := whole{}
	if err := json.Unmarshal(body, (*rawdata)(&w)); err != nil {
		return nil, 0, fmt.Errorf("GET %s: %w", rawdataPath, err)
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
