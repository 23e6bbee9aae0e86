package config

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// For any content of a file there is no panic; there are errors or a result but never both; every error has a place that
// exists; and decoding the result again gives the same revision.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"../examples/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, files)
		for _, file := range files {
			b, err := os.ReadFile(file) //nolint:gosec // a seed
			require.NoError(f, err)
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		set, encoded := decodeOnce(t, b)
		if set == nil {
			return
		}
		again, _ := decodeOnce(t, encoded)
		require.NotNil(t, again, "what is right stays right when it is encoded: %s", encoded)
		require.Equal(t, revisions(set), revisions(again))
		require.Equal(t, set.Analyses, again.Analyses)
	})
}

// For any annotation there is no panic, and no receiver is asked for that is not offered, or twice.
func FuzzAskedBy(f *testing.F) {
	for _, text := range []string{"", "[{to: a, on: [gate]}, {to: b}]", "- to: a\n- &x {to: b}\n- *x\n", `[{"to":"a"}]`, "[[[[", "a: b", "- null", "to: [a]"} {
		f.Add(text)
	}
	spec := &DaemonSpec{Notify: []NotifySpec{{Name: "a", OnRequest: true}, {Name: "b", OnRequest: true, Namespaces: Texts{"pro"}}, {Name: "c"}}}
	f.Fuzz(func(t *testing.T, text string) {
		asked, _ := spec.AskedBy("dev", text)
		require.LessOrEqual(t, len(asked), 1)
		for _, a := range asked {
			require.Equal(t, "a", a.To)
		}
	})
}

// decodeOnce returns nil if there are errors, else the set and its documents as JSON.
func decodeOnce(t *testing.T, b []byte) (*Set, []byte) {
	s := Loader{}.next([]file{{name: "fuzz.yaml", body: b, sum: sha256.Sum256(b)}}, nil)
	lines := strings.Split(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	for _, e := range s.Errors {
		require.Equal(t, "fuzz.yaml", e.File)
		require.LessOrEqual(t, e.Line, len(lines)+1)
		require.NotEmpty(t, e.Message)
		require.True(t, utf8.ValidString(e.Error()))
	}
	if len(s.Errors) > 0 {
		require.Empty(t, s.Rollouts, "no result on error")
		require.Empty(t, s.Analyses, "no result on error")
		require.Empty(t, s.Daemons, "no result on error")
		return nil, nil
	}
	var docs []string
	for _, d := range s.files["fuzz.yaml"].docs {
		var v any = d.rollout
		if d.analysis != nil {
			v = d.analysis
		}
		if d.daemon != nil {
			continue // secrets are not written
		}
		out, err := json.Marshal(v)
		require.NoError(t, err)
		docs = append(docs, string(out))
	}
	return s.Set, []byte(strings.Join(docs, "\n---\n"))
}

func revisions(s *Set) map[string]string {
	out := map[string]string{}
	for _, r := range s.Rollouts {
		out[r.Plan.Rollout.Name] = r.Plan.Rollout.Revision
	}
	return out
}

// Values cannot break out of their place in an address or a JSON text.
func FuzzSubstitute(f *testing.F) {
	for _, v := range []string{"", "v1.2", `","admin":true,"x":"`, "../..", "a/b?c#d", "\x00\xff\u2028", "..", "%2e"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		body, err := SubstituteJSON(`{"a": "x${v}y", "b": ["${v}"]}`, map[string]string{"v": v})
		require.NoError(t, err)
		var back struct {
			A string
			B []string
		}
		require.NoError(t, json.Unmarshal([]byte(body), &back))
		clean := strings.ToValidUTF8(v, "\uFFFD")
		require.Equal(t, "x"+clean+"y", back.A)
		require.Equal(t, []string{clean}, back.B)

		if v == "." || v == ".." {
			return
		}
		u := requireURL(t, `https://chat.example.com/hooks/${v}/end?q=${v}&r=1`, v)
		require.Equal(t, "chat.example.com", u.Host)
		require.Equal(t, v, u.Query().Get("q"))
		require.Equal(t, "1", u.Query().Get("r"))
		require.Len(t, strings.Split(u.EscapedPath(), "/"), 4)
		require.Empty(t, u.Fragment)
	})
}
