package traffic_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/traffic"
)

func TestObjectsHaveTheNameOfARolloutIfItIsShort(t *testing.T) {
	require.Equal(t, "shop", traffic.ObjectBase("shop"))
	require.Equal(t, strings.Repeat("a", 50), traffic.ObjectBase(strings.Repeat("a", 50)))
	require.Equal(t, "shop-api-7c7e2e85", traffic.ObjectBase("shop.api"), "a running installation finds its objects again")
	require.Len(t, traffic.ObjectBase(strings.Repeat("a", 253)), 50)
}

func TestObjectNamesAreUniqueLabels(t *testing.T) {
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$`)
	name := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		one, other := name.Draw(t, "one"), name.Draw(t, "other")
		require.Regexp(t, label, traffic.ObjectBase(one))
		if one != other {
			require.NotEqual(t, traffic.ObjectBase(one), traffic.ObjectBase(other))
		}
	})
}

func TestLongDerivedNamesHaveAHash(t *testing.T) {
	require.Equal(t, "shop-ab", traffic.Derived("shop", "-ab", 63))
	require.Equal(t, strings.Repeat("a", 60)+"-ab", traffic.Derived(strings.Repeat("a", 60), "-ab", 63), "it just fits")
	long := traffic.Derived(strings.Repeat("a", 61), "-ab", 63)
	require.Regexp(t, "^a{51}-[0-9a-f]{8}-ab$", long)
	require.Len(t, long, 63)
	require.NotEqual(t, long, traffic.Derived(strings.Repeat("a", 62), "-ab", 63))
	require.Regexp(t, "^a{50}-[0-9a-f]{8}-ab$", traffic.Derived(strings.Repeat("a", 50)+"."+strings.Repeat("a", 12), "-ab", 63), "the part before the hash does not end in a dot")
}
