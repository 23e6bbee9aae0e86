package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// thousand is an engine with many rollouts.
type thousand struct{ server.Engine }

func (thousand) Rollouts() (out []record.View) {
	for i := range 1000 {
		out = append(out, record.View{Rollout: fmt.Sprintf("pro.shop-%03d", i)})
	}
	return out
}

// patient is the rights of a cluster that only answers once several questions are open.
type patient struct {
	mu      sync.Mutex // guards waiting
	waiting int
	several chan struct{}
}

func (r *patient) May(ctx context.Context, _ server.Verb, rolloutName string) (bool, error) {
	if rolloutName == "" {
		return false, nil
	}
	r.mu.Lock()
	if r.waiting++; r.waiting == 8 {
		close(r.several)
	}
	r.mu.Unlock()
	select {
	case <-r.several:
		return rolloutName != "pro.shop-500", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func TestRightsOnManyRolloutsAreAskedForTogether(t *testing.T) {
	t.Parallel()
	ctx := server.As(t.Context(), server.Identity{Name: "ann", Rights: &patient{several: make(chan struct{})}})
	all, err := server.NewSight(thousand{}, nil, nil).Rollouts(ctx)
	require.NoError(t, err)
	require.Len(t, all, 999)
	require.Equal(t, "pro.shop-000", all[0].Rollout, "by name, whichever answer comes first")
	require.Equal(t, "pro.shop-999", all[998].Rollout)
}
