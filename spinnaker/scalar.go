package spinnaker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kayenta's clients and files rely on a lenient reader: numbers as text, text as numbers, bare NaN. These types read
// whatever that reader does, and write what every client can read (spec/spinnaker.md, 0).

// label is a string that may also come as a number or a boolean. Null is empty.
type label string

// UnmarshalJSON takes any scalar as its own text.
func (l *label) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		*l = ""
		return nil
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(l))
	case b[0] == '{' || b[0] == '[':
		return errors.New("expected a string")
	}
	*l = label(b)
	return nil
}

// number is a double. One that is not finite is written as a string.
type number float64

// UnmarshalJSON takes numbers, as such or as text. Null and empty text are 0.
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		text = strings.TrimSpace(text)
	}
	switch text {
	case "", "null":
		*n = 0
		return nil
	case "Infinity":
		text = "Inf"
	case "-Infinity":
		text = "-Inf"
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%.40q is not a number", text)
	}
	*n = number(f)
	return nil
}

// MarshalJSON writes NaN and the infinities as Jackson does.
func (n number) MarshalJSON() ([]byte, error) {
	switch f := float64(n); {
	case math.IsNaN(f):
		return []byte(`"NaN"`), nil
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(f)
	}
}

// instant is a time as Java writes it: UTC with Z and 0, 3, 6 or 9 digits of a second.
type instant struct{ time.Time }

// UnmarshalJSON takes RFC 3339. Null and empty text are the zero time.
func (i *instant) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("expected a time such as 2025-04-08T21:02:23Z")
	}
	if text == "" {
		*i = instant{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 || t.Year() > 2261 { // the range of nanoseconds since 1970
		return fmt.Errorf("%.40q is not a time such as 2025-04-08T21:02:23Z", text)
	}
	i.Time = t.UTC()
	return nil
}

func (i instant) String() string {
	layout := "2006-01-02T15:04:05Z"
	switch ns := i.Nanosecond(); {
	case ns == 0:
	case ns%1_000_000 == 0:
		layout = "2006-01-02T15:04:05.000Z"
	case ns%1000 == 0:
		layout = "2006-01-02T15:04:05.000000Z"
	default:
		layout = "2006-01-02T15:04:05.000000000Z"
	}
	return i.UTC().Format(layout)
}

// MarshalJSON writes the instant, or null for the zero time.
func (i instant) MarshalJSON() ([]byte, error) {
	if i.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(i.String())
}

// millis is the instant in milliseconds since 1970.
func (i instant) millis() int64 { return i.UnixMilli() }

// isoDuration writes a duration as Kayenta does, with hours as the largest unit.
func isoDuration(d time.Duration) string {
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	b.WriteString("PT")
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "H"}, {time.Minute, "M"}} {
		if n := d / unit.size; n != 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.size
		}
	}
	if d != 0 {
		b.WriteString(strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S")
	}
	return b.String()
}

// quoteBare turns Jackson's JSON into plain JSON: the bare words NaN, Infinity and -Infinity become strings. Everything
// else stays as it is, valid or not.
func quoteBare(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	for i := 0; i < len(data); {
		switch c := data[i]; c {
		case '"':
			end := i + 1
			for end < len(data) && data[end] != '"' {
				if data[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(data))
			out = append(out, data[i:end]...)
			i = end
		case 'N', 'I', '-':
			word := bareWord(data[i:])
			if word == "" {
				out = append(out, c)
				i++
				continue
			}
			out = append(append(append(out, '"'), word...), '"')
			i += len(word)
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

func bareWord(data []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(data, []byte(word)) {
			return word
		}
	}
	return ""
}
