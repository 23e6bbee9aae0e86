// Package leader answers who may act: of several daemons with one store one acts and the others stand by. They agree by
// a Lease of Kubernetes, with client-go's elector. What acting is, and what is done while standing by, is not known here.
//
// A daemon acts only while it knows that it leads ([Candidate.Leads]), which it stops to know before another one may
// begin. Start reading at [Candidate.Run].
package leader

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrLost says that the lease could not be renewed in time, or was taken away: somebody else may act now.
var ErrLost = errors.New("the lease was lost: another daemon may act now")

// Config is what a candidate needs.
type Config struct {
	REST *rest.Config
	// Namespace and Name of the Lease. It is made if it is not there.
	Namespace, Name string
	// Host is where the other daemons reach this one; they learn it from the Lease.
	Host string
	// Duration is how long the others wait for a leader that does not renew, in whole seconds, at least [MinDuration].
	// A leader that could not renew for two thirds of it stops.
	Duration time.Duration
	Log      *slog.Logger
}

// MinDuration leaves the renewals a second or so.
const MinDuration = 2 * time.Second

// Candidate is a daemon that would lead.
type Candidate struct {
	elector  *leaderelection.LeaderElector
	renewals *renewals
	elected  chan struct{}
	known    chan struct{}
	log      *slog.Logger
}

// New makes a candidate; it asks nothing of the API server before [Candidate.Run].
func New(c Config) (*Candidate, error) {
	if c.Duration < MinDuration || c.Duration%time.Second != 0 {
		return nil, fmt.Errorf("a lease of %s: expected whole seconds, at least %s", c.Duration, MinDuration)
	}
	own, err := identity(c.Host)
	if err != nil {
		return nil, err
	}
	valid := c.Duration * 2 / 3
	client, err := coordination.NewForConfig(impatient(c.REST, valid))
	if err != nil {
		return nil, fmt.Errorf("connect for the lease: %w", err)
	}
	known := make(chan struct{})
	learn := sync.OnceFunc(func() { close(known) })
	l := &Candidate{log: c.Log, elected: make(chan struct{}), known: known, renewals: &renewals{
		Interface: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}, Client: client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: own},
		},
		valid: valid,
	}}
	l.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: l.renewals, Name: c.Name, ReleaseOnCancel: true,
		LeaseDuration: c.Duration, RenewDeadline: valid, RetryPeriod: c.Duration / 8,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(l.elected) },
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				c.Log.Info("a daemon leads", "leader", leader, "itself", leader == own)
				learn()
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("lease %s/%s: %w", c.Namespace, c.Name, err)
	}
	return l, nil
}

// impatient is how the API server is asked for the lease. A request without an answer leaves time for another one, and
// that takes another connection, as it would not with HTTP/2: the one before may lead to a node that is gone, and a
// connection that nobody ends is noticed only after twice the time that a lease has.
func impatient(c *rest.Config, valid time.Duration) *rest.Config {
	c = rest.CopyConfig(c)
	c.Timeout = max(valid/2, time.Second)
	c.NextProtos = []string{"http/1.1"}
	return c
}

// identity is what the Lease calls this process: where it is reached, its machine's or pod's name for people, and what
// no other process has, so that one that was started again at the same place does not take itself for the one before.
func identity(host string) (string, error) {
	if host == "" || strings.ContainsAny(host, "/ \t\n") {
		return "", fmt.Errorf("host %q: expected a name or an address at which the other daemons reach this one", host)
	}
	machine, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("ask for the name of this machine: %w", err)
	}
	return host + "/" + machine + "/" + rand.Text()[:10], nil
}

// Run stands by until this daemon leads, then acts for as long as it does. Each of the two has returned before
// something else begins: standBy before act is called, and act before the lease is given back; their contexts end for
// that. It returns when ctx ends, when one of the two returns by itself, or [ErrLost]. After a lost lease another daemon
// may begin while this one's act is still coming to its end: what act does meanwhile has to ask [Candidate.Leads] first.
func (l *Candidate) Run(ctx context.Context, standBy, act func(context.Context) error) error {
	campaign, end := context.WithCancel(context.WithoutCancel(ctx)) // it goes on while act comes to its end
	over := make(chan struct{})
	go func() {
		defer close(over)
		l.elector.Run(campaign)
	}()
	defer func() {
		end()
		<-over
	}()
	if err := during(ctx, l.elected, standBy); err != nil || ctx.Err() != nil {
		return err
	}
	select {
	case <-l.elected:
	default:
		return errors.New("nobody stands by any more")
	}
	l.log.Info("this daemon leads and acts")
	lost, watched := make(chan struct{}), make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		l.watch(watching, over, lost)
	}()
	err := during(ctx, lost, act)
	stop()
	<-watched
	select {
	case <-lost:
		return errors.Join(ErrLost, err)
	default:
		return err
	}
}

// watchEvery is how often a leader asks itself whether it still leads: soon after a process was frozen, whatever the
// elector is waiting for.
const watchEvery = 200 * time.Millisecond

// watch closes lost when this daemon leads no longer, until ctx ends.
func (l *Candidate) watch(ctx context.Context, over, lost chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for l.renewals.hold() {
		select {
		case <-ctx.Done():
			return
		case <-over:
			close(lost)
			return
		case <-tick.C:
		}
	}
	close(lost)
}

// during runs f until end is closed or f returns.
func during(ctx context.Context, end <-chan struct{}, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-end:
		cancel()
		return <-done
	}
}

// Leads is nil while this daemon leads for certain: no other one can have begun to. A process that was frozen for
// longer than its lease finds out here, before it writes anything.
func (l *Candidate) Leads() error {
	if !l.renewals.hold() {
		return ErrLost
	}
	return nil
}

// Leader is the host of the daemon that leads, as last seen; ok is false while there is none, or it is this one.
func (l *Candidate) Leader() (host string, ok bool) {
	leader := l.elector.GetLeader()
	if leader == "" || leader == l.renewals.Identity() {
		return "", false
	}
	host, _, _ = strings.Cut(leader, "/")
	return host, true
}

// Known is closed when this daemon has learnt for the first time who leads.
func (l *Candidate) Known() <-chan struct{} { return l.known }

// renewals is the lock, and when it was last known to be this daemon's: counted from before the request that said so,
// because the others count from when they have seen it.
type renewals struct {
	resourcelock.Interface
	valid time.Duration

	mu   sync.Mutex // guards last
	last time.Time
}

// Create implements resourcelock.Interface.
func (r *renewals) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return r.write(record, func() error { return r.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (r *renewals) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return r.write(record, func() error { return r.Interface.Update(ctx, record) })
}

func (r *renewals) write(record resourcelock.LeaderElectionRecord, f func() error) error {
	mine := record.HolderIdentity == r.Identity()
	if !mine {
		r.set(time.Time{}) // before it is given back
	}
	at := time.Now()
	if err := f(); err != nil || !mine {
		return err
	}
	r.set(at)
	return nil
}

func (r *renewals) set(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = at
}

func (r *renewals) hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.last.IsZero() && time.Since(r.last) < r.valid
}
