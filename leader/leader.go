// Package leader decides who may act: of several daemons with one store, one acts and the others stand by. They agree
// through a Lease of Kubernetes, with client-go's elector. The package does not know what acting and standing by
// consist of.
//
// A daemon acts only while it is certain to lead ([Candidate.Leads]), which ends before another one may begin. Start
// reading at [Candidate.Run].
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

// ErrLost means that the lease could not be renewed in time, or was taken away: another daemon may act now.
var ErrLost = errors.New("the lease was lost: another daemon may act now")

// Config is what a candidate needs.
type Config struct {
	REST *rest.Config
	// Namespace and Name of the Lease, which is created if missing.
	Namespace, Name string
	// Host is where the other daemons reach this one; they read it from the Lease.
	Host string
	// Duration is how long the others wait for a leader that does not renew, in whole seconds, at least [MinDuration].
	// A leader that could not renew for two thirds of it stops.
	Duration time.Duration
	Log      *slog.Logger
}

// MinDuration leaves each renewal about a second.
const MinDuration = 2 * time.Second

// Candidate is a daemon that may become the leader.
type Candidate struct {
	elector  *leaderelection.LeaderElector
	renewals *renewals
	elected  chan struct{}
	known    chan struct{}
	log      *slog.Logger
}

// New makes a candidate. It sends no request before [Candidate.Run].
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

// impatient is the client configuration for the lease. A request without an answer leaves time for another one, on
// another connection, unlike with HTTP/2: the first connection may lead to a node that is gone, which would only be
// noticed after twice the duration of a lease.
func impatient(c *rest.Config, valid time.Duration) *rest.Config {
	c = rest.CopyConfig(c)
	c.Timeout = max(valid/2, time.Second)
	c.NextProtos = []string{"http/1.1"}
	return c
}

// identity is the name of this process in the Lease: its address, its machine's or pod's name for people, and a unique
// part, so that a restarted process does not mistake itself for its predecessor.
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

// Run stands by until this daemon leads, then acts for as long as it does. It cancels the context of standBy and waits
// for it before it calls act, and does the same with act before it releases the lease. Run returns when ctx is done,
// when one of the two returns by itself, or with [ErrLost]. After a lost lease another daemon may begin while this
// one's act is still ending, so act has to check [Candidate.Leads] before anything that it does.
func (l *Candidate) Run(ctx context.Context, standBy, act func(context.Context) error) error {
	campaign, end := context.WithCancel(context.WithoutCancel(ctx)) // it continues while act is ending
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

// watchEvery is how often a leader checks whether it still leads, so that it notices soon after having been frozen,
// whatever the elector is waiting for.
const watchEvery = 200 * time.Millisecond

// watch closes lost when this daemon no longer leads, until ctx is done.
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

// Leads returns nil while this daemon certainly leads, because no other one can have begun to. A process that was
// frozen for longer than its lease finds out here, before it writes anything.
func (l *Candidate) Leads() error {
	if !l.renewals.hold() {
		return ErrLost
	}
	return nil
}

// Leader is the last known host of the leading daemon; ok is false if there is none, or if it is this one.
func (l *Candidate) Leader() (host string, ok bool) {
	leader := l.elector.GetLeader()
	if leader == "" || leader == l.renewals.Identity() {
		return "", false
	}
	host, _, _ = strings.Cut(leader, "/")
	return host, true
}

// Known is closed once this daemon first knows who leads.
func (l *Candidate) Known() <-chan struct{} { return l.known }

// renewals is the lock, and when it was last certain to be this daemon's: counted from before the request that
// confirmed it, because the others count from when they saw the renewal.
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
		r.set(time.Time{}) // before it is released
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
