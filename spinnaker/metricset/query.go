package metricset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/serindev/serin/judge/kayenta"
)

// Kayenta's own errors, word for word, because owners of pipelines search for them.
var (
	errCustomFilter = errors.New("CanaryMetricSetQueryConfig.customFilter is deprecated, use CanaryMetricSetQueryConfig.customInlineTemplate instead.") //nolint:staticcheck,revive // Kayenta's words
	errNoMetricName = errors.New("Metric Name is required when query type is Default.")                                                                 //nolint:staticcheck,revive // Kayenta's words
	errNoFilter     = errors.New("Either a resource type or a custom filter is required.")                                                              //nolint:staticcheck,revive // Kayenta's words
)

// promQL is the prefix of a template that is the whole query.
const promQL = "PromQL:"

// The resource types that Kayenta knows.
const (
	gce = "gce_instance"
	aws = "aws_ec2_instance"
)

// Rules are an installation's settings for queries.
type Rules struct {
	// ScopeLabel is the label that names a gce_instance; empty means [DefaultScopeLabel].
	ScopeLabel string
	// Matchers allows values of a scope that are whole matchers, such as version="v2", where a template has a place for
	// one. It is for installations where everyone who may start an analysis may write queries as well.
	Matchers bool
}

// Query returns the PromQL of a metric in one scope (spec/spinnaker.md, 5.3). Its errors are Kayenta's, except for
// *[BreakoutError], which is about a value that would break out of its place in the query.
func Query(templates map[string]string, q kayenta.ConfigQuery, s Scope, rules Rules) (string, error) {
	if q.CustomFilter != nil {
		return "", errCustomFilter
	}
	template, err := templateOf(templates, q)
	if err != nil {
		return "", err
	}
	filter := ""
	if template != "" {
		if filter, err = expand(template, bindings(q, s), rules.Matchers); err != nil {
			return "", err
		}
	}
	if rest, ok := strings.CutPrefix(filter, promQL); ok {
		return rest, nil
	}
	if q.MetricName == "" {
		return "", errNoMetricName
	}
	var filters []string
	if filter != "" {
		if f := strings.TrimRight(filter, ","); f != "" {
			filters = append(filters, f)
		}
		filters = append(filters, q.LabelBindings...)
	} else if filters, err = resourceFilters(q, s, rules.ScopeLabel); err != nil {
		return "", err
	}
	return average(q, filters), nil
}

// average applies avg, whatever the metric is: Kayenta has no other aggregation.
func average(q kayenta.ConfigQuery, filters []string) string {
	var b strings.Builder
	b.WriteString("avg(" + q.MetricName)
	if len(filters) > 0 {
		b.WriteString("{" + strings.Join(filters, ",") + "}")
	}
	b.WriteByte(')')
	if len(q.GroupByFields) > 0 {
		b.WriteString(" by (" + strings.Join(q.GroupByFields, ",") + ")")
	}
	return b.String()
}

func templateOf(templates map[string]string, q kayenta.ConfigQuery) (string, error) {
	text := q.Inline()
	if text == "" && q.CustomFilterTemplate != "" {
		if len(templates) == 0 {
			return "", fmt.Errorf("Custom filter template '%s' was referenced, but no templates were defined.", q.CustomFilterTemplate) //nolint:staticcheck,revive // Kayenta's words
		}
		var ok bool
		if text, ok = templates[q.CustomFilterTemplate]; !ok {
			return "", fmt.Errorf("Custom filter template '%s' was not found.", q.CustomFilterTemplate) //nolint:staticcheck,revive // Kayenta's words
		}
	}
	return strings.ReplaceAll(text, `$\{`, `${`), nil
}

// Escape writes ${ as $\{, as Kayenta does in the config of a run (spec/spinnaker.md, 5.4). It leaves $\{ alone.
func Escape(template string) string { return strings.ReplaceAll(template, `${`, `$\{`) }

// bindings are the names that a template may use. Later entries override earlier ones; only parameters may be empty.
func bindings(q kayenta.ConfigQuery, s Scope) map[string]string {
	b := map[string]string{}
	for _, one := range [][2]string{
		{"project", s.Params["project"]}, {"resourceType", s.Params["resourceType"]},
		{"scope", s.Scope}, {"location", s.Location}, {"resourceType", q.ResourceType},
	} {
		if one[1] != "" {
			b[one[0]] = one[1]
		}
	}
	maps.Copy(b, s.Params)
	return b
}

// resourceFilters returns the filters of a metric without a template.
func resourceFilters(q kayenta.ConfigQuery, s Scope, scopeLabel string) ([]string, error) {
	kind := q.ResourceType
	if strings.TrimSpace(kind) == "" {
		kind = s.Params["resourceType"]
	}
	switch kind {
	case "":
		return nil, errNoFilter
	case gce, aws:
	default:
		return nil, fmt.Errorf("There is no explicit support for resourceType '%s'. You may build whatever query makes sense for your environment via label bindings and custom filter templates.", kind) //nolint:staticcheck,revive // Kayenta's words
	}
	if s.Location == "" {
		return nil, fmt.Errorf("Location (i.e. region) is required when resourceType is '%s'.", kind) //nolint:staticcheck,revive // Kayenta's words
	}
	project := s.Params["project"]
	for name, value := range map[string]string{"scope": s.Scope, "location": s.Location, "project": project} {
		if !fits(value, '"') {
			return nil, &BreakoutError{Name: name, Value: value}
		}
	}
	scopeLabel = cmp.Or(scopeLabel, DefaultScopeLabel)
	filters := append([]string(nil), q.LabelBindings...)
	add := func(format string, args ...any) { filters = append(filters, fmt.Sprintf(format, args...)) }
	switch {
	case kind == gce && s.Scope != "":
		add(`%s=~"%s-.{4}"`, scopeLabel, s.Scope)
	case kind == aws && s.Scope != "":
		add(`asg_groupName="%s"`, s.Scope)
	}
	switch {
	case kind == aws:
		add(`zone=~"%s.{1}"`, s.Location)
	case project != "":
		add(`zone=~".+/projects/%s/zones/%s-.{1}"`, project, s.Location)
	default:
		add(`zone=~".+/zones/%s-.{1}"`, s.Location)
	}
	return filters, nil
}
