// Package handler stands in for the options of WebAssembly plugins.
package handler

import (
	"context"

	"github.com/http-wasm/http-wasm-host-go/api"
	"github.com/tetratelabs/wazero"
)

type (
	Option     struct{}
	NewRuntime func(context.Context) (wazero.Runtime, error)
)

func Runtime(NewRuntime) Option               { return Option{} }
func GuestConfig([]byte) Option               { return Option{} }
func ModuleConfig(wazero.ModuleConfig) Option { return Option{} }
func Logger(api.Logger) Option                { return Option{} }
