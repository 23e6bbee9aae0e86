package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/operators.golden, to be read line by line")

// module makes a module of these files, and makes its root the working directory.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("GOFLAGS", "")
	files["go.mod"] = "module example.com/m\n\ngo 1.26\n"
	for path, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// The golden file shows, for each mutant, its line and how it changes what the package prints.
func TestEveryMistakeIsInTheBinaryAndDoesWhatItSays(t *testing.T) {
	text, err := os.ReadFile("testdata/operators.go.txt")
	require.NoError(t, err)
	golden, err := filepath.Abs("testdata/operators.golden")
	require.NoError(t, err)
	module(t, map[string]string{
		"p/p.go": string(text),
		"p/p_test.go": `package p
import (
	"fmt"
	"testing"
)
func Test(t *testing.T) {
	operators(7, 2, 6, 1.5, 2, true, false, "b")
	fmt.Println(31, endless(4))
}
`,
	})
	src, err := read(t.Context(), "p")
	require.NoError(t, err)
	mutants := src.mutants()
	texts, err := src.schemata(mutants)
	require.NoError(t, err)
	require.Equal(t, strings.Count(string(text), "\n"), strings.Count(string(texts["p.go"]), "\n"), "no line moves")
	p := subject{source: src, work: t.TempDir(), folders: []string{"p"}}
	require.NoError(t, p.build(t.Context(), "all", texts))
	printed := func(id int) []string {
		cmd := exec.CommandContext(t.Context(), p.binary("all", 0))
		cmd.Env = append(os.Environ(), "SERIN_MUTANT="+strconv.Itoa(id))
		out, err := cmd.Output()
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	original := printed(0)
	var b strings.Builder
	for _, m := range mutants {
		fmt.Fprintf(&b, "%s %s\n", m.kind, m.code)
		if m.alone {
			fmt.Fprintln(&b, "\tis compiled alone")
			continue
		}
		now := printed(m.id)
		b.WriteString(difference(original, now))
	}
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

// difference lists the lines that are gone and those that are new.
func difference(original, now []string) string {
	if slices.Equal(original, now) {
		return "\tprints the same\n"
	}
	var b strings.Builder
	for _, line := range original {
		if !slices.Contains(now, line) {
			fmt.Fprintln(&b, "\t- "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(original, line) {
			fmt.Fprintln(&b, "\t+ "+line)
		}
	}
	return b.String()
}

// small is a module whose one test notices one of two mistakes, and a mistake in a constant.
func small(t *testing.T) {
	t.Helper()
	module(t, map[string]string{
		"p/p.go": `package p

const one = 2 - 1

func Less(a, b int) bool { return a < b }

func More(a, b int) bool { return a > b } // "//" begins a comment

func Join(a []string) (s string) {
	for _, t := range a {
		s += t
	}
	return s
}
`,
		"p/p_test.go": `package p

import "testing"

func Test(t *testing.T) {
	if Less(one, 1) || More(1, 2) || Join([]string{"a", "b"}) != "ab" {
		t.Fail()
	}
}
`,
	})
}

func outcomesOf(mutants []*mutant) map[string]string {
	out := map[string]string{}
	for _, m := range mutants {
		out[m.kind+" "+m.code] = m.outcome
	}
	return out
}

func TestAMutantIsTriedWithTheTestsThatReachIt(t *testing.T) {
	small(t)
	mutants, err := try(t.Context(), "p", "kept", false)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"ARITHMETIC_BASE const one = 2 «-» 1":                               lived,
		"CONDITIONALS_BOUNDARY func Less(a, b int) bool { return a «<» b }": killed,
		"CONDITIONALS_NEGATION func Less(a, b int) bool { return a «<» b }": killed,
		"CONDITIONALS_BOUNDARY func More(a, b int) bool { return a «>» b }": lived,
		"CONDITIONALS_NEGATION func More(a, b int) bool { return a «>» b }": killed,
		"INVERT_ASSIGNMENTS s «+=» t":                                       unviable,
		"REMOVE_SELF_ASSIGNMENTS s «+=» t":                                  killed,
	}, outcomesOf(mutants))
}

func TestAKnownOutcomeHoldsUntilSomethingChanges(t *testing.T) {
	small(t)
	of := func(key, outcome, by string) (got, before string, tried bool) {
		o, err := openOutcomes("kept", false, []string{"p"})
		require.NoError(t, err)
		got, err = o.of(&mutant{key: key}, func(b string) (string, string, error) {
			before, tried = b, true
			return outcome, by, nil
		})
		require.NoError(t, err)
		return got, before, tried
	}
	write := func(path, text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for _, c := range []struct {
		name, key, outcome, by string
		change                 func() error
		want, before           string
		tried                  bool
	}{
		{"nothing is known", "1", lived, "", nil, lived, "", true},
		{"nothing has changed", "1", killed, "TestQ", nil, lived, "", false},
		{"there are other tests", "1", killed, "TestQ", write("p/q_test.go", "package p\n\nfunc TestQ(t *testing.T) {}\n"), killed, "", true},
		{"nothing has changed again", "1", lived, "", nil, killed, "", false},
		{"there are more tests than the one that noticed it", "1", lived, "", write("p/r_test.go", "package p\n"), killed, "", false},
		{"its file has another comment", "1", lived, "", write("p/q_test.go", "package p\n\n// TestQ tests.\nfunc TestQ(t *testing.T) {}\n"), killed, "", false},
		{"its file has changed", "1", killed, "TestQ", write("p/q_test.go", "package p\n\nfunc TestQ(t *testing.T) { one() }\n"), killed, "TestQ", true},
		{"the code has changed", "1", killed, "TestQ", write("p/q.go", "package p\n"), killed, "TestQ", true},
		{"the code has another comment", "1", lived, "", write("p/q.go", "package p // of p\n"), killed, "", false},
		{"the test that noticed it is gone", "1", lived, "", func() error { return os.Remove("p/q_test.go") }, lived, "TestQ", true},
		{"another mutant", "2", killed, "", nil, killed, "", true},
		{"everything is forgotten", "2", lived, "", func() error { _, err := openOutcomes("kept", true, []string{"p"}); return err }, lived, "", true},
	} {
		if c.change != nil {
			require.NoError(t, c.change(), c.name)
		}
		got, before, tried := of(c.key, c.outcome, c.by)
		require.Equal(t, []any{c.want, c.before, c.tried}, []any{got, before, tried}, c.name)
	}
}

func TestTheKeyOfAMutantDependsOnItsDeclarationAlone(t *testing.T) {
	const less = "func Less(a, b int) bool {\n\treturn a < b\n}\n"
	keys := func(text string) (out []string) {
		module(t, map[string]string{"p/p.go": "package p\n\n" + text})
		src, err := read(t.Context(), "p")
		require.NoError(t, err)
		for _, m := range src.mutants() {
			out = append(out, m.key)
		}
		return out
	}
	first := keys(less)
	require.Len(t, first, 2, "the boundary and the opposite")
	require.NotEqual(t, first[0], first[1])
	require.Equal(t, first, keys("// Less is less.\nfunc Less(a, b int) bool { // of two\n\n\treturn a<b // than\n}\n"), "comments and layout")
	require.Equal(t, first, keys("func More(a, b int) bool {\n\treturn a > b\n}\n\n" + less)[2:], "another declaration")
	more := keys("func Less(a, b int) bool {\n\treturn a < b && b < 9\n}\n")
	for _, key := range more {
		require.NotContains(t, first, key, "the declaration says something else")
	}
	slices.Sort(more)
	require.Len(t, slices.Compact(more), 5, "each has its own")
}

func TestTheTestThatNoticesTheMostComesFirst(t *testing.T) {
	all := map[int]bool{1: true}
	quick, other := &test{name: "TestQuick", cpu: 10 * time.Millisecond, reaches: all}, &test{name: "TestOther", cpu: 50 * time.Millisecond, reaches: all}
	slow, elsewhere := &test{name: "TestSlow", cpu: time.Second, reaches: all}, &test{name: "TestElsewhere"}
	p := subject{tests: []*test{slow, other, quick, elsewhere}}
	names := func(before string) (out []string) {
		for _, g := range p.groups(&mutant{id: 1}, before) {
			var group []string
			for _, t := range g {
				group = append(group, t.name)
			}
			out = append(out, strings.Join(group, " "))
		}
		return out
	}
	require.Equal(t, []string{"TestQuick TestOther", "TestSlow"}, names(""), "the quick ones in one process")
	require.Equal(t, []string{"TestSlow", "TestQuick TestOther"}, names("TestSlow"), "it has noticed this one before")
	require.Equal(t, "TestSlow", credit([]*test{slow}, "signal: killed\n"))
	require.Equal(t, "TestOther", credit([]*test{quick, other}, "exit status 1\n    --- FAIL: TestQuick/x (0.00s)\n--- FAIL: TestOther (0.00s)\n"))
	require.Empty(t, credit([]*test{quick, other}, "signal: killed\n"))
	slow.noticed.Store(200)
	require.Equal(t, []string{"TestSlow", "TestQuick TestOther"}, names(""), "it notices more for its time")
}

func TestTestsThatFailWithoutAMistakeProveNothing(t *testing.T) {
	small(t)
	require.NoError(t, os.WriteFile("p/q_test.go", []byte("package p\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Fail() }\n"), 0o600))
	_, err := try(t.Context(), "p", "kept", false)
	require.ErrorContains(t, err, "TestBad does not pass without any mistake")
}

func TestAMutantThatNeverEndsIsNoticed(t *testing.T) {
	module(t, map[string]string{
		"p/p.go":      "package p\n\nfunc Count(n int) int {\n\tfor n != 0 {\n\t\tn--\n\t}\n\treturn n\n}\n",
		"p/p_test.go": "package p\n\nimport \"testing\"\n\nfunc Test(t *testing.T) {\n\tif Count(2) != 0 {\n\t\tt.Fail()\n\t}\n}\n",
	})
	mutants, err := try(t.Context(), "p", "kept", false)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"CONDITIONALS_NEGATION for n «!=» 0 {": killed, "INCREMENT_DECREMENT n«--»": killed}, outcomesOf(mutants))
}

func TestAPackagePassesIfEveryMutantIsNoticedOrListed(t *testing.T) {
	at := func(n int, outcome string) *mutant {
		return &mutant{site: site{file: "p/p.go", kind: "K", code: fmt.Sprint("«", n, "»")}, line: n, outcome: outcome}
	}
	var good []*mutant
	for n := range 18 {
		good = append(good, at(n, killed))
	}
	with := func(more ...*mutant) []*mutant { return append(good[:18:18], more...) }
	for name, c := range map[string]struct {
		mutants []*mutant
		listed  []int
		failed  bool
	}{
		"all are noticed":                            {mutants: with()},
		"one lives":                                  {mutants: with(at(20, lived)), failed: true},
		"one lives, and is listed":                   {mutants: with(at(20, lived)), listed: []int{20}},
		"one of two with the same code lives":        {mutants: with(at(20, lived), at(20, killed)), listed: []int{20}},
		"nine in ten are noticed, the others listed": {mutants: with(at(20, lived), at(21, lived)), listed: []int{20, 21}},
		"fewer are noticed, the others listed":       {mutants: with(at(20, lived), at(21, lived), at(22, lived)), listed: []int{20, 21, 22}, failed: true},
		"mutants that do not compile do not count":   {mutants: with(at(20, unviable), at(21, unviable), at(22, unviable))},
		"a listed one is noticed":                    {mutants: with(), listed: []int{3}, failed: true},
		"a listed one is gone":                       {mutants: with(), listed: []int{30}, failed: true},
		"mutants that were not tried do not count":   {mutants: with(at(20, ""))},
	} {
		t.Run(name, func(t *testing.T) {
			list := map[site]string{{file: "q/q.go", kind: "K", code: "of another package"}: "x"}
			for _, n := range c.listed {
				list[at(n, "").site] = "no test can"
			}
			v := judge("p", c.mutants, list)
			require.Equal(t, c.failed, v.failed())
			var out strings.Builder
			v.print(&out)
			require.Equal(t, c.failed, strings.Count(out.String(), "\n") > 1 || strings.Contains(out.String(), "(85.7%)"), out.String())
		})
	}
}

func TestTheListOfSurvivorsHasAReasonForEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "survivors")
	list := func(text string) (map[site]string, error) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return readSurvivors(path)
	}
	got, err := list("# For readers.\n\np/p.go KIND\n\ta «<» b\n\tequal is\n\tthe same\n\n\np/q.go KIND\nx\np/q.go OTHER\nx\ny")
	require.NoError(t, err)
	require.Equal(t, map[site]string{
		{file: "p/p.go", kind: "KIND", code: "a «<» b"}: "equal is the same", {file: "p/q.go", kind: "KIND", code: "x"}: "y", {file: "p/q.go", kind: "OTHER", code: "x"}: "y",
	}, got)
	for _, bad := range []string{"p/p.go KIND\na «<» b\n", "p/p.go\na «<» b\nwhy\n", "p/p.go KIND\na\np/p.go OTHER\nb\n"} {
		_, err = list(bad)
		require.ErrorContains(t, err, "an entry is FILE KIND")
	}
	_, err = readSurvivors("survivors.txt")
	require.NoError(t, err)
}
