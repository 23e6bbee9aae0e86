// Command mutation answers the question whether the tests of a package notice mistakes. It makes one mistake at a time: a
// reversed comparison, a plus that becomes a minus, a loop that ends too early. A mistake that no test notices is a hole in
// the tests, and fails the run unless survivors.txt says why no test can notice it.
//
// All mistakes of a package are compiled into one test binary; the environment selects the active one: see
// [source.schemata] for how, and docs/decisions/0038 for why. Start reading at [subject.run].
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// enough is the share of a package's mutants that have to be noticed.
const enough = 0.9

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// proofs names a folder with further tests of a package: those of the judge compare the second implementation of the
// model with the one that it uses.
var proofs = map[string]string{"judge/statespace": "judge/sequential"}

// run tries the mutants of packages, which are named by their folders below the module's root. That has to be the
// working directory.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	survivors := flags.String("survivors", "internal/mutation/survivors.txt", "the mutants that no test can notice, with the reasons")
	keep := flags.String("keep", ".toolchain/mutation", "where outcomes are kept from one run to the next")
	fresh := flags.Bool("fresh", false, "forget the outcomes of earlier runs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("name the packages, such as rollout")
	}
	list, err := readSurvivors(*survivors)
	if err != nil {
		return err
	}
	failed := false
	for _, folder := range flags.Args() {
		folder = filepath.ToSlash(filepath.Clean(folder))
		mutants, err := try(ctx, folder, *keep, *fresh)
		v := judge(folder, mutants, list)
		if ctx.Err() != nil {
			v.stale = nil // most of them may not have been tried
			fmt.Fprintln(out, "interrupted; these are the results so far")
			v.print(out)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		v.print(out)
		failed = failed || v.failed()
	}
	if failed {
		return errors.New("write the test that notices the mistake; if none can, say why in " + *survivors)
	}
	return nil
}
