// Command run runs a command whose tests share one cluster: run COMMAND ARGUMENT… It ends with the command's exit code.
//
// Each test binary that the command runs uses this cluster instead of its own, if it gets its cluster from
// [testcluster.Main].
package main

import (
	"fmt"
	"os"

	"github.com/serindev/serin/internal/testbed/testcluster"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: run COMMAND ARGUMENT…")
		os.Exit(2)
	}
	code, err := testcluster.Run(os.Args[1:]...)
	if err != nil {
		fmt.Fprintf(os.Stderr, "run %s with a cluster: %v\n", os.Args[1], err)
		code = max(code, 1)
	}
	os.Exit(code)
}
