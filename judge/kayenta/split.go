package kayenta

import (
	"bytes"
	"errors"
	"fmt"
)

// Part is the text of one request in a document, and the line on which it begins, counted from 1.
type Part struct {
	Text []byte
	Line int
}

// Split splits a document that holds one request (an object) or several (an array of objects, which array reports). The
// parts share data's memory. Errors name the line. [DecodeRequest] checks the content of the parts.
func Split(data []byte) (parts []Part, array bool, err error) {
	s := reader{data: data}
	s.space()
	start := s.pos
	if err := s.value(0); err != nil {
		return nil, false, fmt.Errorf("line %d: %w", lineOf(data, s.pos), err)
	}
	end := s.pos
	if s.space(); s.pos < len(data) {
		return nil, false, fmt.Errorf("line %d: %w", lineOf(data, s.pos), errors.New("more after the end of the document"))
	}
	doc := value(data[start:end])
	switch doc.kind() {
	case '{':
		return []Part{{Text: doc, Line: lineOf(data, start)}}, false, nil
	case '[':
	default:
		return nil, false, fmt.Errorf("line %d: an object or a list of objects was expected", lineOf(data, start))
	}
	line, at := lineOf(data, start), start
	list := reader{data: data[:end], pos: start + 1}
	for !list.closed(']') {
		from := list.pos
		list.checkedValue()
		line += bytes.Count(data[at:from], []byte{'\n'})
		at = from
		parts = append(parts, Part{Text: data[from:list.pos:list.pos], Line: line})
	}
	return parts, true, nil
}

func lineOf(data []byte, pos int) int {
	return 1 + bytes.Count(data[:min(pos, len(data))], []byte{'\n'})
}

// Parts returns the canaryConfig and the pairs of metricSetPairList in a request that [DecodeRequest] accepted, for callers
// that need more of it. They share data's memory, and are nil if data is something else.
func Parts(data []byte) (config []byte, pairs [][]byte) {
	doc, err := parse(data)
	if err != nil {
		return nil, nil
	}
	top := doc.object()
	for _, pair := range top["metricSetPairList"].elements() {
		pairs = append(pairs, pair)
	}
	return top["canaryConfig"], pairs
}
