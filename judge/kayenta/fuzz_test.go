package kayenta

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// DecodeRequest returns either an error or a request that Judge, Warnings and MarshalJSON can handle.
func FuzzDecodeRequest(f *testing.F) {
	for _, file := range []string{"cases-edges", "cases-02"} {
		for i, c := range readGolden[[]goldenCase](f, file) {
			if file == "cases-edges" || i < 40 && len(c.Request) < 3000 {
				f.Add([]byte(c.Request))
			}
		}
	}
	f.Add([]byte(`{"canaryConfig":{"metrics":[{"name":"m","groups":["g",1],"analysisConfigurations":[{"canary":{"outliers":[[{"strategy":1}]]}}]}],` +
		`"classifier":{"groupWeights":{"g":"1e2"}}},"scoreThresholds":{},"metricSetPairList":[{"name":"m","tags":{"a":null,"b":2},"values":{"control":[NaN,null,-Infinity],"experiment":["NaN","5"]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := DecodeRequest(data)
		if err != nil {
			require.Empty(t, q)
			return
		}
		if len(data) > 20_000 {
			return // too slow here; other tests judge large arms
		}
		r, err := Judge(q)
		require.NoError(t, err, "a decoded request can be judged")
		encoded, err := json.Marshal(r)
		require.NoError(t, err)
		require.True(t, json.Valid(encoded))
		Warnings(q, r)
	})
}

// FuzzSyntax compares the reader with encoding/json. Without bare words it accepts only JSON, and it accepts all JSON in
// UTF-8 that is not nested too deeply. Both find the same values.
func FuzzSyntax(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":"c\\\""}],"a":null}`, `[NaN]`, `"\ud800"`, `[[[]],{}]`, `-0.0e+5`, "[\"\xff\"]", `{"\u0061":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parse(data)
		bare := bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Infinity"))
		if !bare && len(data) < maxDepth {
			plain := bytes.TrimPrefix(data, byteOrderMark)
			require.Equal(t, json.Valid(plain) && utf8.Valid(plain), err == nil, "%v", err)
		}
		if err != nil || bare {
			return
		}
		want := map[string]json.RawMessage{}
		if v.kind() == '{' {
			require.NoError(t, json.Unmarshal(v, &want))
			got := v.object()
			require.Len(t, got, len(want))
			for name, member := range want {
				require.Equal(t, string(member), string(got[name]))
			}
		}
		var list []json.RawMessage
		if v.kind() == '[' {
			require.NoError(t, json.Unmarshal(v, &list))
			n := 0
			for i, element := range v.elements() {
				require.Equal(t, string(list[i]), string(element))
				n++
			}
			require.Len(t, list, n)
		}
		if v.kind() == '"' {
			var s string
			require.NoError(t, json.Unmarshal(v, &s))
			require.Equal(t, s, v.text())
		}
	})
}
