package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/serindev/serin/judge/kayenta"
)

// maxDocument bounds what judge reads as one document; larger input goes as one request per line.
const maxDocument = 1 << 30

// judgeRequests answers one request per line if the first line is a whole request, and otherwise reads everything as
// one document.
func (a *app) judgeRequests(r *bufio.Reader) error {
	first, r, err := firstLine(r)
	if err != nil {
		return err
	}
	out := a.answers()
	if _, array, err := kayenta.Split(first); err == nil && !array {
		err := lines(r, kayenta.MaxRequest, func(number int, text []byte) error {
			if err := out.line(out.judge(kayenta.Part{Text: text, Line: number})); err != nil || r.Buffered() > 0 { // more has been read already
				return err
			}
			return out.out.Flush()
		})
		if err != nil {
			_ = out.out.Flush()
			return err
		}
		return out.end()
	}
	if err := a.judgeDocument(out, r); err != nil {
		return err
	}
	return out.end()
}

// firstLine reads up to the end of the first line that is not blank. all starts with what it has read.
func firstLine(r *bufio.Reader) (first []byte, all *bufio.Reader, err error) {
	for err == nil && len(bytes.TrimSpace(first)) == 0 && len(first) <= maxDocument {
		var part []byte
		part, err = r.ReadBytes('\n')
		first = append(first, part...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	return first, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first), r), r.Size()), nil
}

// judgeDocument answers one request or an array of them, in the same form.
func (a *app) judgeDocument(out *answers, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if len(data) > maxDocument {
		return fmt.Errorf("more than %d bytes in one document: write one request a line", maxDocument)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("nothing to judge: the input is empty")
	}
	parts, array, err := kayenta.Split(data)
	if err != nil {
		return err
	}
	if !array {
		return out.line(out.judge(parts[0]))
	}
	_, _ = out.out.WriteString("[")
	for i, p := range parts {
		b, err := encodePlain(out.judge(p))
		if err != nil {
			return err
		}
		if i > 0 {
			_, _ = out.out.WriteString(",")
		}
		_, _ = out.out.WriteString("\n")
		_, _ = out.out.Write(b)
	}
	_, _ = out.out.WriteString("\n]\n")
	return nil
}

// refused takes the place of a result where there is none.
type refused struct {
	Error string `json:"error"`
}

// judge answers one request.
func (s *answers) judge(p kayenta.Part) any {
	q, err := kayenta.DecodeRequest(p.Text)
	var r kayenta.Result
	if err == nil {
		r, err = kayenta.Judge(q)
	}
	if err != nil {
		s.wrong(p.Line, err)
		return refused{err.Error()}
	}
	for _, w := range kayenta.Warnings(q, r) {
		_, _ = fmt.Fprintf(s.app.stderr, "serin: line %d: warning: %s\n", p.Line, clean(strings.Join(strings.Fields(w), " ")))
	}
	return r
}
