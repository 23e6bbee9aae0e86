package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// instructionsVariable names the file with the instructions, in the environment of the stand-in.
const instructionsVariable = "SERIN_MUTATION"

// Limits of one test run, each far above what the unchanged package needs. A mutant that never ends uses up processor
// time or memory, which, unlike time by the clock, do not depend on how busy the machine is.
const (
	processorSeconds = 30
	memoryBytes      = 6 << 30
	waits            = "20m" // for a mutant that waits for what never comes
)

// What became of a mutant.
const (
	killed   = "killed"    // a test failed
	timedOut = "timed out" // it ran into a limit, which no test run may do
	lived    = "lived"     // all tests passed
	unviable = "unviable"  // it does not compile, or is no change
	leftOut  = "left out"  // not in the sample
)

// exits are the codes that tell gremlins what became of a mutant. Gremlins has none for the last.
var exits = map[string]int{killed: 1, timedOut: 1, lived: 0, unviable: 2, leftOut: 2}

// instructions are what the program that started gremlins passes to the stand-in.
type instructions struct {
	Go      string  // the real go
	Package string  // the package's folder in the module
	Proofs  string  // the folder of another package whose tests are the proof of this one, from the package's; or empty
	Tree    string  // the module without any mistake
	Journal string  // a line for each mutant: its file and what became of it
	Kept    string  // a folder with a file for each mutant whose outcome is known, named by its content
	State   string  // a hash of the package and its tests
	Cache   string  // go's cache for the mutants, none of which is ever built again
	Sample  float64 // the share of mutants that are tried
	Seed    string
}

func (in instructions) write(path string) (string, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, b, 0o600)
}

// standIn is go as gremlins sees it; it returns the exit code.
func standIn(args []string) int {
	var in instructions
	b, err := os.ReadFile(os.Getenv(instructionsVariable)) //nolint:gosec // which the program that started us wrote
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	if err == nil {
		var code int
		if code, err = in.answer(args); err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stderr, "mutation:", err)
	return 1
}

// answer does what gremlins asks of go: fetch the modules, measure what the tests cover, test a mutant.
func (in instructions) answer(args []string) (int, error) {
	switch {
	case slices.Equal(args, []string{"mod", "download"}):
		return 0, nil
	case slices.Contains(args, "-coverprofile"):
		return in.cover(args[slices.Index(args, "-coverprofile")+1])
	case len(args) > 0 && args[0] == "test":
		return in.mutant()
	}
	return 0, fmt.Errorf("gremlins called go %s, which this program does not answer: has gremlins been updated?", strings.Join(args, " "))
}

// cover checks that the tests pass without any mistake, and reports that they cover everything: gremlins skips mutants on
// lines that no test reaches, and go's coverage never counts a constant or the condition of a case as reached.
func (in instructions) cover(profile string) (int, error) {
	outcome, output, err := in.test(filepath.Join(in.Tree, in.Package))
	if err != nil {
		return 0, err
	}
	if outcome != lived {
		return 0, fmt.Errorf("the tests do not pass without any mistake:\n%s", output)
	}
	module, err := exec.Command(in.Go, "list", "-m").Output() //nolint:gosec,noctx // go itself, which ends
	if err != nil {
		return 0, fmt.Errorf("go list: %w", err)
	}
	files, err := in.sources()
	if err != nil {
		return 0, err
	}
	out := []byte("mode: set\n")
	for _, name := range files {
		out = fmt.Appendf(out, "%s/%s/%s:0.1,%d.1 1 1\n", bytes.TrimSpace(module), in.Package, name, math.MaxInt32)
	}
	return 0, os.WriteFile(profile, out, 0o600) //nolint:gosec // where gremlins reads it
}

// sources are the names of the package's files except its tests.
func (in instructions) sources() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(in.Tree, in.Package, "*.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

// mutant tests the mutant in the folder that gremlins called from, writes down what became of it, and returns the exit
// code that says so.
func (in instructions) mutant() (int, error) {
	name, content, err := in.mistake()
	if err != nil {
		return 0, err
	}
	outcome := unviable
	if name != "" {
		if outcome, err = in.outcome(name, content); err != nil {
			return 0, err
		}
	}
	journal, err := os.OpenFile(in.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = journal.Close() }()
	_, err = fmt.Fprintf(journal, "%s\t%s\n", name, outcome)
	return exits[outcome], err
}

// mistake is the one file that differs from the tree. If gremlins changed nothing, as happens with %=, there is none.
func (in instructions) mistake() (name string, content []byte, err error) {
	names, err := in.sources()
	if err != nil {
		return "", nil, err
	}
	for _, name := range names {
		was, err := os.ReadFile(filepath.Join(in.Tree, in.Package, name))
		if err != nil {
			return "", nil, err
		}
		is, err := os.ReadFile(name)
		if err != nil {
			return "", nil, err
		}
		if !bytes.Equal(was, is) {
			return name, is, nil
		}
	}
	return "", nil, nil
}

// outcome says what becomes of a mutant. Outcomes are kept by the content of the file: a kill for as long as that
// content stays, even if tests and other files change; a survival until anything in the package changes.
func (in instructions) outcome(name string, content []byte) (string, error) {
	sum := sha256.Sum256(append([]byte(name+"\n"), content...))
	drawn := sha256.Sum256(append([]byte(in.Seed+"\n"), sum[:]...))
	if float64(binary.BigEndian.Uint64(drawn[:])) >= in.Sample*math.MaxUint64 {
		return leftOut, nil
	}
	dead := filepath.Join(in.Kept, hex.EncodeToString(sum[:12]))
	alive := dead + "-" + in.State
	for _, path := range []string{dead, alive} {
		if before, err := os.ReadFile(path); err == nil {
			return string(before), nil
		}
	}
	outcome, _, err := in.test(".")
	if err != nil {
		return "", err
	}
	path := dead
	if outcome == lived {
		path = alive
	}
	return outcome, os.WriteFile(path, []byte(outcome), 0o600)
}

// test runs the tests of the package in a folder, under limits.
func (in instructions) test(folder string) (outcome string, output []byte, err error) {
	for limit, value := range map[int]uint64{syscall.RLIMIT_CPU: processorSeconds, syscall.RLIMIT_AS: memoryBytes} {
		if err := syscall.Setrlimit(limit, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return "", nil, fmt.Errorf("set a limit: %w", err)
		}
	}
	args := []string{"test", "-vet=off", "-ldflags=-s -w", "-failfast", "-timeout", waits, "."}
	if in.Proofs != "" {
		args = append(args, in.Proofs)
	}
	rapid, err := usesRapid(folder)
	if err != nil {
		return "", nil, err
	}
	if rapid {
		// The same inputs each time, and no search for the smallest one that fails.
		args = append(args, "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	}
	cmd := exec.Command(in.Go, args...) //nolint:gosec,noctx // go itself, with limits of its own
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOCACHE="+in.Cache, "PATH="+filepath.Dir(in.Go)+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err = cmd.CombinedOutput()
	switch {
	case err == nil:
		return lived, output, nil
	case bytes.Contains(output, []byte("[build failed]")), bytes.Contains(output, []byte("[setup failed]")):
		return unviable, output, nil
	case bytes.Contains(output, []byte("signal: killed")), bytes.Contains(output, []byte("panic: test timed out")):
		return timedOut, output, nil
	}
	return killed, output, nil
}

// usesRapid tells whether the tests in a folder know rapid's flags.
func usesRapid(folder string) (bool, error) {
	tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	for _, path := range tests {
		b, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if bytes.Contains(b, []byte(`"pgregory.net/rapid"`)) {
			return true, nil
		}
	}
	return false, err
}
