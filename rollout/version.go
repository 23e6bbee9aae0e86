package rollout

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// versionNames are common names of the parameter that says which version is released, the most specific first.
var versionNames = []string{"version", "tag", "image", "release", "build", "commit", "sha", "revision", "ref"}

// Version is the version that a release's parameters name: a version, an image's tag, a commit, or the only parameter. It
// is empty if none of them does.
func Version(parameters map[string]string) string {
	names := slices.Sorted(maps.Keys(parameters))
	names = slices.DeleteFunc(names, func(n string) bool { return parameters[n] == "" })
	for _, wanted := range versionNames {
		for _, n := range names {
			if strings.EqualFold(n, wanted) {
				return shortVersion(parameters[n])
			}
		}
	}
	for _, wanted := range versionNames[:3] { // webImage, web-tag
		for _, n := range names {
			if strings.HasSuffix(strings.ToLower(n), wanted) {
				return shortVersion(parameters[n])
			}
		}
	}
	if len(names) == 1 {
		return shortVersion(parameters[names[0]])
	}
	return ""
}

var (
	digest = regexp.MustCompile(`^.*@sha256:([0-9a-f]{64})$`)
	commit = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// shortVersion is an image's tag, or enough of a digest or commit to distinguish it.
func shortVersion(value string) string {
	const most, enough = 40, 12
	value = strings.TrimSpace(value)
	switch found := digest.FindStringSubmatch(value); {
	case found != nil:
		return found[1][:enough]
	case commit.MatchString(value):
		return value[:enough]
	}
	if i := strings.LastIndexByte(value, ':'); i >= 0 && !strings.Contains(value[i:], "/") && i+1 < len(value) {
		value = value[i+1:]
	}
	if runes := []rune(value); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return value
}
