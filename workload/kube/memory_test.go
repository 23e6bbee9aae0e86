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

// Kubernetes takes 256 KiB of annotations; what kubectl apply keeps there is not Serin's.
func TestWhatIsRememberedFitsNextToOtherAnnotations(t *testing.T) {
	const foreign = "kubectl.kubernetes.io/last-applied-configuration"
	for _, c := range []struct {
		name     string
		kib      int // of other annotations
		previous int // KiB that an undo of the last release would need
		drops    bool
		err      string
	}{
		{"both fit", 100, 100, false, ""},
		{"the release under way comes before an undo of the last one", 200, 100, true, ""},
		{"nothing fits", 255, 0, false, "more than 256 KiB"},
		{"nothing fits in place of what an undo needs either", 255, 1, false, "more than 256 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{}}
			notes := map[string]string{foreign: strings.Repeat("x", c.kib<<10)}
			if c.previous > 0 {
				notes[previousAnnotation] = strings.Repeat("y", c.previous<<10)
			}
			o.SetAnnotations(notes)
			p := plan{memory: &memory{Release: "r", Template: map[string]any{"spec": "small"}}}
			err := p.makeRoom(o)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.drops, p.dropPrevious)
			var removed []string
			for _, op := range p.operations(o) {
				if op.Op == "remove" {
					removed = append(removed, op.Path)
				}
			}
			require.Equal(t, c.drops, len(removed) == 1, "%v", removed)
		})
	}
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
