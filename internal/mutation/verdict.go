package main

import (
	"encoding/json"
	"fmt"
	"go/scanner"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one mistake, and what became of it.
type mutant struct {
	site
	line, column int
	outcome      string
}

// site says where a mistake was made, in words that survive changes elsewhere in the file.
type site struct {
	file string // below the module's root
	kind string // as gremlins calls it
	code string // the line, with the token that was changed in «»
}

// readMutants joins gremlins' report, which has the places, with the journal, which has the outcomes. One worker tried
// the mutants of a file in the order in which they are reported.
func readMutants(report, journal, tree, folder string) ([]mutant, error) {
	b, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	var reported struct {
		Files []struct {
			Name      string `json:"file_name"`
			Mutations []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
				Line   int    `json:"line"`
				Column int    `json:"column"`
			} `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(b, &reported); err != nil {
		return nil, fmt.Errorf("gremlins' report: %w", err)
	}
	outcomes, err := readJournal(journal)
	if err != nil {
		return nil, err
	}
	var out []mutant
	for _, f := range reported.Files {
		if strings.Contains(f.Name, "/") {
			continue // of a package below, whose mutants were not tried
		}
		source, err := os.ReadFile(filepath.Join(tree, folder, f.Name))
		if err != nil {
			return nil, err
		}
		of := outcomes[f.Name]
		for _, m := range f.Mutations {
			outcome := unviable
			if len(of) > 0 {
				outcome, of = of[0], of[1:]
			}
			if want := [...]string{"LIVED", "KILLED", "NOT VIABLE"}[exits[outcome]]; m.Status != want {
				return nil, fmt.Errorf("%s:%d: gremlins says %s of what is %s", f.Name, m.Line, m.Status, outcome)
			}
			out = append(out, mutant{
				site: site{file: folder + "/" + f.Name, kind: m.Type, code: marked(source, m.Line, m.Column)},
				line: m.Line, column: m.Column, outcome: outcome,
			})
		}
	}
	return out, nil
}

func readJournal(path string) (map[string][]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		name, outcome, _ := strings.Cut(strings.TrimSpace(line), "\t")
		out[name] = append(out[name], outcome)
	}
	return out, nil
}

// marked is a line of a source file without its indentation, with the token at a column (in bytes, from 1) in «».
func marked(source []byte, line, column int) string {
	lines := strings.Split(string(source), "\n")
	if line > len(lines) || column > len(lines[line-1]) {
		return ""
	}
	text, at := lines[line-1], column-1
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile("", -1, len(text)-at), []byte(text[at:]), nil, 0)
	_, tok, _ := s.Scan()
	end := at + len(tok.String())
	return strings.TrimSpace(text[:at] + "«" + text[at:end] + "»" + text[end:])
}

// readSurvivors reads the list of the mutants that no test can notice, and the reasons. An entry is a line with the file
// and the kind, the line of code with the token marked, and lines that say why; an empty line ends it. What follows a #
// at the beginning of a line is for readers.
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
			file, kind, ok := strings.Cut(entry[0], " ")
			if !ok || len(entry) < 3 {
				return nil, fmt.Errorf("%s:%d: an entry is FILE KIND, the line of code with «the token», and the reason", path, i)
			}
			out[site{file: file, kind: kind, code: entry[1]}] = strings.Join(entry[2:], " ")
			entry = nil
		}
	}
	return out, nil
}

// verdict is what a package's mutants say about its tests.
type verdict struct {
	folder                           string
	tried, noticed, unviable, listed int
	sampled                          bool
	holes                            []mutant // neither noticed nor listed
	stale                            []site   // listed, although a test notices them or they are gone
}

func judge(folder string, mutants []mutant, list map[site]string, sampled bool) verdict {
	v := verdict{folder: folder, sampled: sampled}
	needed, here := map[site]bool{}, map[site]bool{}
	for _, m := range mutants {
		here[m.site] = true
		switch _, excused := list[m.site]; {
		case m.outcome == leftOut:
			needed[m.site] = true // it was not tried, and may still survive
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
		if filepath.ToSlash(filepath.Dir(s.file)) == folder && !needed[s] && (here[s] || !sampled) {
			v.stale = append(v.stale, s)
		}
	}
	slices.SortFunc(v.holes, func(a, b mutant) int {
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
	if v.sampled {
		low, high := interval(v.noticed, v.tried)
		fmt.Fprintf(w, "%s: that is a sample, which says %.1f%% to %.1f%% of the whole\n", v.folder, 100*low, 100*high)
	}
	for _, m := range v.holes {
		fmt.Fprintf(w, "%s:%d:%d: no test notices %s\n\t%s\n", m.file, m.line, m.column, m.kind, m.code)
	}
	for _, s := range v.stale {
		fmt.Fprintf(w, "%s: listed as beyond any test, which is no longer so: %s\n\t%s\n", s.file, s.kind, s.code)
	}
}
