package config

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func requireURL(t *testing.T, template, v string) *url.URL {
	text, err := SubstituteURL(template, map[string]string{"v": v})
	require.NoError(t, err)
	u, err := url.Parse(text)
	require.NoError(t, err, text)
	return u
}

func TestAValueCannotLeadUpwardsInAnAddress(t *testing.T) {
	for _, template := range []string{"https://a.example.com/hooks/${v}/end", "https://a.example.com/hooks/.${w}/end?q=1"} {
		_, err := SubstituteURL(template, map[string]string{"v": "..", "w": "."})
		require.ErrorContains(t, err, "would lead elsewhere")
	}
	require.Equal(t, "..", requireURL(t, "https://a.example.com/hooks?path=${v}", "..").Query().Get("path"))
}

func TestASubstitutionWithoutAValueHasNoResult(t *testing.T) {
	for _, text := range []string{`{"a": "${who}"}`, `{"a": "${v"}`, `{"a": ${v}}`, `{`} {
		out, err := SubstituteJSON(text, map[string]string{"v": "1"})
		require.Error(t, err, text)
		require.Empty(t, out)
	}
	for _, text := range []string{"https://${v}/", "https://a.example.com/${who}", "https://a.${v}.com/x", "${v}://a/b", "https://a.example.com${v}/", "/relative/${v}"} {
		out, err := SubstituteURL(text, map[string]string{"v": "1"})
		require.Error(t, err, text)
		require.Empty(t, out)
	}
}
