package traefikfile

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a credential that no log, message or JSON document shows.
type Secret struct{ value string }

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{value} }

const hidden = "***"

// Format writes "***" for every verb; without it %d would look inside.
func (Secret) Format(f fmt.State, _ rune) {
	io.WriteString(f, hidden) //nolint:errcheck,gosec // a Formatter has nowhere to say it
}

// LogValue is "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
