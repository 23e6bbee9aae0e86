package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCmd writes the man pages. It is meant for packagers and hidden from the help.
func manCmd() *cobra.Command {
	var at int64
	cmd := &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the man pages into a folder",
		Hidden: true,
		Args:   args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			date := time.Unix(at, 0).UTC()
			root := cmd.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "serin " + versionText(), Manual: "Serin"}, args[0])
		},
	}
	cmd.Flags().Int64Var(&at, "date", 0, "the pages' date, in seconds since 1970")
	return cmd
}
