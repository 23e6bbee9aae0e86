package traefikapi

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is a credential that is never shown in a log, message or JSON document.
type Secret struct{ value, file string }

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{value: value} }

// SecretFile is a credential in a file. The file is read each time the credential is needed, so a replaced file takes
// effect at once, and a missing one fails only the requests that need it.
func SecretFile(path string) Secret { return Secret{file: path} }

// read returns the credential.
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
	io.WriteString(f, hidden) //nolint:errcheck,gosec // a Formatter cannot return an error
}

// LogValue is "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
