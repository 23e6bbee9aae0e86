package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/daemon"
	"github.com/serindev/serin/internal/spelling"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server/client"
)

const (
	defaultServer = "http://127.0.0.1:7474"
	// localToken is the file in which the daemon leaves its first token, next to its store.
	localToken = "serin.token"
	// systemDocument is the path of the daemon's document where it runs as a service of this machine.
	systemDocument = "/etc/serin/serin.yaml"
	// maxToken is longer than any token.
	maxToken = 4096
	// completionTimeout bounds how long a Tab in the shell may take.
	completionTimeout = time.Second
)

// speaks adds the flags that every command that talks to the daemon needs.
func (a *app) speaks(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.server, "server", "", "address of the daemon (env SERIN_SERVER; default "+defaultServer+")")
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "",
		"file with the token (env SERIN_TOKEN holds the token itself, SERIN_TOKEN_FILE the file's name;\n"+
			"without them, for a daemon on this machine: "+localToken+" in this folder, or next to the store of\n"+
			"./serin.yaml or "+systemDocument+")")
	return cmd
}

// client makes a client from the flags and the environment.
func (a *app) client() (*client.Client, error) {
	if a.plugin != nil {
		return a.pluginClient()
	}
	server := cmp.Or(a.server, a.getenv("SERIN_SERVER"), defaultServer)
	token, err := a.token(server)
	if err != nil {
		return nil, err
	}
	return client.New(server, token, a.transport)
}

// token returns the token from the flag, the environment, or the file that a daemon on this machine has left. A token
// from that file never goes to another machine.
func (a *app) token(server string) (string, error) {
	if a.tokenFile == "" {
		if t := a.getenv("SERIN_TOKEN"); t != "" {
			return strings.TrimSpace(t), nil
		}
	}
	if file := cmp.Or(a.tokenFile, a.getenv("SERIN_TOKEN_FILE")); file != "" {
		return readToken(file)
	}
	if !loopback(server) {
		return "", nil
	}
	for _, file := range localTokens("serin.yaml", systemDocument) {
		token, err := readToken(file)
		if !errors.Is(err, fs.ErrNotExist) {
			return token, err
		}
	}
	return "", nil
}

// localTokens lists where a daemon on this machine may have left its first token: this folder, and next to the stores
// of the documents that can be read.
func localTokens(documents ...string) []string {
	out := []string{localToken}
	for _, path := range documents {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if spec, _, errs := config.LoadDaemon(path); len(errs) == 0 {
			out = append(out, daemon.FirstToken(spec))
		}
	}
	return out
}

func readToken(file string) (string, error) {
	f, err := os.Open(file) //nolint:gosec // the user says where the token is
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	switch token := strings.TrimSpace(string(b)); {
	case err != nil:
		return "", fmt.Errorf("read the token: %w", err)
	case token == "" || len(b) > maxToken:
		return "", fmt.Errorf("read the token: %s holds none", file)
	default:
		return token, nil
	}
}

func loopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// adviceError shows people its own text instead of the wrapped error's.
type adviceError struct {
	text string
	err  error
}

func (e *adviceError) Error() string { return e.text }

func (e *adviceError) Unwrap() error { return e.err }

// advise adds a remedy to an error of the daemon.
func (a *app) advise(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return &adviceError{unreachable(u) + " (is it running there? --server or SERIN_SERVER say where)", u}
	}
	if client.StatusOf(err) == http.StatusUnauthorized {
		return fmt.Errorf("%w; a token is looked for in --token-file, SERIN_TOKEN, SERIN_TOKEN_FILE and, for a "+
			"daemon on this machine, in ./%s and next to the store of ./serin.yaml or %s", err, localToken, systemDocument)
	}
	return err
}

// isRelease tells the id of a release from the name of a rollout, which has no capitals.
func isRelease(arg string) bool {
	_, err := ulid.ParseStrict(arg)
	return err == nil && arg == strings.ToUpper(arg)
}

// find gets the view of a release, or of a rollout with its newest release.
func find(ctx context.Context, c *client.Client, arg string) (record.View, error) {
	if isRelease(arg) {
		return c.Release(ctx, arg)
	}
	return c.Rollout(ctx, arg)
}

// unknown is the error for a rollout that the daemon does not know: it lists the names, or suggests one.
func (a *app) unknown(ctx context.Context, c *client.Client, arg string, err error) error {
	if client.StatusOf(err) != http.StatusNotFound {
		return a.advise(err)
	}
	if isRelease(arg) {
		return fmt.Errorf("there is no release %s", arg)
	}
	views, listing := c.Rollouts(ctx)
	if listing != nil {
		return a.advise(err)
	}
	names := make([]string, len(views))
	for i, v := range views {
		names[i] = v.Rollout
	}
	out := fmt.Sprintf("there is no rollout %s", arg)
	const most = 20
	switch near := nearest(arg, names); {
	case len(near) > 0:
		out += "; did you mean " + strings.Join(near, " or ") + "?"
	case len(names) == 0:
		out += "; there are no rollouts at all"
	case len(names) > most:
		out += fmt.Sprintf("; there are %d others, %s status lists them", len(names), a.programName())
	default:
		out += "; there are: " + strings.Join(names, ", ")
	}
	return errors.New(out)
}

// nearest returns the names that differ from arg by a few typing mistakes, or begin with it.
func nearest(arg string, names []string) []string {
	var out []string
	for _, n := range names {
		if spelling.Distance(arg, n) <= max(1, len(arg)/4) || len(arg) > 2 && strings.HasPrefix(n, arg) {
			out = append(out, n)
		}
	}
	return out[:min(len(out), 3)]
}

// findRelease is find for commands that need a release.
func findRelease(ctx context.Context, c *client.Client, arg string) (record.View, error) {
	v, err := find(ctx, c, arg)
	if err == nil && v.Release == nil {
		return v, fmt.Errorf("rollout %s has had no release", arg)
	}
	return v, err
}

// completeRollouts completes the first argument with rollouts, and with releases under way.
func (a *app) completeRollouts(releases bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, none
		}
		var out []string
		typed := a.typed()
		for _, v := range a.completionViews(cmd) {
			out = append(out, clean(typed(v.Rollout))+"\t"+clean(oneLine(v)))
			if releases && v.Release != nil && !v.State.Ended() {
				out = append(out, clean(v.Release.ID)+"\t"+clean("of "+v.Rollout))
			}
		}
		return out, none
	}
}

// completeGates completes a rollout, then the gate at which it waits.
func (a *app) completeGates() cobra.CompletionFunc {
	first := a.completeRollouts(true)
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) != 1 {
			return first(cmd, args, prefix)
		}
		var out []string
		typed := a.typed()
		for _, v := range a.completionViews(cmd) {
			if v.Gate != "" && (v.Rollout == args[0] || typed(v.Rollout) == args[0] || v.Release != nil && v.Release.ID == args[0]) {
				out = append(out, clean(v.Gate))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completionViews returns nothing if the daemon does not answer: a shell must not show errors in the middle of a line.
func (a *app) completionViews(cmd *cobra.Command) []record.View {
	c, err := a.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	views, err := c.Rollouts(ctx)
	if err != nil {
		return nil
	}
	return views
}
