package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTagOfAnImage(t *testing.T) {
	for image, want := range map[string]string{
		"flask": "", "flask:1": "1", "registry.example.com:5000/flask": "", "registry.example.com:5000/team/flask:v1.2": "v1.2",
		"flask:1@sha256:abc": "1", "flask@sha256:abc": "", "": "",
	} {
		require.Equal(t, want, tag(image), image)
	}
}
