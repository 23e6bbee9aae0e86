package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// naming refers to ConfigMaps in every way that a pod template can.
const naming = `
metadata: {labels: {app: shop}}
spec:
  initContainers:
    - {name: init, image: a, envFrom: [{configMapRef: {name: of-init, optional: true}}, {secretRef: {name: secret}}]}
  containers:
    - name: shop
      image: a
      envFrom: [{configMapRef: {name: all}}]
      env:
        - {name: ONE, valueFrom: {configMapKeyRef: {name: key, key: one}}}
        - {name: TWO, valueFrom: {configMapKeyRef: {name: all, key: two, optional: true}}}
        - {name: SECRET, valueFrom: {secretKeyRef: {name: secret, key: one}}}
      volumeMounts: [{name: files, mountPath: /etc/shop/a.conf, subPath: a.conf}]
  volumes:
    - {name: files, configMap: {name: files, items: [{key: a, path: a.conf}]}}
    - name: both
      projected:
        sources: [{configMap: {name: projected}}, {secret: {name: secret}}, {configMap: {name: kube-root-ca.crt}}]
    - {name: other, emptyDir: {}}
`

func templateFrom(t *testing.T, text string) (out map[string]any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal([]byte(text), &out))
	return out
}

func TestEveryReferenceToAConfigMapIsFound(t *testing.T) {
	require.Equal(t, map[string]bool{"of-init": true, "all": false, "key": false, "files": false, "projected": false}, named(templateFrom(t, naming)),
		"Secrets, and what every namespace has, are not among them; a ConfigMap is optional only if all references say so")
}

func TestAPinnedTemplateNamesCopiesAndIsOtherwiseTheSame(t *testing.T) {
	original := withContents(templateFrom(t, naming), contents{"of-init": absent, "all": "a1", "key": "b2", "files": "c3", "projected": "d4"})
	got := pinned(original)
	require.Equal(t, "all=a1,files=c3,key=b2,of-init=absent,projected=d4", at(got, "metadata", "annotations")[contentsAnnotation])
	var names []any
	for _, ref := range references(got) {
		names = append(names, ref["name"])
	}
	require.Equal(t, []any{"of-init-absent", "all-a1", "key-b2", "all-a1", "files-c3", "projected-d4", "kube-root-ca.crt"}, names)
	require.Empty(t, named(got), "no reference is left whose content may change")
	require.Equal(t, got, pinned(got), "a second time changes nothing")
	require.Equal(t, original, unpinned(got))
	require.Equal(t, templateFrom(t, naming), withContents(original, nil))
}

func TestATemplateWithoutContentsIsUnchanged(t *testing.T) {
	original := templateFrom(t, naming)
	require.Equal(t, original, pinned(original))
	require.Equal(t, original, unpinned(original))
	require.Empty(t, contentsOf(original))
}
