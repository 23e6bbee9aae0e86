package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// source is a package without its tests, as text, as trees and with the types of its expressions.
type source struct {
	folder   string // below the module's root, with slashes
	dir      string // the same, absolute
	path     string // as it is imported
	set      *token.FileSet
	files    []file
	info     *types.Info
	importer types.Importer
}

type file struct {
	name string // without the folder
	text []byte
	tree *ast.File
}

// read reads a package of the module in the working directory, whose dependencies go compiles for it.
func read(ctx context.Context, folder string) (*source, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-json=Dir,ImportPath,Export,Standard,DepOnly,GoFiles", //nolint:gosec // a folder of our own
		"cmp", "os", "strconv", "sync", "./"+folder) // the first ones are what the helpers import
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	type listed struct {
		Dir, ImportPath, Export string
		Standard, DepOnly       bool
		GoFiles                 []string
	}
	var target listed
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if exports[p.ImportPath] = p.Export; !p.Standard && !p.DepOnly {
			target = p
		}
	}
	s := &source{folder: folder, dir: target.Dir, path: target.ImportPath}
	s.importer = importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var files []file
	for _, name := range target.GoFiles {
		text, err := os.ReadFile(filepath.Join(target.Dir, name))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: name, text: text})
	}
	faults, err := s.check(files)
	if err == nil && len(faults) > 0 {
		err = faults[0]
	}
	return s, err
}

// check parses files and finds the types of their expressions. It returns what does not compile.
func (s *source) check(files []file) (faults []types.Error, err error) {
	s.set, s.files, s.info = token.NewFileSet(), files, &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	var trees []*ast.File
	for i, f := range files {
		if files[i].tree, err = parser.ParseFile(s.set, f.name, f.text, parser.SkipObjectResolution|parser.ParseComments); err != nil {
			return nil, err
		}
		trees = append(trees, files[i].tree)
	}
	conf := types.Config{Importer: s.importer, Error: func(err error) {
		if fault, ok := errors.AsType[types.Error](err); ok {
			faults = append(faults, fault)
		}
	}}
	if _, err := conf.Check(s.path, s.set, trees, s.info); err != nil && len(faults) == 0 {
		return nil, err
	}
	return faults, nil
}

// changed is the package with other texts of its files.
func (s *source) changed(texts map[string][]byte) (*source, []types.Error, error) {
	out := &source{folder: s.folder, dir: s.dir, path: s.path, importer: s.importer}
	var files []file
	for _, f := range s.files {
		if text, ok := texts[f.name]; ok {
			f.text = text
		}
		files = append(files, file{name: f.name, text: f.text})
	}
	if text, ok := texts[helperFile]; ok {
		files = append(files, file{name: helperFile, text: text})
	}
	faults, err := out.check(files)
	return out, faults, err
}
