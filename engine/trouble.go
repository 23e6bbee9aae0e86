package engine

import (
	"maps"
	"slices"
)

// about names a component whose failure can hinder a loop.
type about string

// The components; people see the names.
const (
	aboutStore         about = "store"
	aboutGateway       about = "gateway"
	aboutCluster       about = "cluster"
	aboutCopy          about = "stable"
	aboutOld           about = "version before"
	aboutJob           about = "job"
	aboutLooks         about = "looks"
	aboutClock         about = "clock"
	aboutAnalysis      about = "analysis"
	aboutTrigger       about = "trigger"
	aboutConfiguration about = "configuration"
	aboutProgram       about = "program"
)

// trouble holds the error of each failing component. It becomes text only for people.
type trouble map[about]error

// words are what people read.
func (t trouble) words() []string {
	var out []string
	for _, a := range slices.Sorted(maps.Keys(t)) {
		out = append(out, string(a)+": "+t[a].Error())
	}
	return out
}

// note sets or clears a component's error and logs the change; it reports whether err is not nil.
func (l *loop) note(a about, err error) bool {
	before, had := l.trouble[a]
	switch {
	case err == nil && had:
		l.log.Info("recovered", "component", a)
		fallthrough
	case err == nil:
		delete(l.trouble, a)
		return false
	case !had || before.Error() != err.Error():
		l.log.Error("failing", "component", a, "err", err)
	}
	l.trouble[a] = err
	return true
}
