package promsource

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/serindev/serin/analysis"
)

// Fetcher answers asks, one answer for each and in order: a [Source], or a source of another kind.
type Fetcher interface {
	Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer
}

// Sources are sources by name; the empty name is the default for asks that name none.
type Sources map[string]Fetcher

// Fetch calls [Source.Fetch] of each source concurrently for the asks that name it. A source that is slow or
// unreachable only delays the answers of the others until it has answered or failed. An ask of an unknown source is
// refused.
func (s Sources) Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer {
	answers := make([]analysis.Answer, len(asks))
	of := map[string][]int{}
	for i, a := range asks {
		of[a.Template.From] = append(of[a.Template.From], i)
	}
	var wait sync.WaitGroup
	for name, mine := range of {
		source := s[name]
		if source == nil {
			for _, i := range mine {
				answers[i] = failed(refusal{fmt.Errorf("the daemon has no source %q; it has %s", name, s.names())})
			}
			continue
		}
		wait.Go(func() {
			part := make([]analysis.Ask, len(mine))
			for k, i := range mine {
				part[k] = asks[i]
			}
			for k, a := range source.Fetch(ctx, part) {
				answers[mine[k]] = a
			}
		})
	}
	wait.Wait()
	return answers
}

// names lists the names that are not empty.
func (s Sources) names() string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s)), func(n string) bool { return n == "" })
	if len(names) == 0 {
		return "none but its own"
	}
	return strings.Join(names, ", ")
}
