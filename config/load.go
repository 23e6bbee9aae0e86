package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

// Loader is how configuration is read. The zero value reads as [Load] does.
type Loader struct {
	// Settle is how long analyses wait for late samples if they do not say; 0 is package analysis's default.
	Settle time.Duration
	// Series is how the gateway's own series are found in the daemon's own Prometheus.
	Series traefik.Series
	// Scraped: the daemon reads targets itself instead of querying a Prometheus, see [Source].
	Scraped bool
	// Sources are the daemon's further ones, by name; nil means that they are not known, and any name will do.
	Sources map[string]Source
	// Receivers are the daemon's that rollouts may ask for, by name; nil means that they are not known, and any will do.
	Receivers map[string]Receiver
	// Rule, RuleTCP and Guards run the gateway's own parsers: for the rule of a route, of a TCP route, and for a circuit
	// breaker's expression. nil skips the check.
	Rule    func(rule string) error
	RuleTCP func(rule string, tls bool) error
	Guards  func(traffic.Guards) error
	// Job and Template parse a manifest of a batch/v1 Job, and of a v1 PodTemplate, strictly, and return it as JSON.
	// nil takes any YAML.
	Job, Template func([]byte) (json.RawMessage, error)
	// Stdin is what the path "-" reads; nil is empty.
	Stdin io.Reader
	// Objects limits what documents in a cluster may do.
	Objects Objects
	// Manifests: a document in a file that has metadata.namespace is checked as the custom resource that kubectl would make
	// of it. The daemon does not set this: its files belong to no namespace.
	Manifests bool
}

// Source holds what analyses have to know about a source of metrics.
type Source struct {
	// Settle is how long analyses wait for late samples if they do not say.
	Settle time.Duration
	// Series is how the gateway's own series are found in it.
	Series traefik.Series
	// Scraped: not a Prometheus but targets that Serin reads itself, without PromQL and without a history.
	Scraped bool
}

// Set holds all documents as they were at one time. It is immutable.
type Set struct {
	// Rollouts by name, ascending.
	Rollouts []Rollout
	// Analyses are the names of the documents of this kind, ascending; the built-in one is not among them.
	Analyses []string
	// Definitions is what those analyses measure, by name.
	Definitions map[string]analysis.Definition
	// Daemons are the documents of this kind; usually one, or none. Defaults are filled in.
	Daemons []DaemonSpec
	// Files is how many files were read.
	Files int
	// Objects are the generations of the objects in a cluster that were read. What is wrong with one is in Errors, where its
	// [ObjectSource] is the File.
	Objects map[ObjectSource]int64
	// Errors of the files as they are now; documents that used to be right are still here in their last good version.
	// Warnings are worth a second look.
	Errors, Warnings Errors
}

// Rollout is one rollout as it can be started.
type Rollout struct {
	Plan record.Plan `json:"plan"`
	// File and Line are where it is declared.
	File string `json:"file"`
	Line int    `json:"line"`
	// Outdated: its file, or something that it refers to, has errors; this is its last good version.
	Outdated bool `json:"outdated,omitempty"`
}

// Rollout finds a rollout by name.
func (s *Set) Rollout(name string) (Rollout, bool) {
	for _, r := range s.Rollouts {
		if r.Plan.Rollout.Name == name {
			return r, true
		}
	}
	return Rollout{}, false
}

// Plans returns the plans of all rollouts by name.
func (s *Set) Plans() map[string]record.Plan {
	plans := make(map[string]record.Plan, len(s.Rollouts))
	for _, r := range s.Rollouts {
		plans[r.Plan.Rollout.Name] = r.Plan
	}
	return plans
}

// Load reads files, and folders recursively, and returns every document without errors together with everything that is
// wrong. Files end in .yaml or .yml; names that begin with a dot are skipped.
func Load(paths ...string) (*Set, Errors) { return Loader{}.Load(paths...) }

// Load is [Load] with this loader's checks.
func (l Loader) Load(paths ...string) (*Set, Errors) {
	set := l.next(l.read(paths), nil)
	return set.Set, set.Errors
}

// file is the content of one file.
type file struct {
	name string
	sum  [sha256.Size]byte
	body []byte
	err  error // it could not be read
	// object was read from a cluster in place of a file; nil for a file.
	object *Object
}

// read reads all files, ascending by name.
func (l Loader) read(paths []string) []file {
	var out []file
	seen := map[string]bool{}
	for _, path := range paths {
		for _, f := range l.list(path) {
			if !seen[f.name] {
				seen[f.name] = true
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	if len(out) > maxFiles {
		out = append(out[:maxFiles], file{name: paths[0], err: fmt.Errorf("more than %d files", maxFiles)})
	}
	for i := range out {
		if f := &out[i]; f.err == nil && f.body == nil {
			f.body, f.err = readFile(f.name)
		}
		out[i].sum = sha256.Sum256(out[i].body)
	}
	return out
}

// list finds the files of one path.
func (l Loader) list(path string) []file {
	if path == "-" {
		f := file{name: "-", body: []byte{}}
		if l.Stdin != nil {
			f.body, f.err = io.ReadAll(io.LimitReader(l.Stdin, maxFileSize+1))
		}
		return []file{f}
	}
	info, err := os.Stat(path)
	if err != nil {
		return []file{{name: path, err: unwrapPath(err)}}
	}
	if !info.IsDir() {
		return []file{{name: path}}
	}
	var out []file
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch hidden := strings.HasPrefix(d.Name(), ".") && p != path; {
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) { // deleted meanwhile: skipped
				out = append(out, file{name: p, err: unwrapPath(err)})
			}
			return nil
		case hidden && d.IsDir():
			return filepath.SkipDir
		case hidden || d.IsDir() || !yamlName(p):
			return nil
		case len(out) > maxFiles:
			return filepath.SkipAll
		}
		// A mounted ConfigMap's files are symbolic links; a link to a folder is not followed.
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() || errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink != 0 {
			out = append(out, file{name: p})
		}
		return nil
	})
	if err != nil {
		out = append(out, file{name: path, err: unwrapPath(err)})
	}
	return out
}

// documents of a file, or the one that an object is.
func (f file) documents(l Loader) ([]document, Errors) {
	if f.object != nil {
		return f.object.document()
	}
	docs, errs := parse(f.name, f.body)
	for i := range docs {
		if l.Manifests {
			docs[i] = docs[i].asObject()
		}
	}
	return docs, errs
}

func yamlName(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the user says which files are the configuration
	if err != nil {
		return nil, unwrapPath(err)
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, unwrapPath(err)
	}
	return bytes.Clone(b), nil
}

// unwrapPath leaves out the path: the message begins with it anyway.
func unwrapPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
