package config

// Try says what would be wrong with an object if it were in the cluster as given, next to everything else that is in use
// now. later holds the errors that another document may still fix: an analysis that does not exist yet, or a rollout that
// still has what this one claims. Before [Watcher.Run] has published a set, both are empty.
func (w *Watcher) Try(o Object) (wrong, later Errors) {
	before := w.before.Load()
	if before == nil {
		return nil, nil
	}
	for _, e := range w.loader.try(o.file(), before) {
		if e.later {
			later = append(later, e)
		} else {
			wrong = append(wrong, e)
		}
	}
	return wrong.shown(), later.shown()
}

// try returns what is wrong with one file among the documents of a state, which it does not change.
func (l Loader) try(f file, before *state) Errors {
	r := &resolver{loader: l, before: before}
	for name, old := range before.files {
		if name != f.name {
			r.files = append(r.files, &loaded{file: old.file, docs: old.docs, fresh: old.docs, good: true, same: true})
		}
	}
	r.loader = r.loader.along(r.daemons())
	r.add(f)
	mine := r.files[len(r.files)-1]
	if mine.same {
		return nil // it is in use as it is
	}
	decoded := mine.good
	for again := true; again; {
		again = r.doubles() || r.dangling()
	}
	if !decoded {
		r.rest(mine)
	}
	return mine.errs.sorted()
}
