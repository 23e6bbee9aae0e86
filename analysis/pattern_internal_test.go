package analysis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPatternStandsInRegularExpressionsOnly(t *testing.T) {
	n := Names{Patterns: map[string]string{"pods": `shop-canary-[a-z0-9]+-[a-z0-9]{5}`}}
	got, err := n.into("${pods}", "=~")
	require.NoError(t, err)
	re, err := compile(got)
	require.NoError(t, err)
	require.True(t, re.MatchString("shop-canary-7d9fbbd6c4-x2x4z"))
	require.False(t, re.MatchString("shop-7d9fbbd6c4-x2x4z"))
	_, err = n.into("${pods}", "=")
	require.ErrorContains(t, err, "${pods} is a pattern")

	stable := Names{Patterns: map[string]string{"pods": `shop-[a-z0-9]+-[a-z0-9]{5}`}}
	got, err = stable.into("${pods}", "=~")
	require.NoError(t, err)
	re, err = compile(got)
	require.NoError(t, err)
	require.False(t, re.MatchString("shop-canary-7d9fbbd6c4-x2x4z"), "the canary's pods are not stable's")
}
