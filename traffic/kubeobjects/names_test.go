package kubeobjects

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/serindev/serin/traffic"
)

func TestADerivedNameIsShortenedOnlyIfItIsTooLong(t *testing.T) {
	require.Equal(t, "shop-ab", CohortBackend(traffic.Backend{Service: "shop"}).Service)
	longest := strings.Repeat("a", 60)
	require.Equal(t, longest+"-ab", Derived(longest, "-ab"))
	require.Equal(t, strings.Repeat("a", 51)+"-35d5fc17-ab", Derived(strings.Repeat("a", 61), "-ab"), "a running installation finds its Services again")
}

func TestKubernetesAcceptsEveryDerivedName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z]([-a-z0-9]{0,61}[a-z0-9])?`).Draw(t, "name")
		derived := Derived(name, "-ab")
		require.Empty(t, validation.IsDNS1123Label(derived))
		other := rapid.StringMatching(`[a-z]([-a-z0-9]{0,61}[a-z0-9])?`).Draw(t, "other")
		if other != name {
			require.NotEqual(t, derived, Derived(other, "-ab"))
		}
	})
}
