package migrate

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// service writes a release as Serin's documents.
func (r *release) service(from string) Service {
	r.left = slices.Compact(slices.Sorted(slices.Values(r.left)))
	w := &writer{}
	r.nameSteps()
	w.comment("", "Made by serin migrate from "+from+" of "+r.from+". docs/migration.md says in which order to move:")
	w.comment("", "nothing of the old controller's is deleted before this serves.")
	w.comment("", "Today a good version gets there in "+r.pace.String()+".")
	w.list("Fill in or check:", r.missing)
	w.list("Different:", r.comments)
	w.list("Not taken over:", r.left)
	analysis := r.analysis(w)
	r.rollout(w, analysis)
	return Service{From: from, Rollout: r.name, Text: w.String(), Today: r.pace, Missing: r.missing, Left: r.left}
}

// nameSteps makes the names of the steps unique.
func (r *release) nameSteps() {
	seen := map[string]bool{"publish": true, "deploy": true, "gray": true, "promote": true, "wait": true}
	for _, steps := range [][]step{r.before, r.steps, r.after} {
		for i := range steps {
			if steps[i].name == "" {
				continue
			}
			name := steps[i].name
			for n := 2; seen[name]; n++ {
				name = fmt.Sprintf("%s-%d", strings.TrimRight(steps[i].name[:min(len(steps[i].name), 44)], "-"), n)
			}
			steps[i].name, seen[name] = name, true
		}
	}
}

// writer writes YAML line by line.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// comment writes a comment: one line, whatever is in the text.
func (w *writer) comment(indent, text string) {
	w.line("%s# %s", indent, strings.Join(strings.Fields(strings.Map(printable, text)), " "))
}

// printable drops characters that do not belong in one line of text.
func printable(r rune) rune {
	if r == '\t' || r == '\n' || r == '\r' {
		return ' '
	}
	if r == '\x01' {
		return '…' // stood for the version
	}
	if !strconv.IsPrint(r) {
		return -1
	}
	return r
}

func (w *writer) list(head string, items []string) {
	if len(items) == 0 {
		return
	}
	w.comment("", head)
	for _, i := range items {
		w.comment("", "- "+i)
	}
}

// analysis writes the Analysis, and returns its name: the built-in one if there is nothing to write.
func (r *release) analysis(w *writer) string {
	base := strings.TrimSuffix(r.name, suffix)
	for _, m := range r.metrics {
		if m.converted() {
			continue
		}
		w.comment("", "Metric "+m.name+" is not converted: "+m.unconverted+".")
		if m.query != "" {
			w.comment("", "  "+strings.TrimSpace(m.successConditions+" query: "+m.query))
		}
	}
	metrics := slices.DeleteFunc(slices.Clone(r.metrics), func(m metric) bool { return !m.converted() })
	if len(metrics) == 0 {
		return "traefik-web"
	}
	w.line("apiVersion: serin.dev/v1alpha1\nkind: Analysis\nmetadata: {name: %s}\nspec:", text(base))
	if r.interval == 0 {
		r.interval = argoInterval
	}
	w.line("  interval: %s", span(max(r.interval, time.Second)))
	w.line("  metrics:")
	seen := map[string]bool{}
	for _, m := range metrics {
		for seen[m.name] {
			m.name += "-2"
		}
		seen[m.name] = true
		m.write(w)
	}
	w.line("---")
	return base
}

func (m *metric) write(w *writer) {
	for _, c := range m.comments {
		w.comment("    ", c)
	}
	w.line("    - name: %s", text(m.name))
	switch {
	case m.preset != "":
		w.line("      preset: %s", m.preset)
		if m.slowerThan > 0 {
			w.line("      slowerThan: %s", span(m.slowerThan))
		}
	case m.histogram != "":
		w.line("      slow:\n        histogram: %s\n        slowerThan: %s", text(m.histogram), span(m.slowerThan))
	case m.bad != "":
		w.line("      ratio:\n        bad: %s\n        total: %s", text(m.bad), text(m.total))
	default:
		w.line("      ratio:\n        good: %s\n        total: %s", text(m.good), text(m.total))
	}
	if m.fixed > 0 {
		w.line("      baseline: {fixed: %s}   # the threshold; without this line it is compared with the version in service", percent(m.fixed))
	}
}

// rollout writes the Rollout.
func (r *release) rollout(w *writer, analysis string) {
	w.line("apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: %s}\nspec:", text(r.name))
	w.line("  parameters: [{name: image, required: true}]   # serin start %s --set image=…", r.name)
	w.line("  traffic:\n    traefik:")
	if r.namespace != "" {
		w.line("      namespace: %s", text(r.namespace))
	}
	r.writeRoute(w)
	w.comment("      ", `verify: {api: "http://traefik.traefik.svc:8080"}   # lets Traefik itself say what it serves`)
	for _, a := range []struct {
		name string
		arm  arm
	}{{"stable", r.stable}, {"canary", r.canary}} {
		w.line("  %s: {deployment: %s, service: {name: %s, port: %s}}", a.name, text(a.arm.deployment), text(a.arm.service), a.arm.port)
	}
	w.line("  analysis: %s", text(analysis))
	w.line("  steps:")
	for _, s := range r.before {
		if s.kind == "gate" {
			s.write(w)
		}
	}
	w.line("    - deploy:\n        name: publish\n        deployment: %s\n        image: {%s: "+
		"'${image}'}   # container: image", text(r.canary.deployment), text(r.container))
	if r.deadline > 0 {
		w.line("        deadline: %s", span(r.deadline))
	}
	for _, s := range r.before {
		if s.kind != "gate" {
			s.write(w)
		}
	}
	for _, s := range stages(r.steps) {
		s.write(w)
	}
	i := slices.IndexFunc(r.after, func(s step) bool { return s.kind != "gate" })
	if i < 0 {
		i = len(r.after)
	}
	for _, s := range r.after[:i] {
		s.write(w)
	}
	w.line("    - promote: {}")
	for _, s := range r.after[i:] {
		s.write(w)
	}
}

func (r *release) writeRoute(w *writer) {
	w.line("      route:")
	if r.route.rule != "" {
		w.line("        rule: %s", text(r.route.rule))
	} else {
		w.line("        host: %s", text(r.route.host))
	}
	if len(r.route.entryPoints) > 0 {
		w.line("        entryPoints: [%s]", strings.Join(r.route.entryPoints, ", "))
	}
	if r.route.tls {
		w.line("        tls: {%s}", fields([]field{
			{"secretName", r.route.secret}, {"certResolver", r.route.resolver}, {"options", r.route.options.name},
			{"optionsNamespace", r.route.options.namespace},
		}))
	}
	if len(r.route.middlewares) > 0 {
		w.line("        middlewares:")
	}
	for _, m := range r.route.middlewares {
		w.line("          - {%s}", fields([]field{{"name", m.name}, {"namespace", m.namespace}}))
	}
}

// field of a map that is written in one line.
type field struct{ name, value string }

// fields writes those that have a value.
func fields(all []field) string {
	var out []string
	for _, f := range all {
		if f.value != "" {
			out = append(out, f.name+": "+text(f.value))
		}
	}
	return strings.Join(out, ", ")
}

func (s step) write(w *writer) {
	if s.comment != "" {
		w.comment("    ", s.comment)
	}
	switch s.kind {
	case "gate":
		w.line("    - gate: {name: %s}", text(s.name))
	case "wait":
		w.line("    - wait: {for: %s}", span(s.hold))
	case "webhook":
		w.line("    - webhook:\n        name: %s\n        url: %s", text(s.name), text(s.url))
		if s.body != "" {
			w.line("        body: %s", text(s.body))
		}
		if s.optional {
			w.line("        onFailure: ignore")
		}
	case "gray":
		weights := make([]string, len(s.weights))
		for i, p := range s.weights {
			weights[i] = strconv.Itoa(p) + "%"
		}
		w.line("    - gray:\n        weights: [%s]\n        hold: %s", strings.Join(weights, ", "), span(max(s.hold, time.Second)))
		w.line("        decide: {on: no-fail}   # goes on while nothing speaks against the version, as before; pass " +
			"waits until it is shown to be no worse")
	}
}

// plain is what YAML reads as a text without quotes, whatever is around it.
var plain = regexp.MustCompile(`^[a-z]([-a-z0-9.]*[a-z0-9])?$`)

// text writes a text, in quotes where it needs them; JSON's quotes are valid YAML.
func text(s string) string {
	if plain.MatchString(s) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// span writes a duration as Prometheus does: 1m30s, 1200ms.
func span(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%dms", d/time.Millisecond)
	}
	var b strings.Builder
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / u.of; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.of
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// percent writes a share.
func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 6, 64) + "%" }
