package kayenta

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxRequest is the most that [DecodeRequest] reads, in bytes: some 300 metrics with 5,000 points an arm, ten times what
// the largest canaries in use send.
const MaxRequest = 64 << 20

// DecodeRequest reads a remote-judge request. It ignores what the reference ignores: unknown keys, scopes, attributes,
// judgeConfigurations, classifier.scoreThresholds. Where the reference reads something in a surprising way, such as null in
// a series as 0, so does this function, and adds a line to Notes. If the reference would fail, it returns an error that
// names the place, and no part of the request.
//
// Three things are errors here although the reference takes them: an empty string in a series, which it reads as 0, a null
// among groups, and anything after the end of the document.
func DecodeRequest(data []byte) (Request, error) {
	if len(data) > MaxRequest {
		return Request{}, fmt.Errorf("decode judge request: %d bytes, at most %d are read", len(data), MaxRequest)
	}
	doc, err := parse(data)
	if err != nil {
		return Request{}, fmt.Errorf("decode judge request: %w", err)
	}
	var d decoder
	if err := d.request(doc); err != nil {
		return Request{}, fmt.Errorf("decode judge request: %w", err)
	}
	return d.Request, nil
}

// decoder builds up a request.
type decoder struct {
	Request
	metrics map[string]value // the first config metric of each name
	used    map[string]bool
}

func (d *decoder) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

func (d *decoder) request(doc value) error {
	if doc.kind() != '{' {
		return errors.New("an object was expected")
	}
	top := doc.object()
	config := top["canaryConfig"]
	if config.kind() != '{' {
		return errors.New("canaryConfig: an object was expected")
	}
	c := config.object()
	if err := d.classifier(c["classifier"]); err != nil {
		return fmt.Errorf("canaryConfig.classifier%w", err)
	}
	names, err := d.configMetrics(c["metrics"])
	if err != nil {
		return fmt.Errorf("canaryConfig.metrics%w", err)
	}
	d.judgeConfigurations(c["judge"])
	if err := d.thresholds(top["scoreThresholds"]); err != nil {
		return fmt.Errorf("scoreThresholds%w", err)
	}
	pairs := top["metricSetPairList"]
	if pairs.kind() != '[' {
		return errors.New("metricSetPairList: a list was expected")
	}
	d.Pairs = []Pair{}
	for i, v := range pairs.elements() {
		p, err := d.pair(v)
		if err != nil {
			return fmt.Errorf("metricSetPairList[%d]%w", i, err)
		}
		d.Pairs = append(d.Pairs, p)
	}
	for _, name := range names {
		if !d.used[name] {
			d.note("metric %q has no samples in this request and is silently left out", name)
		}
	}
	return nil
}

// judgeConfigurations notes settings that look as if they had an effect but have none.
func (d *decoder) judgeConfigurations(judge value) {
	for name := range judge.object()["judgeConfigurations"].members() {
		d.note("judgeConfigurations.%s is not read: tolerance is 0.25 and the confidence level 0.98, always", name)
	}
}

func (d *decoder) classifier(v value) error {
	if v.kind() != '{' {
		return errors.New(": an object was expected")
	}
	weights := v.object()["groupWeights"]
	if weights.missing() {
		return nil
	}
	if weights.kind() != '{' {
		return errors.New(".groupWeights: an object was expected")
	}
	d.Weights = map[string]float64{}
	for name, w := range weights.members() {
		weight, err := double(w)
		if err != nil {
			return fmt.Errorf(".groupWeights.%s: %w", name, err)
		}
		d.Weights[name] = weight
	}
	return nil
}

func (d *decoder) thresholds(v value) (err error) {
	if v.kind() != '{' {
		return errors.New(": an object was expected")
	}
	members := v.object()
	if d.Pass, err = double(members["pass"]); err != nil {
		return fmt.Errorf(".pass: %w", err)
	}
	if d.Marginal, err = double(members["marginal"]); err != nil {
		return fmt.Errorf(".marginal: %w", err)
	}
	return nil
}

// configMetrics stores the first metric of each name and returns the names in order.
func (d *decoder) configMetrics(v value) (names []string, err error) {
	if v.kind() != '[' {
		return nil, errors.New(": a list was expected")
	}
	d.metrics, d.used = map[string]value{}, map[string]bool{}
	for i, m := range v.elements() {
		if m.kind() != '{' {
			return nil, fmt.Errorf("[%d]: an object was expected", i)
		}
		name, err := str(m.object()["name"])
		if err != nil {
			return nil, fmt.Errorf("[%d].name: %w", i, err)
		}
		if name == nil {
			continue // no pair can refer to it
		}
		if _, again := d.metrics[*name]; again {
			d.note("metric %q is configured more than once; the first counts", *name)
			continue
		}
		d.metrics[*name] = m
		names = append(names, *name)
	}
	return names, nil
}

func (d *decoder) pair(v value) (p Pair, err error) {
	if v.kind() != '{' {
		return p, errors.New(": an object was expected")
	}
	members := v.object()
	name, err := str(members["name"])
	if err != nil {
		return p, fmt.Errorf(".name: %w", err)
	}
	if name == nil {
		return p, errors.New(".name: missing")
	}
	p.Name = *name
	if p.ID, err = str(members["id"]); err != nil {
		return p, fmt.Errorf(".id: %w", err)
	}
	if p.Tags, err = tags(members["tags"]); err != nil {
		return p, err
	}
	values := members["values"].object()
	if p.Control, err = d.series(p.Name, "control", values); err != nil {
		return p, err
	}
	if p.Experiment, err = d.series(p.Name, "experiment", values); err != nil {
		return p, err
	}
	metric, ok := d.metrics[p.Name]
	if !ok {
		return p, fmt.Errorf(".name: no metric of the config is named %q", p.Name)
	}
	first := !d.used[p.Name]
	d.used[p.Name] = true
	if err := d.configure(&p, metric.object(), first); err != nil {
		return p, fmt.Errorf(": metric %q of the config: %w", p.Name, err)
	}
	return p, nil
}

// tags drops null tags, as the reference does.
func tags(v value) (map[string]string, error) {
	if v.missing() {
		return nil, nil
	}
	if v.kind() != '{' {
		return nil, errors.New(".tags: an object was expected")
	}
	found := map[string]string{}
	for name, member := range v.members() {
		switch tag, err := str(member); {
		case err != nil:
			return nil, fmt.Errorf(".tags.%s: %w", name, err)
		case tag != nil:
			found[name] = *tag
		default:
			delete(found, name)
		}
	}
	return found, nil
}

func (d *decoder) series(metric, arm string, values map[string]value) ([]float64, error) {
	v := values[arm]
	if v.kind() != '[' {
		return nil, fmt.Errorf(".values.%s: a list was expected", arm)
	}
	points := make([]float64, 0, bytes.Count(v, []byte{','})+1) // too many only if texts contain commas
	nulls := 0
	for i, point := range v.elements() {
		f, err := double(point)
		if err != nil {
			return nil, fmt.Errorf(".values.%s[%d]: %w", arm, i, err)
		}
		if point.missing() {
			nulls++
		}
		points = append(points, f)
	}
	if nulls > 0 {
		d.note("metric %q: %d of %d points of %s are null, which is read as 0; a missing point is NaN", metric, nulls, len(points), arm)
	}
	return points, nil
}

// double reads a number outside analysisConfigurations: null and absent mean 0, and strings are parsed.
func double(v value) (float64, error) {
	switch v.kind() {
	case 0, 'n':
		return 0, nil
	case '0':
		return parseNumber(string(v)), nil
	case '"':
		text := strings.TrimSpace(v.text())
		switch text {
		case "NaN", "Infinity", "-Infinity":
			return parseNumber(text), nil
		}
		if text == "" || strings.Trim(text, "0123456789+-.eE") != "" {
			return 0, fmt.Errorf("%.40q is not a number", text)
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("%.40q is not a number", text)
		}
		return f, nil
	}
	return 0, errors.New("a number was expected")
}

// parseNumber reads a number that is known to be valid, or one of the three bare words. A number beyond the range of
// doubles becomes infinite.
func parseNumber(text string) float64 {
	switch text {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f
}

// str reads a string outside analysisConfigurations: null and absent are nil, numbers and booleans become their text.
func str(v value) (*string, error) {
	var text string
	switch v.kind() {
	case 0, 'n':
		return nil, nil
	case '"':
		text = v.text()
	case '[', '{':
		return nil, errors.New("a string was expected")
	default:
		text = string(v)
	}
	return &text, nil
}
