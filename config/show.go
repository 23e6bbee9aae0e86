package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic/traefik"
)

// Setting is one value that a document has, or has by default.
type Setting struct {
	// Path leads to the field: steps[0].gray.hold.
	Path  string `json:"path"`
	Value string `json:"value"`
	// Default: the document does not say it.
	Default bool `json:"default,omitempty"`
}

// Settled is a document with its defaults.
type Settled struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Settings in the order of the document's fields, without those that are neither written nor have a default.
	Settings []Setting `json:"settings"`
}

// Settings returns the rollouts and analyses without errors in files and folders, with the defaults that they leave out:
// rollouts first, then analyses, with the built-in one if a rollout uses it.
func (l Loader) Settings(paths ...string) []Settled {
	s := l.next(l.read(paths), nil)
	var rollouts, analyses []Settled
	builtIn := false
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[name]
		for i := range f.docs {
			d := &f.docs[i]
			switch {
			case d.rollout != nil:
				if r, ok := s.Rollout(d.name); ok {
					rollouts = append(rollouts, Settled{KindRollout, d.name, d.rolloutSettings(&r)})
					for _, used := range r.Plan.Analyses {
						builtIn = builtIn || strings.Contains(used.Name, traefik.Web)
					}
				}
			case d.analysis != nil:
				def := s.Definitions[d.name]
				analyses = append(analyses, Settled{KindAnalysis, d.name, analysisSettings(d.at("spec"), def)})
			}
		}
	}
	if builtIn {
		nowhere := document{src: &source{}, root: &node{what: isMap}}.at("spec")
		analyses = append(analyses, Settled{KindAnalysis, traefik.Web, analysisSettings(nowhere, l.Series.Web())})
	}
	return slices.Concat(rollouts, analyses)
}

// rolloutSettings returns those of a rollout: the plan has every value, and the document's types have the fields' names.
func (p *parsed) rolloutSettings(r *Rollout) []Setting {
	var w settings
	d, spec := &r.Plan.Rollout, &p.rollout.Spec
	w.steps(p.at("spec", "steps"), d.Steps, spec.Steps)
	if r := d.Returning; r != nil {
		at := p.at("spec", returning)
		w.say(at.in("within"), show(r.Within))
		w.say(at.in("releases"), strconv.Itoa(r.Releases))
		w.steps(at.in("steps"), r.Steps, spec.Returning.Steps)
	}
	w.walk(p.at("spec", "rollback"), reflect.ValueOf(d.Rollback), reflect.TypeFor[RollbackSpec]())
	if len(p.at("spec", "traffic").node.entries) == 1 {
		verify := p.at("spec", "traffic").in(p.at("spec", "traffic").node.entries[0].key, "verify")
		w.say(verify.in("for"), show(d.Verify.For))
		w.say(verify.in("unconfirmed"), map[bool]string{true: "trust", false: "hold"}[d.Verify.Trust])
	}
	for _, s := range d.Scopes {
		w.patience(s)
	}
	return w.out
}

func (w *settings) steps(at place, steps rollout.Steps, specs []StepSpec) {
	for i, step := range steps {
		kind, fields := specs[i].kind()
		w.walk(at.in(i, kind), reflect.ValueOf(step), reflect.TypeOf(fields))
	}
}

// patience adds what happens when a scope lacks data. The rollout has no field for that: its analyses decide it.
func (w *settings) patience(s rollout.Scope) {
	for _, p := range []struct {
		what string
		rollout.Patience
	}{{"noData", s.NoData}, {"unreachable", s.Unreachable}} {
		w.out = append(w.out, Setting{
			Path: fmt.Sprintf("%s of %s", p.what, s.Name), Value: fmt.Sprintf("%s after %s", p.Then, show(p.For)),
		})
	}
}

func analysisSettings(at place, def analysis.Definition) []Setting {
	def = def.Defaults()
	var w settings
	w.walk(at, reflect.ValueOf(def), reflect.TypeFor[AnalysisSpec]())
	if !def.Split.Off {
		w.walk(at.in("sampleRatio"), reflect.ValueOf(def.Split), reflect.TypeFor[SampleRatioSpec]())
	}
	for i := range def.Metrics {
		w.say(at.in("metrics", i, "name"), def.Metrics[i].Name)
		w.walk(at.in("metrics", i), reflect.ValueOf(def.Metrics[i]), reflect.TypeFor[MetricSpec]())
	}
	return w.out
}

// unsettled are fields that are not shown: they have no effect, are shown in another form, or may hold secrets.
var unsettled = []string{"name", "fresh", "url", "status", "body", "headers"}

// settings collects settings.
type settings struct{ out []Setting }

// say adds a setting, unless the document does not give it and it has no default.
func (w *settings) say(at place, value string) {
	if !at.gone || value != "" && value != "0" && value != show(0) {
		w.out = append(w.out, Setting{Path: at.String(), Value: value, Default: at.gone})
	}
}

// walk adds the fields that a value of a plan has in common with a type of a document, by their names there.
func (w *settings) walk(at place, value reflect.Value, spec reflect.Type) {
	for spec.Kind() == reflect.Pointer {
		spec = spec.Elem()
	}
	for i := range value.NumField() {
		name := jsonName(value.Type().Field(i))
		field, said := specField(spec, name)
		if !said || slices.Contains(unsettled, name) {
			continue
		}
		v := value.Field(i)
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				break
			}
			v = v.Elem()
		}
		if text, leaf := settingText(v); leaf {
			w.say(at.in(name), text)
		} else if v.Kind() == reflect.Struct {
			w.walk(at.in(name), v, field)
		}
	}
}

// jsonName is what a field is called in JSON, or would be.
func jsonName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return strings.ToLower(f.Name[:1]) + f.Name[1:]
}

// specField finds a field of a type of documents by its name there.
func specField(spec reflect.Type, name string) (reflect.Type, bool) {
	if spec.Kind() != reflect.Struct {
		return nil, false
	}
	for f := range spec.Fields() {
		if jsonName(f) == name {
			return f.Type, true
		}
	}
	return nil, false
}

// settingText writes a single value as a document would; leaf is false for a value that consists of several.
func settingText(v reflect.Value) (text string, leaf bool) {
	switch x := v.Interface().(type) {
	case time.Duration:
		return show(x), true
	case share.Share:
		return x.String(), true
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return map[bool]string{true: "true"}[v.Bool()], true // false is not worth a line
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64), true
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			part, leaf := settingText(v.Index(i))
			if !leaf {
				return "", false
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ", "), true
	case reflect.Pointer: // nil: the reader sets the default
		return "", true
	default:
		return "", false
	}
}
