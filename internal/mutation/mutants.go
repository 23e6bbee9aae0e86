package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// mutations maps, for each kind of mistake, a token to its replacement. The kinds are those of gremlins 0.6, with its
// names.
var mutations = map[string]map[token.Token]token.Token{
	"ARITHMETIC_BASE":       {token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL},
	"CONDITIONALS_BOUNDARY": {token.GEQ: token.GTR, token.GTR: token.GEQ, token.LEQ: token.LSS, token.LSS: token.LEQ},
	"CONDITIONALS_NEGATION": {
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.GEQ: token.LSS, token.LSS: token.GEQ, token.GTR: token.LEQ, token.LEQ: token.GTR,
	},
	"INCREMENT_DECREMENT": {token.INC: token.DEC, token.DEC: token.INC},
	"INVERT_ASSIGNMENTS": {
		token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN, token.MUL_ASSIGN: token.QUO_ASSIGN,
		token.QUO_ASSIGN: token.MUL_ASSIGN,
	},
	"INVERT_BITWISE": {
		token.AND: token.OR, token.OR: token.AND, token.XOR: token.AND, token.AND_NOT: token.AND, token.SHL: token.SHR, token.SHR: token.SHL,
	},
	"INVERT_BWASSIGN": {
		token.AND_ASSIGN: token.OR_ASSIGN, token.OR_ASSIGN: token.AND_ASSIGN, token.XOR_ASSIGN: token.AND_ASSIGN,
		token.AND_NOT_ASSIGN: token.AND_ASSIGN, token.SHL_ASSIGN: token.SHR_ASSIGN, token.SHR_ASSIGN: token.SHL_ASSIGN,
	},
	"INVERT_LOGICAL":  {token.LAND: token.LOR, token.LOR: token.LAND},
	"INVERT_LOOPCTRL": {token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK},
	"REMOVE_SELF_ASSIGNMENTS": {
		token.ADD_ASSIGN: token.ASSIGN, token.SUB_ASSIGN: token.ASSIGN, token.MUL_ASSIGN: token.ASSIGN,
		token.QUO_ASSIGN: token.ASSIGN, token.REM_ASSIGN: token.ASSIGN,
		token.AND_ASSIGN: token.ASSIGN, token.OR_ASSIGN: token.ASSIGN, token.XOR_ASSIGN: token.ASSIGN,
		token.AND_NOT_ASSIGN: token.ASSIGN, token.SHL_ASSIGN: token.ASSIGN, token.SHR_ASSIGN: token.ASSIGN,
	},
}

// negatives is the one mutation of a unary operator: a minus that becomes a plus.
const negatives = "INVERT_NEGATIVES"

// mutant is a mistake and its outcome.
type mutant struct {
	site
	id           int // its number in the package, from 1
	line, column int // of the token, from 1
	offset       int // of the token in its file, in bytes
	from, to     token.Token
	alone        bool   // it has to be compiled by itself
	key          string // the same as long as the declaration around it is, apart from comments and layout
	outcome      string
}

// site says where a mistake is made, in a form that survives changes elsewhere in the file.
type site struct {
	file string // below the module's root
	kind string // as gremlins calls it
	code string // the line, with the token that was changed in «»
}

// The outcomes of a mutant.
const (
	killed   = "killed"   // a test failed or reached a limit
	lived    = "lived"    // all tests passed
	unviable = "unviable" // it does not compile
)

// mutants are the mistakes that can be made in the package, in the order of its files.
func (s *source) mutants() []*mutant {
	var out []*mutant
	for _, f := range s.files {
		for _, d := range f.tree.Decls {
			from, end := s.set.Position(d.Pos()).Offset, s.set.Position(d.End()).Offset
			words := wordsOf(f.text[from:end])
			for _, m := range s.mutantsIn(f, d) {
				m.id = len(out) + 1
				m.key = keyOf(m.site, words, m.offset-from)
				out = append(out, m)
			}
		}
	}
	return out
}

// mutantsIn are the mistakes that can be made in one declaration of a file.
func (s *source) mutantsIn(f file, d ast.Decl) (out []*mutant) {
	ast.Inspect(d, func(n ast.Node) bool {
		tok, pos := operator(n)
		if tok == token.ILLEGAL {
			return true
		}
		if e, ok := n.(ast.Expr); ok && !s.isNumberOrBool(e) {
			return true
		}
		_, unary := n.(*ast.UnaryExpr)
		for _, kind := range kindsOf(tok, unary) {
			to := token.ADD
			if !unary {
				to = mutations[kind][tok]
			}
			p := s.set.Position(pos)
			out = append(out, &mutant{
				site: site{file: s.folder + "/" + f.name, kind: kind, code: s.marked(f, p.Offset, tok)},
				line: p.Line, column: p.Column, offset: p.Offset, from: tok, to: to,
				alone: tok == token.QUO && s.isConstant(n), // in a call, untyped integers may become floats and their quotient a fraction
			})
		}
		return true
	})
	return out
}

// word is a token.
type word struct {
	at   int // its offset in the text
	text string
}

// wordsOf are the tokens of a declaration, or of a file, without its comments.
func wordsOf(text []byte) (out []word) {
	set := token.NewFileSet()
	f := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(f, text, nil, 0)
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return out
		}
		if !tok.IsLiteral() {
			literal = tok.String()
		}
		out = append(out, word{at: f.Offset(pos), text: literal})
	}
}

// keyOf is the key of a mutant whose token has an offset in a declaration.
func keyOf(s site, declaration []word, offset int) string {
	sum := sha256.New()
	fmt.Fprintln(sum, s.file, s.kind)
	for i, w := range declaration {
		if w.at == offset {
			fmt.Fprintln(sum, i)
		}
	}
	for _, w := range declaration {
		fmt.Fprintf(sum, "%q ", w.text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

// operator is the token of a node that a mutation may change, and its place; the token is ILLEGAL if there is none.
func operator(n ast.Node) (token.Token, token.Pos) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return n.Op, n.OpPos
	case *ast.UnaryExpr:
		return n.Op, n.OpPos
	case *ast.AssignStmt:
		return n.Tok, n.TokPos
	case *ast.IncDecStmt:
		return n.Tok, n.TokPos
	case *ast.BranchStmt:
		return n.Tok, n.TokPos
	}
	return token.ILLEGAL, token.NoPos
}

// isNumberOrBool reports whether an expression is a number or a bool. Strings can only be joined, and types are not
// values.
func (s *source) isNumberOrBool(e ast.Expr) bool {
	tv := s.info.Types[e]
	if tv.Type == nil || tv.IsType() {
		return false
	}
	b, ok := tv.Type.Underlying().(*types.Basic)
	return !ok || b.Info()&types.IsString == 0 // a type parameter has no basic type
}

func (s *source) isConstant(n ast.Node) bool {
	e, ok := n.(ast.Expr)
	return ok && s.info.Types[e].Value != nil
}

func kindsOf(tok token.Token, unary bool) []string {
	if unary {
		if tok == token.SUB {
			return []string{negatives}
		}
		return nil
	}
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(mutations)) {
		if _, ok := mutations[kind][tok]; ok {
			out = append(out, kind)
		}
	}
	return out
}

// marked is the line of a source file around an offset without its indentation and the comment behind it, with the token
// there in «».
func (s *source) marked(f file, offset int, tok token.Token) string {
	before, after := string(f.text[:offset]), string(f.text[offset+len(tok.String()):])
	before = before[strings.LastIndexByte(before, '\n')+1:]
	after, _, _ = strings.Cut(after, "\n")
	for _, c := range f.tree.Comments {
		if from := s.set.Position(c.Pos()).Offset - offset - len(tok.String()); from >= 0 && from < len(after) {
			after = after[:from]
		}
	}
	return strings.TrimSpace(before + "«" + tok.String() + "»" + after)
}

// mistaken is the file's text with the mistake.
func (m *mutant) mistaken(text []byte) []byte {
	return slices.Concat(text[:m.offset], []byte(m.to.String()), text[m.offset+len(m.from.String()):])
}
