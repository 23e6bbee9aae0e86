package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// helperFile is the name of the file that is added to a package, with the functions that replace its operators.
const helperFile = "mutants_in_one_binary.go"

//go:embed helpers.txt
var helpers string

// functions are the helpers that replace operators.
var functions = map[token.Token]string{
	token.ADD: "m_add", token.SUB: "m_sub", token.MUL: "m_mul", token.QUO: "m_quo", token.REM: "m_rem",
	token.LSS: "m_lss", token.LEQ: "m_leq", token.GTR: "m_gtr", token.GEQ: "m_geq", token.LAND: "m_land", token.LOR: "m_lor",
	token.AND: "m_and", token.OR: "m_or", token.XOR: "m_xor", token.AND_NOT: "m_andnot", token.SHL: "m_shl", token.SHR: "m_shr",
}

// edit replaces a part of a text.
type edit struct {
	at, end int
	text    string
}

// inOrder sorts edits. At the same place, those that close a call come first, as between an operand and an operator
// that follows it without a space; the others keep their order.
func inOrder(a, b edit) int {
	rank := func(e edit) int {
		if strings.HasPrefix(e.text, ")") || strings.HasPrefix(e.text, " }") {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(rank(a), rank(b)))
}

// schemata returns the package's files with all mutants in them: an operator becomes a call that computes the same,
// unless the environment names the mutant. No line is added or removed. A mutant that cannot be included, in a constant
// for example, is marked to be compiled alone.
//
// Untch, Offutt and Harrold, Mutation analysis using mutant schemata, ISSTA 1993, 139–148.
func (s *source) schemata(mutants []*mutant) (map[string][]byte, error) {
	for {
		texts := map[string][]byte{helperFile: []byte("package " + s.files[0].tree.Name.Name + "\n" + helpers)}
		for _, f := range s.files {
			texts[f.name] = s.rewrite(f, mutants)
		}
		_, faults, err := s.changed(texts)
		if err != nil {
			return nil, err
		}
		if len(faults) == 0 {
			return texts, nil
		}
		before := count(mutants, func(m *mutant) bool { return m.alone })
		for _, fault := range faults {
			s.blame(fault, mutants)
		}
		if count(mutants, func(m *mutant) bool { return m.alone }) == before {
			return nil, fmt.Errorf("with all mutants in it, the package does not compile: %w", faults[0])
		}
	}
}

func count(mutants []*mutant, is func(*mutant) bool) int {
	n := 0
	for _, m := range mutants {
		if is(m) {
			n++
		}
	}
	return n
}

// blame marks the mutants that may keep their package from compiling: those on the line of the error or, if there are
// none, in the declaration around it.
func (s *source) blame(fault types.Error, mutants []*mutant) {
	at := fault.Fset.Position(fault.Pos)
	first, last := at.Line, at.Line
	of := mutantsOf(mutants, s.folder+"/"+at.Filename)
	within := func(m *mutant) bool { return m.line >= first && m.line <= last && !m.alone }
	if count(of, within) == 0 {
		for _, f := range s.files {
			for _, d := range f.tree.Decls {
				from, to := s.set.Position(d.Pos()).Line, s.set.Position(d.End()).Line
				if f.name == at.Filename && from <= at.Line && at.Line <= to {
					first, last = from, to
				}
			}
		}
	}
	for _, m := range of {
		// If a mutant may leave an endless loop, a return is needed after it. No other mutant in the function causes
		// this error.
		if within(m) && (!strings.Contains(fault.Msg, "missing return") || m.from == token.CONTINUE) {
			m.alone = true
		}
	}
}

func mutantsOf(mutants []*mutant, file string) []*mutant {
	return slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return m.file != file })
}

// rewriter makes the edits of one file.
type rewriter struct {
	*source
	text  []byte
	at    map[int][]*mutant // by the place of the token
	edits []edit
	posts map[ast.Stmt]bool // the post statement of a loop
	inits map[ast.Stmt]bool // the statement before a condition
}

func (s *source) rewrite(f file, mutants []*mutant) []byte {
	r := rewriter{source: s, text: f.text, at: map[int][]*mutant{}, posts: map[ast.Stmt]bool{}, inits: map[ast.Stmt]bool{}}
	for _, m := range mutantsOf(mutants, s.folder+"/"+f.name) {
		if !m.alone {
			r.at[m.offset] = append(r.at[m.offset], m)
		}
	}
	var open []ast.Node
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if n == nil {
			last := open[len(open)-1]
			open = open[:len(open)-1]
			r.after(last)
			return true
		}
		open = append(open, n)
		r.before(n)
		return true
	})
	slices.SortStableFunc(r.edits, inOrder)
	var out []byte
	done := 0
	for _, e := range r.edits {
		out = append(append(out, f.text[done:e.at]...), e.text...)
		done = e.end
	}
	return append(out, f.text[done:]...)
}

func (r *rewriter) offset(p token.Pos) int { return r.set.Position(p).Offset }

// of returns the mutants of a node that belong into the text.
func (r *rewriter) of(n ast.Node) []*mutant {
	tok, pos := operator(n)
	if tok == token.ILLEGAL {
		return nil
	}
	return r.at[r.offset(pos)]
}

func (r *rewriter) insert(p token.Pos, text string) {
	r.edits = append(r.edits, edit{at: r.offset(p), end: r.offset(p), text: text})
}

// operatorBecomes replaces a node's operator.
func (r *rewriter) operatorBecomes(n ast.Node, text string) {
	tok, pos := operator(n)
	r.edits = append(r.edits, edit{at: r.offset(pos), end: r.offset(pos) + len(tok.String()), text: text})
}

// before makes the edits at the beginning of a node and at its operator.
func (r *rewriter) before(n ast.Node) {
	switch n := n.(type) {
	case *ast.ForStmt:
		r.posts[n.Post] = n.Post != nil
	case *ast.IfStmt:
		r.inits[n.Init] = n.Init != nil
	case *ast.SwitchStmt:
		r.inits[n.Init] = n.Init != nil
	}
	ms := r.of(n)
	if len(ms) == 0 {
		return
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		r.binary(n, ms)
	case *ast.UnaryExpr:
		r.operatorBecomes(n, fmt.Sprintf("m_neg%s(%d, ", r.typeOf(n), ms[0].id))
	case *ast.AssignStmt, *ast.IncDecStmt:
		r.statement(n.(ast.Stmt), ms)
	case *ast.BranchStmt:
		label := ""
		if n.Label != nil {
			label = " " + n.Label.Name
		}
		r.insert(n.Pos(), fmt.Sprintf("{ if m_on(%d) { %s%s }; ", ms[0].id, ms[0].to, label))
	}
}

func (r *rewriter) binary(n *ast.BinaryExpr, ms []*mutant) {
	id := ms[0].id
	switch n.Op {
	case token.EQL, token.NEQ:
		r.insert(n.Pos(), "((")
	case token.LAND, token.LOR:
		r.insert(n.Pos(), fmt.Sprintf("%s(%d, ", functions[n.Op], id))
		r.operatorBecomes(n, ", func() bool { return (")
	case token.LSS, token.LEQ, token.GTR, token.GEQ: // two mutants: the boundary and the opposite
		r.insert(n.Pos(), fmt.Sprintf("%s(%d, %d, ", functions[n.Op], id, ms[1].id))
		r.operatorBecomes(n, ",")
	default:
		r.insert(n.Pos(), fmt.Sprintf("%s%s(%d, ", functions[n.Op], r.typeOf(n), id))
		r.operatorBecomes(n, ",")
	}
}

// typeOf is the type argument of a number's helper, if its type is predeclared; Go infers others.
func (r *rewriter) typeOf(e ast.Expr) string {
	if b, ok := r.info.Types[e].Type.(*types.Basic); ok && b.Info()&types.IsUntyped == 0 {
		return "[" + b.Name() + "]"
	}
	return ""
}

// statement puts the mutants of an assignment in front of it, as cases of a switch.
func (r *rewriter) statement(n ast.Stmt, ms []*mutant) {
	text := r.text[r.offset(n.Pos()):r.offset(n.End())]
	if r.inits[n] || strings.Contains(string(text), "\n") {
		for _, m := range ms {
			m.alone = true
		}
		return
	}
	var b strings.Builder
	if r.posts[n] {
		b.WriteString("func() { ")
	}
	b.WriteString("switch { ")
	for _, m := range ms {
		within := *m
		within.offset -= r.offset(n.Pos())
		fmt.Fprintf(&b, "case m_on(%d): %s; ", m.id, within.mistaken(text))
	}
	b.WriteString("default: ")
	r.insert(n.Pos(), b.String())
}

// after makes the edits at the end of a node.
func (r *rewriter) after(n ast.Node) {
	ms := r.of(n)
	if len(ms) == 0 || ms[0].alone {
		return
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		switch n.Op {
		case token.EQL, token.NEQ:
			r.insert(n.End(), fmt.Sprintf(") != m_on(%d))", ms[0].id))
		case token.LAND, token.LOR:
			r.insert(n.End(), ") })")
		default:
			r.insert(n.End(), ")")
		}
	case *ast.UnaryExpr:
		r.insert(n.End(), ")")
	case *ast.AssignStmt, *ast.IncDecStmt:
		r.insert(n.End(), " }")
		if r.posts[n.(ast.Stmt)] {
			r.insert(n.End(), " }()")
		}
	case *ast.BranchStmt:
		r.insert(n.End(), " }")
	}
}
