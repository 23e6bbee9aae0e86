package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func values(t *testing.T, text string) []any {
	docs, errs := parse("x.yaml", []byte(text))
	require.Empty(t, errs.shown().Error())
	var out []any
	for _, d := range docs {
		out = append(out, d.root.value())
	}
	return out
}

func TestDocumentsAreSplitWhereYAMLSplitsThem(t *testing.T) {
	a, b := map[string]any{"a": "x"}, map[string]any{"b": "y"}
	for name, text := range map[string]string{
		"a marker":                      "a: x\n---\nb: y\n",
		"an empty document between":     "a: x\n---\n---\nb: y\n", // goccy v1.19.2 loses b
		"only a comment between":        "---\na: x\n---\n# nothing\n---\nb: y",
		"an end marker":                 "a: x\n...\nb: y\n",
		"content on the marker's line":  "--- {a: x}\n--- {b: y}\n",
		"Windows line ends":             "a: x\r\n---\r\nb: y\r\n",
		"a byte order mark":             "\ufeffa: x\n---\nb: y\n",
		"a marker after text in blocks": "a: |-\n  x\n---\nb: y\n",
	} {
		require.Equal(t, []any{a, b}, values(t, text), name)
	}
	require.Empty(t, values(t, ""))
	require.Empty(t, values(t, "# nothing\n"))
}

func TestValuesAreWhatYAMLSaysTheyAre(t *testing.T) {
	for text, want := range map[string]any{
		"[http://127.0.0.1:8081]":               []any{"http://127.0.0.1:8081"},
		"{a: [http://127.0.0.1:8081]}":          map[string]any{"a": []any{"http://127.0.0.1:8081"}}, // goccy cuts off the port
		"{a: [b:1:2, c], d: 'e:f'}":             map[string]any{"a": []any{"b:1:2", "c"}, "d": "e:f"},
		`{"a":b, c: {d: [{e: f}]}}`:             map[string]any{"a": "b", "c": map[string]any{"d": []any{map[string]any{"e": "f"}}}},
		"a: !!str 5":                            map[string]any{"a": "5"},
		"a: yes":                                map[string]any{"a": "yes"},
		"a: true":                               map[string]any{"a": true},
		"a:":                                    map[string]any{"a": nil},
		"a: |\n  x\n  y\n":                      map[string]any{"a": "x\ny\n"},
		"a: >-\n  x\n  y\n":                     map[string]any{"a": "x y"},
		"a: &x [b]\nc: *x\n":                    map[string]any{"a": []any{"b"}, "c": []any{"b"}},
		"a: &x {b: c, d: e}\nf: {<<: *x, b: g}": map[string]any{"a": map[string]any{"b": "c", "d": "e"}, "f": map[string]any{"b": "g", "d": "e"}},
		"a: 12345678901234567890123":            map[string]any{"a": "12345678901234567890123"},
	} {
		require.Equal(t, []any{want}, values(t, text), text)
	}
}

func TestTheCaretStandsUnderThePlace(t *testing.T) {
	for text, want := range map[string]string{
		"kind: Rollot":        "    1 | kind: Rollot\n      |       ^",
		"? \tkind\n":          "",
		"{\"ü\": 1, kind: 2}": "    1 | {***: *, kind: 2}\n      |                ^",
	} {
		set := Loader{}.next([]file{{name: "x", body: []byte(text)}}, nil)
		require.NotEmpty(t, set.Errors)
		require.Contains(t, set.Errors.Error(), want)
	}
}

func TestSharesAndDurationsAreWrittenWithoutLoss(t *testing.T) {
	for _, text := range []string{`"25%"`, `"0.1%"`, `0.3333333333333333`, `"1e-12"`, `"0.29"`} {
		var s, back Share
		require.NoError(t, s.UnmarshalJSON([]byte(text)))
		b, err := s.MarshalJSON()
		require.NoError(t, err)
		require.NoError(t, back.UnmarshalJSON(b))
		require.InDelta(t, float64(s), float64(back), 0, text)
	}
	for text, want := range map[string]string{`"90s"`: `"1m30s"`, `"1w"`: `"1w"`, `0`: `"0s"`, `"24h"`: `"1d"`, `"1h30m"`: `"1h30m"`} {
		var d Duration
		require.NoError(t, d.UnmarshalJSON([]byte(text)))
		b, err := d.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}
