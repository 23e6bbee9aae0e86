package traffic

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Derived returns a name with a suffix. If that is longer than most characters, the name is cut and followed by a hash of
// the whole name. The result is always the same.
func Derived(name, suffix string, most int) string {
	if len(name)+len(suffix) <= most {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	end := fmt.Sprintf("-%x%s", sum[:4], suffix)
	return strings.TrimRight(name[:most-len(end)], "-.") + end
}

// maxBase leaves room in the 63 characters of a label for all suffixes of a rollout's objects.
const maxBase = 50

// ObjectBase returns the beginning of the names of a rollout's objects in a cluster. It is the rollout's name or, if that
// is too long or has dots, which Traefik replaces by dashes, its beginning and a hash. The result is always the same.
func ObjectBase(rollout string) string {
	if len(rollout) <= maxBase && !strings.Contains(rollout, ".") {
		return rollout
	}
	sum := sha256.Sum256([]byte(rollout))
	end := fmt.Sprintf("-%x", sum[:4])
	name := strings.ReplaceAll(rollout, ".", "-")
	return strings.TrimRight(name[:min(len(name), maxBase-len(end))], "-") + end
}
