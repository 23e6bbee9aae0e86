package kube

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

// memory records, on a Deployment, what it was before a release changed something there; it is written together with the
// change. What the release has not changed is not in it, so restoring leaves that alone.
type memory struct {
	Release string `json:"release"`
	// Created: there was no such Deployment.
	Created  bool           `json:"created,omitempty"`
	Template map[string]any `json:"template,omitempty"`
	Replicas *int64         `json:"replicas,omitempty"`
	// Wrote and Scaled are what the release wrote last: the hash of a template, and replicas. Where the Deployment differs,
	// another writer has changed it.
	Wrote  string `json:"wrote,omitempty"`
	Scaled *int64 `json:"scaled,omitempty"`
}

const (
	// packFrom is the size in bytes from which a memory is compressed: all annotations of an object together may
	// have 256 KiB, and kubectl apply keeps the whole object there, too.
	packFrom = 16 << 10
	packed   = "gzip:"
	// maxNotes is how many bytes all annotations of an object may have together; the API server refuses more.
	maxNotes = 256 << 10
	// maxMemory bounds what is unpacked: an object has 1.5 MiB at most in etcd.
	maxMemory = 2 << 20
)

// remembered returns what a release has recorded on a Deployment; the zero memory if there is no record of it.
func remembered(o *unstructured.Unstructured, release string) (memory, error) {
	return memoryIn(o, beforeAnnotation, release)
}

// memoryIn returns what an annotation of a Deployment says about a release; the zero memory if it is about none, or another.
func memoryIn(o *unstructured.Unstructured, annotation, release string) (memory, error) {
	text := o.GetAnnotations()[annotation]
	if text == "" || release == "" {
		return memory{}, nil
	}
	m, err := parseMemory(text)
	if err != nil {
		return memory{}, fmt.Errorf("read the annotation %s: %w", annotation, err)
	}
	if m.Release != release {
		return memory{}, nil
	}
	return m, nil
}

func parseMemory(text string) (memory, error) {
	data, err := unpack(text)
	if err != nil {
		return memory{}, err
	}
	var m memory
	if err := json.Unmarshal(data, &m); err != nil {
		return memory{}, err
	}
	return m, nil
}

// room makes the operations of a patch leave room for what they note on an object. What an undo of the last release would
// need is given up first: it says then that it is not known. If the rest does not fit either, the error is a refusal.
func room(o *unstructured.Unstructured, operations []operation) ([]operation, error) {
	if fits(o, operations) {
		return operations, nil
	}
	path := annotationsPath + "/" + pointer(previousAnnotation)
	less := slices.DeleteFunc(slices.Clone(operations), func(op operation) bool { return op.Path == path })
	if o.GetAnnotations()[previousAnnotation] != "" {
		less = append(less, unannotate(previousAnnotation)...)
	}
	if fits(o, less) {
		return less, nil
	}
	return nil, refused(fmt.Sprintf("what has to be remembered on it does not fit: with that its annotations would "+
		"have more than %d KiB, the most that Kubernetes takes: make its pod template or its annotations smaller",
		maxNotes>>10))
}

const annotationsPath = "/metadata/annotations"

// fits tells whether the annotations of an object are not too large after the operations of a patch. Without any of them it
// does not matter.
func fits(o *unstructured.Unstructured, operations []operation) bool {
	all, more := maps.Clone(o.GetAnnotations()), false
	if all == nil {
		all = map[string]string{}
	}
	for _, op := range operations {
		key, isOne := strings.CutPrefix(op.Path, annotationsPath+"/")
		switch value := op.Value.(type) {
		case map[string]string:
			if op.Path == annotationsPath {
				all, more = value, true
			}
		case string:
			if isOne {
				all[unpointer(key)], more = value, true
			}
		default:
			if isOne {
				delete(all, unpointer(key))
			}
		}
	}
	size := 0
	for k, v := range all {
		size += len(k) + len(v)
	}
	return !more || size <= maxNotes
}

// unpack is the opposite of [pack].
func unpack(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, packed)
	if !ok {
		return []byte(text), nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxMemory+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxMemory {
		return nil, fmt.Errorf("it has more than %d bytes", maxMemory)
	}
	return data, nil
}

func (m memory) String() string {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // it came from JSON
	}
	return pack(data)
}

// pack compresses what is large.
func pack(data []byte) string {
	if len(data) < packFrom {
		return string(data)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return packed + base64.StdEncoding.EncodeToString(b.Bytes())
}
