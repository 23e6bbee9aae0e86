package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
)

// retryCmd tries the version of the last release again.
func (a *app) retryCmd() *cobra.Command {
	var o struct {
		body server.RetryBody
		awaited
	}
	cmd := &cobra.Command{
		Use:   "retry ROLLOUT",
		Short: "Retry the last release, which did not succeed",
		Long: `Try the version of the last release again, after it was rolled back, cancelled or failed: with the same parameters, on
the plan as it is declared now, as a release of its own in the history.

The rollback has undone what happened to traffic and Deployments, so those steps run again, and gates ask again. A Job that
succeeded is skipped only where its effect is certainly still there: the same Job, before anything that was undone and
before any webhook, in a release that names its version by a parameter and has no rollback steps. A version that was found
worse is tried again only with a --reason.`,
		Example: `  serin retry shop
  serin retry shop --reason "the database was down"`,
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
			started, err := c.Retry(cmd.Context(), args[0], o.body)
			if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusConflict && p.Release != "" {
				return fmt.Errorf("%w, so there is nothing to retry yet", err)
			}
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			words := "release " + started.Release.ID + " of " + args[0] + " tries the version of the last one again"
			if started.Known {
				words = "release " + started.Release.ID + " of " + args[0] + " was already started with this key"
			}
			return a.begun(cmd.Context(), c, started, words, o.awaited)
		},
	}
	cmd.Flags().StringVar(&o.body.Reason, "reason", "", "why; it is kept with the release")
	cmd.Flags().StringVar(&o.body.Key, "key", "", "a second retry with the same `KEY` does nothing")
	cmd.Flags().BoolVar(&o.body.Anyway, "anyway", false, "even though the rollout's configuration has an error now "+
		"(its last good version is used), or a metric names a bucket that its histogram does not have")
	o.flags(cmd)
	return a.speaks(cmd)
}
