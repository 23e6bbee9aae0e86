package kube

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const migrate = `
# migrates
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: '${image}'}]
`

func TestManifestsAreReadStrictly(t *testing.T) {
	doc, err := JobManifest([]byte("---\n" + migrate + "---\n# the end\n"))
	require.NoError(t, err)
	require.JSONEq(t, `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
		"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "migrate", "image": "${image}"}]}}}}`, string(doc))
	for name, c := range map[string]struct{ text, why string }{
		"nothing":           {"# nothing\n", "it is empty"},
		"two documents":     {migrate + "---\n" + migrate, "expected one document, there are several"},
		"another kind":      {"{apiVersion: v1, kind: Pod}", `expected apiVersion: batch/v1 and kind: Job, it has apiVersion: "v1" and kind: "Pod"`},
		"an unknown field":  {"{apiVersion: batch/v1, kind: Job, spec: {tempo: 1}}", `unknown field "tempo"`},
		"a repeated field":  {"{apiVersion: batch/v1, kind: Job, kind: Job}", `key "kind" already set in map`},
		"no containers":     {"{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {}}}}", "spec.template.spec.containers: a Job without containers"},
		"an unknown end":    {"{apiVersion: batch/v1, kind: Job, metadata: {annotations: {serin.dev/when-cancelled: kill}}, spec: {template: {spec: {containers: [{name: a}]}}}}", `serin.dev/when-cancelled is "kill", expected suspend or run-on`},
		"no YAML":           {"{", "line 1: did not find expected node content"},
		"a list":            {"[1]", "expected a batch/v1 Job"},
		"a word for number": {"{apiVersion: batch/v1, kind: Job, spec: {backoffLimit: many}}", "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := JobManifest([]byte(c.text))
			require.ErrorContains(t, err, c.why)
			require.Nil(t, doc)
		})
	}
}

func TestAPodTemplateIsReadWithoutTheObjectAroundIt(t *testing.T) {
	doc, err := TemplateManifest([]byte("{apiVersion: v1, kind: PodTemplate, metadata: {name: x}, template: {spec: {containers: [{name: a, image: b}]}}}"))
	require.NoError(t, err)
	require.JSONEq(t, `{"spec": {"containers": [{"name": "a", "image": "b"}]}}`, string(doc))
	_, err = TemplateManifest([]byte("{apiVersion: v1, kind: PodTemplate, template: {}}"))
	require.ErrorContains(t, err, "template.spec.containers")
}

func FuzzAManifestIsReadOrRefused(f *testing.F) {
	f.Add([]byte(migrate))
	f.Add([]byte("{apiVersion: v1, kind: PodTemplate, template: {spec: {containers: [{name: a}]}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte) (json.RawMessage, error){JobManifest, TemplateManifest} {
			doc, err := read(text)
			if err != nil {
				require.Nil(t, doc)
				continue
			}
			require.True(t, json.Valid(doc))
		}
	})
}

func FuzzTheNameOfAJobIsALabel(f *testing.F) {
	f.Add("01J/migrate")
	f.Add("/")
	f.Add("a/Ä.-_")
	f.Fuzz(func(t *testing.T, key string) {
		require.Regexp(t, `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`, jobName(key))
	})
}
