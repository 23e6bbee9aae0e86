package kube

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAMemoryOfALargeTemplateIsSmall(t *testing.T) {
	m := memory{Release: "r", Template: map[string]any{"spec": strings.Repeat("a line of a configuration\n", 10_000)}, Replicas: new(int64(3))}
	text := m.String()
	require.Less(t, len(text), 10_000)
	got, err := parseMemory(text)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestAMemoryOfAnotherReleaseIsIgnored(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAnnotations(map[string]string{beforeAnnotation: memory{Release: "one", Scaled: new(int64(3))}.String()})
	m, err := remembered(o, "one")
	require.NoError(t, err)
	require.Equal(t, int64(3), *m.Scaled)
	m, err = remembered(o, "two")
	require.NoError(t, err)
	require.Equal(t, memory{}, m)
}

func FuzzAMemoryIsReadOrRefused(f *testing.F) {
	f.Add(memory{Release: "r", Created: true}.String())
	f.Add(memory{Release: "r", Template: map[string]any{"x": strings.Repeat("y", packFrom)}}.String())
	f.Add("gzip:AAAA")
	f.Add(`{"release": "r", "template": {"n": 1.5, "m": 12345678901234567890}}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMemory(text)
		if err != nil {
			require.Equal(t, memory{}, m)
			return
		}
		again, err := parseMemory(m.String())
		require.NoError(t, err)
		require.Equal(t, m.String(), again.String())
	})
}
