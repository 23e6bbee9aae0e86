package kube

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheMemoryOfALargeTemplateIsSmall(t *testing.T) {
	m := memory{Release: "r", Template: map[string]any{"spec": strings.Repeat("a line of a configuration\n", 10_000)}, Replicas: new(int64(3))}
	text := m.String()
	require.Less(t, len(text), 10_000)
	got, err := parseMemory(text)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestTheMemoryOfAnotherReleaseIsIgnored(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAnnotations(map[string]string{beforeAnnotation: memory{Release: "one", Scaled: new(int64(3))}.String()})
	m, err := remembered(o, "one")
	require.NoError(t, err)
	require.Equal(t, int64(3), *m.Scaled)
	m, err = remembered(o, "two")
	require.NoError(t, err)
	require.Equal(t, memory{}, m)
}

// Kubernetes accepts 256 KiB of annotations, of which kubectl apply uses a part.
func TestWhatIsRememberedFitsNextToOtherAnnotations(t *testing.T) {
	const foreign = "kubectl.kubernetes.io/last-applied-configuration"
	for _, c := range []struct {
		name     string
		kib      int // of other annotations, roughly
		previous int // KiB that an undo of the last release would need
		drops    bool
		err      string
	}{
		{"both fit", 100, 100, false, ""},
		{"the release under way comes before an undo of the last one", 200, 100, true, ""},
		{"nothing fits", 256, 0, false, "more than 256 KiB"},
		{"it does not fit even without what an undo needs", 256, 1, false, "more than 256 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{}}
			notes := map[string]string{foreign: strings.Repeat("x", c.kib<<10-100)}
			if c.previous > 0 {
				notes[previousAnnotation] = strings.Repeat("y", c.previous<<10)
			}
			o.SetAnnotations(notes)
			for name, write := range map[string][]operation{
				"what was before":    (&plan{memory: &memory{Release: "r", Template: map[string]any{"spec": "small"}}}).operations(o),
				"what is in service": annotate(o, map[string]string{inServiceAnnotation: strings.Repeat("z", 1<<10)}),
			} {
				got, err := room(o, write)
				if c.err != "" {
					require.ErrorContains(t, err, c.err, name)
					require.ErrorAs(t, err, new(refused), name)
					continue
				}
				require.NoError(t, err, name)
				if c.drops {
					write = append(write, operation{Op: "remove", Path: "/metadata/annotations/serin.dev~1previous"})
				}
				require.Equal(t, write, got, name)
			}
		})
	}
}

// If only what an undo would need does not fit, the release ends without it.
func TestAnUndoThatDoesNotFitIsNotRecorded(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAnnotations(map[string]string{"much": strings.Repeat("x", 200<<10), beforeAnnotation: "b", previousAnnotation: "p"})
	write := append(unannotate(beforeAnnotation), annotate(o, map[string]string{previousAnnotation: strings.Repeat("y", 100<<10)})...)
	got, err := room(o, write)
	require.NoError(t, err)
	require.Equal(t, append(unannotate(beforeAnnotation), unannotate(previousAnnotation)...), got)
}

// A removal, or a change of something else, is written even if the annotations are already too large.
func TestAnObjectThatIsTooLargeCanBeRestored(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAnnotations(map[string]string{"much": strings.Repeat("x", 300<<10), beforeAnnotation: "b"})
	write := append(unannotate(beforeAnnotation), operation{"add", "/spec/replicas", 1})
	got, err := room(o, write)
	require.NoError(t, err)
	require.Equal(t, write, got)
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
