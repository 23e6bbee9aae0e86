// Command mutation says whether the tests of a package notice a mistake. Gremlins (tools/gremlins) makes the mistakes,
// one at a time: a comparison turned round, a plus that becomes a minus, a loop that ends too early. A mistake that no
// test of the package itself notices is a hole in the tests, and fails the run unless tools/gremlins/survivors.txt says
// why no test can notice it.
//
// Gremlins looks up go in PATH and finds this program under that name, which decides how a mutant is tested. Start
// reading at [subject.run] for one side and at [standIn] for the other.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// enough is the share of mutants that have to be noticed in each package.
const enough = 0.9

func main() {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(standIn(os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// proofs gives, for a package that its own tests prove only in part, the folder of the other tests, from the package's
// folder: they compare the model's second implementation with the judge that computes with it.
var proofs = map[string]string{"judge/statespace": "../sequential"}

// options are what the command line says.
type options struct {
	gremlins  string  // the program
	survivors string  // the list of the mutants that may survive
	keep      string  // the folder for what is kept from one run to the next
	sample    float64 // the share of mutants that are tried
	seed      string  // another seed, another sample
	fresh     bool    // forget the outcomes that are kept
}

// run tests the mutants of the named packages, folders below the module's root, which has to be the working directory.
func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.StringVar(&o.gremlins, "gremlins", ".toolchain/bin/gremlins", "the mutation tester")
	flags.StringVar(&o.survivors, "survivors", "tools/gremlins/survivors.txt", "the mutants that no test can notice, with the reasons")
	flags.StringVar(&o.keep, "keep", ".toolchain/mutation", "where outcomes are kept")
	flags.Float64Var(&o.sample, "sample", 1, "the share of mutants that are tried")
	flags.StringVar(&o.seed, "seed", "1", "the seed of the sample")
	flags.BoolVar(&o.fresh, "fresh", false, "try again what an earlier run has tried")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("name the packages, such as rollout")
	}
	list, err := readSurvivors(o.survivors)
	if err != nil {
		return err
	}
	failed := false
	for _, path := range flags.Args() {
		path = filepath.ToSlash(filepath.Clean(path))
		mutants, err := (subject{path: path, options: o}).run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		v := judge(path, mutants, list, o.sample < 1)
		v.print(out)
		failed = failed || v.failed()
	}
	// No mutant is built again, and together they take gigabytes; an interrupted run still needs the rest of the cache.
	if err := os.RemoveAll(filepath.Join(o.keep, "cache")); err != nil {
		return err
	}
	if failed {
		return errors.New("write the test that notices the mistake; if none can, say why in " + o.survivors)
	}
	return nil
}

// subject is one package whose mutants are tried.
type subject struct {
	path string // below the module's root, with slashes
	options
}

// run lets gremlins make the mutants, each of which the stand-in for go tests, and says what became of them.
func (p subject) run(ctx context.Context) ([]mutant, error) {
	work, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	tree := filepath.Join(work, "tree")
	if err := copyTree(".", tree); err != nil {
		return nil, fmt.Errorf("copy the sources: %w", err)
	}
	in, err := p.instructions(work, tree)
	if err != nil {
		return nil, err
	}
	gremlins, err := filepath.Abs(p.gremlins)
	if err != nil {
		return nil, err
	}
	report := filepath.Join(work, "report.json")
	// Gremlins' own time limit depends on how busy the machine is, so it is set out of reach: the stand-in has limits.
	args := []string{"unleash", "--workers", "1", "--timeout-coefficient", "100000", "--output", report, "--output-statuses", "l"}
	for _, kind := range []string{"invert-logical", "invert-loopctrl", "invert-assignments", "invert-bitwise", "invert-bwassign", "remove-self-assignments"} {
		args = append(args, "--"+kind)
	}
	cmd := exec.CommandContext(ctx, gremlins, append(args, filepath.Join(tree, p.path))...) //nolint:gosec // our own tool
	cmd.Env = append(os.Environ(), instructionsVariable+"="+in, "PATH="+filepath.Join(work, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+work)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("gremlins: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return readMutants(report, filepath.Join(work, "journal"), tree, p.path)
}

// instructions writes the file that the stand-in reads, and puts the stand-in where gremlins finds it.
func (p subject) instructions(work, tree string) (string, error) {
	goPath, err := exec.LookPath("go")
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(work, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return "", err
	}
	if err := os.Symlink(self, filepath.Join(bin, "go")); err != nil {
		return "", err
	}
	keep, err := filepath.Abs(p.keep)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(keep, "outcomes", strings.ReplaceAll(p.path, "/", "-"))
	if p.fresh {
		if err := os.RemoveAll(kept); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(kept, 0o750); err != nil {
		return "", err
	}
	state, err := stateOf(filepath.Join(tree, p.path), filepath.Join(tree, p.path, proofs[p.path]))
	if err != nil {
		return "", err
	}
	in := instructions{
		Go: goPath, Package: p.path, Proofs: proofs[p.path], Tree: tree, Journal: filepath.Join(work, "journal"), Kept: kept, State: state,
		Cache: filepath.Join(keep, "cache"), Sample: p.sample, Seed: p.seed,
	}
	return in.write(filepath.Join(work, "instructions.json"))
}

// copyTree copies the sources: gremlins copies a module as a whole, and a folder whose name begins with a dot may hold
// gigabytes.
func copyTree(from, to string) error {
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, ".") || name == "bin":
		case e.IsDir():
			if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name))); err != nil {
				return err
			}
		case e.Type().IsRegular():
			b, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil { //nolint:gosec // names of our own tree
				return err
			}
		}
	}
	return nil
}

// stateOf is a hash of everything in some folders.
func stateOf(folders ...string) (string, error) {
	sum := sha256.New()
	for _, folder := range slices.Compact(folders) {
		files := os.DirFS(folder)
		err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(files, path)
			fmt.Fprintf(sum, "%s %d\n%s", path, len(b), b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// interval is the 95% interval of Wilson around k of n: what a sample says about the whole.
func interval(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959964
	share, size := float64(k)/float64(n), float64(n)
	middle := (share + z*z/(2*size)) / (1 + z*z/size)
	half := z / (1 + z*z/size) * math.Sqrt(share*(1-share)/size+z*z/(4*size*size))
	return max(0, middle-half), min(1, middle+half)
}
