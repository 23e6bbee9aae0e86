package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wrongFlag rewords pflag's errors, which quote Go's parsers.
func wrongFlag(cmd *cobra.Command, err error) error {
	see := "; see " + cmd.CommandPath() + " --help"
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s %s: %s%s", e.GetFlag().Name, quoted(e.GetValue()), expected(e), see)
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := "--" + e.GetSpecifiedName()
		if e.GetSpecifiedShortnames() != "" {
			name = "-" + e.GetSpecifiedName()
		}
		return fmt.Errorf("there is no flag %s%s", name, see)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s needs a value%s", e.GetFlag().Name, see)
	}
	return fmt.Errorf("%w%s", err, see)
}

// quoted is a value as it was typed, in quotes if it is empty or has blanks or quotes.
func quoted(value string) string {
	if value == "" || strings.ContainsAny(value, " \t\n\"") {
		return fmt.Sprintf("%q", value)
	}
	return value
}

// expected says what a flag takes.
func expected(e *pflag.InvalidValueError) string {
	switch e.GetFlag().Value.Type() {
	case "duration":
		return "expected a time such as 90s, 10m or 2h"
	case "int", "int64", "uint", "uint64":
		return "expected a whole number"
	case "float64":
		return "expected a number"
	case "bool":
		return "expected true or false"
	}
	text := errors.Unwrap(e).Error()
	return strings.TrimPrefix(text, fmt.Sprintf("%q: ", e.GetValue())) // the message begins with it
}

// missingFlags names the required flags that were not given.
func missingFlags(cmd *cobra.Command) error {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if needed := f.Annotations[cobra.BashCompOneRequiredFlag]; len(needed) > 0 && needed[0] == "true" && !f.Changed {
			names = append(names, "--"+f.Name)
		}
	})
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s is missing; usage: %s", strings.Join(names, ", "), cmd.UseLine())
}

// unreachable says why an address cannot be reached, without the names of Go's calls.
func unreachable(u *url.Error) string {
	cause := u.Err
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		cause = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](cause); ok {
		cause = call.Err
	}
	at := u.URL
	if parsed, err := url.Parse(u.URL); err == nil && parsed.Host != "" {
		at = parsed.Scheme + "://" + parsed.Host
	}
	return fmt.Sprintf("the daemon cannot be reached at %s: %v", at, cause)
}
