package resource_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
)

// healthCheck is the check in the documentation, which people paste into Argo CD.
func healthCheck(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/gitops.md")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?s)resource\.customizations\.health\.serin\.dev_Rollout: \|\n(.*?)\n\x60\x60\x60`).FindSubmatch(page)
	require.NotNil(t, found, "docs/gitops.md has no health check")
	return string(found[1])
}

// toLua is a value as a script sees it.
func toLua(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		t := l.NewTable()
		for k, one := range v {
			t.RawSetString(k, toLua(l, one))
		}
		return t
	case []any:
		t := l.NewTable()
		for _, one := range v {
			t.Append(toLua(l, one))
		}
		return t
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

// argoHealth runs the check as Argo CD does: the object is obj, and the script returns the health.
func argoHealth(t *testing.T, object map[string]any) (status, message string) {
	t.Helper()
	l := lua.NewState()
	defer l.Close()
	l.SetGlobal("obj", toLua(l, object))
	require.NoError(t, l.DoString(healthCheck(t)))
	health, ok := l.Get(-1).(*lua.LTable)
	require.True(t, ok, "it returns a table")
	return health.RawGetString("status").String(), health.RawGetString("message").String()
}

func TestTheHealthCheckForArgoCDTellsWhereARolloutStands(t *testing.T) {
	for name, c := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			s := of(name, c.in)
			status, message := argoHealth(t, object(t, s, 3).Object)
			require.Equal(t, c.argo, status)
			require.Equal(t, s.Message, message)
			status, _ = argoHealth(t, object(t, s, 4).Object)
			require.Equal(t, "Progressing", status, "a generation that nobody has read yet")
		})
	}
	status, message := argoHealth(t, map[string]any{"metadata": map[string]any{"generation": int64(1)}})
	require.Equal(t, "Progressing", status)
	require.True(t, strings.HasPrefix(message, "Serin has not"), message)
}
