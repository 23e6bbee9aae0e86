package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// judging returns the commands of the judge, which need no daemon.
func (a *app) judging() []*cobra.Command {
	return []*cobra.Command{a.judgeCmd(), a.analyzeCmd(), a.planCmd(), a.simulateCmd()}
}

func (a *app) judgeCmd() *cobra.Command {
	which, learn := "kayenta", false
	cmd := &cobra.Command{
		Use:   "judge FILE|-",
		Short: "Judge observations from a file, without a daemon",
		Long: `Judge observations from a file, or from standard input (-), without a daemon and without a Prometheus. The answers are
JSON, in the order of the questions.

--judge kayenta: remote-judge requests of Kayenta, judged as its NetflixACAJudge-v1.0 does. One object gives one
CanaryJudgeResult, an array gives an array, and lines of requests (NDJSON) give lines of results. Where that judge is known
to mislead, warnings go to stderr. A request that cannot be judged gives {"error": …}.

--judge sequential: a line with "metric" begins a sequence and says how it is judged, and each further line is a look;
each look is answered as soon as it is read. With --learn, a line {"learned": [...]} follows a sequence's last
answer, which the first line of a later sequence may carry. docs/statistics.md has the form.

Exit codes:
  0  everything was judged, whatever the verdicts
  1  something could not be read or judged; stderr names the line`,
		Example: `  serin judge request.json
  serin judge --judge sequential looks.ndjson | jq -r .verdict | uniq -c`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			in, err := a.open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			r := bufio.NewReaderSize(in, 1<<16)
			if which == "sequential" {
				return a.judgeLooks(r, learn)
			}
			return a.judgeRequests(r)
		},
	}
	judges := []string{"kayenta", "sequential"}
	cmd.Flags().Var(&oneOf{&which, judges}, "judge", "which judge")
	cmd.Flags().BoolVar(&learn, "learn", false, "after each sequence, print what was learned from it (sequential)")
	_ = cmd.RegisterFlagCompletionFunc("judge", cobra.FixedCompletions(judges, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// open opens a file, or the standard input for -.
func (a *app) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}

// answers writes answers and counts the input that could not be answered.
type answers struct {
	app    *app
	out    *bufio.Writer
	failed int
}

func (a *app) answers() *answers { return &answers{app: a, out: bufio.NewWriter(a.stdout)} }

// line writes an answer on a line of its own.
func (s *answers) line(v any) error {
	b, err := encodePlain(v)
	if err != nil {
		return err
	}
	_, err = s.out.Write(append(b, '\n'))
	return err
}

// encodePlain encodes without HTML escapes.
func encodePlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("print: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// wrong reports on stderr what is wrong with a line.
func (s *answers) wrong(line int, err error) {
	s.failed++
	_, _ = fmt.Fprintf(s.app.stderr, "serin: line %d: %s\n", line, clean(err.Error()))
}

// end flushes, and returns an error with an exit code if anything was wrong.
func (s *answers) end() error {
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if s.failed > 0 {
		return &codeError{code: exitError}
	}
	return nil
}

// lines passes on each non-blank line as soon as it arrives, with its number. A line longer than most is an error.
func lines(r *bufio.Reader, most int, take func(number int, text []byte) error) error {
	var text []byte
	for number := 1; ; {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > most {
			return fmt.Errorf("line %d: longer than %d bytes", number, most)
		}
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("line %d: %w", number, err)
		}
		if line := bytes.TrimSpace(text); len(line) > 0 {
			if err := take(number, line); err != nil {
				return err
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the end
		}
		text, number = text[:0], number+1
	}
}

// judgeLooks answers each look before it waits for the next.
func (a *app) judgeLooks(r *bufio.Reader, learn bool) error {
	out := a.answers()
	var s sequential.Lines
	var taught error
	if learn {
		s.Ended = func(learned []judge.Past) {
			taught = errors.Join(taught, out.line(struct {
				Learned []judge.Past `json:"learned"`
			}{append([]judge.Past{}, learned...)}))
		}
	}
	err := lines(r, sequential.MaxLine, func(number int, text []byte) error {
		said, err := s.Line(text)
		switch {
		case err != nil:
			out.wrong(number, err)
			return out.end() // the looks after it would be judged as if this one did not exist
		case said == nil:
			return nil
		}
		if err := out.line(said); err != nil || r.Buffered() > 0 {
			return err
		}
		return out.out.Flush()
	})
	if err != nil {
		_ = out.out.Flush()
		return err
	}
	s.End()
	return errors.Join(taught, out.end())
}
