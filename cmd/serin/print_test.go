package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLongTextBreaksBetweenWords(t *testing.T) {
	const text = "20% of traffic on the canary: it needs 5m in force; and enough data – without a fail"
	require.Equal(t, []string{"20% of traffic on the", "canary: it needs 5m in", "force; and enough data", "– without a fail"}, wrap(text, 22))
	require.Equal(t, text, strings.Join(wrap(text, 7), " "), "nothing is lost")
	require.Equal(t, []string{"a", "01M8FTF6ZN7H5GK7FPEC1QHE6M", "b"}, wrap("a 01M8FTF6ZN7H5GK7FPEC1QHE6M b", 10))
	require.Equal(t, []string{""}, wrap("", 10))
	require.Equal(t, "20% of traffic on the canary: it needs 5m in force…", cut(text, 53))
	require.Equal(t, "short", cut("short", 53))
	require.Equal(t, "title\n  "+strings.Repeat("word ", 18)+"word\n    word word\nend", hang("title\n  "+strings.Repeat("word ", 20)+"word\nend"))
}
