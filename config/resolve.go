package config

import (
	"slices"
	"strings"

	"github.com/serindev/serin/analysis"
)

// state is a set together with what the next one can fall back on.
type state struct {
	*Set
	files map[string]*loaded
	plans map[string]planned // by rollout
}

// planned is the last good plan of a rollout and the file it came from.
type planned struct {
	rollout Rollout
	file    string
}

// loaded is one file: its content, or its last good content.
type loaded struct {
	file
	// docs are the documents that are part of the set.
	docs []parsed
	// good: docs are the current content. same: they are also those of the set before.
	good, same bool
	// fresh are the documents of the current content that could be decoded, broken the names of those that could not.
	fresh    []parsed
	broken   []string
	unformed []document
	errs     Errors
}

// resolver makes a set from files. References and duplicates are checked across all of them; a file whose new content
// is wrong is represented by its last good content.
type resolver struct {
	loader Loader
	before *state
	files  []*loaded
	errs   Errors // of the files as they are now
	warns  Errors
}

// next makes the set that follows before; before is nil for the first one.
func (l Loader) next(files []file, before *state) *state {
	if before == nil {
		before = &state{files: map[string]*loaded{}, plans: map[string]planned{}}
	}
	r := &resolver{loader: l, before: before}
	for _, f := range files {
		r.add(f)
	}
	r.loader = r.loader.along(r.daemons())
	decoded := map[*loaded]bool{}
	for _, f := range r.files {
		decoded[f] = f.good
	}
	for again := true; again; { // it ends, because each round makes at least one file fall back
		again = r.doubles() || r.dangling()
	}
	for _, f := range r.files {
		if !decoded[f] {
			r.rest(f)
		}
	}
	out := &state{Set: &Set{Files: len(files), Objects: map[ObjectSource]int64{}}, files: map[string]*loaded{}, plans: map[string]planned{}}
	r.plans(out)
	for _, f := range r.files {
		out.files[f.name] = f
		if f.object != nil {
			out.Files--
			out.Objects[f.object.source()] = f.object.Generation
		}
		r.errs = append(r.errs, f.errs...)
		for i := range f.docs {
			r.warns = append(r.warns, f.docs[i].warnings...)
			if d := f.docs[i].daemon; d != nil {
				out.Daemons = append(out.Daemons, d.Spec.withDefaults(f.name))
			}
		}
	}
	out.Errors, out.Warnings = r.errs.shown(), r.warns.shown()
	return out
}

// add parses one file, or reuses what is known about it.
func (r *resolver) add(f file) {
	old, known := r.before.files[f.name]
	if known && f.err == nil && old.good && old.sum == f.sum {
		same := old.file
		if f.object != nil {
			same.object = f.object // its generation may differ
		}
		r.files = append(r.files, &loaded{file: same, docs: old.docs, fresh: old.docs, good: true, same: true})
		return
	}
	now := &loaded{file: f}
	if f.err != nil {
		now.errs = Errors{{File: f.name, Message: f.err.Error()}}
	} else {
		docs, errs := f.documents(r.loader)
		now.errs = errs
		for _, d := range docs {
			if d.manifest() {
				continue // rollouts name it
			}
			p, errs := d.decode(r.loader)
			now.errs = append(now.errs, errs...)
			if p.formed() {
				now.fresh = append(now.fresh, p)
				continue
			}
			now.unformed = append(now.unformed, d)
			if name := d.at("metadata", "name"); !name.gone {
				now.broken = append(now.broken, d.identity(DocumentName(name.node.text)))
			}
		}
	}
	now.body, now.good, now.docs = nil, len(now.errs) == 0, now.fresh
	if !now.good {
		r.fallBack(now)
	}
	r.files = append(r.files, now)
}

// daemons returns the valid documents of this kind.
func (r *resolver) daemons() []*DaemonSpec {
	var out []*DaemonSpec
	for _, f := range r.files {
		for i := range f.fresh {
			if d := f.fresh[i].daemon; d != nil {
				out = append(out, &d.Spec)
			}
		}
	}
	return out
}

// fallBack replaces a file's documents with its last good content. If there is none, its valid documents stay out as
// well: half a file is not what the user wrote.
func (r *resolver) fallBack(f *loaded) {
	f.good, f.same, f.docs = false, false, nil
	if old, ok := r.before.files[f.name]; ok {
		f.docs = old.docs
	}
}

// analyses returns those of the set; for the file more, which may be nil, those of its current content.
func (r *resolver) analyses(more *loaded) map[string]*parsed {
	out := map[string]*parsed{}
	for _, d := range r.all() {
		if d.doc.analysis != nil {
			out[d.doc.name] = d.doc
		}
	}
	if more != nil {
		for i := range more.fresh {
			if d := &more.fresh[i]; d.analysis != nil {
				out[d.name] = d
			}
		}
	}
	return out
}

// lost returns the analyses that exist, but in a file with errors.
func (r *resolver) lost() map[string]string {
	out := map[string]string{}
	for _, f := range r.files {
		if f.good {
			continue
		}
		for _, n := range f.broken {
			out[n] = f.name
		}
		for i := range f.fresh {
			if f.fresh[i].analysis != nil {
				out[f.fresh[i].name] = f.name
			}
		}
	}
	return out
}

// dangling removes changed files whose rollouts refer to something that does not exist, and reports whether there were any.
func (r *resolver) dangling() bool {
	seen := sight{analyses: r.analyses(nil), lost: r.lost()}
	found := false
	for _, f := range r.files {
		if !f.good || f.same {
			continue
		}
		var errs Errors
		for i := range f.docs {
			if d := &f.docs[i]; d.rollout != nil {
				_, e, _ := makePlan(d, seen.from(d.document), r.loader)
				errs = append(errs, e...)
			}
		}
		if len(errs) > 0 {
			f.errs = append(f.errs, errs...)
			r.fallBack(f)
			found = true
		}
	}
	return found
}

// rest finds what else is wrong with a file that had errors before its references were checked.
func (r *resolver) rest(f *loaded) {
	seen := sight{analyses: r.analyses(f), lost: r.lost()}
	for i := range f.fresh {
		if d := &f.fresh[i]; d.rollout != nil {
			_, errs, _ := makePlan(d, seen.from(d.document), r.loader)
			f.errs = append(f.errs, errs...)
		}
	}
	for _, d := range f.unformed {
		f.errs = append(f.errs, d.dangling(seen.from(d))...)
	}
	var refs []documentRef
	for i := range f.fresh {
		refs = append(refs, documentRef{f, &f.fresh[i]})
	}
	for _, c := range clashes(refs) {
		f.errs = append(f.errs, c.error(c.a.doc, c.b.doc), c.error(c.b.doc, c.a.doc))
	}
}

// documentRef is a document and the file through which it is part of the set.
type documentRef struct {
	file *loaded
	doc  *parsed
}

func (r *resolver) all() []documentRef {
	var out []documentRef
	for _, f := range r.files {
		for i := range f.docs {
			out = append(out, documentRef{f, &f.docs[i]})
		}
	}
	return out
}

// doubles removes files that declare the same as others, and reports whether there were any. [resolver.first] decides which
// of two stays.
func (r *resolver) doubles() bool {
	bad := map[*loaded]bool{}
	for _, c := range clashes(r.all()) {
		for _, pair := range [][2]documentRef{{c.a, c.b}, {c.b, c.a}} {
			if me, other := pair[0], pair[1]; !r.first(me, other, c.claim) {
				e := c.error(me.doc, other.doc)
				e.later = c.what != claimName // the other one may go: tools that rename a rollout write first, and delete then
				me.file.errs = append(me.file.errs, e)
				bad[me.file] = true
			}
		}
	}
	for f := range bad {
		if f.good {
			r.fallBack(f)
			continue
		}
		f.docs = nil // its last good content clashes as well
	}
	return len(bad) > 0
}

// first reports whether me keeps a claim that other makes too. The one that had it before keeps it. After a restart neither
// had it: then a file takes precedence over an object, so that people who may only write objects cannot take over a file's
// rollout, and an older object over a younger one. Two new files both lose it, since neither is known to be right.
func (r *resolver) first(me, other documentRef, c claim) bool {
	mine, others := r.had(me, c), r.had(other, c)
	switch {
	case mine != others:
		return mine
	case mine || me.file.object == nil:
		return !mine && other.file.object != nil
	}
	return other.file.object != nil && me.file.object.Created.Before(other.file.object.Created)
}

// had reports whether the document was already part of the set, from this file and with this claim.
func (r *resolver) had(d documentRef, c claim) bool {
	old, ok := r.before.files[d.file.name]
	return ok && slices.ContainsFunc(old.docs, func(o parsed) bool {
		return o.kind == d.doc.kind && o.name == d.doc.name && slices.ContainsFunc(o.claims(), c.same)
	})
}

// clash is a pair of documents that cannot coexist.
type clash struct {
	claim
	a, b documentRef
}

// claim is something that only one document may have.
type claim struct {
	what claimed
	of   string
	// shared: others may have it as well, if they share it too.
	shared bool
}

func (c claim) same(other claim) bool { return c.what == other.what && c.of == other.of }

type claimed int

const (
	claimName   claimed = iota // a kind's name
	claimFile                  // a file of Traefik
	claimObject                // the name of an object in Traefik
	claimHost                  // a host or rule at an entry point of Traefik
	claimArm                   // a Deployment or StatefulSet
	claimRule                  // the rules of a route of Gateway API that lead to a Service
)

// error is the message for one of the two documents.
func (c claim) error(me, other *parsed) Error {
	at, where := me.at("metadata", "name"), other.at("metadata", "name").where()
	if me.kind == KindDaemon {
		at = me.at("kind")
	}
	switch c.what {
	case claimFile:
		return at.errorf("writes the same Traefik file as the rollout in %s: each needs one of its own", where)
	case claimObject:
		return at.errorf("would make an object %q in Traefik, and so would the rollout in %s: use another name", c.of, where)
	case claimHost:
		return at.errorf("has the same route as the rollout in %s, %s: Traefik would give each request to either of them", where, c.of)
	case claimArm:
		return at.errorf("has %s, which is an arm of the rollout in %s: a workload belongs to one rollout", c.of, where)
	case claimRule:
		return at.errorf("has the rules of route %s, and so has the rollout in %s: use another Service, or one rollout", c.of, where)
	case claimName:
	}
	return at.errorf("%s is declared a second time, in %s", me.title(), where)
}

// claims returns those of a document, the most important first.
func (p *parsed) claims() []claim {
	out := []claim{{what: claimName, of: p.title()}}
	if p.rollout == nil {
		return out
	}
	if g := p.rollout.Spec.Traffic.gateway(); g != nil {
		out = append(out, g.claims(p)...)
	}
	return out
}

// clashes finds documents that claim what an earlier one claims, with only the first reason for each pair.
func clashes(docs []documentRef) []clash {
	var out []clash
	type holder struct {
		documentRef
		claim
	}
	first := map[claim]holder{}
	told := map[[2]*parsed]bool{}
	for _, d := range docs {
		for _, c := range d.doc.claims() {
			key := claim{what: c.what, of: c.of}
			a, taken := first[key]
			if !taken {
				first[key] = holder{d, c}
				continue
			}
			if pair := [2]*parsed{a.doc, d.doc}; a.doc != d.doc && !told[pair] && (!a.shared || !c.shared) {
				told[pair] = true
				out = append(out, clash{c, a.documentRef, d})
			}
		}
	}
	return out
}

// plans makes the plan of every rollout. One that has become invalid through no change of its own keeps its last plan.
func (r *resolver) plans(out *state) {
	seen := sight{analyses: r.analyses(nil), lost: r.lost()}
	out.Definitions = map[string]analysis.Definition{}
	for name, a := range seen.analyses {
		out.Analyses = append(out.Analyses, name)
		out.Definitions[name] = a.analysis.Spec.definition(name, sourcing{loader: r.loader})
	}
	for _, d := range r.all() {
		if d.doc.rollout == nil {
			continue
		}
		plan, errs, warns := makePlan(d.doc, seen.from(d.doc.document), r.loader)
		now := Rollout{Plan: plan, File: d.file.name, Line: d.doc.root.line, Outdated: !d.file.good}
		if d.file.object != nil {
			now.Line = 0
		}
		if len(errs) > 0 {
			if d.file.good {
				d.file.errs = append(d.file.errs, errs...)
			}
			old, had := r.before.plans[d.doc.name]
			if !had || old.file != d.file.name {
				continue
			}
			now = old.rollout
			now.Outdated = true
		}
		r.warns = append(r.warns, warns...)
		out.Rollouts = append(out.Rollouts, now)
		out.plans[d.doc.name] = planned{now, d.file.name}
	}
	slices.Sort(out.Analyses)
	slices.SortFunc(out.Rollouts, func(a, b Rollout) int { return strings.Compare(a.Plan.Rollout.Name, b.Plan.Rollout.Name) })
}
