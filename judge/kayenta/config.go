package kayenta

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// MaxConfig is the most that [DecodeConfig] reads, in bytes: a hundred times the largest configs in use.
const MaxConfig = 4 << 20

// Config is a canary config file of Kayenta (spec/spinnaker.md, 5.1).
//
// Its JSON is Kayenta's own, without fields that Kayenta does not know.
type Config struct {
	// ID, Description and the times may be absent. Times are milliseconds since 1970; the ISO form is kept as given.
	ID                  string `json:"id,omitempty"`
	Name                string `json:"name,omitempty"`
	Description         string `json:"description,omitempty"`
	CreatedTimestamp    int64  `json:"createdTimestamp,omitempty"`
	UpdatedTimestamp    int64  `json:"updatedTimestamp,omitempty"`
	CreatedTimestampISO string `json:"createdTimestampIso,omitempty"`
	UpdatedTimestampISO string `json:"updatedTimestampIso,omitempty"`
	// ConfigVersion is text. Old files have the number 1.0, which becomes "1.0".
	ConfigVersion string         `json:"configVersion,omitempty"`
	Applications  []string       `json:"applications"`
	Judge         *ConfigJudge   `json:"judge,omitempty"`
	Metrics       []ConfigMetric `json:"metrics"`
	// Templates are the texts that [ConfigQuery.CustomFilterTemplate] refers to. They may contain ${ escaped as $\{.
	Templates  map[string]string `json:"templates"`
	Classifier *ConfigClassifier `json:"classifier,omitempty"`

	// Ignored lists, in order, the paths of query members that nothing reads, such as metrics[0].query.queryTemplate. They
	// are not written back.
	Ignored []string `json:"-"`

	empty emptyTexts
}

// emptyTexts are the keys of texts that were present but empty: Kayenta writes these back and leaves out absent ones.
type emptyTexts []string

// in returns an object's JSON with the empty texts added.
func (e emptyTexts) in(object any) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil || len(e) == 0 {
		return data, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	for _, key := range e {
		members[key] = json.RawMessage(`""`)
	}
	return json.Marshal(members)
}

// MarshalJSON implements [json.Marshaler].
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	return c.empty.in(plain(c))
}

// ConfigJudge names the judge that a config asks for, with options that Kayenta's own judge does not read.
type ConfigJudge struct {
	Name           string          `json:"name"`
	Configurations json.RawMessage `json:"judgeConfigurations,omitempty"`
}

// ConfigClassifier holds the groups' weights in percent, which nothing validates. The thresholds are legacy, and the judge
// does not read them.
type ConfigClassifier struct {
	GroupWeights    map[string]float64 `json:"groupWeights"`
	ScoreThresholds *Thresholds        `json:"scoreThresholds,omitempty"`
}

// Thresholds are scores between 0 and 100.
type Thresholds struct {
	Pass     float64 `json:"pass"`
	Marginal float64 `json:"marginal"`
}

// ConfigMetric is one metric of a config.
type ConfigMetric struct {
	Name  string      `json:"name"`
	Query ConfigQuery `json:"query"`
	// Groups is nil if the file has none. The judgement fails then, unless the metric is muted.
	Groups []string `json:"groups"`
	// AnalysisConfigurations are read when the metric is judged: see [Config.Request].
	AnalysisConfigurations json.RawMessage `json:"analysisConfigurations,omitempty"`
	// ScopeName names the pair of scopes in which the metric is measured. Deck reads a missing one as "default".
	ScopeName string `json:"scopeName,omitempty"`

	empty emptyTexts
}

// MarshalJSON implements [json.Marshaler].
func (m ConfigMetric) MarshalJSON() ([]byte, error) {
	type plain ConfigMetric
	return m.empty.in(plain(m))
}

// ConfigQuery says what a metric measures (spec/spinnaker.md, 5.2). Fields that a type does not have are empty.
type ConfigQuery struct {
	// Type is the source, "prometheus". Deck reads it from serviceType.
	Type        string `json:"type"`
	ServiceType string `json:"serviceType,omitempty"`
	MetricName  string `json:"metricName,omitempty"`
	// LabelBindings are complete matchers, GroupByFields are labels. Empty lists and absent ones stay distinct.
	LabelBindings []string `json:"labelBindings,omitzero"`
	GroupByFields []string `json:"groupByFields,omitzero"`
	// ResourceType is gce_instance, aws_ec2_instance, or empty.
	ResourceType string `json:"resourceType,omitempty"`
	// Template is the whole query or its filter; it is what Kayenta has called it since August 2026 (kayenta-prometheus/docs,
	// metric-set-query-config.md). Before it was CustomInlineTemplate. Both are kept as they came, and
	// [ConfigQuery.Inline] says which one counts.
	Template             string `json:"template,omitempty"`
	CustomInlineTemplate string `json:"customInlineTemplate,omitempty"`
	// CustomFilterTemplate is a key of [Config.Templates].
	CustomFilterTemplate string `json:"customFilterTemplate,omitempty"`
	// CustomFilter is refused by Kayenta if it is present, even if empty. Nil means absent.
	CustomFilter *string `json:"customFilter,omitempty"`

	empty emptyTexts
}

// MarshalJSON implements [json.Marshaler].
func (q ConfigQuery) MarshalJSON() ([]byte, error) {
	type plain ConfigQuery
	return q.empty.in(plain(q))
}

// Inline returns the template that is part of the query, or "". The newer field wins.
func (q ConfigQuery) Inline() string { return cmp.Or(q.Template, q.CustomInlineTemplate) }

// queryKeys are the members of a query that are read.
var queryKeys = []string{
	"type", "serviceType", "metricName", "labelBindings", "groupByFields", "resourceType", "template", "customInlineTemplate",
	"customFilterTemplate", "customFilter",
}

// DecodeConfig reads a canary config as Kayenta does: unknown fields are ignored (those of queries are listed in
// [Config.Ignored]), scalars are converted (1.0 to the text "1.0", "75" to the number 75), and null means absent. The
// error for anything else names the place. It does not check whether Kayenta would store or run the config, so name,
// applications and metrics may be missing. A weight may be NaN or infinite; such a config cannot be encoded.
func DecodeConfig(data []byte) (Config, error) {
	if len(data) > MaxConfig {
		return Config{}, fmt.Errorf("decode canary config: %d bytes, at most %d are read", len(data), MaxConfig)
	}
	doc, err := parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("decode canary config: %w", err)
	}
	if doc.kind() != '{' {
		return Config{}, errors.New("decode canary config: an object was expected")
	}
	f := &fields{members: doc.object(), first: new(error)}
	c := Config{
		ID: f.text("id"), Name: f.text("name"), Description: f.text("description"), ConfigVersion: f.text("configVersion"),
		CreatedTimestamp: f.integer("createdTimestamp"), UpdatedTimestamp: f.integer("updatedTimestamp"),
		CreatedTimestampISO: f.text("createdTimestampIso"), UpdatedTimestampISO: f.text("updatedTimestampIso"),
		Applications: f.texts("applications"), Metrics: []ConfigMetric{}, Templates: map[string]string{},
	}
	if c.Applications == nil {
		c.Applications = []string{}
	}
	c.empty = f.empty
	if j := f.inside("judge"); j != nil {
		c.Judge = &ConfigJudge{Name: j.text("name"), Configurations: j.raw("judgeConfigurations")}
	}
	for name, v := range f.object("templates").members() {
		if t := f.scalar("templates."+name, v); t != nil {
			c.Templates[name] = *t
		}
	}
	if l := f.inside("classifier"); l != nil {
		c.Classifier = l.classifier()
	}
	for i, v := range f.list("metrics").elements() {
		m, ignored := f.metric(fmt.Sprintf("metrics[%d]", i), v)
		c.Metrics, c.Ignored = append(c.Metrics, m), append(c.Ignored, ignored...)
	}
	if *f.first != nil {
		return Config{}, fmt.Errorf("decode canary config: %w", *f.first)
	}
	return c, nil
}

// fields reads the members of one object.
type fields struct {
	path    string
	members map[string]value
	first   *error // the document's first mistake, with its path
	empty   emptyTexts
}

func (f *fields) fail(key, expected string) {
	if *f.first == nil {
		*f.first = fmt.Errorf("%s%s: %s was expected", f.path, key, expected)
	}
}

// of returns the member of the given kind, and nil if it is null or absent. For any other kind it notes the mistake and
// returns nil.
func (f *fields) of(key string, kind byte, expected string) value {
	v := f.members[key]
	switch {
	case v.missing():
		return nil
	case v.kind() != kind:
		f.fail(key, expected)
		return nil
	}
	return v
}

func (f *fields) object(key string) value { return f.of(key, '{', "an object") }
func (f *fields) list(key string) value   { return f.of(key, '[', "a list") }

// inside returns the fields of the object at a key, or nil if there is none.
func (f *fields) inside(key string) *fields {
	v := f.object(key)
	if v == nil {
		return nil
	}
	return &fields{path: f.path + key + ".", members: v.object(), first: f.first}
}

func (f *fields) scalar(key string, v value) *string {
	text, err := str(v)
	if err != nil {
		f.fail(key, "a string")
	}
	return text
}

func (f *fields) pointer(key string) *string { return f.scalar(key, f.members[key]) }

func (f *fields) text(key string) string {
	t := f.pointer(key)
	if t == nil {
		return ""
	}
	if *t == "" {
		f.empty = append(f.empty, key)
	}
	return *t
}

// texts reads a list of texts, and returns nil if there is none.
func (f *fields) texts(key string) []string {
	v := f.list(key)
	if v == nil {
		return nil
	}
	all := []string{}
	for i, e := range v.elements() {
		if t := f.scalar(fmt.Sprintf("%s[%d]", key, i), e); t != nil {
			all = append(all, *t)
		}
	}
	return all
}

func (f *fields) number(key string, v value) float64 {
	n, err := double(v)
	if err != nil {
		f.fail(key, "a number")
	}
	return n
}

// integer reads milliseconds. A number beyond the exact integers of a double is not a time.
func (f *fields) integer(key string) int64 {
	n := f.number(key, f.members[key])
	if !(n >= -1<<53 && n <= 1<<53) {
		f.fail(key, "milliseconds since 1970")
		return 0
	}
	return int64(n)
}

// raw returns a member unchanged. It has to be JSON without bare words, so that it can be written again.
func (f *fields) raw(key string) json.RawMessage {
	v := f.members[key]
	if v == nil {
		return nil
	}
	if !json.Valid(v) {
		f.fail(key, "plain JSON, without NaN and Infinity,")
		return nil
	}
	return json.RawMessage(slices.Clone(v))
}

func (f *fields) classifier() *ConfigClassifier {
	c := &ConfigClassifier{GroupWeights: map[string]float64{}}
	for name, v := range f.object("groupWeights").members() {
		c.GroupWeights[name] = f.number("groupWeights."+name, v)
	}
	if t := f.inside("scoreThresholds"); t != nil {
		c.ScoreThresholds = &Thresholds{Pass: t.number("pass", t.members["pass"]), Marginal: t.number("marginal", t.members["marginal"])}
	}
	return c
}

// metric reads one metric and lists the unread members of its query.
func (f *fields) metric(path string, v value) (_ ConfigMetric, ignored []string) {
	if v.kind() != '{' {
		f.fail(path, "an object")
		return ConfigMetric{}, nil
	}
	m := &fields{path: f.path + path + ".", members: v.object(), first: f.first}
	out := ConfigMetric{
		Name: m.text("name"), Groups: m.texts("groups"), ScopeName: m.text("scopeName"),
		AnalysisConfigurations: m.raw("analysisConfigurations"),
	}
	out.empty = m.empty
	q := m.inside("query")
	if q == nil {
		return out, nil
	}
	for _, key := range slices.Sorted(maps.Keys(q.members)) {
		if !slices.Contains(queryKeys, key) {
			ignored = append(ignored, q.path+key)
		}
	}
	out.Query = ConfigQuery{
		Type: q.text("type"), ServiceType: q.text("serviceType"), MetricName: q.text("metricName"),
		LabelBindings: q.texts("labelBindings"), GroupByFields: q.texts("groupByFields"), ResourceType: q.text("resourceType"),
		Template: q.text("template"), CustomInlineTemplate: q.text("customInlineTemplate"),
		CustomFilterTemplate: q.text("customFilterTemplate"), CustomFilter: q.pointer("customFilter"),
	}
	out.Query.empty = q.empty
	return out, ignored
}

// Request makes the judge's request from a config and from measured pairs, which come with name, samples, id and tags and
// get their settings and groups from the config. It returns an error if a pair's name is that of no metric, or if the
// reference would fail on a setting. The result is the one that [DecodeRequest] would return for the same data as JSON,
// notes included.
func (c Config) Request(pairs []Pair, t Thresholds) (Request, error) {
	d := decoder{Request: Request{Pairs: make([]Pair, 0, len(pairs)), Pass: t.Pass, Marginal: t.Marginal}}
	d.metrics, d.used = map[string]value{}, map[string]bool{}
	if c.Classifier != nil {
		d.Weights = c.Classifier.GroupWeights
	}
	if c.Judge != nil {
		d.judgeConfigurations(value(`{"judgeConfigurations":` + string(orNull(c.Judge.Configurations)) + `}`))
	}
	var names []string
	for i, m := range c.Metrics {
		if _, again := d.metrics[m.Name]; again {
			d.note("metric %q is configured more than once; the first counts", m.Name)
			continue
		}
		text, err := json.Marshal(m)
		if err != nil {
			return Request{}, fmt.Errorf("metrics[%d] of the config: %w", i, err)
		}
		d.metrics[m.Name] = value(text)
		names = append(names, m.Name)
	}
	for i, p := range pairs {
		metric, ok := d.metrics[p.Name]
		if !ok {
			return Request{}, fmt.Errorf("pair %d: no metric of the config is named %q", i, p.Name)
		}
		first := !d.used[p.Name]
		d.used[p.Name] = true
		if err := d.configure(&p, metric.object(), first); err != nil {
			return Request{}, fmt.Errorf("metric %q of the config: %w", p.Name, err)
		}
		d.Pairs = append(d.Pairs, p)
	}
	for _, name := range names {
		if !d.used[name] {
			d.note("metric %q has no samples in this request and is silently left out", name)
		}
	}
	return d.Request, nil
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
