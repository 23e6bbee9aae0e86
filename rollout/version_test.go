package rollout_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/rollout"
)

func TestTheVersionOfARelease(t *testing.T) {
	for _, c := range []struct {
		name string
		of   map[string]string
		want string
	}{
		{"no parameter says nothing", nil, ""},
		{"an image has a tag", map[string]string{"image": "registry.example.com:5000/shop:1.4.2", "note": "x"}, "1.4.2"},
		{"an image of a registry's port has no tag", map[string]string{"image": "registry.example.com:5000/shop"}, "registry.example.com:5000/shop"},
		{"a digest is shortened", map[string]string{"image": "shop@sha256:" + strings.Repeat("ab", 32)}, "abababababab"},
		{"a commit is shortened", map[string]string{"commit": strings.Repeat("c", 40)}, "cccccccccccc"},
		{"a version tells more than an image", map[string]string{"image": "shop:1", "Version": "2.0"}, "2.0"},
		{"one of several parameters may be an image by its name", map[string]string{"webImage": "web:7", "size": "3"}, "7"},
		{"the only parameter says which", map[string]string{"candidate": "blue"}, "blue"},
		{"what is empty says nothing", map[string]string{"version": "", "candidate": "blue"}, "blue"},
		{"several that say nothing", map[string]string{"a": "1", "b": "2"}, ""},
		{"a long one is cut", map[string]string{"version": strings.Repeat("é", 100)}, strings.Repeat("é", 39) + "…"},
		{"one that just fits is not", map[string]string{"version": strings.Repeat("é", 40)}, strings.Repeat("é", 40)},
		{"a value that begins with a colon", map[string]string{"version": ":7"}, "7"},
		{"a value that ends in a colon", map[string]string{"version": "1:"}, "1:"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, rollout.Version(c.of)) })
	}
}
