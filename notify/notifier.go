package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Outbox keeps messages until they are delivered. Errors other than the named one mean that nothing was written.
type Outbox interface {
	// Untold lists releases with events that have not been looked at, at most limit.
	Untold(ctx context.Context, limit int) ([]record.Untold, error)
	// Events of a release after a number, in order.
	Events(ctx context.Context, id string, after int) ([]rollout.Event, error)
	// Tell stores messages, and that a release's events up to number to have been looked at, in one transaction.
	// record.ErrConflict: another daemon has looked further than from in the meantime.
	Tell(ctx context.Context, release string, from, to int, messages []record.Outgoing) error
	// Take returns the message that a receiver gets now, and reserves it until lease. If there is none, m is nil and next is
	// when to ask again, or zero for never. A message that was tried patience times no longer holds up others.
	Take(ctx context.Context, receiver string, now, lease time.Time, patience int) (m *record.Outgoing, next time.Time, err error)
	// Settle writes the outcome of a message.
	Settle(ctx context.Context, m record.Outgoing) error
	// Backlog returns how many messages wait for a receiver, and when the oldest was created.
	Backlog(ctx context.Context, receiver string) (waiting int, oldest time.Time, err error)
	// PruneOutbox deletes messages about events before a time.
	PruneOutbox(ctx context.Context, before time.Time) error
}

// Receiver is where a person or a program gets messages.
type Receiver struct {
	// Name in logs, metrics and keys.
	Name string
	// On lists the kinds of notes that it gets.
	On []Kind
	// Rollouts are patterns for the whole names of the rollouts that it gets messages about, as for [path.Match], and
	// Namespaces are patterns for their namespaces; empty means all. Labels are those that a rollout must have.
	Rollouts, Namespaces []string
	Labels               map[string]string
	// OnRequest: it gets only the messages about rollouts that ask for it.
	OnRequest bool
	// Send delivers a note once. key is the same at every try. Its errors contain no secret.
	Send func(ctx context.Context, key string, n Note) error
}

// ErrRefused marks a note that the receiver will never accept.
var ErrRefused = errors.New("refused")

// RetryError is returned if the receiver says when to try again.
type RetryError struct {
	After time.Duration
	Err   error
}

func (e *RetryError) Error() string { return e.Err.Error() }

func (e *RetryError) Unwrap() error { return e.Err }

// Options configures a Notifier.
type Options struct {
	Outbox    Outbox
	Receivers []Receiver
	// Subscribe wakes the notifier when something happens; what has happened is read from the outbox.
	Subscribe func(ctx context.Context) <-chan record.Update
	// Plan decodes what a release was started with.
	Plan func(plan json.RawMessage) (*record.Plan, error)
	// Asked returns the receivers that a namespace asks for, for all of its rollouts; nil if namespaces cannot ask. It always
	// returns within seconds.
	Asked func(ctx context.Context, namespace string) []record.Asked
	// Link is the address of a release's page, or empty.
	Link       func(release string) string
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Pause is how long to wait after so many tries; nil means [Pause].
	Pause func(tries int) time.Duration
}

const (
	// sendTimeout bounds one try: chats answer in a second, and a daemon that stops waits for the try.
	sendTimeout = 10 * time.Second
	// leaseTime is longer than a try, including what is written after it.
	leaseTime = time.Minute
	// patience is how many tries a message may take, about four minutes, before it no longer holds up those after it.
	patience = 8
	// giveUpAfter is when a message is given up: nobody can act on news of a day ago.
	giveUpAfter = 24 * time.Hour
	// keepFor is how long messages are kept, so that people can look up what happened to them.
	keepFor = 7 * 24 * time.Hour
	// lookEvery is how often to look for messages that another daemon on the same store has left.
	lookEvery = 15 * time.Second
	// untoldAtOnce is how many releases are read at once.
	untoldAtOnce = 100
	// longestPause between two tries.
	longestPause = 15 * time.Minute
)

// Pause is how long to wait after a failed try: 1 s, doubled with each, at most 15 minutes.
func Pause(tries int) time.Duration {
	return min(time.Second<<min(max(tries-1, 0), 20), longestPause)
}

// Notifier turns events into messages and delivers them.
type Notifier struct {
	o       Options
	metrics *metrics
	wake    []chan struct{} // one for each receiver
	// folded has the state of running releases after the events looked at so far; only [Notifier.follow] uses it.
	folded map[string]folded
}

// folded is a release after its first seq events.
type folded struct {
	plan  *record.Plan
	state rollout.State
	seq   int
}

// maxFolded releases are remembered, which is more than run at a time. For any others all events are read again.
const maxFolded = 4096

// New makes a Notifier; nothing happens before Run.
func New(o Options) *Notifier {
	if o.Pause == nil {
		o.Pause = Pause
	}
	n := &Notifier{o: o, metrics: newMetrics(o.Registerer, o.Receivers), folded: map[string]folded{}}
	for range o.Receivers {
		n.wake = append(n.wake, make(chan struct{}, 1))
	}
	return n
}

// Run turns past and new events into messages, and delivers them, until ctx ends. A delivery in progress is finished
// first. Without receivers it still records how far it has looked, so that a receiver configured later does not get
// stale news.
func (n *Notifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { n.follow(ctx); return nil })
	for i := range n.o.Receivers {
		group.Go(func() error { n.deliver(ctx, &n.o.Receivers[i], n.wake[i]); return nil })
	}
	return group.Wait()
}

// follow turns events into messages until ctx ends.
func (n *Notifier) follow(ctx context.Context) {
	updates := n.o.Subscribe(ctx)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var pruned time.Time
	for ctx.Err() == nil {
		if err := n.tell(ctx); err != nil && ctx.Err() == nil {
			n.o.Log.Warn("new messages cannot be made yet", "err", err)
		}
		if now := time.Now(); now.Sub(pruned) > time.Hour {
			if err := n.o.Outbox.PruneOutbox(ctx, now.Add(-keepFor)); err != nil && ctx.Err() == nil {
				n.o.Log.Warn("old messages could not be removed", "err", err)
			}
			pruned = now
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
			if updates == nil {
				updates = n.o.Subscribe(ctx)
			}
		case _, open := <-updates:
			if !open {
				updates = nil // the notifier was too slow, or the engine ends; the store has what was missed
			}
		}
	}
}

// tell makes the messages about all events that have not been looked at.
func (n *Notifier) tell(ctx context.Context) error {
	for {
		found, err := n.o.Outbox.Untold(ctx, untoldAtOnce)
		if err != nil {
			return err
		}
		var errs []error
		for _, u := range found {
			if err := n.tellOf(ctx, u); err != nil && !errors.Is(err, record.ErrConflict) {
				errs = append(errs, err)
			}
		}
		if len(found) < untoldAtOnce || len(errs) > 0 {
			return errors.Join(errs...)
		}
	}
}

// tellOf makes the messages about the new events of one release. It reads the old ones only if it does not know the state
// after them. Events that cannot be read are skipped with an error in the log: otherwise they would block the rest forever.
func (n *Notifier) tellOf(ctx context.Context, u record.Untold) error {
	id := u.Release.ID
	known := n.folded[id]
	delete(n.folded, id) // until it is known again
	if known.seq != u.Told {
		known = folded{} // another daemon has looked at it in the meantime
	}
	events, err := n.o.Outbox.Events(ctx, id, known.seq)
	if err != nil || len(events) == 0 {
		return err
	}
	messages, err := n.messages(ctx, u, &known, events)
	if err != nil {
		n.o.Log.Error("cannot make the messages about a release", "release", id, "err", err)
	}
	to := events[len(events)-1].Head().Seq
	if to <= u.Told {
		return nil
	}
	if err := n.o.Outbox.Tell(ctx, id, u.Told, to, messages); err != nil {
		return err
	}
	if known.seq == to && !known.state.Ended() {
		if len(n.folded) >= maxFolded {
			clear(n.folded)
		}
		n.folded[id] = known
	}
	if len(messages) > 0 {
		for _, w := range n.wake {
			wakeUp(w)
		}
	}
	return nil
}

func wakeUp(w chan struct{}) {
	select {
	case w <- struct{}{}:
	default:
	}
}

// messages returns those for the events that have not been looked at. The events continue from what is known, and are
// added to it.
func (n *Notifier) messages(ctx context.Context, u record.Untold, known *folded, events []rollout.Event) (out []record.Outgoing, err error) {
	defer func() {
		if v := recover(); v != nil { // a bug of ours: the daemon, and the messages about all other releases, go on
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	if known.plan == nil {
		if known.plan, err = n.o.Plan(u.Release.Plan); err != nil {
			return nil, fmt.Errorf("read the plan: %w", err)
		}
	}
	asked := sync.OnceValue(func() []record.Asked { return n.asked(ctx, known.plan) }) // asks the cluster only if there is a note
	for _, e := range events {
		t := turn{release: u.Release, plan: known.plan, definition: &known.plan.Rollout, before: known.state, event: e}
		if t.after, err = known.state.Apply(e); err != nil {
			return out, fmt.Errorf("fold event %d: %w", e.Head().Seq, err)
		}
		known.state, known.seq = t.after, e.Head().Seq
		if known.seq <= u.Told {
			continue
		}
		for _, kind := range t.kinds() {
			more, err := n.address(t.note(kind, n.o.Link(u.Release.ID)), asked())
			if err != nil {
				return out, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// asked returns the receivers that a rollout asks for, and those that its namespace asks for in addition.
func (n *Notifier) asked(ctx context.Context, p *record.Plan) []record.Asked {
	own, namespace := p.About.Notify, p.Namespace()
	if n.o.Asked == nil || namespace == "" {
		return own
	}
	out := slices.Clone(own)
	for _, a := range n.o.Asked(ctx, namespace) {
		if !slices.ContainsFunc(own, func(o record.Asked) bool { return o.To == a.To }) { // what the rollout itself says takes precedence
			out = append(out, a)
		}
	}
	return out
}

// matches reports whether a name fits one of the patterns; no patterns fit all names.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// isAbout reports whether a receiver gets messages about the rollout of a note.
func (r *Receiver) isAbout(n Note) bool {
	for k, v := range r.Labels {
		if has, ok := n.Labels[k]; !ok || has != v {
			return false
		}
	}
	return matches(r.Rollouts, n.Rollout) && matches(r.Namespaces, n.Namespace)
}

// wants reports whether a receiver gets a note about a rollout that asks for these receivers.
func (r *Receiver) wants(n Note, asked []record.Asked) bool {
	on := r.On
	if r.OnRequest {
		i := slices.IndexFunc(asked, func(a record.Asked) bool { return a.To == r.Name })
		if i < 0 {
			return false
		}
		if len(asked[i].On) > 0 {
			on = nil
			for _, kind := range asked[i].On {
				on = append(on, Kind(kind))
			}
		}
	}
	return slices.Contains(on, n.Kind) && r.isAbout(n)
}

// address makes a message to each receiver that wants the note.
func (n *Notifier) address(note Note, asked []record.Asked) ([]record.Outgoing, error) {
	var out []record.Outgoing
	for i := range n.o.Receivers {
		if !n.o.Receivers[i].wants(note, asked) {
			continue
		}
		m, err := note.outgoing(n.o.Receivers[i].Name)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
