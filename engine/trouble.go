package engine

import (
	"maps"
	"slices"
)

// about is what a loop can be kept from its work by.
type about string

// What there is; the words are shown to people.
const (
	aboutStore         about = "store"
	aboutGateway       about = "gateway"
	aboutCluster       about = "cluster"
	aboutJob           about = "job"
	aboutLooks         about = "looks"
	aboutAnalysis      about = "analysis"
	aboutTrigger       about = "trigger"
	aboutConfiguration about = "configuration"
)

// trouble is what keeps a loop from its work now, as the errors that say so. Only what is shown to people is text.
type trouble map[about]error

// words are what people read of it.
func (t trouble) words() []string {
	var out []string
	for _, a := range slices.Sorted(maps.Keys(t)) {
		out = append(out, string(a)+": "+t[a].Error())
	}
	return out
}

// note remembers or clears what keeps the loop from its work; it logs a change, and reports whether err is one.
func (l *loop) note(a about, err error) bool {
	before, had := l.trouble[a]
	switch {
	case err == nil && had:
		l.log.Info("works again", "about", a)
		fallthrough
	case err == nil:
		delete(l.trouble, a)
		return false
	case !had || before.Error() != err.Error():
		l.log.Error("does not work", "about", a, "err", err)
	}
	l.trouble[a] = err
	return true
}
