package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
)

// undoCmd brings back the previous version.
func (a *app) undoCmd() *cobra.Command {
	var o struct {
		body server.UndoBody
		awaited
	}
	cmd := &cobra.Command{
		Use:   "undo ROLLOUT --reason WHY",
		Short: "Bring back the version that was in service before the last release",
		Long: `Bring back the version that was in service before the last release, also hours after that has ended: all traffic goes
to it at once, and nothing is compared. It is a release of its own in the history.

Without Kubernetes these are the servers that were in service before. They have to be unchanged: the command refuses
once another release has been tried on them. On Kubernetes the rollout needs a deploy step: the version of the release
before is deployed, and promoted as soon as it is ready.

While a release is under way, serin rollback is what brings traffic back.`,
		Example:           "  serin undo shop --reason \"orders are lost\"",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			started, err := c.Undo(cmd.Context(), args[0], o.body)
			if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusConflict && p.Release != "" {
				return fmt.Errorf("%w; %s rollback %s brings its traffic back", err, a.programName(), args[0])
			}
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			words := "release " + started.Release.ID + " of " + args[0] + " brings the previous version back"
			return a.begun(cmd.Context(), c, started, words, o.awaited)
		},
	}
	cmd.Flags().StringVar(&o.body.Reason, "reason", "", "why; it is kept with the release")
	cmd.Flags().StringVar(&o.body.Key, "key", "", "a second undo with the same `KEY` does nothing")
	o.flags(cmd)
	_ = cmd.MarkFlagRequired("reason")
	return a.speaks(cmd)
}
