package kayenta

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// configure reads the groups and settings of a config metric. It notes oddities only if noting is set, so that a metric
// with several pairs gets each note once.
func (d *decoder) configure(p *Pair, metric map[string]value, noting bool) (err error) {
	if p.Groups, err = groups(metric["groups"]); err != nil {
		return err
	}
	canary := lookup(metric["analysisConfigurations"], "canary")
	s := settings{canary: canary}
	p.Settings = s.read()
	if s.err != nil {
		return fmt.Errorf("analysisConfigurations.canary.%w", s.err)
	}
	if !p.Settings.Muted && p.Groups == nil {
		return ErrNoGroups
	}
	if p.Settings.RemoveOutliers && !(p.Settings.OutlierFactor > 0) {
		return fmt.Errorf("analysisConfigurations.canary.outliers.outlierFactor: %w", ErrOutlierFactor)
	}
	if noting {
		for _, n := range append(s.notes, unknownKeys(canary)...) {
			d.note("metric %q: %s", p.Name, n)
		}
	}
	return nil
}

func groups(v value) ([]string, error) {
	if v.missing() {
		return nil, nil
	}
	if v.kind() != '[' {
		return nil, errors.New("groups: a list was expected")
	}
	names := []string{}
	for i, g := range v.elements() {
		name, err := str(g)
		if err == nil && name == nil {
			err = errors.New("null")
		}
		if err != nil {
			return nil, fmt.Errorf("groups[%d]: %w", i, err)
		}
		names = append(names, *name)
	}
	return names, nil
}

// lookup returns the value of a key, or nil. Like the reference, for a list it returns the list of the values found in its
// elements, from which no setting can be read.
func lookup(parent value, key string) value {
	var found value
	switch parent.kind() {
	case '{':
		for name, v := range parent.members() {
			if name == key {
				found = v
			}
		}
	case '[':
		var list value
		for _, element := range parent.elements() {
			if v := lookup(element, key); v != nil {
				list = append(append(list, ','), v...)
			}
		}
		if list != nil {
			list[0] = '['
			found = append(list, ']')
		}
	}
	return found
}

// settings reads a metric's settings. err is the first mistake that fails the judgement.
type settings struct {
	canary value
	notes  []string
	err    error
}

func (s *settings) read() Settings {
	cles := s.word("effectSize.measure", "meanRatio", "cles") == "cles"
	r := DefaultSettings(cles)
	r.Direction = Direction(s.word("direction", string(Either), string(Increase), string(Decrease)))
	r.ReplaceNaN = s.word("nanStrategy", "remove", "replace") == "replace"
	r.RemoveOutliers = s.word("outliers.strategy", "keep", "remove") == "remove"
	r.OutlierFactor = s.number("outliers.outlierFactor", r.OutlierFactor)
	r.Critical = s.boolean("critical")
	r.MustHaveData = s.boolean("mustHaveData")
	r.Muted = s.boolean("muted")
	r.AllowedIncrease = s.number("effectSize.allowedIncrease", r.AllowedIncrease)
	r.AllowedDecrease = s.number("effectSize.allowedDecrease", r.AllowedDecrease)
	r.CriticalIncrease = s.number("effectSize.criticalIncrease", r.CriticalIncrease)
	r.CriticalDecrease = s.number("effectSize.criticalDecrease", r.CriticalDecrease)
	return r
}

// at returns the value at a path, or nil if it is absent.
func (s *settings) at(path string) value {
	v := s.canary
	for key := range strings.SplitSeq(path, ".") {
		v = lookup(v, key)
	}
	return v
}

func (s *settings) fail(path, reason string) {
	if s.err == nil {
		s.err = fmt.Errorf("%s: %s", path, reason)
	}
}

// word reads one of a few words. Anything else except null means the default.
func (s *settings) word(path, otherwise string, others ...string) string {
	v := s.at(path)
	switch v.kind() {
	case 0:
		return otherwise
	case 'n':
		s.fail(path, "null is not allowed")
		return otherwise
	case '"':
		word := v.text()
		if word == otherwise || slices.Contains(others, word) {
			return word
		}
	}
	s.notes = append(s.notes, fmt.Sprintf("%s: %.60s is unknown and read as %s", path, v, otherwise))
	return otherwise
}

func (s *settings) boolean(path string) bool {
	v := s.at(path)
	switch v.kind() {
	case 't':
		return true
	case 0, 'n', 'f':
	default:
		s.fail(path, "true or false was expected")
	}
	return false
}

// number reads a float or a 32-bit integer. Null means 0, not the default.
func (s *settings) number(path string, otherwise float64) float64 {
	v := s.at(path)
	switch v.kind() {
	case 0:
		return otherwise
	case 'n':
		s.notes = append(s.notes, path+": null is read as 0, not as the default")
		return 0
	case '0':
		text := string(v)
		if strings.ContainsAny(text, ".eENI") {
			return parseNumber(text)
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			s.fail(path, "an integer beyond 32 bits")
		}
		return float64(n)
	}
	s.fail(path, "a number was expected")
	return otherwise
}

// unknownKeys lists keys that the judge does not read, such as misspelt ones.
func unknownKeys(canary value) (notes []string) {
	known := map[string][]string{
		"":           {"direction", "nanStrategy", "outliers", "critical", "mustHaveData", "muted", "effectSize"},
		"outliers":   {"strategy", "outlierFactor"},
		"effectSize": {"measure", "allowedIncrease", "allowedDecrease", "criticalIncrease", "criticalDecrease"},
	}
	for _, parent := range []string{"", "outliers", "effectSize"} {
		v, prefix := canary, ""
		if parent != "" {
			v, prefix = lookup(canary, parent), parent+"."
		}
		for name := range v.members() {
			if !slices.Contains(known[parent], name) {
				notes = append(notes, fmt.Sprintf("%s%s is not a setting of this judge and is ignored", prefix, name))
			}
		}
	}
	return notes
}
