package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long there must be no event before files are read: one save of an editor causes several.
	quiet = 100 * time.Millisecond
	// patient is how long a stream of events can delay that.
	patient = time.Second
	// poll finds what no event reports: network file systems, and links that lead out of the watched folders.
	poll = 30 * time.Second
	// stable is how many times files are read again at most until two readings agree, so that a folder is not read half old
	// and half new while it is being swapped.
	stable = 5
	// objectsWithin is how long the first set waits for a cluster to list its objects: rollouts in files do not depend on it.
	objectsWithin = 10 * time.Second
)

// Cluster tells which documents are objects in a cluster.
type Cluster interface {
	// Documents returns the objects that exist now and are not being deleted; known is false until the cluster has listed
	// them.
	Documents() (objects []Object, known bool)
	// Changed receives a value when Documents may have changed.
	Changed() <-chan struct{}
}

// Watcher keeps a [Set] up to date with the files. A file that becomes invalid keeps its last good documents; the set's
// Errors say what is wrong. It reads on events, and every 30 s in case events are missing.
type Watcher struct {
	loader  Loader
	paths   []string
	cluster Cluster // nil for none
	log     *slog.Logger
	publish func(*Set)
	current atomic.Pointer[Set]

	before atomic.Pointer[state] // only Run changes it; nil before the first reading
}

// NewWatcher watches files, and folders with all that is below them. publish is called by Run with every new set,
// one after the other; it must not block for long. Nothing happens before Run.
func NewWatcher(l Loader, log *slog.Logger, publish func(*Set), paths ...string) *Watcher {
	return &Watcher{loader: l, paths: paths, log: log, publish: publish}
}

// With reads the documents in a cluster too. It is called before Run.
func (w *Watcher) With(c Cluster) *Watcher {
	w.cluster = c
	return w
}

// Current returns the newest set; nil before Run has published the first.
func (w *Watcher) Current() *Set { return w.current.Load() }

// Run publishes the current set, even with errors, and a new one after every change, until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer func() { _ = notify.Close() }()
	r := reader{Watcher: w, notify: notify, folders: map[string]fs.FileInfo{}}
	objects := r.objects(ctx)
	r.reload()
	again := time.NewTicker(poll)
	defer again.Stop()
	settled := time.NewTimer(quiet)
	settled.Stop()
	var since time.Time // of the first event since the last read
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-notify.Events:
			if !ok {
				return errors.New("watch configuration: events have ended")
			}
			if !w.concerns(e) {
				continue
			}
			if since.IsZero() {
				since = time.Now()
			}
			settled.Reset(max(0, min(quiet, patient-time.Since(since))))
		case <-objects:
			if since.IsZero() {
				since = time.Now()
			}
			settled.Reset(max(0, min(quiet, patient-time.Since(since))))
		case err := <-notify.Errors: // events may be lost, so read
			w.log.Warn("watch configuration", "err", err)
			settled.Reset(quiet)
		case <-settled.C:
			since = time.Time{}
			r.reload()
		case <-again.C:
			r.reload()
		}
	}
}

// concerns reports whether an event is about something that is read: of a parent folder only one name matters.
func (w *Watcher) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	name := filepath.Clean(e.Name)
	for _, p := range w.paths {
		p = filepath.Clean(p)
		inside := p == "." || name == p || strings.HasPrefix(name, p+string(filepath.Separator))
		link := filepath.Dir(name) == filepath.Dir(p) && strings.HasPrefix(filepath.Base(name), "..") // a ConfigMap's
		if inside || link {
			return true
		}
	}
	return false
}

// reader is the part of a watcher that one Run owns.
type reader struct {
	*Watcher
	notify  *fsnotify.Watcher
	folders map[string]fs.FileInfo
	digest  [sha256.Size]byte
}

// reload watches what exists now, reads it, and publishes what is new.
func (r *reader) reload() {
	r.follow() // first, so that no change during the read goes unnoticed
	files := r.read()
	digest := digestOf(files)
	for range stable {
		again := r.read()
		d := digestOf(again)
		if d == digest {
			break
		}
		files, digest = again, d
	}
	before := r.before.Load()
	if before != nil && digest == r.digest {
		return
	}
	next := r.loader.next(files, before)
	r.tell(next.Set)
	r.digest = digest
	r.before.Store(next)
	r.current.Store(next.Set)
	r.publish(next.Set)
}

// read reads files and objects.
func (r *reader) read() []file {
	files := r.loader.read(r.paths)
	if r.cluster == nil {
		return files
	}
	objects, _ := r.cluster.Documents()
	sortObjects(objects)
	for i := range objects {
		files = append(files, objects[i].file())
	}
	return files
}

// objects returns the channel of changes in the cluster, once the cluster has listed its objects, or after [objectsWithin]:
// a rollout must not seem to be gone because the cluster is slow.
func (r *reader) objects(ctx context.Context) <-chan struct{} {
	if r.cluster == nil {
		return nil
	}
	end := time.NewTimer(objectsWithin)
	defer end.Stop()
	for {
		if _, known := r.cluster.Documents(); known {
			return r.cluster.Changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.cluster.Changed():
		case <-end.C:
			r.log.Warn("the cluster has not listed its rollouts yet; those in files are used without them")
			return r.cluster.Changed()
		}
	}
}

// tell logs what is new.
func (r *reader) tell(now *Set) {
	r.log.Info("configuration read", "files", now.Files, "rollouts", len(now.Rollouts), "analyses", len(now.Analyses),
		"errors", len(now.Errors), "warnings", len(now.Warnings))
	var errs, warnings Errors
	if before := r.before.Load(); before != nil {
		errs, warnings = before.Errors, before.Warnings
	}
	for _, e := range now.Errors {
		if !slices.Contains(errs, e) {
			r.log.Warn("configuration has an error; the last good version stays in use", "err", e.headline())
		}
	}
	for _, e := range now.Warnings {
		if !slices.Contains(warnings, e) {
			r.log.Info("configuration has a warning", "warning", e.headline())
		}
	}
}

// follow watches every folder that is read, and the parent of each path, where the path itself appears and disappears.
func (r *reader) follow() {
	wanted := map[string]fs.FileInfo{}
	want := func(dir string) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			wanted[dir] = info
		}
	}
	for _, p := range r.paths {
		want(filepath.Dir(filepath.Clean(p)))
		_ = filepath.WalkDir(p, func(dir string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil // gone or unreadable: the read reports it
			case d.IsDir() && dir != p && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case d.IsDir() || dir == p:
				want(dir)
			}
			return nil
		})
	}
	for dir, info := range wanted {
		if was, ok := r.folders[dir]; ok && os.SameFile(was, info) {
			continue
		}
		_ = r.notify.Remove(dir) // a different folder of this name, or none
		if err := r.notify.Add(dir); err != nil {
			r.log.Warn("watch folder", "folder", dir, "err", err)
			delete(wanted, dir) // the next read tries again
		}
	}
	for dir := range r.folders {
		if _, ok := wanted[dir]; !ok {
			_ = r.notify.Remove(dir)
		}
	}
	r.folders = wanted
}

// digestOf is equal for equal files.
func digestOf(files []file) (out [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%q %x %v\n", f.name, f.sum, f.err) // a hash takes everything
		if f.object != nil {
			_, _ = fmt.Fprintln(h, f.object.Generation)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}
