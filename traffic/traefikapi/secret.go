package traefikapi

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is a credential that no log, message or JSON document shows.
type Secret struct{ value, file string }

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{value: value} }

// SecretFile is a credential that a file holds. It is read whenever it is needed: a file that is missing keeps nobody from
// anything but being asked with it, and one that is replaced counts at once.
func SecretFile(path string) Secret { return Secret{file: path} }

// read is the credential.
func (s Secret) read() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	b, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

const hidden = "***"

// Format writes "***" for every verb; without it %d would look inside.
func (Secret) Format(f fmt.State, _ rune) {
	io.WriteString(f, hidden) //nolint:errcheck,gosec // a Formatter has nowhere to say it
}

// LogValue is "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
