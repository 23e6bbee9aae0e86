// Package traefik answers two questions that need none of Traefik's code: how to combine Traefik's rules, and which of its
// metrics documents can ask for by name.
//
// It does not configure Traefik or ask it: see traffic/traefikfile, traffic/traefikcrd and traffic/traefikapi. Start
// reading at [LaneRule] and [Presets].
package traefik

import (
	"math"

	"github.com/serindev/serin/traffic"
)

// MaxPriority is the highest priority that Traefik leaves to users, minus two for the routers in front of a rollout's main
// one. Traefik's own routers are above that.
const MaxPriority = math.MaxInt - 1002

// LanePriority is the priority of a lane's route in front of a main route with this one. A cohort and a mirror are one above
// it and no more, so that a more specific route of the user's own keeps its requests. A preview is one above both.
func LanePriority(main int, lane traffic.Lane) int {
	switch lane {
	case traffic.PreviewLane:
		return main + 2
	case traffic.CohortLane, traffic.MirrorLane:
		return main + 1
	case traffic.MainLane:
	}
	return main
}
