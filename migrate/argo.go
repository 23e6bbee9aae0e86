package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// argoInterval is how often Serin looks if an AnalysisTemplate does not say how often it measures.
const argoInterval = time.Minute

// fromArgo converts a Rollout of Argo's.
func fromArgo(in *input, o *object) (*release, error) {
	name, namespace, err := o.meta()
	if err != nil {
		return nil, err
	}
	spec := o.object("spec")
	strategy := spec.object("strategy")
	canary := strategy.object("canary")
	if canary == nil {
		return nil, fmt.Errorf("%s: %s: spec.strategy.canary is missing: blue-green is written with steps here, see "+
			"docs/kinds-of-release.md", o.source, o.id())
	}
	r := &release{name: rolloutName(name), namespace: namespace, from: "Argo Rollouts", container: slug(name, "app")}
	base := strings.TrimSuffix(r.name, suffix)
	service := serviceName(base)
	r.stable, r.canary = arm{base + "-stable", service + "-stable", "80"}, arm{base + "-next", service + "-next", "80"}
	r.missing = append(r.missing,
		"Deployment and Service "+r.stable.deployment+", which serve alongside the Rollout at first: docs/migration.md has them")
	r.deadline = spec.duration("progressDeadlineSeconds")
	workload := spec.object("workloadRef")
	if workload != nil {
		workload.skip("apiVersion", "kind", "scaleDown")
		r.findContainer(in, workload.text("name"), namespace)
	} else if c := spec.object("template").object("spec").list("containers"); len(c) > 0 {
		r.container = cmp.Or(c[0].text("name"), r.container)
	}
	for _, part := range o.below { // of a pod template only the container's name matters
		if strings.HasPrefix(part.path, "spec.template") {
			part.skipAll()
		}
	}
	spec.skip("replicas", "selector", "template", "revisionHistoryLimit", "paused", "restartAt") // of the Deployment, see the page
	spec.drop("of the Deployment shop-stable.yaml on the page about moving in", "minReadySeconds")
	spec.drop("a failed deploy step ends the release", "progressDeadlineAbort")
	spec.drop("`serin undo` brings back what was in service before", "rollbackWindow")
	spec.drop("the daemon keeps the history", "analysis")
	r.argoCanary(in, canary, namespace)
	if err := r.checkContainer(o); err != nil {
		return nil, err
	}
	r.left = append(r.left, o.left()...)
	return r, nil
}

// argoCanary reads the strategy.
func (r *release) argoCanary(in *input, canary *object, namespace string) {
	stable, next := canary.text("stableService"), canary.text("canaryService")
	routing := canary.object("trafficRouting")
	traefik := routing.object("traefik")
	if traefik == nil {
		r.comments = append(r.comments,
			"it was not split by Traefik: Serin splits traffic in Traefik only, so requests have to come by an IngressRoute")
	}
	r.findRoute(in, traefik.text("weightedTraefikServiceName"), namespace)
	if routing != nil {
		routing.drop("weights are of a hundred here", "maxTrafficWeight")
		routing.drop("Serin splits traffic in Traefik", "istio", "nginx", "alb", "smi", "ambassador", "apisix",
			"appMesh", "plugins", "managedRoutes", "google")
	}
	canary.drop("the canary has pods of its own, as many as its weight needs: replicas of canary", "maxSurge",
		"maxUnavailable", "minPodsPerReplicaSet", "dynamicStableScale", "replicaProgressThreshold")
	canary.drop("labels and annotations are the Deployments'", "canaryMetadata", "stableMetadata", "antiAffinity")
	canary.drop("rollback: {drain: 30s} is the time before the canary's pods go", "scaleDownDelaySeconds",
		"scaleDownDelayRevisionLimit", "abortScaleDownDelaySeconds")
	canary.drop("Serin has one Service for each version", "pingPong")
	arms := []string{"\x01", next, stable}
	if background := canary.object("analysis"); background != nil {
		background.drop("Serin looks from the first weight on", "startingStep")
		background.drop("a metric that is only watched is left out here", "dryRun", "analysisRunMetadata", "measurementRetention")
		r.argoAnalysis(in, background, namespace, arms)
	}
	r.argoSteps(in, canary, namespace, arms)
}

// argoSteps converts the steps.
func (r *release) argoSteps(in *input, canary *object, namespace string, arms []string) {
	last := 0
	for i, o := range canary.list("steps") {
		switch {
		case o.has("setWeight"):
			last = r.argoWeight(o, last)
		case o.has("pause"):
			r.argoPause(o, last, i)
		case o.has("analysis"):
			o.object("analysis").drop("a metric that is only watched is left out here", "dryRun", "analysisRunMetadata", "measurementRetention")
			r.hold(r.argoAnalysis(in, o.object("analysis"), namespace, arms))
		}
		o.drop("the canary has as many pods as its weight needs: replicas of canary says otherwise", "setCanaryScale")
		o.drop("a cohort is a step: ab: {cohort: {header: {name: X-Group, value: beta}}, split: 50%}", "setHeaderRoute")
		o.drop("copies of requests are a step, before the first weight: mirror: {share: 10%, for: 15m}", "setMirrorRoute")
		o.drop("has no counterpart: a step webhook or job calls what is yours", "experiment", "plugin")
	}
	if last == 0 {
		r.weigh(50, 10*time.Minute)
		r.comments = append(r.comments, "no weights were given: 50% for 10 minutes is a guess")
	}
}

// argoWeight adds a weight, if it is more than the one before.
func (r *release) argoWeight(o *object, last int) int {
	w, ok := o.number("setWeight")
	switch percent := int(math.Max(0, math.Min(w, 1000))); {
	case !ok:
	case percent >= 100:
		o.note("setWeight", "promote brings all traffic to the new version")
	case percent <= last:
		o.note("setWeight", fmt.Sprintf("%d%% after %d%%: weights have to grow", percent, last))
	default:
		r.weigh(percent, 0)
		return percent
	}
	return last
}

// argoPause converts a pause: to time at the weight, or to a person's answer.
func (r *release) argoPause(o *object, last, i int) {
	pause := o.object("pause")
	d := pause.duration("duration")
	if d > 0 {
		if !r.hold(d) {
			r.steps = append(r.steps, step{kind: "wait", hold: d})
		}
		return
	}
	name := fmt.Sprintf("go-on-%d", i+1)
	if last > 0 {
		name = fmt.Sprintf("after-%d-percent", last)
	}
	if !slices.ContainsFunc(r.steps, func(s step) bool { return s.name == name }) {
		r.steps = append(r.steps, step{kind: "gate", name: name})
		r.pace.Gates++
	}
}

// hold adds time to the last weight; it returns false if the last step is not a weight.
func (r *release) hold(d time.Duration) bool {
	n := len(r.steps) - 1
	if n < 0 || r.steps[n].kind != "gray" {
		return false
	}
	r.steps[n].hold += d
	r.pace.Total += d
	return true
}

// argoAnalysis adds the metrics of an analysis, and returns how long it measures.
func (r *release) argoAnalysis(in *input, o *object, namespace string, arms []string) (took time.Duration) {
	values := map[string]string{}
	for _, a := range o.list("args") {
		values[a.text("name")] = a.text("value")
		if a.has("valueFrom") {
			a.object("valueFrom").skipAll()
			values[a.text("name")] = "\x01" // the hash of a version's pods, or a label of the Rollout's
		}
	}
	for _, ref := range o.list("templates") {
		name := ref.text("templateName")
		t := in.find(analysisKind, namespace, name)
		if ref.text("clusterScope") == "true" {
			t = in.find(clusterKind, "", name)
		}
		if t == nil {
			if n := slug(name, "unknown"); !slices.ContainsFunc(r.metrics, func(m metric) bool { return m.name == n }) {
				r.metrics = append(r.metrics,
					metric{name: n, unconverted: fmt.Sprintf("AnalysisTemplate %q is not among the documents", short(name))})
			}
			continue
		}
		took = max(took, r.argoTemplate(t, values, arms))
	}
	return took
}

// argoTemplate adds the metrics of a template, unless they are there already.
func (r *release) argoTemplate(t *object, given map[string]string, arms []string) (took time.Duration) {
	t.skip("metadata")
	spec := t.object("spec")
	values := map[string]string{}
	for _, a := range spec.list("args") {
		values[a.text("name")] = a.text("value")
		if a.has("valueFrom") {
			a.drop("Serin reads no Secrets", "valueFrom")
		}
	}
	maps.Copy(values, given)
	spec.drop("a metric that is only watched is left out here", "dryRun")
	spec.drop("the daemon keeps its looks", "measurementRetention")
	for i, o := range spec.list("metrics") {
		m := metric{name: slug(o.text("name"), fmt.Sprintf("metric-%d", i+1))}
		interval, count := o.duration("interval"), 1.0
		if n, ok := o.number("count"); ok {
			count = math.Max(1, math.Min(n, 10000))
		}
		if interval > 0 && (r.interval == 0 || interval < r.interval) {
			r.interval = interval
		}
		took = max(took, o.duration("initialDelay")+time.Duration(count-1)*interval)
		o.drop("strong evidence ends a release, weak evidence waits: there are no failures to count", "failureLimit", "consecutiveSuccessLimit")
		o.drop("what cannot be decided waits, at most for decide.max", "inconclusiveLimit")
		o.drop("while Prometheus does not answer, a release waits: unreachable says for how long", "consecutiveErrorLimit")
		r.argoMetric(o, &m, values, arms)
		if !slices.ContainsFunc(r.metrics, func(other metric) bool { return other.name == m.name }) {
			r.metrics = append(r.metrics, m)
		}
	}
	for _, l := range t.left() {
		r.left = appendOnce(r.left, t.kind.kind+" "+l)
	}
	return took
}

// argument matches a reference to an argument in an AnalysisTemplate.
var argument = regexp.MustCompile(`\{\{\s*args\.([A-Za-z0-9_-]+)\s*\}\}`)

// argoMetric converts one metric.
func (r *release) argoMetric(o *object, m *metric, values map[string]string, arms []string) {
	provider := o.object("provider")
	prometheus := provider.object("prometheus")
	success, failure := o.text("successCondition"), o.text("failureCondition")
	m.successConditions = strings.TrimSpace(success + " " + failure)
	if prometheus == nil {
		provider.skipAll()
		m.unconverted = "it does not ask Prometheus"
		return
	}
	if address := prometheus.text("address"); address != "" {
		r.comments = appendOnce(r.comments, "it asked "+address+": the daemon's document says which Prometheus Serin asks")
	}
	prometheus.drop("signing in to a Prometheus is the daemon's: prometheus in its document", "authentication",
		"insecure", "headers", "timeout", "rangeQuery")
	m.query = prometheus.text("query")
	limit, over, ok := condition(success, failure)
	if !ok {
		m.unconverted = "its condition is none of result >= 0.95 and the like"
		return
	}
	text := argument.ReplaceAllStringFunc(m.query, func(a string) string {
		v := values[argument.FindStringSubmatch(a)[1]]
		if v == "" || v == "\x01" {
			return "\x01"
		}
		return jsonText(v)
	})
	query{text, limit, over, slices.DeleteFunc(slices.Clone(arms), func(s string) bool { return s == "" })}.measure(m)
}

var conditionForm = regexp.MustCompile(`^\s*(?:default\()?(?:result(?:\[0\])?|asFloat\(result(?:\[0\])?\))(?:\s*,\s*[0-9.]+\))?\s*(>=|>|<=|<)\s*([0-9.]+)\s*$`)

// condition returns the bound of a metric; if over, values above it are bad.
func condition(success, failure string) (limit float64, over, ok bool) {
	text := cmp.Or(success, failure)
	c := conditionForm.FindStringSubmatch(text)
	if c == nil {
		return 0, false, false
	}
	limit, err := strconv.ParseFloat(c[2], 64)
	over = strings.HasPrefix(c[1], "<")
	if success == "" {
		over = !over
	}
	return limit, over, err == nil
}
