// Package wazero stands in for the WebAssembly runtime: it compiles no plugin. See tools/README.md in Serin's repository.
package wazero

import (
	"context"
	"errors"
)

type (
	Runtime          struct{}
	RuntimeConfig    struct{}
	CompilationCache any
	CompiledModule   any
	ModuleConfig     struct{}
	FSConfig         struct{}
)

func NewCompilationCache() CompilationCache { return nil }

func NewRuntimeConfig() RuntimeConfig { return RuntimeConfig{} }

func (c RuntimeConfig) WithCompilationCache(CompilationCache) RuntimeConfig { return c }

func NewRuntimeWithConfig(context.Context, RuntimeConfig) Runtime { return Runtime{} }

func (Runtime) CompileModule(context.Context, []byte) (CompiledModule, error) {
	return nil, errors.New("this Traefik was built for Serin's tests, without plugins")
}

func NewModuleConfig() ModuleConfig { return ModuleConfig{} }

func (c ModuleConfig) WithSysWalltime() ModuleConfig             { return c }
func (c ModuleConfig) WithStartFunctions(...string) ModuleConfig { return c }
func (c ModuleConfig) WithEnv(string, string) ModuleConfig       { return c }
func (c ModuleConfig) WithFSConfig(FSConfig) ModuleConfig        { return c }

func NewFSConfig() FSConfig { return FSConfig{} }

func (c FSConfig) WithDirMount(string, string) FSConfig         { return c }
func (c FSConfig) WithReadOnlyDirMount(string, string) FSConfig { return c }
