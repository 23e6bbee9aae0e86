package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary the stand-in, too: its limits hold for a process and all that it starts.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(standIn(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// module is a module whose one test notices one of two mistakes, as a tree and as the copy in which gremlins works.
type module struct {
	in     instructions
	work   string // gremlins' copy of the package
	goname string // the stand-in
}

func newModule(t *testing.T) module {
	t.Helper()
	folder := t.TempDir()
	files := map[string]string{
		"go.mod":        "module example.com/m\n\ngo 1.26\n",
		"p/p.go":        "package p\n\nfunc Less(a, b int) bool { return a < b }\n\nfunc More(a, b int) bool { return a > b }\n",
		"p/p_test.go":   "package p\n\nimport \"testing\"\n\nfunc Test(t *testing.T) {\n\tif Less(1, 1) || More(1, 2) {\n\t\tt.Fail()\n\t}\n}\n",
		"p/sub/sub.go":  "package sub\n",
		".hidden/large": "",
	}
	for path, text := range files {
		path = filepath.Join(folder, "source", path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	tree, work := filepath.Join(folder, "tree"), filepath.Join(folder, "work")
	require.NoError(t, copyTree(filepath.Join(folder, "source"), tree))
	require.NoError(t, copyTree(filepath.Join(folder, "source"), work))
	goPath, err := exec.LookPath("go")
	require.NoError(t, err)
	cache, err := exec.CommandContext(t.Context(), goPath, "env", "GOCACHE").Output()
	require.NoError(t, err)
	m := module{
		in: instructions{
			Go: goPath, Package: "p", Tree: tree, Journal: filepath.Join(folder, "journal"), Kept: filepath.Join(folder, "kept"), State: "1",
			Cache: strings.TrimSpace(string(cache)), Sample: 1, Seed: "1",
		},
		work: filepath.Join(work, "p"), goname: filepath.Join(folder, "go"),
	}
	require.NoError(t, os.Mkdir(m.in.Kept, 0o750))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, m.goname))
	return m
}

// call is gremlins calling go in a folder; it returns the exit code and what was printed.
func (m module) call(t *testing.T, folder string, args ...string) (int, string) {
	t.Helper()
	path, err := m.in.write(filepath.Join(t.TempDir(), "instructions"))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), m.goname, args...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), instructionsVariable+"="+path, "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// mutate replaces a text of the package's file, lets the stand-in test it, and puts it back.
func (m module) mutate(t *testing.T, old, now string) int {
	t.Helper()
	path := filepath.Join(m.work, "p.go")
	was, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(was), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(was), old, now, 1)), 0o600))
	code, out := m.call(t, m.work, "test", "-timeout", "300s", "-failfast", "example.com/m/p")
	require.Empty(t, out)
	require.NoError(t, os.WriteFile(path, was, 0o600))
	return code
}

func TestTheStandInForGoSaysWhatBecameOfAMutant(t *testing.T) {
	m := newModule(t)
	require.NoDirExists(t, filepath.Join(m.in.Tree, ".hidden"))
	code, out := m.call(t, m.in.Tree, "mod", "download")
	require.Zero(t, code, out)
	profile := filepath.Join(t.TempDir(), "profile")
	code, out = m.call(t, m.in.Tree, "test", "-cover", "-coverprofile", profile, "./p/...")
	require.Zero(t, code, out)
	b, err := os.ReadFile(profile)
	require.NoError(t, err)
	require.Equal(t, "mode: set\nexample.com/m/p/p.go:0.1,2147483647.1 1 1\n", string(b), "every line counts as covered: a hole is a mutant that lives")

	require.Equal(t, 1, m.mutate(t, "a < b", "a <= b"), "killed")
	require.Equal(t, 0, m.mutate(t, "a > b", "a >= b"), "it lives")
	require.Equal(t, 2, m.mutate(t, "a < b", "a + b"), "it does not compile")
	require.Equal(t, 2, m.mutate(t, "a < b", "a < b"), "it is none")
	journal, err := os.ReadFile(m.in.Journal)
	require.NoError(t, err)
	require.Equal(t, "p.go\tkilled\np.go\tlived\np.go\tunviable\n\tunviable\n", string(journal))

	require.NoError(t, os.WriteFile(filepath.Join(m.work, "p_test.go"), []byte("package p\n\nimport \"testing\"\n\nfunc Test(t *testing.T) { t.Fail() }\n"), 0o600))
	require.Equal(t, 0, m.mutate(t, "a > b", "a >= b"), "what lived is not tried again")
	m.in.State = "2"
	require.Equal(t, 1, m.mutate(t, "a > b", "a >= b"), "unless anything in the package has changed")
	require.NoError(t, os.Remove(filepath.Join(m.work, "p_test.go")))
	require.Equal(t, 1, m.mutate(t, "a < b", "a <= b"), "what was killed is not: it is killed even without tests")

	m.in.Sample = 0
	require.Equal(t, 2, m.mutate(t, "a > b", "a <= b"), "it is not in the sample")
	code, out = m.call(t, m.work, "vet")
	require.NotZero(t, code)
	require.Contains(t, out, "gremlins called go vet")
}

func TestTestsThatFailWithoutAMistakeProveNothing(t *testing.T) {
	m := newModule(t)
	require.NoError(t, os.WriteFile(filepath.Join(m.in.Tree, "p", "p_test.go"), []byte("package p\n\nimport \"testing\"\n\nfunc Test(t *testing.T) { t.Fail() }\n"), 0o600))
	code, out := m.call(t, m.in.Tree, "test", "-cover", "-coverprofile", filepath.Join(t.TempDir(), "profile"), "./p/...")
	require.Equal(t, 1, code)
	require.Contains(t, out, "the tests do not pass without any mistake")
}

func TestTheReportAndTheJournalAreJoinedInTheOrderOfTheMutants(t *testing.T) {
	m := newModule(t)
	folder := t.TempDir()
	report, journal := filepath.Join(folder, "report"), filepath.Join(folder, "journal")
	type mutation map[string]any
	file := func(name string, of ...mutation) map[string]any {
		return map[string]any{"file_name": name, "mutations": of}
	}
	write := func(second string) {
		b, err := json.Marshal(map[string]any{"files": []any{
			file("p.go", mutation{"type": "CONDITIONALS_BOUNDARY", "status": "KILLED", "line": 3, "column": 37}, mutation{"type": "CONDITIONALS_BOUNDARY", "status": second, "line": 5, "column": 37}),
			file("sub/sub.go", mutation{"type": "X", "status": "NOT COVERED", "line": 1, "column": 1}),
		}})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(report, b, 0o600))
	}
	write("LIVED")
	require.NoError(t, os.WriteFile(journal, []byte("p.go\ttimed out\np.go\tlived\n"), 0o600))
	got, err := readMutants(report, journal, m.in.Tree, "p")
	require.NoError(t, err)
	less := site{file: "p/p.go", kind: "CONDITIONALS_BOUNDARY", code: "func Less(a, b int) bool { return a «<» b }"}
	more := site{file: "p/p.go", kind: "CONDITIONALS_BOUNDARY", code: "func More(a, b int) bool { return a «>» b }"}
	require.Equal(t, []mutant{{site: less, line: 3, column: 37, outcome: timedOut}, {site: more, line: 5, column: 37, outcome: lived}}, got)
	write("KILLED")
	_, err = readMutants(report, journal, m.in.Tree, "p")
	require.EqualError(t, err, "p.go:5: gremlins says KILLED of what is lived")
}

func TestAPackagePassesIfEveryMutantIsNoticedOrListed(t *testing.T) {
	at := func(n int, outcome string) mutant {
		return mutant{site: site{file: "p/p.go", kind: "K", code: fmt.Sprint("«", n, "»")}, line: n, outcome: outcome}
	}
	var good []mutant
	for n := range 18 {
		good = append(good, at(n, killed))
	}
	with := func(more ...mutant) []mutant { return append(good[:18:18], more...) }
	for name, c := range map[string]struct {
		mutants []mutant
		listed  []int
		sampled bool
		failed  bool
	}{
		"all are noticed":                                 {mutants: with()},
		"one hangs":                                       {mutants: with(at(20, timedOut))},
		"one lives":                                       {mutants: with(at(20, lived)), failed: true},
		"one lives, and is listed":                        {mutants: with(at(20, lived)), listed: []int{20}},
		"one of two of the same words lives":              {mutants: with(at(20, lived), at(20, killed)), listed: []int{20}},
		"nine in ten are noticed, the others listed":      {mutants: with(at(20, lived), at(21, lived)), listed: []int{20, 21}},
		"fewer are noticed, the others listed":            {mutants: with(at(20, lived), at(21, lived), at(22, lived)), listed: []int{20, 21, 22}, failed: true},
		"what does not compile does not count":            {mutants: with(at(20, unviable), at(21, unviable), at(22, unviable))},
		"what is listed is noticed":                       {mutants: with(), listed: []int{3}, failed: true},
		"what is listed is gone":                          {mutants: with(), listed: []int{30}, failed: true},
		"what is listed is not in the sample":             {mutants: with(at(30, leftOut)), listed: []int{30}, sampled: true},
		"what is listed is in a sample, and noticed":      {mutants: with(), listed: []int{3}, sampled: true, failed: true},
		"what is not in the sample does not count either": {mutants: with(at(20, leftOut), at(21, leftOut), at(22, leftOut)), sampled: true},
	} {
		t.Run(name, func(t *testing.T) {
			list := map[site]string{{file: "q/q.go", kind: "K", code: "of another package"}: "x"}
			for _, n := range c.listed {
				list[at(n, "").site] = "no test can"
			}
			v := judge("p", c.mutants, list, c.sampled)
			require.Equal(t, c.failed, v.failed())
			var out strings.Builder
			v.print(&out)
			require.Equal(t, c.failed, strings.Count(out.String(), "\n") > 1+map[bool]int{true: 1}[c.sampled] || strings.Contains(out.String(), "(85.7%)"), out.String())
		})
	}
}

func TestTheListOfSurvivorsHasAReasonForEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "survivors")
	read := func(text string) (map[site]string, error) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return readSurvivors(path)
	}
	got, err := read("# For readers.\n\np/p.go KIND\n\ta «<» b\n\tequal is\n\tthe same\n\n\np/q.go KIND\nx\ny")
	require.NoError(t, err)
	require.Equal(t, map[site]string{
		{file: "p/p.go", kind: "KIND", code: "a «<» b"}: "equal is the same", {file: "p/q.go", kind: "KIND", code: "x"}: "y",
	}, got)
	_, err = read("p/p.go KIND\na «<» b\n")
	require.ErrorContains(t, err, "survivors:2: an entry is FILE KIND")
	_, err = readSurvivors("../../tools/gremlins/survivors.txt")
	require.NoError(t, err)
}

// Wilson's interval, by the table of Newcombe (1998), Statistics in Medicine 17, p. 857-872: 81 of 263 and 0 of 20.
func TestWhatASampleSaysOfTheWhole(t *testing.T) {
	low, high := interval(81, 263)
	require.InDelta(t, 0.2553, low, 5e-5)
	require.InDelta(t, 0.3662, high, 5e-5)
	low, high = interval(0, 20)
	require.Zero(t, low)
	require.InDelta(t, 0.1611, high, 5e-5)
	low, high = interval(0, 0)
	require.Equal(t, [2]float64{0, 1}, [2]float64{low, high})
}
