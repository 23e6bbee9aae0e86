package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// named is the first line of a mutant in the list of survivors: its file and its kind.
var named = regexp.MustCompile(`^(\S+\.go) ([A-Z_]+)$`)

// readSurvivors reads the list of the mutants that no test can notice, and the reasons. An entry has two lines for each
// mutant that shares the reason, one with the file and the kind and one with the line of code and the token marked, and
// then lines that say why; an empty line ends it. Lines that begin with # are comments.
func readSurvivors(path string) (map[site]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[site]string{}
	var entry []string
	for i, line := range append(strings.Split(string(b), "\n"), "") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case line != "":
			entry = append(entry, line)
		case len(entry) > 0:
			var sites []site
			for len(entry) > 1 && named.MatchString(entry[0]) {
				name := named.FindStringSubmatch(entry[0])
				sites = append(sites, site{file: name[1], kind: name[2], code: entry[1]})
				entry = entry[2:]
			}
			if len(sites) == 0 || len(entry) == 0 {
				return nil, fmt.Errorf("%s:%d: an entry is FILE KIND, the line of code with «the token», and the reason", path, i)
			}
			for _, s := range sites {
				out[s] = strings.Join(entry, " ")
			}
			entry = nil
		}
	}
	return out, nil
}

// verdict is what a package's mutants say about its tests.
type verdict struct {
	folder                           string
	tried, noticed, unviable, listed int
	holes                            []*mutant // neither noticed nor listed
	stale                            []site    // listed, although a test notices them or they are gone
}

func judge(folder string, mutants []*mutant, list map[site]string) verdict {
	v := verdict{folder: folder}
	needed := map[site]bool{}
	for _, m := range mutants {
		switch _, excused := list[m.site]; {
		case m.outcome == "": // the run was interrupted before
			continue
		case m.outcome == unviable:
			v.unviable++
			continue
		case m.outcome != lived:
			v.noticed++
		case excused:
			needed[m.site] = true
			v.listed++
		default:
			v.holes = append(v.holes, m)
		}
		v.tried++
	}
	for s := range list {
		if filepath.ToSlash(filepath.Dir(s.file)) == folder && !needed[s] {
			v.stale = append(v.stale, s)
		}
	}
	slices.SortFunc(v.holes, func(a, b *mutant) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	slices.SortFunc(v.stale, func(a, b site) int { return strings.Compare(a.file+a.code, b.file+b.code) })
	return v
}

func (v verdict) failed() bool {
	return len(v.holes) > 0 || len(v.stale) > 0 || float64(v.noticed) < enough*float64(v.tried)
}

func (v verdict) print(w io.Writer) {
	share := 100.0
	if v.tried > 0 {
		share = 100 * float64(v.noticed) / float64(v.tried)
	}
	fmt.Fprintf(w, "%s: %d mutants, %d noticed (%.1f%%), %d listed as beyond any test, %d not noticed; %d more do not compile\n",
		v.folder, v.tried, v.noticed, share, v.listed, len(v.holes), v.unviable)
	for _, m := range v.holes {
		fmt.Fprintf(w, "%s:%d:%d: no test notices %s\n\t%s\n", m.file, m.line, m.column, m.kind, m.code)
	}
	for _, s := range v.stale {
		fmt.Fprintf(w, "%s: listed as beyond any test, which is no longer so: %s\n\t%s\n", s.file, s.kind, s.code)
	}
}
