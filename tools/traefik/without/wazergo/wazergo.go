// Package wazergo stands in for the host modules of WebAssembly plugins. See tools/README.md in Serin's repository.
package wazergo

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"
)

type (
	Module                   any
	HostModule[T Module]     struct{}
	Option[T Module]         struct{}
	ModuleInstance[T Module] struct{}
)

func Instantiate[T Module](context.Context, wazero.Runtime, HostModule[T], ...Option[T]) (*ModuleInstance[T], error) {
	return nil, errors.New("this Traefik was built for Serin's tests, without plugins")
}

func WithModuleInstance[T Module](ctx context.Context, _ *ModuleInstance[T]) context.Context {
	return ctx
}
