package traffic

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Derived is the name of what belongs to something: its name and a suffix. Where that has more than most characters, the
// name is cut, and a hash of all of it stands between. It is the same each time.
func Derived(name, suffix string, most int) string {
	if len(name)+len(suffix) <= most {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	end := fmt.Sprintf("-%x%s", sum[:4], suffix)
	return strings.TrimRight(name[:most-len(end)], "-.") + end
}

// maxBase leaves room in the 63 characters of a label for the endings of all that is named after a rollout.
const maxBase = 50

// ObjectBase is the name after which the objects of a rollout in a cluster are named: its own or, where that is too long or
// has dots, of which Traefik makes dashes, its beginning and a hash of all of it. It is the same each time.
func ObjectBase(rollout string) string {
	if len(rollout) <= maxBase && !strings.Contains(rollout, ".") {
		return rollout
	}
	sum := sha256.Sum256([]byte(rollout))
	end := fmt.Sprintf("-%x", sum[:4])
	name := strings.ReplaceAll(rollout, ".", "-")
	return strings.TrimRight(name[:min(len(name), maxBase-len(end))], "-") + end
}
