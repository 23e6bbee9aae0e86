package store

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
)

// lookBody is what is stored of a look in addition to its position.
type lookBody struct {
	Turn    int           `json:"turn"`
	Look    judge.Look    `json:"look"`
	Verdict judge.Verdict `json:"verdict"`
}

// flated1 is the first byte of a body that is JSON, deflated with the dictionary look1.dict. A body that is plain
// JSON begins with a brace, and is read as well. A better dictionary gets a byte of its own.
const flated1 = 1

// lookDict1 is four typical looks. Most of a look is the names of its fields, so that it shrinks to a fifth: six fit
// into a page of SQLite, where a plain one takes two pages. It must never change: the looks in the databases need it.
//
//go:embed look1.dict
var lookDict1 []byte

// lookLevel is the lowest level of package flate that uses a dictionary; higher ones cost time and gain 5%.
const lookLevel = 2

// deflaters keep the tables of package flate, most of a MiB each.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(nil, lookLevel, lookDict1)
	if err != nil {
		panic(err) // the level is valid
	}
	return w
}}

var inflaters = sync.Pool{New: func() any { return flate.NewReaderDict(nil, lookDict1) }}

// encodeLook writes the body of a row of the table looks.
func encodeLook(l record.LookRecord) ([]byte, error) {
	text, err := json.Marshal(lookBody{l.Turn, l.Look, l.Verdict})
	if err != nil {
		return nil, fmt.Errorf("encode look %d of %s/%s: %w", l.Look.Number, l.Release, l.Scope, err)
	}
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	out := bytes.NewBuffer(make([]byte, 0, len(text)/4))
	out.WriteByte(flated1)
	w.Reset(out)
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("deflate look %d of %s/%s: %w", l.Look.Number, l.Release, l.Scope, err)
	}
	return out.Bytes(), nil
}

// decodeLook reads what encodeLook wrote into l, whose release and scope stay.
func decodeLook(b []byte, l *record.LookRecord) error {
	text, err := inflate(b)
	var body lookBody
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil {
		return fmt.Errorf("decode a look of %s/%s: %w", l.Release, l.Scope, err)
	}
	l.Turn, l.Look, l.Verdict = body.Turn, body.Look, body.Verdict
	return nil
}

func inflate(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != flated1 {
		return b, nil
	}
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b[1:]), lookDict1); err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
