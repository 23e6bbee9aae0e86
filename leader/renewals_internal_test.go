package leader

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// lock answers an update after a while.
type lock struct {
	resourcelock.Interface
	takes time.Duration
	err   error
}

func (*lock) Identity() string { return "me" }

func (l *lock) Update(context.Context, resourcelock.LeaderElectionRecord) error {
	time.Sleep(l.takes) // in a bubble
	return l.err
}

func TestALeaseCountsFromBeforeItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lock{takes: 3 * time.Second}
		r := &renewals{Interface: l, valid: 10 * time.Second}
		mine := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
		require.False(t, r.hold(), "before anything was written")
		require.NoError(t, r.Update(t.Context(), mine))
		time.Sleep(7*time.Second - 1)
		require.True(t, r.hold())
		time.Sleep(time.Nanosecond)
		require.False(t, r.hold(), "frozen for ten seconds since it asked")

		require.NoError(t, r.Update(t.Context(), mine))
		l.err = errors.New("conflict")
		require.Error(t, r.Update(t.Context(), mine))
		require.True(t, r.hold(), "what was renewed before is still valid")
		time.Sleep(4 * time.Second)
		require.False(t, r.hold(), "but a failed renewal adds nothing")

		l.err = nil
		require.NoError(t, r.Update(t.Context(), mine))
		require.NoError(t, r.Update(t.Context(), resourcelock.LeaderElectionRecord{}))
		require.False(t, r.hold(), "given back")
	})
}
