package traffic

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

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
