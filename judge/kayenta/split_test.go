package kayenta

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADocumentIsOneRequestOrAList(t *testing.T) {
	parts, array, err := Split([]byte("\n {\"a\": [NaN]} \n"))
	require.NoError(t, err)
	require.False(t, array)
	require.Equal(t, []Part{{Text: []byte(`{"a": [NaN]}`), Line: 2}}, parts)

	parts, array, err = Split([]byte("[{\"a\":\n1},\n {}, 3\n,[4]]"))
	require.NoError(t, err)
	require.True(t, array)
	require.Equal(t, []Part{{[]byte("{\"a\":\n1}"), 1}, {[]byte("{}"), 3}, {[]byte("3"), 3}, {[]byte("[4]"), 4}}, parts)

	parts, array, err = Split([]byte("[]"))
	require.NoError(t, err)
	require.True(t, array)
	require.Empty(t, parts)
}

func TestErrorsNameTheLineOfTheDocument(t *testing.T) {
	for text, want := range map[string]string{
		"":           "line 1: a value was expected",
		"{\n\"a\"}":  "line 2: a colon was expected",
		"{}\n{}":     "line 2: more after the end of the document",
		"\n\n3":      "line 3: an object or a list of objects was expected",
		"[{},\n{},]": "line 2: a value was expected",
	} {
		parts, _, err := Split([]byte(text))
		require.EqualError(t, err, want)
		require.Nil(t, parts)
	}
}

// Split returns either an error or the elements that encoding/json finds.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(`[{"a": 1}, {}, "x,]"]`))
	f.Add([]byte(`{"a": [1, 2]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parts, array, err := Split(data)
		if err != nil {
			require.Nil(t, parts)
			return
		}
		if !json.Valid(data) { // bare words
			return
		}
		if !array {
			require.Len(t, parts, 1)
			return
		}
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal(data, &want))
		require.Len(t, parts, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), string(parts[i].Text))
		}
	})
}
