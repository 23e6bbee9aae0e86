package leader_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/leader"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// daemon is a candidate that runs.
type daemon struct {
	*leader.Candidate
	end context.CancelFunc
	// stoodBy and acted are closed when it no longer stands by or acts; acts when it begins to act.
	stoodBy, acts, acted chan struct{}
	done                 chan error
}

// run runs a candidate for a lease of the namespace; acting is how many daemons currently act, which must be one at
// most.
func run(t *testing.T, c *rest.Config, namespace, host string, acting *atomic.Int32) *daemon {
	t.Helper()
	return runFor(t, leader.MinDuration, c, namespace, host, acting)
}

func runFor(t *testing.T, duration time.Duration, c *rest.Config, namespace, host string, acting *atomic.Int32) *daemon {
	t.Helper()
	candidate, err := leader.New(leader.Config{
		REST: c, Namespace: namespace, Name: "serin", Host: host, Duration: duration, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	d := &daemon{Candidate: candidate, end: cancel, stoodBy: make(chan struct{}), acts: make(chan struct{}), acted: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		d.done <- candidate.Run(ctx, func(ctx context.Context) error {
			defer close(d.stoodBy)
			<-ctx.Done()
			return nil
		}, func(ctx context.Context) error {
			defer close(d.acted)
			if n := acting.Add(1); n != 1 {
				t.Errorf("%d daemons act at once", n)
			}
			close(d.acts)
			<-ctx.Done()
			acting.Add(-1)
			return nil
		})
	}()
	t.Cleanup(cancel)
	return d
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	await.Receive(t, c, what)
}

func ended(t *testing.T, d *daemon) error {
	t.Helper()
	return await.Receive(t, d.done, "it does not end")
}

func open(c <-chan struct{}) bool {
	select {
	case <-c:
		return false
	default:
		return true
	}
}

func TestOneActsAndTheOtherStandsByUntilItEnds(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	var acting atomic.Int32
	one := run(t, c.Config, ns, "10.0.0.1", &acting)
	wait(t, "the first acts", one.acts)
	require.NoError(t, one.Leads())
	_, ok := one.Leader()
	require.False(t, ok, "it is this one")

	two := run(t, c.Config, ns, "10.0.0.2", &acting)
	wait(t, "the second knows who leads", two.Known())
	host, ok := two.Leader()
	require.True(t, ok)
	require.Equal(t, "10.0.0.1", host)
	require.ErrorIs(t, two.Leads(), leader.ErrLost)
	require.True(t, open(two.acts))

	one.end()
	require.NoError(t, ended(t, one))
	require.False(t, open(one.acted))
	require.ErrorIs(t, one.Leads(), leader.ErrLost, "the lease is given back")
	wait(t, "the second acts", two.acts)
	require.False(t, open(two.stoodBy), "before that it has ended to stand by")
	require.NoError(t, two.Leads())
	two.end()
	require.NoError(t, ended(t, two))
}

func TestALeaderThatCannotRenewHasStoppedBeforeAnotherBegins(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	var acting atomic.Int32
	var cut atomic.Bool
	own := rest.CopyConfig(c.Config)
	own.Timeout = time.Second
	own.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if cut.Load() {
			return nil, errors.New("the network is cut")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &cable{conn, &cut}, err
	}
	one := run(t, own, ns, "10.0.0.1", &acting)
	wait(t, "the first acts", one.acts)
	two := run(t, c.Config, ns, "10.0.0.2", &acting)
	cut.Store(true)
	require.ErrorIs(t, ended(t, one), leader.ErrLost)
	require.True(t, open(two.acts), "the other waits for longer than the first one acts")
	require.ErrorIs(t, one.Leads(), leader.ErrLost)
	wait(t, "the second acts", two.acts)
	two.end()
	require.NoError(t, ended(t, two))
}

// cable is a connection that can be cut.
type cable struct {
	net.Conn
	cut *atomic.Bool
}

func (c *cable) Write(b []byte) (int, error) {
	if c.cut.Load() {
		return 0, errors.New("the network is cut")
	}
	return c.Conn.Write(b)
}

func TestADeadConnectionDoesNotLoseTheLease(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	var acting atomic.Int32
	var dead atomic.Int32 // connections up to this number
	var dialled atomic.Int32
	own := rest.CopyConfig(c.Config)
	own.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &grave{conn, dialled.Add(1), &dead}, err
	}
	const lease = 15 * time.Second
	one := runFor(t, lease, own, ns, "10.0.0.1", &acting)
	wait(t, "it acts", one.acts)
	leases := c.Client.CoordinationV1().Leases(ns)
	dead.Store(dialled.Load())
	then, err := leases.Get(t.Context(), "serin", metav1.GetOptions{})
	require.NoError(t, err)
	await.True(t, func() bool {
		now, err := leases.Get(t.Context(), "serin", metav1.GetOptions{})
		return err == nil && now.Spec.RenewTime.After(then.Spec.RenewTime.Time)
	})
	require.NoError(t, one.Leads())
	require.True(t, open(one.acted), "it has led all the time")
	one.end()
	require.NoError(t, ended(t, one))
}

// grave is a connection that behaves, once its number is among the dead, as if its machine were gone: nothing comes
// back, not even an error.
type grave struct {
	net.Conn
	number int32
	dead   *atomic.Int32
}

func (g *grave) Write(b []byte) (int, error) {
	if g.number <= g.dead.Load() {
		return len(b), nil
	}
	return g.Conn.Write(b)
}

func TestALeaseThatIsTakenAwayIsLost(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	var acting atomic.Int32
	one := run(t, c.Config, ns, "10.0.0.1", &acting)
	wait(t, "it acts", one.acts)
	leases := c.Client.CoordinationV1().Leases(ns)
	for {
		l, err := leases.Get(t.Context(), "serin", metav1.GetOptions{})
		require.NoError(t, err)
		*l.Spec.HolderIdentity = "10.0.0.9/else/where"
		*l.Spec.LeaseDurationSeconds = 3600
		if _, err = leases.Update(t.Context(), l, metav1.UpdateOptions{}); err == nil {
			break
		}
	}
	require.ErrorIs(t, ended(t, one), leader.ErrLost)
	host, ok := one.Leader()
	require.True(t, ok)
	require.Equal(t, "10.0.0.9", host)
}

func TestAFailedStandbyEndsRun(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	var acting atomic.Int32
	one := run(t, c.Config, ns, "10.0.0.1", &acting)
	wait(t, "the first acts", one.acts)
	two, err := leader.New(leader.Config{
		REST: c.Config, Namespace: ns, Name: "serin", Host: "10.0.0.2", Duration: leader.MinDuration, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	broken := errors.New("the port is taken")
	err = two.Run(t.Context(), func(context.Context) error { return broken }, func(context.Context) error { return nil })
	require.ErrorIs(t, err, broken)
	one.end()
	require.NoError(t, ended(t, one))
}

func TestAnInvalidConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*leader.Config){
		"no host":                 func(c *leader.Config) { c.Host = "" },
		"an address with a path":  func(c *leader.Config) { c.Host = "http://serin" },
		"a lease that is short":   func(c *leader.Config) { c.Duration = time.Second },
		"a lease of half seconds": func(c *leader.Config) { c.Duration = 2500 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			good := leader.Config{REST: &rest.Config{}, Namespace: "a", Name: "b", Host: "10.0.0.1", Duration: 15 * time.Second, Log: slog.New(slog.DiscardHandler)}
			_, err := leader.New(good)
			require.NoError(t, err)
			change(&good)
			_, err = leader.New(good)
			require.Error(t, err)
		})
	}
}
