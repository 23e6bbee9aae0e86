package server

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
)

// endless is a store with more releases of each rollout than one answer may look through.
type endless struct{ Store }

func (endless) History(_ context.Context, f record.Filter) ([]record.Past, error) {
	out := make([]record.Past, f.Limit)
	for i := range out {
		out[i].ID, out[i].Rollout = strconv.Itoa(i), f.Rollout
	}
	return out, nil
}

func TestASearchSaysNothingOfARolloutThatTheCallerMayNotSee(t *testing.T) {
	grant, err := NewGrant([]string{"operator"}, []string{"cart"})
	require.NoError(t, err)
	ctx, sight := As(t.Context(), Identity{Name: "ann", Bound: []Grant{grant}}), NewSight(nil, endless{}, nil)
	for rolloutName, next := range map[string]string{"cart": "999", "shop": ""} {
		found, got, err := sight.Search(ctx, record.Filter{Rollout: rolloutName, Limit: 10}, "nowhere")
		require.NoError(t, err)
		require.Empty(t, found)
		require.Equal(t, next, got, rolloutName)
	}
}

// TestASearchEndsAfterAsManyRowsAsOneAnswerMayTake reads the numbers from 1 to 5,000.
func TestASearchEndsAfterAsManyRowsAsOneAnswerMayTake(t *testing.T) {
	const all = 5000
	read := func(limit int, last *int) (out []int, err error) {
		from := 1
		if last != nil {
			from = *last + 1
		}
		for n := from; n <= all && len(out) < limit; n++ {
			out = append(out, n)
		}
		return out, nil
	}
	is := func(wanted ...int) func(int) (bool, error) {
		return func(n int) (bool, error) {
			return slices.Contains(wanted, n), nil
		}
	}
	everything := func(int) (bool, error) { return true, nil }
	for _, c := range []struct {
		name              string
		limit, most, next int
		may, visible      func(int) (bool, error)
		want              []int
	}{
		{"a search without matches stops early and can be continued", 10, 2000, 2000, is(), everything, nil},
		{"matches found by then are returned", 10, 2000, 2000, is(7, 3000), everything, []int{7}},
		{"enough ends it", 1, 2000, 0, is(7, 8), everything, []int{7}},
		{"so does the end of all", 10, 9000, 0, is(4999), everything, []int{4999}},
		{"it continues before a row that the caller may see", 10, 2000, 1500, is(7), is(7, 1500), []int{7}},
		{"it reads on while the last rows are hidden", 10, 2000, 3456, is(7), is(7, 3456), []int{7}},
		{"where everything that is left is hidden, all of it is read", 10, 2000, 0, is(7), is(7), []int{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, next, err := picked(c.limit, c.most, read, c.may, c.visible)
			require.NoError(t, err)
			require.Equal(t, c.want, out)
			if c.next == 0 {
				require.Nil(t, next)
				return
			}
			require.Equal(t, c.next, *next)
		})
	}
}
