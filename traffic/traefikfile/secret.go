package traefikfile

import "log/slog"

// Secret is a credential that no log, message or JSON document shows.
type Secret struct{ value string }

// NewSecret wraps a credential.
func NewSecret(value string) Secret { return Secret{value} }

const hidden = "***"

// String is "***", so that no format shows it; %#v is GoString's.
func (Secret) String() string { return hidden }

// GoString is "***".
func (Secret) GoString() string { return hidden }

// LogValue is "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
