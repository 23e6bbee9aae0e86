package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/tell"
)

// done is what is printed after an action.
type done struct {
	Rollout string `json:"rollout"`
	Release string `json:"release"`
	Action  string `json:"action"`
	Gate    string `json:"gate,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Warning says that the action is under way although it could not be stored yet.
	Warning string `json:"warning,omitempty"`
}

func (a *app) printDone(d done, words string) error {
	if d.Warning != "" {
		a.say("warning: " + d.Warning)
	}
	return a.print(d, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, clean(words))
		return err
	})
}

// answerCmd makes the command approve or reject.
func (a *app) answerCmd(verb string) *cobra.Command {
	short, answer, result := "Answer a gate: go on", rollout.Approve, "is approved"
	if verb == "reject" {
		short, answer, result = "Answer a gate: go back", rollout.Reject, "is rejected"
	}
	var reason string
	var keep bool
	cmd := &cobra.Command{
		Use:   verb + " ROLLOUT|RELEASE [GATE]",
		Short: short,
		Long: short + `.

Without GATE the command answers the gate, or the policy's question, that the release waits at. A gate has one
answer: if someone was first, the command says who, and exits with 1.`,
		Example:           "  serin " + verb + ` shop --reason "seen the dashboards"` + "\n  serin " + verb + " shop full-release",
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: a.completeGates(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep {
				answer, result = rollout.KeepWaiting, "keeps waiting"
			}
			return a.act(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, v record.View) (done, string, error) {
				gate := v.Gate
				if len(args) == 2 {
					gate = args[1]
				}
				if gate == "" {
					return done{}, "", errors.New("it is not waiting at a gate" + waitsFor(v))
				}
				d := done{Action: string(answer), Gate: gate, Reason: reason}
				got, err := c.Answer(ctx, v.Release.ID, gate, answer, reason)
				d.Warning = got.Warning
				return d, "gate " + gate + " " + result, err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the answer")
	if verb == "approve" {
		cmd.Flags().BoolVar(&keep, "wait", false, "answer a policy's question with: go on waiting")
	}
	return a.speaks(cmd)
}

func waitsFor(v record.View) string {
	if v.State.Ended() {
		return "; it has ended: " + string(v.State.Outcome)
	}
	return tell.Colon(v.Waiting)
}

// act finds a release, applies an action to it and prints what was done.
func (a *app) act(ctx context.Context, arg string, do func(context.Context, *client.Client, record.View) (done, string, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	v, err := findRelease(ctx, c, arg)
	if err != nil {
		return a.unknown(ctx, c, arg, err)
	}
	d, words, err := do(ctx, c, v)
	who := "release " + v.Release.ID + " of " + v.Rollout
	if err != nil {
		return fmt.Errorf("%s: %w", who, a.advise(err))
	}
	d.Rollout, d.Release = v.Rollout, v.Release.ID
	return a.printDone(d, who+": "+words)
}

// actionCmd makes a command that applies one action to a release.
func (a *app) actionCmd(use, short, long string, action server.Action, words string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:               use + " ROLLOUT|RELEASE",
		Short:             short,
		Long:              short + ".\n\n" + long,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.act(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, v record.View) (done, string, error) {
				result, err := c.Act(ctx, v.Release.ID, action, reason)
				return done{Action: string(action), Reason: reason, Warning: result.Warning}, words, err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the release")
	return a.speaks(cmd)
}

// promoteCmd lets a release go on without waiting.
func (a *app) promoteCmd() *cobra.Command {
	var b server.PromoteBody
	cmd := &cobra.Command{
		Use:   "promote ROLLOUT|RELEASE --reason WHY",
		Short: "Let a release go on without waiting, on your responsibility",
		Long: `Let a release go on without waiting, on your responsibility: for the rest of a hold, a verdict, missing data, a window
or the end of a freeze. The command says first what the release waits for. With --full that holds for everything that is
left, not only for the current weight or step. Gates still have to be answered, and each weight has to be in force before
the next one.

A version that turns out worse is still rolled back. Where stable itself is broken and the new version repairs it, the
comparison means nothing: use --even-if-worse.`,
		Example: "  serin promote shop --reason \"fixes the outage\"\n  serin promote shop --full " +
			"--even-if-worse --reason \"stable is down, this is the fix\"",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.act(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, v record.View) (done, string, error) {
				if v.Waiting != "" {
					a.say("it waited for: " + v.Waiting)
				}
				result, err := c.Promote(ctx, v.Release.ID, b)
				return done{Action: "promote", Reason: b.Reason, Warning: result.Warning}, "going on without waiting", err
			})
		},
	}
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why; it is kept with the release")
	cmd.Flags().BoolVar(&b.Full, "full", false, "everything that is left, up to the next gate")
	cmd.Flags().BoolVar(&b.EvenIfWorse, "even-if-worse", false, "from here on no verdict rolls the release back")
	_ = cmd.MarkFlagRequired("reason")
	return a.speaks(cmd)
}

func (a *app) pauseCmd() *cobra.Command {
	return a.actionCmd("pause", "Stop a release from advancing",
		"Timers stop and nothing advances. Looks continue, and a fail still rolls back.", server.Pause, "paused")
}

func (a *app) resumeCmd() *cobra.Command {
	return a.actionCmd("resume", "Let a paused release go on",
		"Its timers continue from where they stopped.", server.Resume, "resumed")
}

func (a *app) rollbackCmd() *cobra.Command {
	return a.actionCmd("rollback", "Bring all traffic back to stable",
		"It works in every state of a release, needs no Prometheus, and brings traffic to stable before anything else.",
		server.Rollback, "going back to stable")
}

func (a *app) cancelCmd() *cobra.Command {
	return a.actionCmd("cancel", "End a release before any of its traffic has moved",
		"Once traffic has moved, this is a rollback.", server.Cancel, "being cancelled")
}

func (a *app) dismissCmd() *cobra.Command {
	cmd := a.actionCmd("dismiss", "Let a release go on despite an alarm about its data",
		`The alarm says that the gateway does not split the requests as it was asked to, or that what a metric counts of the
arms contradicts the requests that they got, so that the comparison may be of unlike users, or of the wrong arms.
Look for the cause first: serin explain shows the numbers. The alarm stays dismissed until the weight changes.`,
		server.DismissAlarm, "alarm dismissed at this weight")
	cmd.Use = "dismiss ROLLOUT|RELEASE --reason WHY"
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}
