package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestTheLocalTokenIsSentOnlyToThisMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile(localToken, []byte("local\n"), 0o600))
	require.NoError(t, os.WriteFile("other.token", []byte("other\n"), 0o600))
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"127.0.0.1", nil, nil, "Bearer local"},
		{"localhost", nil, []string{"--server", "http://localhost:7474"}, "Bearer local"},
		{"IPv6", nil, []string{"--server", "http://[::1]:7474"}, "Bearer local"},
		{"another machine", nil, []string{"--server", "https://serin.example.com"}, ""},
		{"a name that begins like this machine's", nil, []string{"--server", "http://127.0.0.1.example.com"}, ""},
		{"another machine, from the environment", map[string]string{"SERIN_SERVER": "http://10.0.0.1:7474"}, nil, ""},
		{"an explicit token goes to any address", map[string]string{"SERIN_TOKEN": "mine"}, []string{"--server", "https://serin.example.com"}, "Bearer mine"},
		{"so does an explicit file", map[string]string{"SERIN_TOKEN_FILE": "other.token"}, nil, "Bearer other"},
		{"the flag wins", map[string]string{"SERIN_TOKEN": "mine"}, []string{"--token-file", "other.token"}, "Bearer other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			var stdout, stderr bytes.Buffer
			a := &app{
				stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return c.env[name] },
				transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = r.Header.Get("Authorization")
					_, _ = w.Write([]byte("[]"))
				})},
			}
			require.Equal(t, exitOK, a.run(t.Context(), append([]string{"status"}, c.args...)), stderr.String())
			require.Equal(t, c.want, got)
		})
	}
}

func TestTheTokenIsFoundNextToTheStoreThatTheDocumentNames(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const head = "apiVersion: serin.dev/v1alpha1\nkind: Daemon\nspec:\n  prometheus: {url: 'http://127.0.0.1:9090'}\n"
	here := write("here/serin.yaml", head)
	there := write("etc/serin.yaml", head+"  store: sqlite:../var/serin.db\n")
	broken := write("broken.yaml", "kind: Daemon\n")
	require.Equal(t, []string{"serin.token", filepath.Join(dir, "here", "serin.token"), filepath.Join(dir, "var", "serin.token")},
		localTokens(here, filepath.Join(dir, "none.yaml"), broken, there))
}

func FuzzClean(f *testing.F) {
	f.Add("shop\x1b]0;title\a")
	f.Add("weiß\u202e\xff\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		require.Equal(t, got, clean(got))
		require.False(t, strings.ContainsFunc(got, func(r rune) bool {
			return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
		}), "%q", got)
	})
}
