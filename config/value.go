package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/share"
)

// Name is a name of small letters, digits and dashes, at most 50 characters.
type Name string

const namePattern = `^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$`

// DocumentName is the name of a document: what Kubernetes takes for an object's.
type DocumentName string

const documentNamePattern = `^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`

// Namespace is the name of a namespace of Kubernetes.
type Namespace string

const namespacePattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`

// ServiceName is the name of a Service of Kubernetes.
type ServiceName string

const serviceNamePattern = `^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`

// ObjectName is the name of an existing Kubernetes object: it may be longer than Serin's own, and contain dots.
type ObjectName string

const objectNamePattern = documentNamePattern

// MetricName is a name of letters, digits, dashes, dots and underscores, at most 63 characters.
type MetricName string

const metricNamePattern = `^[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$`

// Identifier names a parameter: letters, digits and underscores, not beginning with a digit.
type Identifier string

const identifierPattern = `^[A-Za-z_][A-Za-z0-9_]{0,62}$`

// Duration is written as Prometheus writes it: 30s, 10m, 24h, 7d, 1w, 1h30m. A bare 0 needs no unit.
type Duration time.Duration

// MarshalJSON writes it as Prometheus does.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(model.Duration(d).String()) }

// UnmarshalJSON reads what Prometheus reads, and 0.
func (d *Duration) UnmarshalJSON(b []byte) error {
	v, err := parseDuration(plain(b))
	*d = Duration(v)
	return err
}

func parseDuration(text string) (time.Duration, error) {
	v, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write 30s, 10m, 24h or 7d", text)
	}
	return time.Duration(v), nil
}

// Share is written as 25% or 0.25. A bare number has to be below 1: 5 could mean 5% or five times, and 1 could mean 1% or all.
type Share share.Share

// MarshalJSON writes it in percent, or as a fraction where percent would lose digits.
func (s Share) MarshalJSON() ([]byte, error) {
	text := share.Share(s).String()
	if back, err := share.Parse(text); err != nil || back != share.Share(s) {
		text = strconv.FormatFloat(float64(s), 'g', -1, 64)
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads text or a number.
func (s *Share) UnmarshalJSON(b []byte) error {
	v, err := share.Parse(plain(b))
	*s = Share(v)
	return err
}

// Difference is a share, as [Share] is written, or, of a gauge or a mean, a number in the metric's own unit.
type Difference float64

// MarshalJSON writes a number.
func (d Difference) MarshalJSON() ([]byte, error) { return json.Marshal(float64(d)) }

// UnmarshalJSON reads a number, or a share as text.
func (d *Difference) UnmarshalJSON(b []byte) error {
	v, err := parseDifference(plain(b))
	*d = Difference(v)
	return err
}

func parseDifference(text string) (float64, error) {
	if v, err := strconv.ParseFloat(text, 64); err == nil && v >= 0 && !math.IsInf(v, 1) {
		return v, nil
	}
	s, err := share.Parse(text)
	return float64(s), err
}

// Texts is one text or a list of them.
type Texts []string

// UnmarshalJSON reads both forms.
func (t *Texts) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(t))
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*t = Texts{one}
	return nil
}

// Matchers are label matchers in the canonical form of package analysis. They are written as a map of labels and values, or
// as in PromQL between braces.
type Matchers string

// UnmarshalJSON reads both forms.
func (m *Matchers) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		var labels map[string]string
		if err := json.Unmarshal(b, &labels); err != nil {
			return err
		}
		if text, err = analysis.EqualMatchers(labels); err != nil {
			return err
		}
	}
	canonical, err := analysis.ParseMatchers(text)
	*m = Matchers(canonical)
	return err
}

// checkMatchers says why a value is not valid as [Matchers].
func checkMatchers(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return new(Matchers).UnmarshalJSON(b)
}

// Manifest is a Kubernetes object: the name of a file with it, or the object itself. The zero value is none.
type Manifest struct {
	File   string
	Inline json.RawMessage
}

// IsZero reports whether there is none.
func (m Manifest) IsZero() bool { return m.File == "" && m.Inline == nil }

// MarshalJSON writes what was read.
func (m Manifest) MarshalJSON() ([]byte, error) {
	if m.Inline != nil {
		return m.Inline, nil
	}
	return json.Marshal(m.File)
}

// UnmarshalJSON reads both forms.
func (m *Manifest) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		*m = Manifest{Inline: bytes.Clone(b)}
		return nil
	}
	*m = Manifest{}
	return json.Unmarshal(b, &m.File)
}

// Code is a status code such as 499, or a class of them such as 5xx.
type Code string

// UnmarshalJSON reads text or a number.
func (c *Code) UnmarshalJSON(b []byte) error {
	*c = Code(strings.ToLower(plain(b)))
	return nil
}

// Port is a port's number or name.
type Port string

// UnmarshalJSON reads text or a number.
func (p *Port) UnmarshalJSON(b []byte) error {
	*p = Port(plain(b))
	return nil
}

// Amount is a number of replicas, or a share of stable's.
type Amount string

// UnmarshalJSON reads text or a number.
func (a *Amount) UnmarshalJSON(b []byte) error {
	*a = Amount(plain(b))
	return nil
}

// Regexp is a regular expression of Go's and Traefik's kind (RE2).
type Regexp string

// URL is an http or https address.
type URL string

// Server is the base address of a server behind the gateway: http, https or h2c, or tcp for a TCP route, with host and port
// only.
type Server string

// Address is where to listen: host:port.
type Address string

// plain returns a JSON scalar as text.
func plain(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(b))
}

// hidden is shown in place of a secret.
const hidden = "***"

// Secret is a value that is never shown: logs, JSON and fmt print ***. Reveal returns it where it is needed.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements [fmt.Stringer].
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString implements [fmt.GoStringer].
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes ***.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// or returns the given value, or else the default.
func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

// long is or for durations.
func long(given *Duration, otherwise time.Duration) time.Duration {
	return time.Duration(or(given, Duration(otherwise)))
}
