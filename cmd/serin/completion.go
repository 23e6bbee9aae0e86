package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// completed is a shell that reads completions from a folder in the user's home.
type completed struct {
	write func(*cobra.Command, io.Writer) error
	// The script goes to place, below the folder that the environment variable base names, or below beginning in $HOME
	// if that is not set.
	base, beginning, place string
}

// shells are those for which one command installs completion. The others have no folder for it.
var shells = map[string]completed{
	"bash": {
		func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"XDG_DATA_HOME", ".local/share", "bash-completion/completions/serin",
	},
	"zsh": {(*cobra.Command).GenZshCompletion, "XDG_DATA_HOME", ".local/share", "zsh/site-functions/_serin"},
	"fish": {
		func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"XDG_CONFIG_HOME", ".config", "fish/completions/serin.fish",
	},
}

// addCompletion adds cobra's command, which prints the scripts, and ours below it, which installs one.
func (a *app) addCompletion(root *cobra.Command) {
	root.SetOut(a.stdout) // cobra's command keeps the writer that is set when it is made
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Short = "Let the shell complete commands, rollouts and gates"
		c.Long = `Let the shell complete commands, rollouts and gates.

serin completion install sets it up for bash, zsh or fish. The other commands only print the script of a shell.`
		c.AddCommand(a.installCompletionCmd())
	}
}

func (a *app) installCompletionCmd() *cobra.Command {
	names := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "install [bash|zsh|fish]",
		Short: "Install completion for your shell",
		Long: `Write the completion script into the folder of your home in which your shell looks for it, and say which that is. It
needs no root. Without an argument the shell is the one that $SHELL names. Run it again after an upgrade.`,
		Example: `  serin completion install
  serin completion install zsh`,
		Args:      args(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := filepath.Base(a.getenv("SHELL"))
			if len(args) > 0 {
				name = args[0]
			}
			shell, ok := shells[name]
			if !ok {
				return fmt.Errorf("$SHELL names no shell that this works for: name one, as in serin "+
					"completion install bash (or %s)", strings.Join(names[1:], ", "))
			}
			return a.installCompletion(cmd.Root(), name, shell)
		},
	}
}

func (a *app) installCompletion(root *cobra.Command, name string, shell completed) error {
	home := a.getenv("HOME")
	base := cmp.Or(a.getenv(shell.base), filepath.Join(home, shell.beginning))
	if !filepath.IsAbs(base) {
		return errors.New("$HOME does not say where your home folder is")
	}
	var script bytes.Buffer
	if err := shell.write(root, &script); err != nil {
		return fmt.Errorf("make the completion script: %w", err)
	}
	path := filepath.Join(base, shell.place)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // others may read what a shell completes
		return fmt.Errorf("write the completion script: %w", err)
	}
	if err := os.WriteFile(path, script.Bytes(), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write the completion script: %w", err)
	}
	_, err := fmt.Fprintf(a.stdout, "Written to %s.\n%s\n", path, a.completionNote(name, filepath.Dir(path)))
	return err
}

// completionNote says what else a shell needs to read the script in a folder.
func (a *app) completionNote(shell, folder string) string {
	const next = "Open a new shell to use it."
	switch shell {
	case "bash":
		return next + " It needs the package bash-completion, which most systems have."
	case "zsh":
		file := filepath.Join(cmp.Or(a.getenv("ZDOTDIR"), a.getenv("HOME")), ".zshrc")
		text, err := os.ReadFile(file) //nolint:gosec // the user's own
		if err == nil && strings.Contains(string(text), folder) {
			return next
		}
		return fmt.Sprintf("For zsh to look there, add this line to %s, above any line with compinit or "+
			"oh-my-zsh:\n\n  fpath=(%q $fpath); autoload -U compinit; compinit\n\nThen open a new shell.",
			file, folder)
	}
	return next
}
