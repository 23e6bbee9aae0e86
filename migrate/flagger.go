package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Flagger's defaults for what a Canary does not set.
const (
	flaggerInterval   = time.Minute
	flaggerDeadline   = 10 * time.Minute
	flaggerMaxWeight  = 100
	mostWeights       = 99
	flaggerPercentile = 0.01 // of its request-duration: one request in a hundred may be slower
)

// fromCanary converts a Canary.
func fromCanary(in *input, o *object) (*release, error) {
	name, namespace, err := o.meta()
	if err != nil {
		return nil, err
	}
	spec := o.object("spec")
	target := spec.object("targetRef")
	if target == nil {
		return nil, fmt.Errorf("%s: %s: spec.targetRef is missing", o.source, o.id())
	}
	if k := target.text("kind"); k != "Deployment" {
		return nil, fmt.Errorf("%s: %s: spec.targetRef.kind: Serin releases Deployments, not %s", o.source, o.id(), short(k))
	}
	target.skip("apiVersion")
	deployment := target.text("name")
	if err := checkName(o.source+": spec.targetRef.name", deployment); err != nil {
		return nil, err
	}
	r := &release{name: rolloutName(name), namespace: namespace, from: "Flagger"}
	if err := r.flaggerArms(o, spec.object("service"), deployment); err != nil {
		return nil, err
	}
	r.deadline = cmp.Or(spec.duration("progressDeadlineSeconds"), flaggerDeadline)
	r.flaggerProvider(spec)
	r.findRoute(in, cmp.Or(strings.TrimSuffix(r.canary.service, "-canary"), deployment), namespace)
	r.findContainer(in, deployment, namespace)
	analysis := spec.object("analysis")
	if analysis == nil {
		analysis = spec.object("canaryAnalysis")
	}
	if analysis == nil {
		return nil, fmt.Errorf("%s: %s: spec.analysis is missing", o.source, o.id())
	}
	r.flaggerAnalysis(in, analysis, namespace)
	r.left = append(r.left, o.left()...)
	return r, nil
}

// flaggerArms are the Deployments and Services as Flagger names them.
func (r *release) flaggerArms(o, service *object, deployment string) error {
	if service == nil {
		return fmt.Errorf("%s: %s: spec.service is missing", o.source, o.id())
	}
	name := cmp.Or(service.text("name"), deployment)
	if !serviceForm.MatchString(name) {
		return fmt.Errorf("%s: spec.service.name: expected the name of a Service, which begins with a letter, got %q", o.source, short(name))
	}
	port := cmp.Or(service.text("port"), "80")
	if !portForm.MatchString(port) {
		return fmt.Errorf("%s: spec.service.port: expected a port, got %q", o.source, short(port))
	}
	r.stable = arm{deployment + "-primary", name + "-primary", port}
	r.canary = arm{deployment, name + "-canary", port}
	for _, n := range []string{r.stable.deployment, r.stable.service, r.canary.service} {
		if len(n) > 60 {
			return fmt.Errorf("%s: %s is longer than the 60 characters that Serin takes", o.source, n)
		}
	}
	service.skip("targetPort", "portName", "portDiscovery", "appProtocol") // of the Services, which stay
	service.drop("the route of Serin's has the rule of your IngressRoute, and middlewares for the rest",
		"match", "rewrite", "headers", "retries", "timeout", "corsPolicy", "gateways", "hosts", "delegation",
		"gatewayRefs", "trafficPolicy", "mirror", "backends")
	service.drop("the objects are there and keep theirs", "apex", "primary", "canary")
	return nil
}

// flaggerProvider reads the fields about the mesh and about Flagger itself.
func (r *release) flaggerProvider(spec *object) {
	if p := spec.text("provider"); p != "" && p != "traefik" {
		r.comments = append(r.comments,
			fmt.Sprintf("provider %q: Serin splits traffic in Traefik only, so requests have to come by an IngressRoute", short(p)))
	}
	spec.skip("suspend") // set while moving
	spec.drop("the autoscaler of the primary Deployment stays, and Serin keeps to its number of pods", "autoscalerRef")
	spec.drop("requests come by Traefik's IngressRoute", "ingressRef", "routeRef", "upstreamRef", "gatewayRefs", "metricsServer")
	spec.drop("`serin promote` lets one release go on without a verdict", "skipAnalysis")
	if spec.text("revertOnDeletion") == "true" {
		spec.note("revertOnDeletion", "set it to false before the Canary is deleted, or Flagger acts first")
	}
}

// flaggerAnalysis reads weights, metrics and webhooks.
func (r *release) flaggerAnalysis(in *input, a *object, namespace string) {
	r.interval = cmp.Or(a.duration("interval"), flaggerInterval)
	a.drop("strong evidence ends a release, weak evidence waits: there are no failed checks to count", "threshold")
	a.drop("not before pods are ready: the step deploy waits for all of them", "canaryReadyThreshold", "primaryReadyThreshold")
	a.drop("promotion moves all traffic at once, when all of stable's pods are new", "stepWeightPromotion")
	a.drop("a cohort is a step: ab: {cohort: {header: {name: x-canary, value: insider}}, split: 50%}", "match")
	a.drop("copies of requests are a step, before the first weight: mirror: {share: 10%, for: 15m}", "mirror", "mirrorWeight")
	a.drop("gray: {sticky: true} keeps users on their version", "sessionAffinity")
	a.drop("messages are the daemon's: notify in its document", "alerts")
	r.flaggerWeights(a)
	for i, o := range a.list("metrics") {
		r.metrics = append(r.metrics, r.flaggerMetric(in, o, i, namespace))
	}
	for _, hook := range a.list("webhooks") {
		r.flaggerHook(hook)
	}
}

// flaggerWeights writes the weights out.
func (r *release) flaggerWeights(a *object) {
	var weights []int
	for _, text := range a.texts("stepWeights") {
		var w float64
		if _, err := fmt.Sscanf(text, "%g", &w); err == nil {
			weights = append(weights, int(math.Max(0, math.Min(w, 1000))))
		}
	}
	step, stepped := a.number("stepWeight")
	top, ok := a.number("maxWeight")
	if !ok || top <= 0 || top > flaggerMaxWeight {
		top = flaggerMaxWeight
	}
	if stepped && step >= 1 && len(weights) == 0 {
		for w := step; w <= top && len(weights) < mostWeights; w += step {
			weights = append(weights, int(w))
		}
	}
	iterations, turns := a.number("iterations")
	hold := r.interval
	if turns && iterations >= 1 && len(weights) == 0 {
		weights, hold = []int{50}, time.Duration(math.Min(iterations, 10000))*r.interval
		a.note("iterations", "of blue/green or A/B: here half of the traffic for as long")
	}
	last := 0
	for _, w := range weights {
		if w > last && w < 100 {
			r.weigh(w, hold)
			last = w
		}
	}
	if last == 0 {
		r.weigh(50, hold)
		r.comments = append(r.comments, "no weights were given: 50% is a guess")
	}
}

// weigh adds a weight.
func (r *release) weigh(percent int, hold time.Duration) {
	r.steps = append(r.steps, step{kind: "gray", weights: []int{percent}, hold: hold})
	r.pace.Weights++
	r.pace.Total += hold
}

// flaggerMetric converts one metric check.
func (r *release) flaggerMetric(in *input, o *object, i int, namespace string) metric {
	m := metric{name: slug(o.text("name"), fmt.Sprintf("metric-%d", i+1))}
	o.skip("interval") // the window of a query; Serin counts all requests since the release began
	least, hasLeast := o.object("thresholdRange").number("min")
	most, hasMost := o.object("thresholdRange").number("max")
	if t, ok := o.number("threshold"); ok && !hasLeast && !hasMost { // from before there was thresholdRange
		least, hasLeast = t, o.text("name") != "request-duration"
		most, hasMost = t, !hasLeast
	}
	template := o.object("templateRef")
	switch name := o.text("name"); {
	case template == nil && name == "request-success-rate":
		m.preset = "traefik-errors"
		if hasLeast {
			m.fix(1 - least/100)
		}
	case template == nil && name == "request-duration":
		m.preset = "traefik-latency"
		m.slow(most)
		m.fix(flaggerPercentile)
	default:
		text := o.text("query")
		if template != nil {
			text = r.flaggerTemplate(in, template, &m, namespace)
		}
		r.flaggerQuery(o, &m, text, least, most, hasLeast, hasMost)
	}
	return m
}

// slow chooses the next higher bound of Traefik's default buckets.
func (m *metric) slow(milliseconds float64) {
	for _, bound := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 1200 * time.Millisecond, 5 * time.Second} {
		if m.slowerThan = bound; milliseconds <= float64(bound/time.Millisecond) {
			break
		}
	}
	if asked := time.Duration(math.Max(0, math.Min(milliseconds, 1e7))) * time.Millisecond; asked != m.slowerThan {
		m.comments = append(m.comments, fmt.Sprintf("was %s, at the 99th percentile; Traefik's own buckets end at "+
			"100ms, 300ms, 1200ms and 5s. With another bound in metrics.prometheus.buckets it can stand here", span(asked)))
	}
}

// flaggerTemplate is the query of a MetricTemplate.
func (r *release) flaggerTemplate(in *input, ref *object, m *metric, namespace string) string {
	name := ref.text("name")
	t := in.find(templateKind, cmp.Or(ref.text("namespace"), namespace), name)
	if t == nil {
		m.unconverted = fmt.Sprintf("MetricTemplate %q is not among the documents", short(name))
		return ""
	}
	t.skip("metadata")
	spec := t.object("spec")
	provider := spec.object("provider")
	if p := provider.text("type"); p != "prometheus" {
		m.unconverted = fmt.Sprintf("it asks %s, and Serin asks what speaks Prometheus's API", short(p))
	}
	if address := provider.text("address"); address != "" {
		r.comments = appendOnce(r.comments,
			"MetricTemplate "+slug(name, "it")+" asked "+address+": the daemon's document says which Prometheus Serin asks")
	}
	provider.drop("signing in to a Prometheus is the daemon's: prometheus in its document", "secretRef", "insecureSkipVerify", "region", "headers")
	text := spec.text("query")
	for _, l := range t.left() {
		r.left = appendOnce(r.left, "MetricTemplate "+slug(name, "it")+": "+l)
	}
	return text
}

// flaggerQuery converts a query with Flagger's variables.
func (r *release) flaggerQuery(o *object, m *metric, text string, least, most float64, hasLeast, hasMost bool) {
	m.query = text
	variables := o.object("templateVariables")
	if !m.converted() {
		variables.skipAll()
		return
	}
	// The target and the names of its Services stand for the version; everything else is known.
	const mark = "\x01"
	text = variable.ReplaceAllStringFunc(text, func(v string) string {
		name := strings.TrimSpace(strings.Trim(v, "{} "))
		switch {
		case name == "target" || name == "name" || name == "service":
			return mark
		case name == "namespace":
			return r.namespace
		case strings.HasPrefix(name, "variables."):
			return jsonText(variables.text(strings.TrimPrefix(name, "variables.")))
		default:
			return "1m" // the interval
		}
	})
	switch {
	case hasLeast == hasMost:
		m.unconverted = "it has no bound, or two"
	case hasMost:
		query{text, most, true, []string{mark}}.measure(m)
	default:
		query{text, least, false, []string{mark}}.measure(m)
	}
}

func (o *object) skipAll() {
	if o != nil {
		for f := range o.fields {
			o.asked[f] = true
		}
	}
}

// jsonText escapes a text for the inside of double quotes.
func jsonText(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return ""
	}
	return string(b[1 : len(b)-1])
}

// flaggerHook converts a webhook: a confirmation becomes a gate, any other a webhook step at the same place.
func (r *release) flaggerHook(o *object) {
	name, url := slug(o.text("name"), "webhook"), o.text("url")
	s := step{kind: "webhook", name: name, url: url}
	switch t := cmp.Or(o.text("type"), "rollout"); t {
	case "confirm-rollout":
		r.before = append(r.before, step{kind: "gate", name: name, comment: "was asked for at " + url})
		r.pace.Gates++
	case "confirm-traffic-increase":
		r.before = append(r.before,
			step{kind: "gate", name: name, comment: "was asked for at " + url + " before each weight; here once, before the first"})
		r.pace.Gates++
	case "confirm-promotion":
		r.after = append([]step{{kind: "gate", name: name, comment: "was asked for at " + url}}, r.after...)
		r.pace.Gates++
	case "pre-rollout":
		s.comment = "Flagger adds a phase and a checksum to this body; change it if the receiver needs them"
		r.hook(o, &r.before, s)
	case "rollout":
		s.comment = "called once here, before the first weight; Flagger calls it at each check"
		r.hook(o, &r.before, s)
	case "post-rollout":
		s.optional = true
		r.hook(o, &r.after, s)
	default:
		o.note("type", short(t)+" has no counterpart: gates and messages are Serin's own")
		o.skipAll()
	}
	o.skip("muteAlert", "retries", "timeout")
}

// hook adds a webhook, if its address is one, with Flagger's metadata as its body.
func (r *release) hook(o *object, to *[]step, s step) {
	o.drop("as a webhook step has it: the daemon's own trust", "disableTLS", "insecureSkipTLSVerify")
	meta, _ := o.get("metadata").(map[string]any)
	if len(meta) > 0 {
		b, err := json.Marshal(map[string]any{"name": r.canary.deployment, "namespace": r.namespace, "metadata": meta})
		if err == nil && !strings.Contains(string(b), "${") {
			s.body = string(b)
		} else {
			o.note("metadata", "is not taken over")
		}
	}
	if !isAddress(s.url) {
		o.note("url", "is not an http or https address: the webhook is left out")
		return
	}
	*to = append(*to, s)
}
