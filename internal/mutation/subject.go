package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The limits of a test run. A mutant that never ends uses up processor time or memory, which, unlike elapsed time, do
// not depend on how busy the machine is.
const (
	factor  = 5               // times the processor time that the tests need without a mistake
	atLeast = 3 * time.Second // in addition
	memory  = 8 << 20         // in KiB
	waits   = "20m"           // for a mutant that waits for something that never happens
)

// short is the most processor time that the tests of one process may need together, and starting is roughly what a
// process needs before the first of them.
const (
	short    = 200 * time.Millisecond
	starting = 20 * time.Millisecond
)

// subject is a package whose mutants are tried.
type subject struct {
	*source
	work    string   // a temporary folder
	folders []string // of the packages whose tests are run, below the module's root
	tests   []*test
	kept    outcomes
}

// test is one test function.
type test struct {
	of      int // the index of its package in folders
	name    string
	cpu     time.Duration
	reaches map[int]bool // the mutants whose code it executes
	noticed atomic.Int64 // how many mutants it is known to notice
}

// try runs the mutants of a package, and records their outcomes.
func try(ctx context.Context, folder, keep string, fresh bool) ([]*mutant, error) {
	work, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	src, err := read(ctx, folder)
	if err != nil {
		return nil, err
	}
	p := &subject{source: src, work: work, folders: []string{folder}}
	if more, ok := proofs[folder]; ok {
		p.folders = append(p.folders, more)
	}
	if p.kept, err = openOutcomes(filepath.Join(keep, strings.ReplaceAll(folder, "/", "-")), fresh, p.folders); err != nil {
		return nil, err
	}
	return p.run(ctx)
}

func (p *subject) run(ctx context.Context) ([]*mutant, error) {
	mutants := p.mutants()
	texts, err := p.schemata(mutants)
	if err != nil {
		return nil, err
	}
	if err := p.build(ctx, "all", texts); err != nil {
		return nil, err
	}
	if err := p.measure(ctx); err != nil {
		return nil, err
	}
	var cpu time.Duration
	for _, t := range p.tests {
		cpu += t.cpu
	}
	fmt.Fprintf(os.Stderr, "%s: %d mutants, %d of which are compiled alone; %d tests, which take %s of processor time\n",
		p.folder, len(mutants), count(mutants, func(m *mutant) bool { return m.alone }), len(p.tests), cpu.Round(time.Second))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, m := range p.inOrder(mutants) {
		g.Go(func() error {
			var err error
			m.outcome, err = p.kept.of(m, func(before string) (string, string, error) { return p.outcome(ctx, m, before) })
			return err
		})
	}
	return mutants, g.Wait()
}

// inOrder returns the mutants in the order in which to try them: first unknown ones, then those that lived before, and
// last those that a test is known to notice. It also counts how many each test is known to notice.
func (p *subject) inOrder(mutants []*mutant) []*mutant {
	rank := map[*mutant]int{}
	for _, m := range mutants {
		k := p.kept.read(m)
		rank[m] = slices.Index([]string{"", lived, unviable, killed}, k.outcome)
		for _, t := range p.tests {
			if t.name == k.by {
				t.noticed.Add(1)
			}
		}
	}
	return slices.SortedStableFunc(slices.Values(mutants), func(a, b *mutant) int { return cmp.Compare(rank[a], rank[b]) })
}

func (p *subject) textOf(m *mutant) []byte {
	i := slices.IndexFunc(p.files, func(f file) bool { return p.folder+"/"+f.name == m.file })
	return p.files[i].text
}

// binary is the path of a test binary.
func (p *subject) binary(name string, of int) string {
	return filepath.Join(p.work, fmt.Sprintf("%s-%d.test", name, of))
}

// build compiles the tests with other texts of the package's files.
func (p *subject) build(ctx context.Context, name string, texts map[string][]byte) error {
	overlay := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(p.work, name+"-"+file)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		overlay[filepath.Join(p.dir, file)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return err
	}
	path := filepath.Join(p.work, name+".json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	for i, folder := range p.folders {
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", path, "-o", p.binary(name, i), "./"+folder) //nolint:gosec // our own
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go test -c: %w\n%s", err, out)
		}
	}
	return nil
}

// measure runs each test by itself, without a mistake, and records which mutants it reaches and how long it takes.
func (p *subject) measure(ctx context.Context) error {
	for i := range p.folders {
		names, err := exec.CommandContext(ctx, p.binary("all", i), "-test.list", "^(Test|Fuzz|Example)").Output() //nolint:gosec // just built
		if err != nil {
			return fmt.Errorf("list the tests: %w", err)
		}
		nothing, _, err := p.execute(ctx, "all", i, nil, 10*time.Minute, "")
		if err != nil {
			return err
		}
		for name := range strings.FieldsSeq(string(names)) {
			reached := filepath.Join(p.work, "reached")
			t := &test{of: i, name: name, reaches: map[int]bool{}}
			var failure string
			if t.cpu, failure, err = p.execute(ctx, "all", i, []string{name}, 10*time.Minute, "SERIN_MUTANTS_REACHED="+reached); err != nil {
				return err
			}
			t.cpu = max(t.cpu-nothing, 0)
			if failure != "" {
				return fmt.Errorf("%s does not pass without any mistake:\n%s", name, failure)
			}
			lines, err := os.ReadFile(reached)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			for line := range strings.FieldsSeq(string(lines)) {
				id, _ := strconv.Atoi(line)
				t.reaches[id] = true
			}
			_ = os.Remove(reached)
			p.tests = append(p.tests, t)
		}
	}
	return nil
}

// execute runs some tests of a binary. failure is what they print if they fail or reach a limit.
func (p *subject) execute(ctx context.Context, name string, of int, tests []string, cpu time.Duration,
	env string) (used time.Duration, failure string, err error) {
	folder := p.folders[of]
	args := []string{"-c", `ulimit -t "$1"; ulimit -v "$2"; shift 2; exec "$@"`, "sh", strconv.Itoa(int(cpu/time.Second) + 1), strconv.Itoa(memory),
		p.binary(name, of), "-test.run", "^(" + strings.Join(tests, "|") + ")$", "-test.failfast", "-test.timeout", waits}
	rapid, err := usesRapid(folder)
	if err != nil {
		return 0, "", err
	}
	if rapid {
		// The same inputs each time, and no search for the smallest one that fails.
		args = append(args, "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	}
	cmd := exec.CommandContext(ctx, "sh", args...) //nolint:gosec // what was just built
	cmd.Dir, cmd.Env = folder, append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return 0, "", ctx.Err()
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return 0, "", err
	}
	if err != nil {
		failure = err.Error() + "\n" + string(out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), failure, nil
}

// failed is the first line that go prints of a test that fails.
var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// outcome says whether the tests notice a mutant and, if it can be told, which one does. before is the test that
// noticed it in an earlier run, if any.
func (p *subject) outcome(ctx context.Context, m *mutant, before string) (outcome, by string, err error) {
	name := "all"
	if m.alone {
		name = "mutant" + strconv.Itoa(m.id)
		text := map[string][]byte{filepath.Base(m.file): m.mistaken(p.textOf(m))}
		if _, faults, err := p.changed(text); err != nil || len(faults) > 0 {
			return unviable, "", err
		}
		if err := p.build(ctx, name, text); err != nil {
			return "", "", err
		}
		defer func() {
			for i := range p.folders {
				_ = os.Remove(p.binary(name, i))
			}
		}()
	}
	for _, group := range p.groups(m, before) {
		var names []string
		limit := atLeast
		for _, t := range group {
			names = append(names, t.name)
			limit += factor * t.cpu
		}
		_, failure, err := p.execute(ctx, name, group[0].of, names, limit, "SERIN_MUTANT="+strconv.Itoa(m.id))
		switch {
		case err != nil:
			return "", "", err
		case failure != "":
			return killed, credit(group, failure), nil
		}
	}
	return lived, "", nil
}

// credit finds the test of a group that has noticed a mutant, by what the group printed, counts that, and returns its
// name.
func credit(group []*test, failure string) string {
	by := ""
	if line := failed.FindStringSubmatch(failure); line != nil {
		by = line[1]
	} else if len(group) == 1 { // it reached a limit
		by = group[0].name
	}
	for _, t := range group {
		if t.name == by {
			t.noticed.Add(1)
		}
	}
	return by
}

// groups returns the tests that may notice a mutant, grouped by process: first the one that noticed it before, then
// those that notice the most for the time that they take.
func (p *subject) groups(m *mutant, before string) (out [][]*test) {
	worth := map[*test]float64{}
	var tests []*test
	for _, t := range p.tests {
		switch {
		case !m.alone && !t.reaches[m.id]:
		case t.name == before:
			out = append(out, []*test{t})
		default:
			worth[t] = float64(1+t.noticed.Load()) / (t.cpu + starting).Seconds()
			tests = append(tests, t)
		}
	}
	slices.SortStableFunc(tests, func(a, b *test) int { return cmp.Compare(worth[b], worth[a]) })
	var cpu time.Duration
	var together []*test
	for _, t := range tests {
		if len(together) > 0 && (t.of != together[0].of || cpu+t.cpu > short) {
			out = append(out, together)
			cpu, together = 0, nil
		}
		cpu += t.cpu
		together = append(together, t)
	}
	if len(together) > 0 {
		out = append(out, together)
	}
	return out
}

// usesRapid reports whether the tests in a folder know rapid's flags.
func usesRapid(folder string) (bool, error) {
	tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	for _, path := range tests {
		b, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if strings.Contains(string(b), `"pgregory.net/rapid"`) {
			return true, nil
		}
	}
	return false, err
}

// outcomes are kept from one run to the next, in a file each. If a mutant was noticed, that holds until the code
// changes or the file of the test that noticed it; if it lived, until anything in the package or its tests changes.
// After that they still say which test to begin with, as long as the declaration around the mistake stays the same.
type outcomes struct {
	dir   string
	state state
}

// state has hashes of a package and its tests without comments.
type state struct {
	all   string            // of everything
	code  string            // of everything but the tests
	tests map[string]string // of the file of each test
}

// known is the outcome of a mutant in an earlier run.
type known struct{ outcome, state, by string }

func openOutcomes(dir string, fresh bool, folders []string) (outcomes, error) {
	if fresh {
		if err := os.RemoveAll(dir); err != nil {
			return outcomes{}, err
		}
	}
	state, err := stateOf(folders...)
	if err != nil {
		return outcomes{}, err
	}
	return outcomes{dir: dir, state: state}, os.MkdirAll(dir, 0o750)
}

// read returns what is known of a mutant, which may be nothing.
func (o outcomes) read(m *mutant) (k known) {
	b, err := os.ReadFile(filepath.Join(o.dir, m.key))
	if words := strings.Fields(string(b)); err == nil && len(words) >= 2 {
		k.outcome, k.state, k.by = words[0], words[1], strings.Join(words[2:], "")
	}
	return k
}

// of is the outcome of a mutant: the kept one, if it still holds, or else a new one from try, which gets the name of
// the test that noticed it before, if any.
func (o outcomes) of(m *mutant, try func(before string) (outcome, by string, err error)) (string, error) {
	before := o.read(m)
	if before.outcome != "" && before.state == o.state.of(before.outcome, before.by) {
		return before.outcome, nil
	}
	outcome, by, err := try(before.by)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(outcome + " " + o.state.of(outcome, by) + " " + by)
	return outcome, os.WriteFile(filepath.Join(o.dir, m.key), []byte(text), 0o600)
}

// of is the part of the state that an outcome depends on. by is the test that noticed the mutant, if it is known.
func (s state) of(outcome, by string) string {
	if file, ok := s.tests[by]; ok && outcome == killed {
		return s.code + "-" + file
	}
	return s.all
}

// declared is the beginning of a test function.
var declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// stateOf is the state of everything in some folders.
func stateOf(folders ...string) (state, error) {
	all, code, tests := sha256.New(), sha256.New(), map[string]string{}
	for _, folder := range folders {
		files := os.DirFS(folder)
		err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(files, path)
			if err != nil {
				return err
			}
			text := b
			if strings.HasSuffix(path, ".go") {
				text = nil
				for _, w := range wordsOf(b) {
					text = fmt.Appendf(text, "%q ", w.text)
				}
			}
			fmt.Fprintf(all, "%s %d\n%s", path, len(text), text)
			if !strings.HasSuffix(path, "_test.go") {
				fmt.Fprintf(code, "%s %d\n%s", path, len(text), text)
				return nil
			}
			sum := sha256.Sum256(text)
			for _, name := range declared.FindAllSubmatch(b, -1) {
				tests[string(name[1])] = hex.EncodeToString(sum[:6])
			}
			return nil
		})
		if err != nil {
			return state{}, err
		}
	}
	return state{all: hex.EncodeToString(all.Sum(nil)[:6]), code: hex.EncodeToString(code.Sum(nil)[:6]), tests: tests}, nil
}
