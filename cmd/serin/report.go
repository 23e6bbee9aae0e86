package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/client"
	"github.com/serindev/serin/server/web"
	"github.com/serindev/serin/tell"
)

func (a *app) reportCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "report ROLLOUT|RELEASE",
		Short: "Write a release as one HTML file, with charts",
		Long: `Write everything that is known about a release, or about a rollout's newest one, as one HTML file: where it stands and why, the
evidence of every metric with charts, what was answered at gates, and what happened. It loads nothing, so it can be
attached to a ticket.`,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRollouts(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			record, err := fetchRecord(cmd.Context(), c, args[0])
			if err != nil {
				return a.unknown(cmd.Context(), c, args[0], err)
			}
			if file == "json" { // as with every other command; a file of that name is ./json
				a.output = file
				return a.print(reported(record), nil)
			}
			var out bytes.Buffer
			if err := web.WriteReport(&out, record, time.Now(), "", versionText()); err != nil {
				return err
			}
			if file == "-" {
				_, err := out.WriteTo(a.stdout)
				return err
			}
			if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil { //nolint:gosec // a report is there to be read
				return fmt.Errorf("write the report: %w", err)
			}
			_, err = fmt.Fprintf(a.stdout, "%s: release %s of %s\n", file, record.View.Release.ID, clean(record.View.Rollout))
			return err
		},
	}
	// This flag replaces the one for the output format: a report has only one.
	cmd.Flags().StringVarP(&file, "output", "o", "report.html", "the `FILE` to write; - is standard output, and json prints all of it as JSON there")
	return a.speaks(cmd)
}

// reported is a release as one JSON object: the input of a report.
func reported(r web.Record) any {
	events := make([]taggedEvent, len(r.Events))
	for i, e := range r.Events {
		events[i] = taggedEvent{e}
	}
	return struct {
		View        any                      `json:"view"`
		Explanation any                      `json:"explanation"`
		Events      []taggedEvent            `json:"events"`
		Looks       map[string][]server.Look `json:"looks"`
	}{r.View, r.Explanation, events, r.Looks}
}

// looksAtOnce is the largest page of looks that the API returns.
const looksAtOnce = 5000

// fetchRecord gets everything that a report needs from the daemon.
func fetchRecord(ctx context.Context, c *client.Client, arg string) (web.Record, error) {
	v, err := findRelease(ctx, c, arg)
	if err != nil {
		return web.Record{}, err
	}
	r := web.Record{View: v, Looks: map[string][]server.Look{}}
	if r.Explanation, err = c.Explain(ctx, v.Release.ID); err != nil {
		return web.Record{}, err
	}
	for i, m := range tell.Explain(v).Metrics { // the short forms are not part of the API
		if i < len(r.Explanation.Metrics) && r.Explanation.Metrics[i].Metric == m.Metric {
			r.Explanation.Metrics[i].Badge, r.Explanation.Metrics[i].Brief, r.Explanation.Metrics[i].Sure = m.Badge, m.Brief, m.Sure
		}
	}
	if r.Events, err = c.Events(ctx, v.Release.ID, 0); err != nil {
		return web.Record{}, err
	}
	for _, scope := range web.Scopes(v) {
		for after := 0; ; {
			page, err := c.Looks(ctx, v.Release.ID, scope, after, looksAtOnce)
			if err != nil {
				return web.Record{}, err
			}
			r.Looks[scope] = append(r.Looks[scope], page.Looks...)
			if after = page.Next; after == 0 {
				break
			}
		}
	}
	return r, nil
}
