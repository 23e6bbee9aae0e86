// Package traefik answers two questions that need none of Traefik's code: how to combine Traefik's rules, and which of its
// metrics documents can ask for by name.
//
// It does not configure Traefik or ask it: see traffic/traefikfile, traffic/traefikcrd and traffic/traefikapi. Start
// reading at [LaneRule] and [Presets].
package traefik

import "math"

// MaxPriority is the highest priority that Traefik leaves to users, minus two for the routers in front of a rollout's main
// one. Traefik's own routers are above that.
const MaxPriority = math.MaxInt - 1002
