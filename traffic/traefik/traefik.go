// Package traefik holds what Traefik's packages have in common and what needs none of Traefik's code: the language of
// its rules, and the metrics it counts by itself, with the presets of documents that ask for them.
//
// It does not know how Traefik is configured or asked: see traffic/traefikfile, traffic/traefikcrd and
// traffic/traefikapi. Start reading at [Rule] and [Presets].
package traefik

import "math"

// MaxPriority is the highest priority that Traefik leaves to users, less two for the routers in front of a rollout's main
// one. Traefik's own routers are above it.
const MaxPriority = math.MaxInt - 1002
