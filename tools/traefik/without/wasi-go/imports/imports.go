// Package imports stands in for the system of WebAssembly plugins. See tools/README.md in Serin's repository.
package imports

import (
	"context"
	"errors"

	"github.com/stealthrocket/wasi-go/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero"
)

type Builder struct{}

func DetectSocketsExtension(wazero.CompiledModule) *wasi_snapshot_preview1.Extension { return nil }

func NewBuilder() *Builder { return &Builder{} }

func (b *Builder) WithSocketsExtension(string, wazero.CompiledModule) *Builder { return b }
func (b *Builder) WithEnv(...string) *Builder                                  { return b }
func (b *Builder) WithDirs(...string) *Builder                                 { return b }

func (*Builder) Instantiate(ctx context.Context, _ wazero.Runtime) (context.Context, any, error) {
	return ctx, nil, errors.New("this Traefik was built for Serin's tests, without plugins")
}
