// Package migrate converts a service that is released by Flagger or Argo Rollouts to a Rollout of Serin.
//
// It reads a Canary with its MetricTemplates, or a Rollout with its AnalysisTemplates, and writes Serin's documents,
// with comments on what differs. A field that is unknown or has no counterpart is named and never dropped silently. The
// package is pure: it reads no files and asks no cluster. The meaning of the fields is from the documentation of
// Flagger (docs.flagger.app: how it works, metrics analysis, webhooks, Traefik) and of Argo Rollouts
// (argo-rollouts.readthedocs.io: specification, analysis, Traefik). Start at [Convert].
package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxSource bounds one source: an export of a namespace has less.
const maxSource = 4 << 20

// Source is a file with documents, or its equivalent.
type Source struct {
	// Name is shown in errors.
	Name string
	// Text is YAML or JSON: documents, and Lists of them, as kubectl get writes them.
	Text []byte
}

// Service is the configuration with which Serin would release one service.
type Service struct {
	// From is the document that it was made from: "Canary test/podinfo".
	From string
	// Rollout is the name of Serin's Rollout.
	Rollout string
	// Text is Serin's documents, with comments.
	Text string
	// Today is how a good version moves with the old controller.
	Today Pace
	// Missing is what a person has to fill in.
	Missing []string
	// Left lists the fields that were not converted, each with its path.
	Left []string
}

// Pace is how a release moves.
type Pace struct {
	// Weights the canary gets, below 100%.
	Weights int
	// Total is the least time at all of them together.
	Total time.Duration
	// Gates a person has to answer.
	Gates int
}

// String is the pace in words: "50s at 5 weights, and a person's answer".
func (p Pace) String() string {
	out := fmt.Sprintf("%s at %d weights", span(p.Total), p.Weights)
	if p.Weights == 1 {
		out = span(p.Total) + " at one weight"
	}
	switch p.Gates {
	case 0:
		return out
	case 1:
		return out + ", and a person's answer"
	}
	return fmt.Sprintf("%s, and %d answers of people", out, p.Gates)
}

// ErrNothing is returned by [Convert] if there is neither a Canary nor a Rollout.
var ErrNothing = errors.New("neither a Flagger Canary nor an Argo Rollout")

// Convert makes a service of each Canary and each Rollout, in their order. Its errors name the source and the field.
func Convert(sources ...Source) ([]Service, error) {
	in, err := read(sources)
	if err != nil {
		return nil, err
	}
	var out []Service
	taken := map[string]bool{}
	for _, o := range in.of(canaryKind) {
		s, err := fromCanary(in, o)
		if err != nil {
			return nil, err
		}
		out = append(out, s.service(o.id()))
	}
	for _, o := range in.of(argoKind) {
		s, err := fromArgo(in, o)
		if err != nil {
			return nil, err
		}
		out = append(out, s.service(o.id()))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w%s", ErrNothing, in.found())
	}
	for _, s := range out {
		if taken[s.Rollout] {
			return nil, fmt.Errorf("%s: there are two of this name: convert them one by one", s.From)
		}
		taken[s.Rollout] = true
	}
	return out, nil
}

// The kinds that are read.
var (
	canaryKind   = kind{"flagger.app", "Canary"}
	templateKind = kind{"flagger.app", "MetricTemplate"}
	argoKind     = kind{"argoproj.io", "Rollout"}
	analysisKind = kind{"argoproj.io", "AnalysisTemplate"}
	clusterKind  = kind{"argoproj.io", "ClusterAnalysisTemplate"}
	routeKind    = kind{"traefik.io", "IngressRoute"}
	workloadKind = kind{"apps", "Deployment"}
)

// release is the input for Serin's documents.
type release struct {
	name, namespace string
	from            string // the product
	stable, canary  arm
	route           route
	container       string
	deadline        time.Duration
	interval        time.Duration
	metrics         []metric
	before, after   []step // the gray steps
	steps           []step
	pace            Pace
	comments        []string
	missing, left   []string
}

// arm is a Deployment with its Service.
type arm struct {
	deployment, service, port string
}

// route is where requests come in.
type route struct {
	host, rule  string
	entryPoints []string
	secret      string
	resolver    string
	tls         bool
	options     named
	middlewares []named
}

// named is an object of Traefik's that the route names; without a namespace, it is in the route's.
type named struct{ name, namespace string }

// step is one of a release.
type step struct {
	kind     string // gate, webhook, gray, wait
	name     string
	weights  []int
	hold     time.Duration
	url      string
	body     string
	optional bool // a failure is ignored
	comment  string
}

// stages merges consecutive weights with the same hold into one step.
func stages(steps []step) []step {
	var out []step
	for _, s := range steps {
		last := len(out) - 1
		if s.kind == "gray" && last >= 0 && out[last].kind == "gray" && out[last].hold == s.hold && s.comment == "" {
			out[last].weights = append(slices.Clone(out[last].weights), s.weights...)
			continue
		}
		out = append(out, s)
	}
	return out
}

// suffix of the name of Serin's Rollout. Its objects are named after it, and the old controller's TraefikService often
// has the plain name already.
const suffix = "-release"

// maxRollout is the longest name of a Rollout, whose objects have that name with endings.
const maxRollout = 50

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	serviceForm = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// checkName refuses anything but the name of an object, since it is written into documents.
func checkName(at, name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%s: expected the name of an object, such as shop, got %q", at, short(name))
	}
	return nil
}

// serviceName is a name for a Service, which begins with a letter, unlike those of most other objects.
func serviceName(base string) string {
	if serviceForm.MatchString(base) {
		return base
	}
	return "s-" + base
}

// rolloutName is the name of Serin's Rollout.
func rolloutName(name string) string {
	return strings.TrimRight(name[:min(len(name), maxRollout-len(suffix))], "-") + suffix
}

// slug makes a name from a text, of no more than 50 characters.
func slug(text, fallback string) string {
	s := strings.Trim(notAName.ReplaceAllString(strings.ToLower(text), "-"), "-")
	s = strings.Trim(s[:min(len(s), 50)], "-")
	return cmp.Or(s, fallback)
}

var notAName = regexp.MustCompile(`[^a-z0-9]+`)

// short cuts a text for an error.
func short(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
