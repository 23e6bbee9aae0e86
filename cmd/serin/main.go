// Command serin holds the commands: those with which people and pipelines talk to the daemon, those that work without
// one (analyze, judge, plan, simulate, validate), and the one that runs it (see package daemon). A command reads its
// flags, asks another package, and prints. Start reading at [run] and at app.root.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

//go:generate go test -run ^TestTheReference -update .

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs serin, or its plugin for kubectl, with these arguments, the first of which is the name that it was called by. It
// returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	name, args := args[0], args[1:]
	switch {
	case isNamed(name, pluginName):
		a.plugin = &plugin{}
	case isNamed(name, completerName):
		a.plugin, args = &plugin{}, append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	return a.run(ctx, args)
}

// versionText is the version that was linked in, or else what Go knows about the build.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
